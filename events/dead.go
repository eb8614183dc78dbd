package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The stages that make dead letters.
const (
	StagePoll    = "poll"
	StageProcess = "process"
	StageSink    = "sink"
)

// The headers of a dead letter. Their values are percent-encoded like those of the ce- headers, but for spaces.
const (
	deadPrefix   = "Parley-"
	deadStage    = deadPrefix + "Stage"
	deadName     = deadPrefix + "Name"
	deadError    = deadPrefix + "Error"
	deadAttempts = deadPrefix + "Attempts"
	deadAt       = deadPrefix + "At"
	deadStream   = deadPrefix + "Stream"
	deadSequence = deadPrefix + "Sequence"
	deadSubject  = deadPrefix + "Subject"
)

// HeaderReplayOf marks a message that was a dead letter and is tried again: the number that it had. What fails again must be a dead letter
// again, although the same record was one a moment ago.
const HeaderReplayOf = "X-Parley-Replay-Of"

// HeaderReason is the header of a dead letter that says why.
const HeaderReason = deadError

// natsPrefix begins the headers that instruct the server or that it adds; of a failed message they must not be sent again.
const (
	natsPrefix = "Nats-"
	natsMsgID  = "Nats-Msg-Id"
)

// maxReason bounds the reason, so that an error that quotes its input cannot outgrow a message.
const maxReason = 4 << 10

// DeadLetter says why a message could not be processed or delivered. It travels in the headers of a message of DEAD beside the failed
// message's own headers; the payload is the failed message's, verbatim.
type DeadLetter struct {
	Stage    string // StagePoll, StageProcess or StageSink
	Name     string // of the source, processor or sink that gave up
	Reason   string // without secrets; cut at 4 KiB
	Attempts int
	// Stream, Sequence and Subject are where the failed message is stored; empty for what never was (a poller's).
	Stream   string
	Sequence uint64
	Subject  string
	At       time.Time
}

// DeadSubject is where the dead letter is published: parley.dead.<stage>.<name>.
func (d *DeadLetter) DeadSubject() string {
	return DeadSubjects + "." + Token(d.Stage) + "." + Token(d.Name)
}

// MsgID is the same whenever the same failed message is given up, <stage>:<name>:<stream>:<sequence>, so that a crash after the
// publication leaves one dead letter; "" for a message that never was stored.
func (d *DeadLetter) MsgID() string {
	if d.Sequence == 0 {
		return ""
	}
	return d.Stage + ":" + d.Name + ":" + d.Stream + ":" + strconv.FormatUint(d.Sequence, 10)
}

// SetHeaders makes the headers of the dead letter from a copy of the failed message's: the server's own
// (Nats-…) go, MsgID becomes Nats-Msg-Id, and the Parley-… headers are set.
func (d *DeadLetter) SetHeaders(h map[string][]string) {
	for name := range h {
		if hasPrefixFold(name, natsPrefix) || hasPrefixFold(name, deadPrefix) {
			delete(h, name)
		}
	}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set(natsMsgID, d.MsgID())
	set(deadStage, encodeText(d.Stage))
	set(deadName, encodeText(d.Name))
	set(deadError, encodeText(cut(strings.ToValidUTF8(d.Reason, "\uFFFD"), maxReason)))
	set(deadAttempts, strconv.Itoa(d.Attempts))
	set(deadStream, encodeText(d.Stream))
	if d.Sequence > 0 {
		set(deadSequence, strconv.FormatUint(d.Sequence, 10))
	}
	set(deadSubject, encodeText(d.Subject))
	if !d.At.IsZero() {
		set(deadAt, d.At.UTC().Format(time.RFC3339Nano))
	}
}

// PublishedHeaders gives the headers of a stored message, or of the one that became this dead letter, to be published again: without what
// steers the server and what says why it failed.
func PublishedHeaders(h map[string][]string) map[string][]string {
	out := make(map[string][]string, len(h))
	for name, values := range h {
		if !hasPrefixFold(name, natsPrefix) && !hasPrefixFold(name, deadPrefix) {
			out[name] = values
		}
	}
	return out
}

// ReadDeadLetter reads what SetHeaders wrote. The error is Permanent.
func ReadDeadLetter(h map[string][]string) (DeadLetter, error) {
	var d DeadLetter
	for name, values := range h {
		if len(values) == 0 || !hasPrefixFold(name, deadPrefix) {
			continue
		}
		if err := d.read(name, values[len(values)-1]); err != nil {
			return DeadLetter{}, Permanent(fmt.Errorf("dead letter: header %s: %w", name, err))
		}
	}
	if d.Stage == "" || d.Name == "" {
		return DeadLetter{}, Permanent(fmt.Errorf("dead letter: headers %s and %s: want both", deadStage, deadName))
	}
	return d, nil
}

func (d *DeadLetter) read(name, value string) (err error) {
	text := map[string]*string{
		deadStage: &d.Stage, deadName: &d.Name, deadError: &d.Reason, deadStream: &d.Stream, deadSubject: &d.Subject,
	}
	for known, field := range text {
		if strings.EqualFold(name, known) {
			*field, err = decodeText(value)
			return err
		}
	}
	switch {
	case strings.EqualFold(name, deadAttempts):
		d.Attempts, err = strconv.Atoi(value)
	case strings.EqualFold(name, deadSequence):
		d.Sequence, err = strconv.ParseUint(value, 10, 64)
	case strings.EqualFold(name, deadAt):
		d.At, err = time.Parse(time.RFC3339Nano, value)
		d.At = d.At.UTC()
	}
	return err
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// encodeText percent-encodes what a header cannot hold and leaves sentences readable: only a space at an end is encoded.
func encodeText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' && i > 0 && i < len(s)-1 || !mustEncode(s[i]) || s[i] == '"' {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[s[i]>>4])
		b.WriteByte(upperHex[s[i]&15])
	}
	return b.String()
}

// cut shortens to at most n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
