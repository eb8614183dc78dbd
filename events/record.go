package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// MaxRecordBytes is the largest record that is kept whole; of a larger one the dead letter
// holds the first OversizeKeptBytes, its size and its digest.
const (
	MaxRecordBytes    = 32 << 20
	OversizeKeptBytes = 64 << 10
)

// Content types of a record's parts.
const (
	ContentXML     = "application/xml"
	ContentJSON    = "application/json"
	ContentCSV     = "text/csv" // the header row and one data row
	ContentMsgpack = "application/msgpack"
)

// Record is one vendor record, verbatim: the data of a RAW event. A room fills what it alone
// knows (Key, Parts, Params, RequestedAt); the worker stamps the rest.
type Record struct {
	Vendor string `msgpack:"vendor"`
	Source string `msgpack:"source"`
	Stream string `msgpack:"stream"`
	// Key is the vendor_id of the entity that the record describes; "" when
	// the record has none (it is then malformed, and the normaliser says so).
	Key string `msgpack:"key"`
	// Parts are the vendor's documents that make up the record, in a fixed
	// order per stream; most streams have one.
	Parts []Part `msgpack:"parts"`
	// Params is what a normaliser needs beside the bytes: the report's name, its
	// bucket, the separator. No secret ever enters it.
	Params map[string]string `msgpack:"params,omitempty"`
	// Timezone is the IANA zone of times without an offset.
	Timezone string `msgpack:"timezone,omitempty"`
	// WindowFrom and WindowTo are the window that was read, half-open, UTC.
	WindowFrom time.Time `msgpack:"window_from"`
	WindowTo   time.Time `msgpack:"window_to"`
	// RequestedAt is when the request that gave this record was sent: the
	// fence of vendors without a time of change.
	RequestedAt time.Time `msgpack:"requested_at"`
	// Traceparent is the W3C trace context of the poll.
	Traceparent string `msgpack:"traceparent,omitempty"`
	// Version tells, within the stream, whether the vendor's list shows the entity as it was: its time of change, or a digest of its
	// row. The poller remembers it once RAW has the record; it does not travel.
	Version string `msgpack:"-"`
}

// Part is one of a record's documents.
type Part struct {
	// Name tells parts apart where there are several: detail, messages, tags.
	Name        string `msgpack:"name,omitempty"`
	ContentType string `msgpack:"content_type"`
	// URL is the request's without its credentials.
	URL  string `msgpack:"url,omitempty"`
	Body Body   `msgpack:"body"`
}

// Body is a part's bytes, or the first of them when the whole exceeds MaxRecordBytes.
type Body struct {
	Bytes []byte `msgpack:"bytes"`
	// Size is the whole's length when Bytes is only its start, else 0.
	Size int64 `msgpack:"size,omitempty"`
	// SHA256 is the whole's digest in hex when Bytes is only its start.
	SHA256 string `msgpack:"sha256,omitempty"`
}

// Oversize tells whether a part's whole was too large to keep.
func (r *Record) Oversize() (Body, bool) {
	for _, p := range r.Parts {
		if p.Body.Size > 0 {
			return p.Body, true
		}
	}
	return Body{}, false
}

// Part gives the bytes of the named part; nil where there is none.
func (r *Record) Part(name string) []byte {
	for i := range r.Parts {
		if r.Parts[i].Name == name {
			return r.Parts[i].Body.Bytes
		}
	}
	return nil
}

// Fingerprint is a digest of the record's key and bytes, not of when they were fetched: windows
// that hold the same records have the same fingerprints.
func (r *Record) Fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s", len(r.Key), r.Key)
	for _, p := range r.Parts {
		fmt.Fprintf(h, "|%s:%d:", p.Name, len(p.Body.Bytes))
		h.Write(p.Body.Bytes)
		// Of an oversize part the start alone does not tell two wholes apart.
		if p.Body.Size > 0 {
			fmt.Fprintf(h, "|%d:%s", p.Body.Size, p.Body.SHA256)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// DeadName tells the dead letter of a record from those of its source's others: the same record read again is the same letter. Rows without a key
// may be alike and yet be facts of their own, as a day's figures are; each window has its own.
func (r *Record) DeadName() string {
	name := Token(r.Stream) + ":" + r.Fingerprint()
	if r.Key == "" {
		name += ":" + r.WindowFrom.UTC().Format(time.RFC3339) + "/" + r.WindowTo.UTC().Format(time.RFC3339)
	}
	return name
}

// EncodeRecord gives the data of a RAW event. Equal records have equal bytes.
func EncodeRecord(r *Record) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(r.room())
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode record %s of %s/%s: %w", r.Key, r.Source, r.Stream, err)
	}
	return buf.Bytes(), nil
}

// room is about how many bytes a record takes: its documents', and as many as the rest of most records has.
func (r *Record) room() int {
	n := 512
	for i := range r.Parts {
		n += len(r.Parts[i].URL) + len(r.Parts[i].Body.Bytes) + 64
	}
	return n
}

// DecodeRecord reads the data of a RAW event. Its parts' bytes are where they lie in b. The error is Permanent.
func DecodeRecord(b []byte) (*Record, error) {
	if err := checkMsgpack(b, maxRecordDepth); err != nil {
		return nil, Permanent(fmt.Errorf("decode raw record: %w", err))
	}
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(&inPlace{left: b})
	var r Record
	if err := dec.Decode(&r); err != nil {
		return nil, Permanent(fmt.Errorf("decode raw record: %w", err))
	}
	// msgpack gives times in the zone of the machine.
	r.WindowFrom, r.WindowTo, r.RequestedAt = r.WindowFrom.UTC(), r.WindowTo.UTC(), r.RequestedAt.UTC()
	return &r, nil
}

// DecodeMsgpack implements msgpack.CustomDecoder: a body is most of a record, and need not be copied.
func (b *Body) DecodeMsgpack(dec *msgpack.Decoder) error {
	fields, err := dec.DecodeMapLen()
	if err != nil {
		return err
	}
	for range fields {
		name, err := dec.DecodeString()
		if err != nil {
			return err
		}
		switch name {
		case "bytes":
			b.Bytes, err = takeBytes(dec)
		case "size":
			b.Size, err = dec.DecodeInt64()
		case "sha256":
			b.SHA256, err = dec.DecodeString()
		default:
			err = dec.Skip()
		}
		if err != nil {
			return fmt.Errorf("body: %s: %w", name, err)
		}
	}
	return nil
}

// takeBytes reads bytes where they lie, if they lie in memory.
func takeBytes(dec *msgpack.Decoder) ([]byte, error) {
	in, ok := dec.Buffered().(*inPlace)
	if !ok {
		return dec.DecodeBytes()
	}
	n, err := dec.DecodeBytesLen()
	if err != nil || n < 0 {
		return nil, err
	}
	return in.take(n)
}

// inPlace reads memory, and gives parts of it without a copy.
type inPlace struct {
	left []byte
	last []byte // left, as it was before the last byte was read
}

func (p *inPlace) take(n int) ([]byte, error) {
	if n > len(p.left) {
		return nil, io.ErrUnexpectedEOF
	}
	taken := p.left[:n:n]
	p.left = p.left[n:]
	return taken, nil
}

// Read implements io.Reader.
func (p *inPlace) Read(b []byte) (int, error) {
	if len(p.left) == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// ReadByte implements io.ByteScanner.
func (p *inPlace) ReadByte() (byte, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	p.last = p.left
	p.left = p.left[1:]
	return p.last[0], nil
}

// UnreadByte implements io.ByteScanner.
func (p *inPlace) UnreadByte() error {
	p.left = p.last
	return nil
}
