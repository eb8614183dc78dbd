package livechatreportssim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// greetings are those that the account has, unless it was told to have more.
const greetings = 3

// chat is one of the story's with what the reports know beside it.
type chat struct {
	simulated.Chat
	greeting string // the id of the one that it was started from
	canceled int    // how often that greeting was dismissed
}

// chats gives the chats that started in the range and satisfy the conditions. s.mu is held.
func (s *Sim) chats(q query) []chat {
	var out []chat
	for _, c := range s.account.Chats() {
		if c.Start.Before(q.from) || c.Start.After(q.to) {
			continue
		}
		if one := s.known(c); q.takes(one) {
			out = append(out, one)
		}
	}
	return out
}

func (s *Sim) known(c simulated.Chat) chat {
	one := chat{Chat: c, canceled: c.Number%2 + s.canceled[c.Number]}
	if c.Number%greetings == 0 {
		one.greeting = strconv.Itoa(1 + c.Number/greetings%s.greetings)
	}
	return one
}

func (q query) takes(c chat) bool {
	if len(q.conditions) == 0 {
		return true
	}
	facts := c.facts()
	return !slices.ContainsFunc(q.conditions, func(c condition) bool { return !c.holds(facts[c.fact]) })
}

// countryCodes are those of the story's countries.
var countryCodes = map[string]string{"Norway": "NO", "Netherlands": "NL", "United States": "US", "Brazil": "BR", "Japan": "JP"}

// facts are what filters ask for, by the filter's name.
func (c chat) facts() map[string][]string {
	facts := map[string][]string{
		"tags": c.Tags, "groups": {strconv.Itoa(c.Department)}, "event_types": {"message"},
		"customer_countries":            {countryCodes[c.Visitor.Country]},
		"surveys.pre_chat":              {"pre:" + strconv.Itoa(c.Department)},
		"surveys.groups":                {strconv.Itoa(c.Department)},
		"properties.routing.continuous": {strconv.FormatBool(c.continuous())},
		"properties.routing.unreplied":  {strconv.FormatBool(c.Missed)},
	}
	for _, agent := range c.Agents {
		facts["agents"] = append(facts["agents"], agent.Email)
	}
	if c.Number%4 == 0 {
		facts["event_types"] = append(facts["event_types"], "file")
	}
	if c.goal() {
		facts["goals"], facts["sales"] = []string{"1"}, []string{"1"}
	}
	if c.greeting != "" {
		facts["greetings"], facts["greetings.groups"] = []string{c.greeting}, facts["groups"]
	}
	if !c.RatedAt.IsZero() {
		facts["surveys.post_chat"] = []string{"post:" + strconv.FormatBool(c.Good)}
	}
	facts["surveys"] = append(slices.Clone(facts["surveys.pre_chat"]), facts["surveys.post_chat"]...)
	if !c.Missed {
		facts["agent_response"] = []string{"1"}
		facts["agent_response.agents"], facts["agent_response.groups"] = []string{c.Agents[0].Email}, facts["groups"]
	}
	return facts
}

func (c chat) continuous() bool { return c.Number%5 == 0 }
func (c chat) goal() bool       { return c.Number%7 == 0 }

// responses are the seconds that the agents' answers took.
func (c chat) responses() []float64 {
	var out []float64
	for i := 1; i < len(c.Messages); i++ {
		if c.Messages[i-1].Visitor && !c.Messages[i].Visitor {
			out = append(out, c.Messages[i].At.Sub(c.Messages[i-1].At).Seconds())
		}
	}
	return out
}

// figures are measures by name.
type figures map[string]any

// count adds to a counter.
func (f figures) count(name string, n int) {
	old, _ := f[name].(int)
	f[name] = old + n
}

// average sets an average of what there is.
func (f figures) average(name string, of []float64) {
	if len(of) == 0 {
		return
	}
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	f[name] = round(sum / float64(len(of)))
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// shown leaves out zero counters, as LiveChat does.
func (f figures) shown() figures {
	maps.DeleteFunc(f, func(_ string, v any) bool { return v == 0 })
	return f
}

// version grows with the counters, which chats, ratings and tags only add to.
func (f figures) version() int {
	version := 1
	for _, v := range f {
		if n, ok := v.(int); ok {
			version += n
		}
	}
	return version
}

// bucketFigures are what a report that has a figure per bucket says of a bucket's chats.
func bucketFigures(report string, chats []chat) figures {
	f := figures{}
	switch report {
	case "chats/duration":
		f.durations(chats)
	case "chats/total_chats":
		for _, c := range chats {
			f.count("total", 1)
			f.count("continuous", ones(c.continuous()))
		}
	case "chats/ratings":
		for _, c := range chats {
			f.count("chats", 1)
			f.count("good", ones(!c.RatedAt.IsZero() && c.Good))
			f.count("bad", ones(!c.RatedAt.IsZero() && !c.Good))
		}
	case "chats/engagement":
		for _, c := range chats {
			f.count("total", 1)
			f.count(c.startedBy(), 1)
		}
	case "chats/response_time":
		f.responses("response_time", chats, func(r []float64) []float64 { return r })
	case "chats/first_response_time":
		f.responses("first_response_time", chats, func(r []float64) []float64 { return r[:1] })
	}
	return f
}

func ones(is bool) int {
	if is {
		return 1
	}
	return 0
}

func (c chat) startedBy() string {
	switch {
	case c.greeting != "":
		return "started_by_customer_from_greeting"
	case c.Number%8 == 1:
		return "started_by_agent"
	}
	return "started_by_customer_without_greeting"
}

func (f figures) durations(chats []chat) {
	var whole, agents []float64
	for _, c := range chats {
		if !c.Missed {
			f.count("count", 1)
			whole = append(whole, c.End.Sub(c.Start).Seconds())
			agents = append(agents, c.End.Sub(c.Messages[1].At).Seconds())
		}
	}
	f.average("duration", whole)
	f.average("agents_chatting_duration", agents)
}

func (f figures) responses(name string, chats []chat, of func([]float64) []float64) {
	var all []float64
	for _, c := range chats {
		if r := c.responses(); len(r) > 0 {
			f.count("count", 1)
			all = append(all, of(r)...)
		}
	}
	f.average(name, all)
}

// tagCounts are how many chats have each tag.
func tagCounts(chats []chat) map[string]any {
	counts := figures{}
	for _, c := range chats {
		for _, tag := range c.Tags {
			counts.count(tag, 1)
		}
	}
	return counts
}

// greetingFigures are what each greeting led to: the greetings in which no chat was started are not in the story.
func greetingFigures(chats []chat) map[string]any {
	by := map[string]any{}
	for _, c := range chats {
		if c.greeting == "" {
			continue
		}
		f, _ := by[c.greeting].(figures)
		if f == nil {
			f = figures{}
		}
		f.count("accepted", 1)
		f.count("displayed", 3)
		f.count("canceled", c.canceled)
		f.count("goals", ones(c.goal()))
		by[c.greeting] = f
	}
	return by
}

// rankingFigures are the ratings of each agent who had a chat.
func rankingFigures(chats []chat) map[string]any {
	by := map[string]any{}
	for _, c := range chats {
		if c.Missed {
			continue
		}
		f, _ := by[c.Agents[0].Email].(figures)
		if f == nil {
			f = figures{}
		}
		f.count("total", 1)
		f.count("good", ones(!c.RatedAt.IsZero() && c.Good))
		f.count("bad", ones(!c.RatedAt.IsZero() && !c.Good))
		by[c.Agents[0].Email] = f
	}
	for _, f := range by {
		f := f.(figures)
		good, bad := f["good"].(int), f["bad"].(int)
		f["score"] = round(float64(good+1) / float64(good+bad+2))
	}
	return by
}

// forms are the two that the account's widget has, with what was answered.
func forms(chats []chat) []any {
	var out []any
	for group := range 3 {
		filled, topics, comments := 0, figures{}, 0
		for _, c := range chats {
			if c.Department == group {
				filled++
				topics.count(strconv.Itoa(c.Number%2), 1)
				comments += ones(c.Comment != "")
			}
		}
		if filled == 0 {
			continue
		}
		var answers []any
		for i, label := range []string{"An order", "Something else"} {
			if n, ok := topics[strconv.Itoa(i)]; ok {
				answers = append(answers, map[string]any{"answer_id": i, "label": label, "count": n})
			}
		}
		id := fmt.Sprintf("820014%d", group)
		out = append(out, map[string]any{"form_id": id, "count": filled, "group_id": group, "fields": []any{
			map[string]any{"field_id": id + "1", "label": "What is it about?", "answers": answers},
			map[string]any{"field_id": id + "2", "label": "Your name:", "answers": []any{}},
		}})
	}
	return out
}

// workMinutes is how many minutes of an hour the chat was available: each weekday from 8 to 16:30, known from the morning on.
func workMinutes(local time.Time) int {
	weekend := local.Weekday() == time.Saturday || local.Weekday() == time.Sunday
	switch hour := local.Hour(); {
	case weekend || hour < 8 || hour > 16:
		return 0
	case hour == 16:
		return 30
	}
	return 60
}

// available adds up the minutes of availability of the hours that begin in the range, on days that have begun, by bucket.
func (s *Sim) available(q query) map[string]int {
	minutes := map[string]int{}
	if len(s.agentsOf(q)) == 0 {
		return minutes
	}
	form := bucketForm()[q.distribution]
	for at := q.from.Truncate(time.Hour); !at.After(q.to); at = at.Add(time.Hour) {
		if local := at.In(q.zone); !at.Before(q.from) && local.Format(time.DateOnly) <= s.account.Now().In(q.zone).Format(time.DateOnly) {
			minutes[local.Format(form)] += workMinutes(local)
		}
	}
	return minutes
}

// agentsOf are the agents that the conditions take, each of whom is in one group.
func (s *Sim) agentsOf(q query) []simulated.Person {
	var out []simulated.Person
	for i, agent := range s.account.Agents() {
		facts := map[string][]string{"agents": {agent.Email}, "groups": {strconv.Itoa(i % 3)}}
		if !slices.ContainsFunc(q.conditions, func(c condition) bool { return !c.holds(facts[c.fact]) }) {
			out = append(out, agent)
		}
	}
	return out
}

// performance is each agent's day, and the sum of all.
func (s *Sim) performance(q query) (records map[string]any, summary figures) {
	records, summary = map[string]any{}, figures{}
	chats := s.chats(query{from: q.from, to: q.to})
	minutes := s.available(query{distribution: "year", zone: q.zone, from: q.from, to: q.to})
	var all []float64
	for _, agent := range s.agentsOf(q) {
		f, first := figures{}, []float64(nil)
		for _, c := range chats {
			if !c.Missed && c.Agents[0].Email == agent.Email {
				f.count("chatting_time", int(c.End.Sub(c.Start).Seconds()))
				first = append(first, f.perform(c)...)
			}
		}
		for name, n := range f {
			if name != "chatting_time" {
				summary.count(name, n.(int))
			}
		}
		f.average("first_response_time", first)
		all = append(all, first...)
		f.present(minutes)
		if f.shown(); len(f) > 0 {
			records[agent.Email] = f
		}
	}
	summary.average("first_response_time", all)
	return records, summary
}

// perform counts one chat, and gives its first response's time.
func (f figures) perform(c chat) []float64 {
	f.count("chats_count", 1)
	f.count("chats_rated_good", ones(!c.RatedAt.IsZero() && c.Good))
	f.count("chats_rated_bad", ones(!c.RatedAt.IsZero() && !c.Good))
	r := c.responses()
	if len(r) == 0 {
		return nil
	}
	f.count("first_response_chats_count", 1)
	return r[:1]
}

// present sets how long an agent was there.
func (f figures) present(minutes map[string]int) {
	for _, n := range minutes {
		f.count("accepting_chats_time", n*50)
		f.count("not_accepting_chats_time", n*10)
		f.count("logged_in_time", n*60)
	}
}

// visitors are more than those who chat.
func visitors(chats []chat) figures {
	f := figures{}
	for _, c := range chats {
		f.count("unique_visitors", 3+c.Number%4)
		f.count("page_views", 7+c.Number%9)
	}
	return f
}
