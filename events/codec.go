package events

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event/datacodec"
)

var registerCodecs sync.Once

// RegisterCodecs makes the SDK's SetData and DataAs read and write application/msgpack: records as RAW
// events hold them, canonical entities and anything else as their JSON form in msgpack. JSON the
// SDK knows already. Call it before the first event is handled; again does nothing. The SDK's codecs are global to
// the process and must not be added to while they are used.
func RegisterCodecs() {
	registerCodecs.Do(func() {
		datacodec.AddEncoder(ContentMsgpack, encodeData)
		datacodec.AddDecoder(ContentMsgpack, decodeData)
	})
}

func encodeData(_ context.Context, in any) ([]byte, error) {
	switch v := in.(type) {
	case nil:
		return nil, nil
	case *Record:
		return EncodeRecord(v)
	case Entity:
		content, err := EncodeContent(v)
		if err != nil {
			return nil, err
		}
		return EncodeMsgpack(content)
	default:
		content, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("data as msgpack: %w", err)
		}
		return EncodeMsgpack(content)
	}
}

func decodeData(_ context.Context, in []byte, out any) error {
	if record, ok := out.(*Record); ok {
		r, err := DecodeRecord(bytes.Clone(in)) // what it is given may be used again
		if err == nil {
			*record = *r
		}
		return err
	}
	content, err := DecodeMsgpack(in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, out); err != nil {
		return Permanent(fmt.Errorf("msgpack content into %T: %w", out, err))
	}
	return nil
}
