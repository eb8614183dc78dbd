package livechatreportssim

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// reportNames are what responses call themselves, by path.
func reportNames() map[string]string {
	return map[string]string{"chats/total_chats": "total-chats-report", "chats/ratings": "ratings-report"}
}

// asked is a range by days that somebody asked for.
type asked struct {
	report, zone string
	from, to     int64 // Unix nanoseconds, both inclusive
}

// bucketOf names a day of a report.
type bucketOf struct{ report, day string }

// edit is what Change has done to a chat's rating.
type edit struct {
	flips int  // each turns good to bad and back
	added bool // the chat had no rating; it is good before any flip
}

// tally is what happened in a bucket.
type tally struct{ chats, continuous, good, bad, edits int }

// response is the document's, with the shapes of its later versions' examples.
type response struct {
	Name    string         `json:"name"`
	Total   int            `json:"total"`
	Records map[string]any `json:"records"`
}

// brokenBuckets are the days whose bucket is no object: one day each, from the oldest, in turn of the one report
// and the other. The newest three days stay whole.
func brokenBuckets(o simulated.Options, zone *time.Location) map[bucketOf]bool {
	broken := map[bucketOf]bool{}
	reports := slices.Sorted(maps.Keys(reportNames()))
	for i := range min(o.Malformed, o.Days-3) {
		day := o.Start.In(zone).AddDate(0, 0, i-o.Days).Format(time.DateOnly)
		broken[bucketOf{reports[i%len(reports)], day}] = true
	}
	return broken
}

// tell answers a request and remembers its range for the ledger.
func (s *Sim) tell(q query) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = q.zone
	if q.given && q.distribution == "day" {
		s.asked[asked{q.report, q.zone.String(), q.from.UnixNano(), q.to.UnixNano()}] = true
	}
	r := response{Name: reportNames()[q.report], Records: map[string]any{}}
	for name, t := range s.count(q) {
		r.Total += t.chats
		r.Records[name] = t.figures(q.report)
		if s.broken[bucketOf{q.report, name}] {
			r.Records[name] = "temporarily unavailable"
		}
	}
	return r
}

// figures are the counters of a report that are not zero.
func (t tally) figures(report string) map[string]int {
	all := map[string]int{"total": t.chats, "continuous": t.continuous}
	if report == "chats/ratings" {
		all = map[string]int{"chats": t.chats, "good": t.good, "bad": t.bad}
	}
	maps.DeleteFunc(all, func(_ string, n int) bool { return n == 0 })
	return all
}

// count tallies the chats that started in the range, by bucket. s.mu is held.
func (s *Sim) count(q query) map[string]tally {
	form := bucketForm()[q.distribution]
	tallies := map[string]tally{}
	for at := q.from; !at.After(q.to); at = at.Add(30 * time.Minute) {
		tallies[at.In(q.zone).Format(form)] = tally{}
	}
	tallies[q.to.In(q.zone).Format(form)] = tally{}
	for _, c := range s.account.Chats() {
		if c.Start.Before(q.from) || c.Start.After(q.to) {
			continue
		}
		name := c.Start.In(q.zone).Format(form)
		tallies[name] = s.add(tallies[name], c)
	}
	return tallies
}

func (s *Sim) add(t tally, c simulated.Chat) tally {
	t.chats++
	if c.Number%5 == 0 {
		t.continuous++
	}
	if rated, good := s.verdict(c); rated && good {
		t.good++
	} else if rated {
		t.bad++
	}
	t.edits += s.edits[c.Number].flips
	return t
}

// verdict is a chat's rating after the edits.
func (s *Sim) verdict(c simulated.Chat) (rated, good bool) {
	e := s.edits[c.Number]
	flipped := e.flips%2 == 1
	if e.added {
		return true, !flipped
	}
	return !c.RatedAt.IsZero(), c.Good != flipped
}

// version grows with every change of the figures: chats and ratings are only ever added, edits only counted up.
func (t tally) version(report string) int {
	if report == "chats/ratings" {
		return 1 + t.chats + t.good + t.bad + t.edits
	}
	return 1 + t.chats
}

// Change turns one rating on each of the newest n days that have one to turn (or a chat to rate), in the zone that was last asked for.
// Neither the report of total chats nor any total changes: n buckets of ratings do. Fewer than n
// are changed when there are not so many days.
func (s *Sim) Change(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := map[string]bool{}
	for _, c := range s.newestFirst() {
		day := c.Start.In(s.zone).Format(time.DateOnly)
		if len(done) == n || done[day] || s.broken[bucketOf{"chats/ratings", day}] {
			continue
		}
		s.turn(c)
		done[day] = true
	}
	return len(done)
}

// newestFirst gives the chats that can have a rating: by day, those that have one first.
func (s *Sim) newestFirst() []simulated.Chat {
	chats := slices.DeleteFunc(slices.Clone(s.account.Chats()), func(c simulated.Chat) bool { return c.Missed })
	slices.SortStableFunc(chats, func(a, b simulated.Chat) int {
		x, y := a.Start.In(s.zone).Format(time.DateOnly), b.Start.In(s.zone).Format(time.DateOnly)
		return cmp.Or(cmp.Compare(y, x), s.unrated(a)-s.unrated(b), b.Start.Compare(a.Start))
	})
	return chats
}

func (s *Sim) unrated(c simulated.Chat) int {
	if rated, _ := s.verdict(c); rated {
		return 0
	}
	return 1
}

func (s *Sim) turn(c simulated.Chat) {
	e := s.edits[c.Number]
	if s.unrated(c) == 1 {
		e.added = true
	} else {
		e.flips++
	}
	s.edits[c.Number] = e
}

// Ledger lists what the answers so far hold, as it is now: an entry for each day of every range that was
// asked for by day, and one for each range itself, whose record is the answer's total. A report has no
// records of its own: which there are depends on the ranges.
func (s *Sim) Ledger() []simulated.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := map[string]simulated.Entry{}
	for a := range s.asked {
		for _, e := range s.entriesOf(a) {
			if known, ok := entries[e.Key]; !ok || known.Version < e.Version {
				entries[e.Key] = e
			}
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(a, b simulated.Entry) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), a.At.Compare(b.At), cmp.Compare(a.Key, b.Key))
	})
}

func (s *Sim) entriesOf(a asked) []simulated.Entry {
	zone, err := time.LoadLocation(a.zone)
	if err != nil {
		return nil // check loaded it before
	}
	q := query{report: a.report, distribution: "day", zone: zone, from: time.Unix(0, a.from).UTC(), to: time.Unix(0, a.to).UTC()}
	whole := simulated.Entry{Stream: a.report, Key: key(a.report, q.from, "window"), At: q.from, Version: 1}
	var entries []simulated.Entry
	for day, t := range s.count(q) {
		start := midnight(day, zone)
		whole.Version += t.chats
		entries = append(entries, simulated.Entry{
			Stream: a.report, Key: key(a.report, start, "day"), At: start,
			Version: t.version(a.report), Malformed: s.broken[bucketOf{a.report, day}],
		})
	}
	return append(entries, whole)
}

// key is the vendor_id of a metric without dimensions.
func key(report string, start time.Time, grain string) string {
	return report + "/" + start.Format(time.RFC3339) + "/" + grain
}

// midnight is the first instant of a day.
func midnight(day string, zone *time.Location) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, day, zone)
	if err != nil {
		return time.Time{}
	}
	for t.Format(time.DateOnly) < day { // the zone skips midnight
		t = t.Add(15 * time.Minute)
	}
	return t.UTC()
}
