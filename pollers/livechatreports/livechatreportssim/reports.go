package livechatreportssim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// reportNames are what responses call themselves, by path.
func reportNames() map[string]string {
	return map[string]string{
		"chats/duration": "duration-report", "chats/tags": "tags-report", "chats/total_chats": "total-chats-report", "chats/ratings": "ratings-report",
		"chats/ranking": "ranking-report", "chats/engagement": "engagement-report", "chats/greetings_conversion": "greetings-conversion-report",
		"chats/forms": "form-report", "chats/response_time": "response-time-report", "chats/first_response_time": "first-response-time-report",
		"agents/availability": "availability-report", "agents/performance": "performance-report", "tags/chat_usage": "tags-chat-usage-report",
		"stats/visitors": "visitors-report",
	}
}

// response is the document's, with the shapes of its other versions' examples.
type response struct {
	Name    string `json:"name"`
	Total   any    `json:"total,omitempty"`
	Records any    `json:"records,omitempty"`
	Summary any    `json:"summary,omitempty"`
}

// tell answers a request and remembers it for the ledger. s.mu is held.
func (s *Sim) tell(q query) response {
	if q.given && len(q.conditions) == 0 {
		s.asked[fmt.Sprint(q.report, q.distribution, q.zone, q.from.UnixNano(), q.to.UnixNano())] = q
	}
	if q.report == greetingsReport {
		s.last = q
	}
	r, _ := s.compute(q)
	if s.account.Options().Fields != nil {
		s.specimen(q, &r)
	}
	return r
}

const greetingsReport = "chats/greetings_conversion"

// compute gives an answer and the ledger's entries of it.
func (s *Sim) compute(q query) (response, []simulated.Entry) {
	r := response{Name: reportNames()[q.report]}
	l := &lister{q: q}
	chats := s.chats(q)
	switch q.report {
	case "chats/ranking":
		r.Records = l.names("agent", q.from, "day", rankingFigures(chats))
	case "chats/forms":
		list := forms(chats)
		l.forms(list)
		r.Records = append([]any{}, list...)
	case "agents/performance":
		records, summary := s.performance(q)
		r.Records, r.Summary = l.names("agent", q.from, "day", records), summary.shown()
		l.add(q.from, "window", summary.version(), false)
	case "tags/chat_usage":
		r.Records = l.names("tag", q.from, "day", tagCounts(chats))
	case "stats/visitors":
		summary := visitors(chats)
		r.Summary = summary
		l.add(q.from, "window", summary.version(), false)
	default:
		r.Records, r.Total = s.buckets(q, chats, l)
		l.add(q.from, "window", 1+len(chats), false)
	}
	return r, l.entries
}

// buckets gives the records of a report that distributes, and its total.
func (s *Sim) buckets(q query, chats []chat, l *lister) (records map[string]any, total any) {
	records, total = map[string]any{}, len(chats)
	form := bucketForm()[q.distribution]
	starts := q.buckets()
	minutes, all := map[string]int(nil), 0
	if q.report == "agents/availability" {
		minutes = s.available(q)
	}
	by := map[string][]chat{}
	for _, c := range chats {
		name := c.Start.In(q.zone).Format(form)
		by[name] = append(by[name], c)
	}
	for name, start := range starts {
		in := by[name]
		all += minutes[name]
		switch {
		case s.broken[bucketOf{q.report, start.In(q.zone).Format(time.DateOnly)}] && q.first(start):
			records[name] = "temporarily unavailable"
			l.add(start, q.distribution, 1, true)
		case q.report == "chats/tags":
			records[name] = l.names("tag", start, q.distribution, tagCounts(in))
		case q.report == greetingsReport:
			records[name] = l.names("greeting", start, q.distribution, capped(greetingFigures(in)))
		case q.report == "agents/availability":
			f := figures{}
			f.availability(q.distribution, minutes[name])
			records[name] = f
			l.add(start, q.distribution, 1+minutes[name], false)
		default:
			f := bucketFigures(q.report, in)
			l.add(start, q.distribution, f.version(), false)
			records[name] = f.shown()
		}
	}
	if minutes != nil {
		f := figures{}
		f.availability(q.distribution, all)
		total = 0
		for _, n := range f {
			total = n
		}
	}
	return records, total
}

// availability is in the unit of the distribution.
func (f figures) availability(distribution string, minutes int) {
	switch {
	case minutes == 0:
	case distribution == "hour":
		f["minutes"] = minutes
	default:
		f["hours"] = float64(minutes) / 60
	}
}

// capped keeps up to 100 greetings, as the vendor does.
func capped(greetings map[string]any) map[string]any {
	for i, id := range slices.Sorted(maps.Keys(greetings)) {
		if i >= 100 {
			delete(greetings, id)
		}
	}
	return greetings
}

// buckets are the names of the range's buckets, with their starts.
func (q query) buckets() map[string]time.Time {
	form := bucketForm()[q.distribution]
	starts := map[string]time.Time{}
	note := func(at time.Time) {
		name := at.In(q.zone).Format(form)
		if _, known := starts[name]; !known {
			starts[name] = q.startOf(at, form)
		}
	}
	for at := q.from; !at.After(q.to); at = at.Add(30 * time.Minute) {
		note(at)
	}
	note(q.to)
	return starts
}

// startOf steps back to where a bucket begins.
func (q query) startOf(at time.Time, form string) time.Time {
	name := at.In(q.zone).Format(form)
	at = at.Truncate(15 * time.Minute)
	for _, step := range []time.Duration{24 * time.Hour, time.Hour, 15 * time.Minute} {
		for at.Add(-step).In(q.zone).Format(form) == name && (form != "15:00" || step < time.Hour) {
			at = at.Add(-step)
		}
	}
	return at.UTC()
}

// first tells the first bucket of a day.
func (q query) first(start time.Time) bool {
	return start.Add(-time.Second).In(q.zone).Day() != start.In(q.zone).Day()
}

// bucketOf names a day of a report.
type bucketOf struct{ report, day string }

// brokenBuckets are the days whose (first) bucket is no object: one day each, from the oldest, in turn of the one report
// and the other. The newest three days stay whole.
func brokenBuckets(o simulated.Options, zone *time.Location) map[bucketOf]bool {
	broken := map[bucketOf]bool{}
	reports := []string{"chats/ratings", "chats/total_chats"}
	for i := range min(o.Malformed, o.Days-3) {
		day := o.Start.In(zone).AddDate(0, 0, i-o.Days).Format(time.DateOnly)
		broken[bucketOf{reports[i%len(reports)], day}] = true
	}
	return broken
}

// Change lets one more visitor dismiss a greeting, for each of the newest n greetings of different buckets, or different greetings of the
// same, in the zone and the distribution that were last asked for. No other report and no total changes: n records of
// chats/greetings_conversion do. Fewer than n are changed when there are not so many.
func (s *Sim) Change(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	form := bucketForm()[s.last.distribution]
	done := map[string]bool{}
	chats := slices.Clone(s.account.Chats())
	slices.SortStableFunc(chats, func(a, b simulated.Chat) int { return b.Start.Compare(a.Start) })
	for _, c := range chats {
		one := s.known(c)
		place := c.Start.In(s.last.zone).Format(form) + " " + one.greeting
		if len(done) == n || done[place] || one.greeting == "" {
			continue
		}
		s.canceled[c.Number]++
		done[place] = true
	}
	return len(done)
}

// Ledger lists what the answers so far hold, as it is now: of every range that was asked for without filters beside the times, each
// bucket, each name in it, and what its answer says of the whole range. A report has no
// records of its own: which there are depends on the ranges.
func (s *Sim) Ledger() []simulated.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := map[string]simulated.Entry{}
	for _, q := range s.asked {
		_, list := s.compute(q)
		for _, e := range list {
			if known, ok := entries[e.Key]; !ok || known.Version < e.Version {
				entries[e.Key] = e
			}
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(a, b simulated.Entry) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), a.At.Compare(b.At), cmp.Compare(a.Key, b.Key))
	})
}

// lister collects the entries of one answer.
type lister struct {
	q       query
	entries []simulated.Entry
}

// add notes a record; dimensions are written name=value, in alphabetical order.
func (l *lister) add(start time.Time, grain string, version int, malformed bool, dimensions ...string) {
	key := strings.Join(append([]string{l.q.report, start.UTC().Format(time.RFC3339), grain}, dimensions...), "/")
	l.entries = append(l.entries, simulated.Entry{Stream: l.q.report, Key: key, At: start, Version: version, Malformed: malformed})
}

// names notes a record for each name, and leaves zeros out of what is shown.
func (l *lister) names(dimension string, start time.Time, grain string, records map[string]any) map[string]any {
	for name, value := range records {
		version, _ := value.(int)
		if f, ok := value.(figures); ok {
			version = f.version()
			f.shown()
		}
		l.add(start, grain, version, false, dimension+"="+name)
	}
	return records
}

// forms notes a record for each form, each answer, and each field without answers.
func (l *lister) forms(list []any) {
	for _, form := range list {
		f := form.(map[string]any)
		where := fmt.Sprintf("form=%v/group=%v", f["form_id"], f["group_id"])
		l.add(l.q.from, "day", f["count"].(int), false, where)
		for _, field := range f["fields"].([]any) {
			in := field.(map[string]any)
			id := fmt.Sprintf("field=%v/", in["field_id"])
			answers := in["answers"].([]any)
			if len(answers) == 0 {
				l.add(l.q.from, "day", 1, false, id+where)
			}
			for _, answer := range answers {
				a := answer.(map[string]any)
				l.add(l.q.from, "day", a["count"].(int), false, fmt.Sprintf("answer=%v/%s%s", a["answer_id"], id, where))
			}
		}
	}
}
