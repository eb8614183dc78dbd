package liveagentsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// tally counts chats, some of which this account takes for calls.
type tally struct {
	answers, lines, visitorLines           int
	chats, missedChats, calls, missedCalls int
	pickup, chatTime, callTime, work       time.Duration
	rewards, punishments, unranked         int
}

func isCall(c *simulated.Chat) bool { return c.Number%4 == 0 }

// count adds a chat; the lines are those of one agent, or of all when it is "".
func (t *tally) count(c *simulated.Chat, agent string) {
	length := c.End.Sub(c.Start)
	t.answers += c.Number % 3
	for _, l := range c.Messages {
		switch {
		case l.Visitor:
			t.visitorLines++
		case agent == "" || l.Agent.ID == agent:
			t.lines++
		}
	}
	switch {
	case c.Missed && isCall(c):
		t.missedCalls++
		return
	case c.Missed:
		t.missedChats++
		return
	case isCall(c):
		t.calls++
		t.callTime += length
	default:
		t.chats++
		t.chatTime += length
		t.pickup += pickup(c)
	}
	t.work += length
	t.rank(c)
}

func (t *tally) rank(c *simulated.Chat) {
	switch {
	case c.RatedAt.IsZero():
		t.unranked++
	case c.Good:
		t.rewards++
	default:
		t.punishments++
	}
}

// pickup is how long the visitor waited for the first answer.
func pickup(c *simulated.Chat) time.Duration {
	for _, l := range c.Messages {
		if !l.Visitor {
			return l.At.Sub(c.Start)
		}
	}
	return 0
}

func whole(n int) number { return number(fmt.Sprint(n)) }

func secondsPer(d time.Duration, n int) number { return whole(int(d/time.Second) / max(n, 1)) }

func share(n, of int) string { return fmt.Sprintf("%.2f", 100*float64(n)/float64(max(of, 1))) }

// perHour is a rate over the hours worked.
func (t *tally) perHour(n float64) string {
	return fmt.Sprintf("%.2f", n/max(t.work.Hours(), 1.0/60))
}

func (t *tally) ranked() int { return t.rewards + t.punishments + t.unranked }

// figures are the columns that the channels, departments, performance and tags reports share.
func (t *tally) figures() object {
	return object{
		{"answers", whole(t.answers)},
		{"newAnswerAvgTime", secondsPer(t.work, 3)},
		{"nextAnswerAvgTime", secondsPer(t.work, 5)},
		{"chat_answers", whole(t.lines)},
		{"chats", whole(t.chats)},
		{"missed_chats", whole(t.missedChats)},
		{"chatPickupAvgTime", secondsPer(t.pickup, t.chats)},
		{"chatAvgTime", secondsPer(t.chatTime, t.chats)},
		{"calls", whole(t.calls)},
		{"missed_calls", whole(t.missedCalls)},
		{"call_seconds", secondsPer(t.callTime, 1)},
		{"not_ranked", whole(t.unranked)},
		{"not_ranked_p", share(t.unranked, t.ranked())},
		{"rewards", whole(t.rewards)},
		{"rewards_p", share(t.rewards, t.ranked())},
		{"punishments", whole(t.punishments)},
		{"punishments_p", share(t.punishments, t.ranked())},
		{"i_messages", whole(t.visitorLines)},
		{"i_chats", whole(t.chats + t.missedChats)},
		{"i_calls", whole(t.calls + t.missedCalls)},
		{"f_chats", whole(t.chats)},
		{"f_calls", whole(t.calls)},
	}
}

// ofAgent are the columns of the agents report after the names.
func (t *tally) ofAgent() object {
	rated := func(name string, n int) object {
		return object{{name, whole(n)}, {name + "_ph", t.perHour(float64(n))}}
	}
	ranked := func(name string, n int) object {
		return object{{name, whole(n)}, {name + "_p", share(n, t.ranked())}, {name + "_ph", t.perHour(float64(n))}}
	}
	return slices.Concat(
		object{{"worktime", whole(int(t.work / time.Minute))}},
		rated("answers", t.answers),
		object{{"newAnswerAvgTime", secondsPer(t.work, 3)}, {"nextAnswerAvgTime", secondsPer(t.work, 5)}},
		rated("calls", t.calls), rated("missed_calls", t.missedCalls), rated("call_seconds", int(t.callTime/time.Second)),
		rated("chats", t.chats), rated("chat_answers", t.lines), rated("missed_chats", t.missedChats),
		object{{"chatPickupAvgTime", secondsPer(t.pickup, t.chats)}, {"chatAvgTime", secondsPer(t.chatTime, t.chats)}},
		ranked("not_ranked", t.unranked), ranked("rewards", t.rewards), ranked("punishments", t.punishments),
	)
}

// sumKey is what a row of a report of sums is filed under: pollers ask for single days.
func (s *Sim) sumKey(r request, id string) (key string, at time.Time) {
	start, err := time.ParseInLocation(time.DateOnly, r.from, s.zone)
	if err != nil {
		return "", time.Time{}
	}
	return metricKey(r.path, start, "day") + "/" + r.report.item + "=" + id, start
}

// agents are the lines of the agents report: of those who did something on these days.
func agents(s *Sim, r request) (lines []line) {
	tallies := map[string]*tally{}
	for _, c := range s.account.Chats() {
		for _, a := range c.Agents {
			if r.holds(s.local(c.End)) {
				if tallies[a.ID] == nil {
					tallies[a.ID] = new(tally)
				}
				tallies[a.ID].count(&c, a.ID)
			}
		}
	}
	for _, a := range s.account.Agents() {
		if t := tallies[a.ID]; t != nil {
			first, last := names(a)
			key, at := s.sumKey(r, a.ID)
			lines = append(lines, line{key, at, append(object{
				{"id", a.ID}, {"contactid", agentContactID(a)}, {"firstname", first}, {"lastname", last},
			}, t.ofAgent()...)})
		}
	}
	return lines
}

func names(p simulated.Person) (first, last string) {
	first, last, _ = strings.Cut(p.Name, " ")
	return first, last
}

func contactID(visitor simulated.Person) string { return "ct" + visitor.ID }

func agentContactID(agent simulated.Person) string { return "ac" + agent.ID }

// figures are the lines of a report of sums by what a chat belongs to: ids and their names.
func figures(nameColumn string, of func(*simulated.Chat) map[string]string) func(*Sim, request) []line {
	return func(s *Sim, r request) (lines []line) {
		tallies, names := map[string]*tally{}, map[string]string{}
		for _, c := range s.account.Chats() {
			if !r.holds(s.local(c.End)) {
				continue
			}
			for id, name := range of(&c) {
				names[id] = name
				if tallies[id] == nil {
					tallies[id] = new(tally)
				}
				tallies[id].count(&c, "")
			}
		}
		for _, id := range slices.Sorted(maps.Keys(tallies)) {
			key, at := s.sumKey(r, id)
			lines = append(lines, line{key, at, append(object{{"id", id}, {nameColumn, names[id]}}, tallies[id].figures()...)})
		}
		return lines
	}
}

func channelsOf(c *simulated.Chat) map[string]string {
	switch {
	case isCall(c):
		return map[string]string{"3": "Call button"}
	case c.Missed:
		return map[string]string{"2": "Contact form"}
	}
	return map[string]string{"1": "Chat button"}
}

func departmentsOf(c *simulated.Chat) map[string]string {
	d := departments()[c.Department]
	return map[string]string{d.id: d.name}
}

func labelsOf(c *simulated.Chat) map[string]string {
	all := map[string]string{}
	for _, name := range c.Tags {
		all["tg"+strings.ReplaceAll(name, " ", "")] = name
	}
	return all
}

// performance are the lines of the performance report: one for each interval with something in it, cut by the days that were asked for, and
// one in all when none was.
func performance(s *Sim, r request) (lines []line) {
	grain := r.query.Get("group_by")
	tallies, latest := map[time.Time]*tally{}, map[time.Time]time.Time{}
	for _, c := range s.account.Chats() {
		if at := s.local(c.End); r.holds(at) {
			start := s.intervalStart(c.End, grain, r)
			if tallies[start] == nil {
				tallies[start] = new(tally)
			}
			tallies[start].count(&c, "")
			latest[start] = c.End
		}
	}
	for _, start := range slices.SortedFunc(maps.Keys(tallies), time.Time.Compare) {
		from, to := s.cut(start, grain, r)
		lines = append(lines, line{
			metricKey(r.path, start, grain), latest[start],
			append(object{{"datetime", from}, {"dateto", to}}, tallies[start].figures()...),
		})
	}
	return lines
}

// intervalStart is when the interval that holds t began; weeks begin on Mondays.
func (s *Sim) intervalStart(t time.Time, grain string, r request) time.Time {
	if grain == "hour" {
		return t.Truncate(time.Hour).UTC()
	}
	y, m, d := t.In(s.zone).Date()
	switch grain {
	case "week":
		d -= (int(t.In(s.zone).Weekday()) + 6) % 7
	case "month":
		d = 1
	case "":
		start, _ := time.ParseInLocation(time.DateOnly, r.from, s.zone)
		return start.UTC()
	}
	return time.Date(y, m, d, 0, 0, 0, 0, s.zone).UTC()
}

// cut writes an interval as the document's example does, within the days that were asked for.
func (s *Sim) cut(start time.Time, grain string, r request) (from, to string) {
	if grain == "hour" {
		return start.In(s.zone).Format("01/02/2006 15:04:05"), s.local(start.Add(time.Hour - time.Second))
	}
	local := start.In(s.zone)
	end := map[string]time.Time{
		"day": local.AddDate(0, 0, 1), "week": local.AddDate(0, 0, 7), "month": local.AddDate(0, 1, 0), "": local.AddDate(100, 0, 0),
	}[grain]
	first := max(local.Format(time.DateOnly), r.from)
	last := end.Add(-time.Second).Format(time.DateOnly)
	if r.to != "" {
		last = min(last, r.to)
	}
	return first[5:7] + "/" + first[8:] + "/" + first[:4], last + " 23:59:59"
}
