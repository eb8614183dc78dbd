package processors_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/content"
	"github.com/parley-stream/parley/processors/normalize/livechat"
	"github.com/parley-stream/parley/processors/page"
	"github.com/parley-stream/parley/processors/privacy"
	"github.com/parley-stream/parley/processors/timing"
)

// personal is what one chat tells of its visitor: what may stand in no output, each in the form that a person would look for.
type personal struct{ Name, ID, Email, IP, Phone, Card, IBAN string }

func (p *personal) canaries() []string {
	return []string{p.Name, strings.ToUpper(p.Name), p.ID, p.Email, p.IP, p.Phone, p.Card, p.IBAN, strings.ReplaceAll(p.Email, "@", "%40")}
}

// somebody is another person each time: ids, addresses and numbers that fit their checks.
func somebody(n int) personal {
	body := fmt.Sprintf("411111%09d", n)
	check := 0
	for i, c := range body { // Luhn's, over the fifteen digits before the last
		d := int(c - '0')
		if i%2 == 0 {
			d = d*2/10 + d*2%10
		}
		check += d
	}
	return personal{
		Name: fmt.Sprintf("Ösma%d Quillfeather", n), ID: fmt.Sprintf("S17.%08dq", n), Email: fmt.Sprintf("osma.quill%d@visitor.example", n),
		IP: fmt.Sprintf("203.0.113.%d", n%200+20), Phone: fmt.Sprintf("+31 6 %04d %04d", n%10000, n*7%10000),
		Card: body + fmt.Sprint((10-check%10)%10), IBAN: "DE89 3704 0044 0532 0130 00",
	}
}

// told is a LiveChat chat in which the person is everywhere that a chat can say who somebody is.
func told(t testing.TB, key string, p *personal) []byte {
	t.Helper()
	all := fmt.Sprintf("I am %s, %s or %s, card %s, %s, from %s", p.Name, p.Email, p.Phone, p.Card, p.IBAN, p.IP)
	body, err := json.Marshal(map[string]any{
		"type": "chat", "id": key, "visitor_name": p.Name, "visitor_id": p.ID, "visitor_ip": p.IP,
		"visitor": map[string]any{"id": p.ID, "name": p.Name, "email": p.Email, "ip": p.IP, "user_agent": "Browser/1 (" + p.IP + ")"},
		"agents":  []any{map[string]any{"display_name": "Kim Lund", "email": "kim.lund@harbour.example"}},
		"rate":    "rated_bad", "rate_comment": all, "duration": 200, "started_timestamp": 1792924200, "ended_timestamp": 1792924400,
		"chat_start_url": "https://shop.example/?mail=" + strings.ReplaceAll(p.Email, "@", "%40") + "&v=" + p.ID,
		"referrer":       "https://search.example/find?q=" + p.Email,
		"messages": []any{
			map[string]any{"type": "message", "user_type": "visitor", "author_name": p.Name, "timestamp": 1792924201, "text": "<p>" + all + "</p>"},
			map[string]any{"type": "message", "user_type": "agent", "agent_id": "kim.lund@harbour.example", "author_name": "Kim Lund", "timestamp": 1792924210, "text": "Dear " + all},
		},
		"prechat_survey":   []any{map[string]any{"key": "Name:", "value": p.Name}, map[string]any{"key": "E-mail:", "value": p.Email}},
		"custom_variables": []any{map[string]any{"key": "phone", "value": p.Phone}, map[string]any{"key": p.Email, "value": all}},
		"unheard_of":       map[string]any{"deep": []any{all, map[string]any{p.Email: p.Card}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// spoken is LiveChat's normaliser, but for keys that begin with what it then does: fail, or panic, with all that the record says.
func spoken(r *events.Record) (events.Entity, error) {
	text := string(r.Part(""))
	switch {
	case strings.HasPrefix(r.Key, "fails"):
		return nil, events.Permanent(fmt.Errorf("chat %s: want an object, got %q", r.Key, text))
	case strings.HasPrefix(r.Key, "panics"):
		panic(text)
	}
	return livechat.Normalize(r)
}

// changing is a guard whose policy is another one for each trial.
type changing struct {
	policy atomic.Pointer[privacy.Policy]
}

func (c *changing) Treat(e events.Entity) error { return c.policy.Load().Treat(e) }
func (c *changing) Text(reason string) string   { return c.policy.Load().Text(reason) }
func (c *changing) String() string              { return c.policy.Load().String() }

// broken is an enricher that fails with what the entity says.
type broken struct{}

func (broken) Name() string { return "broken" }

func (broken) Enrich(e events.Entity) error {
	all, _ := json.Marshal(e)
	return fmt.Errorf("no place for %q", all)
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// hiding draws a policy that hides all of a person: a rule for everything, and some that say otherwise of some fields, but never keep them.
func hiding(t *rapid.T) string {
	rules := map[string]string{"*": rapid.SampledFrom([]string{"mask", "drop", "hmac"}).Draw(t, "everything")}
	for range rapid.IntRange(0, 5).Draw(t, "rules") {
		field := rapid.SampledFrom([]string{
			"visitor", "visitor.id", "visitor.name", "visitor.email", "visitor.ip", "messages", "messages.text", "messages.author", "messages.author.name",
			"subject", "rating.comment", "surveys", "custom_fields", "attributes", "page", "page.url", "page.referrer", "agents.name",
		}).Draw(t, "field")
		actions := []string{"mask", "drop", "hmac"}
		if field == "visitor.ip" {
			actions = append(actions, "truncate")
		}
		rules[field] = rapid.SampledFrom(actions).Draw(t, "action")
	}
	for _, figure := range []string{"channel", "status", "started_at", "metrics", "tags"} { // these say nothing of who somebody is
		if rapid.Bool().Draw(t, figure) {
			rules[figure] = "keep"
		}
	}
	var text []string
	for _, field := range slices.Sorted(maps.Keys(rules)) {
		text = append(text, field+"="+rules[field])
	}
	return strings.Join(text, ",")
}

func TestNoPolicyLetsAPersonOutOfTheProcessor(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	guard, log := &changing{}, &logged{}
	normalizers := map[string]processors.Normalizer{"livechat": spoken}
	none, faults := privacy.New("*=mask", strings.Repeat("k", 32))
	if faults != nil {
		t.Fatal(faults)
	}
	guard.policy.Store(none)
	start(t, b, processors.Options{
		Normalizers: normalizers, Guard: guard, MessageEvents: true, Enrichers: []processors.Enricher{page.New(), content.New(), timing.New(), broken{}},
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	trial, chats, letters := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		trial++
		text := hiding(rt)
		policy, faults := privacy.New(text, strings.Repeat("k", 32))
		if faults != nil {
			rt.Fatal(text, faults)
		}
		guard.policy.Store(policy)
		p := somebody(trial)
		from := map[string]uint64{}
		for _, stream := range []string{broker.Events, broker.Dead} {
			state, err := b.StreamState(t.Context(), stream)
			if err != nil {
				rt.Fatal(err)
			}
			from[stream] = state.LastSeq + 1
		}
		var messages []broker.Message
		for _, key := range []string{"chat", "fails", "panics"} {
			messages = append(messages, recorded(t, fmt.Sprint(key, trial), told(t, fmt.Sprint(key, trial), &p)))
		}
		publishRaw(t, b, messages...)
		drained(t, b)
		for stream, first := range from {
			err := b.ScanFrom(t.Context(), stream, nil, first, func(m broker.Message) error {
				said := fmt.Sprint(m.Subject, m.Header)
				if stream == broker.Events {
					said += string(m.Data)
					chats++
				} else {
					letters++ // whose data is the vendor's, as it was
				}
				absent(rt, text, stream, said, &p)
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		absent(rt, text, "the log", log.String(), &p)
	})
	if chats < 3*trial/2 || letters != 2*trial || !strings.Contains(log.String(), "an enrichment failed") {
		t.Errorf("%d events and %d dead letters of %d trials: too few to show anything", chats, letters, trial)
	}
	wantTombstonesEmpty(t, b, normalizers, trial)
}

// recorded is a chat's record in RAW.
func recorded(t testing.TB, key string, body []byte) broker.Message {
	t.Helper()
	r := &events.Record{
		Vendor: "livechat", Source: "test", Stream: "chats", Key: key, RequestedAt: epoch,
		Parts: []events.Part{{ContentType: events.ContentJSON, URL: "https://vendor.example/", Body: events.Body{Bytes: body}}},
	}
	e, err := events.NewRawEvent(r, key)
	if err != nil {
		t.Fatal(err)
	}
	m := broker.Message{Subject: events.RawSubject(r), Header: map[string][]string{}, Data: e.Data}
	e.SetHeaders(m.Header)
	return m
}

func absent(t *rapid.T, policy, where, said string, p *personal) {
	for _, canary := range p.canaries() {
		if at := strings.Index(said, canary); at >= 0 {
			t.Fatalf("%s: %q stands in %s: …%s", policy, canary, where, said[max(0, at-200):min(len(said), at+100)])
		}
	}
}

// wantTombstonesEmpty forgets some of the persons, and wants their tombstones to say nothing of them.
func wantTombstonesEmpty(t *testing.T, b *broker.Broker, normalizers map[string]processors.Normalizer, persons int) {
	t.Helper()
	e, err := processors.NewEraser(t.Context(), b, processors.EraserOptions{Normalizers: normalizers})
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Identifier
	for n := 1; n <= persons; n++ {
		p := somebody(n)
		all = append(all, events.Identifier{Kind: events.ByEmail, Value: p.Email})
	}
	done, err := e.Erase(t.Context(), all)
	if err != nil || done.Tombstones < persons {
		t.Fatalf("%d tombstones of %d persons, %v", done.Tombstones, persons, err)
	}
	for _, stream := range []string{broker.Raw, broker.Events, broker.Dead} {
		err := b.Scan(t.Context(), stream, nil, time.Time{}, func(m broker.Message) error {
			said := fmt.Sprint(m.Subject, m.Header, string(m.Data))
			for n := 1; n <= persons; n++ {
				p := somebody(n)
				for _, canary := range p.canaries() {
					if strings.Contains(said, canary) {
						t.Errorf("%s: %q stands in %s", stream, canary, said)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
