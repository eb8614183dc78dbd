package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxLookup is how many existing subjects one answer may hold.
	maxLookup = 1024
	// lookupBytes is where an answer is cut and the rest asked for again. The server itself cuts where it would drop the connection of
	// a reader that is slow.
	lookupBytes = 8 << 20
)

// Last gives the last message of each of these literal subjects that has one, in one request for each 1,024 or 8 MiB.
// The result is whole: a short answer is asked on, or is ErrIncomplete, never "not found".
func (b *Broker) Last(ctx context.Context, stream string, subjects []string) (map[string]Message, error) {
	for _, subject := range subjects {
		if !literal(subject) {
			return nil, fmt.Errorf("look up %q in %s: not a literal subject", subject, stream)
		}
	}
	found := make(map[string]Message, len(subjects))
	for len(subjects) > 0 {
		n := min(len(subjects), maxLookup)
		cut, err := b.last(ctx, stream, subjects[:n], found)
		if err != nil {
			return nil, fmt.Errorf("look up %d subjects of %s: %w", n, stream, err)
		}
		rest := subjects[n:]
		if cut {
			rest = append(absent(subjects[:n], found), rest...)
		}
		if len(rest) == len(subjects) {
			return nil, fmt.Errorf("look up %d subjects of %s: %w", n, stream, ErrIncomplete)
		}
		subjects = rest
	}
	return found, nil
}

// literal tells a subject that names one subject: a wildcard would bring others' messages.
func literal(subject string) bool {
	if strings.ContainsAny(subject, " \t\r\n\x00") {
		return false
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || token == "*" || token == ">" {
			return false
		}
	}
	return true
}

func absent(subjects []string, found map[string]Message) (rest []string) {
	for _, subject := range subjects {
		if _, ok := found[subject]; !ok {
			rest = append(rest, subject)
		}
	}
	return rest
}

// last asks once. The answer is cut when more was found than it could hold.
func (b *Broker) last(ctx context.Context, stream string, subjects []string, found map[string]Message) (cut bool, err error) {
	more, err := b.direct(ctx, stream, directRequest{MultiLast: subjects, MaxBytes: lookupBytes}, noResults, func(m Message) { found[m.Subject] = m })
	return more > 0, err
}

// directRequest is the server's JSApiMsgGetRequest, as far as it is used here.
type directRequest struct {
	MultiLast []string   `json:"multi_last,omitempty"`
	Filter    string     `json:"next_by_subj,omitempty"`
	Sequence  uint64     `json:"seq,omitempty"`
	From      *time.Time `json:"start_time,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes"`
}

// direct asks for messages of a stream, without any consumer, and hands them to take. More is how many there are beyond the answer; none is
// how the server says that there are no such messages. An answer that ends otherwise is ErrIncomplete.
func (b *Broker) direct(ctx context.Context, stream string, r directRequest, none string, take func(Message)) (more uint64, err error) {
	ctx, cancel := b.whileConnected(ctx, 30*time.Second)
	defer cancel()
	request, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	// NewRespInbox would be matched by the connection's own request subscription as well: everything twice.
	inbox := b.nc.NewInbox()
	// A subscription of the client's own making has room for 65,536 messages, half a megabyte. Here the answer is bounded, and its end has room, too.
	answers := make(chan *nats.Msg, max(r.Batch, len(r.MultiLast))+2)
	sub, err := b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return 0, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the subscription is gone either way
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, request); err != nil {
		return 0, err
	}
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ErrIncomplete, context.Cause(ctx))
		}
		status, description := m.Header.Get("Status"), m.Header.Get("Description")
		switch {
		case status == "":
			take(fromDirect(m))
		case status == "204":
			return strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
		case status == "404" && description == none:
			return 0, nil
		case status == "503":
			return 0, fmt.Errorf("%w: %w", ErrIncomplete, nats.ErrNoResponders)
		default: // another 404 is a message that is there and could not be read
			return 0, fmt.Errorf("%w: status %s %s", ErrIncomplete, status, description)
		}
	}
}

// How the server says that there is nothing: of the last messages of subjects, and of those from a sequence on.
const (
	noResults = "No Results"
	noMessage = "Message Not Found"
)

func fromDirect(m *nats.Msg) Message {
	out := Message{Header: m.Header, Data: m.Data}
	out.Subject = out.Get("Nats-Subject")
	out.Sequence, _ = strconv.ParseUint(out.Get("Nats-Sequence"), 10, 64)
	out.Time, _ = time.Parse(time.RFC3339Nano, out.Get("Nats-Time-Stamp"))
	return out
}

// Read gives one message by its sequence.
func (b *Broker) Read(ctx context.Context, stream string, sequence uint64) (Message, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return Message{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	m, err := s.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, fmt.Errorf("message %d of %s: %w", sequence, stream, ErrNotFound)
	}
	if err != nil {
		return Message{}, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	return Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time}, nil
}
