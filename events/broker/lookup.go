package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// Last gives the last message of each of these literal subjects that has one, in one request for each 1,000 or so, or 8 MiB.
// The result is whole: a short answer is asked on, or is ErrIncomplete, never "not found". It holds all that was acknowledged before, also
// when a replica answers that is behind.
func (b *Broker) Last(ctx context.Context, stream string, subjects []string) (map[string]Message, error) {
	for _, subject := range subjects {
		if !literal(subject) {
			return nil, fmt.Errorf("look up %q in %s: not a literal subject", subject, stream)
		}
	}
	found := make(map[string]Message, len(subjects))
	since, err := b.acknowledged(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("look up %d subjects of %s: %w: %w", len(subjects), stream, ErrIncomplete, err)
	}
	for len(subjects) > 0 {
		n := min(len(subjects), maxLookup-1) // and a beacon
		cut, err := b.last(ctx, stream, subjects[:n], since, found)
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

// acknowledged is up to which sequence a replica must know a stream to be believed; 0 where there are no others, which is all that a server
// without replicas can say.
func (b *Broker) acknowledged(ctx context.Context, stream string) (uint64, error) {
	if b.options.Replicas == 1 {
		return 0, nil
	}
	state, err := b.StreamState(ctx, stream) // its leader answers that
	return state.LastSeq, err
}

// beacon is a subject that is always there, if the stream has one: an answer that found nothing does not say how far its replica is.
func beacon(stream string) string {
	switch stream {
	case State:
		return keyMark
	case "KV_" + ErasedBucket:
		return "$KV." + ErasedBucket + "." + keyEntry
	}
	return ""
}

// last asks once, and where the replica that answers does not know what was acknowledged, the leader for each subject. The answer is cut when
// more was found than it could hold.
func (b *Broker) last(ctx context.Context, stream string, subjects []string, since uint64, found map[string]Message) (cut bool, err error) {
	ask := directRequest{MultiLast: subjects, MaxBytes: lookupBytes}
	extra := beacon(stream)
	if since > 0 && extra != "" && !slices.Contains(subjects, extra) {
		ask.MultiLast = append(slices.Clone(subjects), extra)
	}
	answer := make(map[string]Message, len(subjects))
	end, err := b.direct(ctx, stream, ask, noResults, func(m Message) { answer[m.Subject] = m })
	if len(ask.MultiLast) > len(subjects) {
		delete(answer, extra)
	}
	if err == nil && end.upTo < since {
		end.more = 0
		answer, err = b.lastOfLeader(ctx, stream, subjects)
	}
	if err != nil {
		return false, err
	}
	maps.Copy(found, answer)
	return end.more > 0, nil
}

// leaderRequests is how many questions to a leader are on their way at once.
const leaderRequests = 64

// lastOfLeader asks the leader, which has no batches.
func (b *Broker) lastOfLeader(ctx context.Context, stream string, subjects []string) (map[string]Message, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	found := make(map[string]Message)
	next := atomic.Int64{}
	var asking sync.WaitGroup
	for range min(leaderRequests, len(subjects)) {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(subjects)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				m, err := b.fromLeader(ctx, stream, leaderRequest{Last: subjects[i]})
				if err == nil {
					mu.Lock()
					found[m.Subject] = m
					mu.Unlock()
				} else if !errors.Is(err, ErrNotFound) {
					cancel(err)
				}
			}
		})
	}
	asking.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	return found, nil
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

// directEnd is what the server says at the end of an answer.
type directEnd struct {
	more uint64 // how many messages there are beyond the answer
	upTo uint64 // of last messages: how much of the stream the replica has that answered; 0 where it found none
}

// direct asks for messages of a stream, without any consumer, and hands them to take. Any replica answers, also one that is behind. None is how the
// server says that there are no such messages. An answer that ends otherwise is ErrIncomplete.
func (b *Broker) direct(ctx context.Context, stream string, r directRequest, none string, take func(Message)) (end directEnd, err error) {
	subject := "$JS.API.DIRECT.GET." + stream
	err = b.ask(ctx, on(subject), func(ctx context.Context) (err error) {
		end, err = b.directly(ctx, subject, r, none, take)
		return err
	})
	return end, err
}

func (b *Broker) directly(ctx context.Context, subject string, r directRequest, none string, take func(Message)) (end directEnd, err error) {
	ctx, cancel := b.whileConnected(ctx, 30*time.Second)
	defer cancel()
	request, err := json.Marshal(r)
	if err != nil {
		return end, err
	}
	// NewRespInbox would be matched by the connection's own request subscription as well: everything twice.
	inbox := b.nc.NewInbox()
	// A subscription of the client's own making has room for 65,536 messages, half a megabyte. Here the answer is bounded, and its end has room, too.
	answers := make(chan *nats.Msg, max(r.Batch, len(r.MultiLast))+2)
	sub, err := b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return end, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the subscription is gone either way
	if err := b.nc.PublishRequest(subject, inbox, request); err != nil {
		return end, err
	}
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return end, fmt.Errorf("%w: %w", ErrIncomplete, context.Cause(ctx))
		}
		status, description := m.Header.Get("Status"), m.Header.Get("Description")
		switch {
		case status == "":
			take(fromDirect(m))
		case status == "204":
			end.upTo, _ = strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64) // not of every request
			end.more, err = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			return end, err
		case status == "404" && description == none:
			return end, nil
		case status == "503":
			return end, fmt.Errorf("%w: %w", ErrIncomplete, nats.ErrNoResponders)
		default: // another 404 is a message that is there and could not be read
			return end, fmt.Errorf("%w: status %s %s", ErrIncomplete, status, description)
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

// leaderRequest is the server's JSApiMsgGetRequest for one message, as far as it is used here.
type leaderRequest struct {
	Sequence uint64     `json:"seq,omitempty"`
	Last     string     `json:"last_by_subj,omitempty"`
	Next     string     `json:"next_by_subj,omitempty"`
	From     *time.Time `json:"start_time,omitempty"`
}

// fromLeader asks for one message where what is absent decides something: a stream's leader knows all that was acknowledged. ErrNotFound is its word
// that there is none.
func (b *Broker) fromLeader(ctx context.Context, stream string, r leaderRequest) (m Message, err error) {
	request, err := json.Marshal(r)
	if err != nil {
		return m, err
	}
	subject := "$JS.API.STREAM.MSG.GET." + stream
	err = b.ask(ctx, on(subject), func(ctx context.Context) error {
		ctx, cancel := b.whileConnected(ctx, 10*time.Second)
		defer cancel()
		reply, err := b.nc.RequestWithContext(ctx, subject, request)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		m, err = fromAnswer(reply.Data)
		return err
	})
	return m, err
}

// fromAnswer reads the leader's answer.
func fromAnswer(data []byte) (m Message, err error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return m, fmt.Errorf("the server's answer: %w", err)
	}
	if answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return m, ErrNotFound
	}
	if answer.Error != nil {
		return m, answer.Error
	}
	m = Message{Subject: answer.Message.Subject, Data: answer.Message.Data, Sequence: answer.Message.Sequence, Time: answer.Message.Time}
	if len(answer.Message.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(answer.Message.Header)
		if err != nil {
			return m, fmt.Errorf("headers of message %d: %w", m.Sequence, err)
		}
		m.Header = header
	}
	return m, nil
}

// Read gives one message by its sequence, or ErrNotFound.
func (b *Broker) Read(ctx context.Context, stream string, sequence uint64) (Message, error) {
	m, err := b.fromLeader(ctx, stream, leaderRequest{Sequence: sequence})
	if err != nil {
		return Message{}, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	return m, nil
}
