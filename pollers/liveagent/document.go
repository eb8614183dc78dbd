package liveagent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// document makes a call whose whole response is a part of a record. The response must have the member that the
// vendor documents for it; what is inside it is the normaliser's to judge.
func (p *poller) document(ctx context.Context, part, path, member string) (events.Part, source, error) {
	resp, from, err := p.get(ctx, path, nil)
	if err != nil {
		return events.Part{}, from, err
	}
	defer resp.Body.Close()
	body, err := p.read(resp.Body, member)
	return p.part(part, from, body), from, err
}

// part makes a part without credentials.
func (p *poller) part(name string, from source, body events.Body) events.Part {
	body.Bytes = p.client.RedactBytes(p.format.scrub(body.Bytes))
	return events.Part{Name: name, ContentType: p.format.contentType, URL: from.url, Body: body}
}

// read reads a document to its end and checks that it is whole. Of one that is too large to
// keep, only its last byte is checked: it becomes a dead letter anyway.
func (p *poller) read(r io.Reader, member string) (events.Body, error) {
	b, err := io.ReadAll(io.LimitReader(r, events.MaxRecordBytes+1))
	if err != nil {
		return events.Body{}, err
	}
	if len(b) > events.MaxRecordBytes {
		return p.readLarge(b, r)
	}
	fields, err := p.format.whole(b)
	if refused := failure(fields); refused != nil {
		return events.Body{}, refused
	}
	if _, ok := fields[member]; err == nil && !ok {
		err = fmt.Errorf("the response has no %s: %w", member, pollers.ErrIncomplete)
	}
	return events.Body{Bytes: b}, err
}

func (p *poller) readLarge(start []byte, r io.Reader) (events.Body, error) {
	digest, last := sha256.New(), &lastByte{}
	size, err := io.Copy(io.MultiWriter(digest, last), io.MultiReader(bytes.NewReader(start), r))
	if err != nil {
		return events.Body{}, err
	}
	if last.b != p.format.end {
		return events.Body{}, fmt.Errorf("the response of %d bytes ends in %q: %w", size, last.b, pollers.ErrIncomplete)
	}
	kept := bytes.Clone(start[:events.OversizeKeptBytes])
	return events.Body{Bytes: kept, Size: size, SHA256: hex.EncodeToString(digest.Sum(nil))}, nil
}

// lastByte remembers the last byte written that is no white space.
type lastByte struct{ b byte }

func (l *lastByte) Write(p []byte) (int, error) {
	if end := bytes.TrimRight(p, " \t\r\n"); len(end) > 0 {
		l.b = end[len(end)-1]
	}
	return len(p), nil
}
