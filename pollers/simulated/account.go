// Package simulated is an invented company: its people, and the chats that its visitors have over days,
// from a seed. Every vendor's simulator tells the same kind of story in its own vendor's format. Nothing here is real: names
// are common ones, addresses are from the documentation ranges, domains end in .example.
package simulated

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"time"
)

// Options describes an account; zero values work.
type Options struct {
	Seed int64
	// Days of history before Start; 0 is 14.
	Days int
	// Chats that ended before Start; 0 is 200.
	Chats int
	// LivePerHour chats go on arriving after Start, for six hours; 0 is none.
	LivePerHour int
	// Start is where history ends; zero is Now() at the time of New.
	Start time.Time
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Malformed records are planted among the history's, where the vendor's format allows.
	Malformed int
	// Faults are for Faulty and, where there are pages, for Moves.
	Faults Faults
	// Fields, when set, makes every endpoint's answer hold a specimen, whose fields are noted there.
	Fields *Fields
}

func (o Options) withDefaults() Options {
	if o.Days <= 0 {
		o.Days = 14
	}
	if o.Chats <= 0 {
		o.Chats = 200
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Start.IsZero() {
		o.Start = o.Now()
	}
	o.Start = o.Start.UTC().Truncate(time.Second)
	return o
}

// Account is the generated company. It is safe for concurrent use.
type Account struct {
	options Options
	agents  []Person
	moments []time.Time   // at which something comes to be seen, sorted
	longest time.Duration // of the chats

	mu    sync.Mutex
	chats []*Chat // by End
	edits int     // of all chats
	seen  *view   // what was asked for last
}

// Person is an agent or a visitor.
type Person struct {
	ID      string // short, of [a-z0-9]
	Name    string
	Email   string
	IP      string
	City    string
	Country string
	Org     string
	ISP     string
}

// Chat is one conversation, as it is seen at a moment.
type Chat struct {
	Number     int // from 1, unique in the account
	Start, End time.Time
	Visitor    Person
	Agents     []Person // the first answered, a second took over; none of a missed chat
	Department int      // 0, 1 or 2
	Missed     bool
	Messages   []Line
	PageURL    string
	Referrer   string
	Keywords   string
	Good       bool      // the rating, from RatedAt on
	Comment    string    // of the rating
	RatedAt    time.Time // zero: never rated
	Tags       []string  // from TaggedAt on
	TaggedAt   time.Time // may lie days after End
	CustomerNo int
	Edits      int       // grows with every Change
	ChangedAt  time.Time // of the last edit, rating or tagging that is visible, else End
	Malformed  bool      // the simulator serves it broken
}

// Line is one message.
type Line struct {
	At      time.Time
	Visitor bool
	Agent   Person // of an agent's line
	Text    string
}

// Entry is one record of a simulator's ledger: what a poller must find.
type Entry struct {
	Stream    string
	Key       string    // the vendor_id; "" of a malformed record without one
	At        time.Time // where in time the vendor files it: it is in the window that holds At
	Version   int       // grows with every change of its content
	Malformed bool      // a dead letter, not an event
}

// New generates an account.
func New(o Options) *Account {
	o = o.withDefaults()
	rng := rand.New(rand.NewPCG(uint64(o.Seed), 0x9a71e7))
	a := &Account{options: o, agents: people(rng, 6, "agent")}
	for i := range o.Chats {
		end := o.Start.Add(-time.Duration(rng.Int64N(int64(o.Days)*24*3600)) * time.Second)
		a.chats = append(a.chats, a.chat(rng, i+1, end))
	}
	for i := range min(o.Malformed, o.Chats) {
		a.chats[i].Malformed = true
	}
	for i := range o.LivePerHour * 6 {
		end := o.Start.Add(time.Duration(i+1) * time.Hour / time.Duration(o.LivePerHour)).Truncate(time.Second)
		a.chats = append(a.chats, a.chat(rng, o.Chats+i+1, end))
	}
	sort.SliceStable(a.chats, func(i, j int) bool { return a.chats[i].End.Before(a.chats[j].End) })
	a.index()
	return a
}

// Now is the account's clock.
func (a *Account) Now() time.Time { return a.options.Now() }

// Options are those of New with their defaults.
func (a *Account) Options() Options { return a.options }

// Agents are the company's.
func (a *Account) Agents() []Person { return append([]Person(nil), a.agents...) }

func (c *Chat) seenAt(now time.Time) Chat {
	seen := *c
	if c.RatedAt.After(now) {
		seen.RatedAt, seen.Comment, seen.Good = time.Time{}, "", false
	}
	if c.TaggedAt.After(now) {
		seen.TaggedAt, seen.Tags = time.Time{}, nil
	}
	for _, t := range []time.Time{c.End, seen.RatedAt, seen.TaggedAt} {
		if t.After(seen.ChangedAt) {
			seen.ChangedAt = t
		}
	}
	return seen
}

// Change edits n well-formed chats that have ended and were not missed, each at a different chat, and gives their numbers: of those that
// were edited least, the newest. A simulator shows an edit (Edits, ChangedAt) in some field of its format. Fewer
// are given when there are not so many.
func (a *Account) Change(n int) []int {
	now := a.Now().UTC().Truncate(time.Second)
	a.mu.Lock()
	defer a.mu.Unlock()
	var can []*Chat
	for _, c := range slices.Backward(a.chats) {
		if !c.End.After(now) && !c.Missed && !c.Malformed {
			can = append(can, c)
		}
	}
	slices.SortStableFunc(can, func(a, b *Chat) int { return cmp.Compare(a.Edits, b.Edits) })
	var numbers []int
	for _, c := range can[:min(n, len(can))] {
		c.Edits++
		a.edits++
		c.ChangedAt = now
		numbers = append(numbers, c.Number)
	}
	return numbers
}

func (a *Account) chat(rng *rand.Rand, number int, end time.Time) *Chat {
	length := time.Duration(60+rng.IntN(1500)) * time.Second
	c := &Chat{
		Number: number, Start: end.Add(-length), End: end, Visitor: people(rng, 1, "visitor")[0],
		Department: rng.IntN(3), Missed: rng.IntN(12) == 0, CustomerNo: 100000 + rng.IntN(900000),
		PageURL: fmt.Sprintf("https://shop.example/%s?utm_source=%s&utm_campaign=autumn", pick(rng, pages), pick(rng, campaigns)),
	}
	if rng.IntN(3) > 0 {
		c.Referrer = "https://search.example/find?q=" + pick(rng, pages)
		c.Keywords = pick(rng, pages) + " help"
	}
	if !c.Missed {
		c.Agents = append(c.Agents, a.agents[rng.IntN(len(a.agents))])
		if other := a.agents[rng.IntN(len(a.agents))]; rng.IntN(8) == 0 && other.ID != c.Agents[0].ID {
			c.Agents = append(c.Agents, other)
		}
		a.judge(rng, c)
	}
	c.Messages = talk(rng, c, length)
	return c
}

// judge gives a chat its late rating and tags: some within a minute, some after days.
func (a *Account) judge(rng *rand.Rand, c *Chat) {
	if rng.IntN(2) == 0 {
		c.Good = rng.IntN(5) > 0
		c.Comment = pick(rng, comments)
		c.RatedAt = c.End.Add(lateness(rng))
	}
	if rng.IntN(3) == 0 {
		c.Tags = []string{pick(rng, tags)}
		c.TaggedAt = c.End.Add(lateness(rng))
	}
}

func lateness(rng *rand.Rand) time.Duration {
	switch rng.IntN(4) {
	case 0:
		return time.Duration(rng.IntN(60)) * time.Hour
	case 1:
		return time.Duration(rng.IntN(50)) * time.Minute
	default:
		return time.Duration(rng.IntN(50)) * time.Second
	}
}

func talk(rng *rand.Rand, c *Chat, length time.Duration) []Line {
	n := 2 + rng.IntN(9)
	if c.Missed {
		n = 1
	}
	lines := make([]Line, n)
	for i := range lines {
		at := c.Start
		if n > 1 {
			at = c.Start.Add(length * time.Duration(i) / time.Duration(n-1)).Truncate(time.Second)
		}
		line := Line{At: at, Visitor: i%2 == 0, Text: pick(rng, questions)}
		if !line.Visitor {
			line.Agent = c.Agents[i*len(c.Agents)/n]
			line.Text = pick(rng, answers)
		}
		lines[i] = line
	}
	return lines
}

func people(rng *rand.Rand, n int, role string) []Person {
	out := make([]Person, n)
	for i := range out {
		first, last := pick(rng, firstNames), pick(rng, lastNames)
		id := fmt.Sprintf("%08x", rng.Uint32())
		place := places[rng.IntN(len(places))]
		out[i] = Person{
			ID: id, Name: first + " " + last, Email: fmt.Sprintf("%s.%s@%s.example", id[:4], id[4:], role),
			IP: fmt.Sprintf("198.51.100.%d", 1+rng.IntN(254)), City: place[0], Country: place[1],
			Org: pick(rng, companies), ISP: pick(rng, companies) + " Telecom",
		}
	}
	return out
}

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }
