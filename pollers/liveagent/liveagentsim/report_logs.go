package liveagentsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// forPeople is the document's form of times for people, which the agents' panel shows in the reader's zone.
const forPeople = "01/02/2006 15:04:05"

// viewer is the zone of who reads the logs' times for people.
var viewer = time.FixedZone("CEST", 2*60*60)

// concerns tells which conversations a medium's reports are of.
func concerns(of string, c *simulated.Chat) bool { return mediums[c.Number%len(mediums)] == of }

// offset writes a duration as HH:MM:SS with its sign.
func offset(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	return fmt.Sprintf("%s%02d:%02d:%02d", sign, int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// answered is the agent who took a conversation; false of a missed one.
func answered(c *simulated.Chat) (simulated.Person, bool) {
	if len(c.Agents) == 0 {
		return simulated.Person{}, false
	}
	return c.Agents[0], true
}

// sessions are the times that agents were available: from before a conversation of the medium to after it.
func sessions(of string) func(*Sim, request) []line {
	return func(s *Sim, r request) (lines []line) {
		for _, c := range s.account.Chats() {
			agent, ok := answered(&c)
			d := departments()[c.Department]
			if !ok || !concerns(of, &c) || !r.wants("agentid", agent.ID) || !r.wants("departmentid", d.id) {
				continue
			}
			from, to := c.Start.Add(-5*time.Minute), c.End.Add(10*time.Minute)
			ended, until := s.forPeople(to), to
			if to.After(r.now) {
				ended, until = "now", r.now
			}
			if !r.overlaps(s.local(from), s.local(until)) {
				continue
			}
			first, last := names(agent)
			id := fmt.Sprint(360000 + c.Number)
			lines = append(lines, line{r.path + "/" + id, from, object{
				{"id", number(id)},
				{"userid", agent.ID},
				{"firstname", first},
				{"lastname", last},
				{"contactid", agentContactID(agent)},
				{"departmentid", d.id},
				{"department_name", d.name},
				{"hours_online", offset(until.Sub(from).Truncate(time.Second))},
				{"from_date", s.forPeople(from)},
				{"to_date", ended},
			}})
		}
		return lines
	}
}

func (s *Sim) forPeople(t time.Time) string { return t.In(s.zone).Format(forPeople) }

// overlaps tells whether local times span a day that was asked for.
func (r request) overlaps(from, to string) bool {
	const day = len(time.DateOnly)
	return (r.from == "" || to[:day] >= r.from) && (r.to == "" || from[:day] <= r.to)
}

// hours are the lines of a report of hours: those in which a conversation of the medium ended.
func hours(of string, figures func([]*simulated.Chat) object) func(*Sim, request) []line {
	return func(s *Sim, r request) (lines []line) {
		ended := map[time.Time][]*simulated.Chat{}
		for _, c := range s.account.Chats() {
			agent, _ := answered(&c)
			if concerns(of, &c) && r.holds(s.local(c.End)) && r.wants("departmentid", departments()[c.Department].id) &&
				r.wants("agentid", agent.ID) && r.wants("userid", agent.ID) && r.wants("slalevelid", levelOf(&c).id) {
				start := c.End.Truncate(time.Hour).UTC()
				ended[start] = append(ended[start], &c)
			}
		}
		for _, start := range slices.SortedFunc(maps.Keys(ended), time.Time.Compare) {
			lines = append(lines, line{
				metricKey(r.path, start, "hour"), start,
				append(object{{"date", s.local(start)}}, figures(ended[start])...),
			})
		}
		return lines
	}
}

func availability(chats []*simulated.Chat) object {
	minutes := min(60, 7*len(chats)+chats[0].Number%40)
	return object{{"mins", whole(minutes)}, {"pct", fmt.Sprintf("%.4f", float64(minutes)/0.6)}}
}

func load(chats []*simulated.Chat) object {
	n := len(chats)
	average := func(by int) string { return fmt.Sprintf("%.2f", float64(n)/float64(by)) }
	return object{
		{"avgQueue", average(6)},
		{"maxQueue", whole(n)},
		{"minQueue", whole(0)},
		{"avgSlots", average(2)},
		{"maxSlots", whole(n + 2)},
		{"minSlots", whole(1)},
		{"avgService", average(4)},
		{"maxService", whole(n)},
		{"minService", whole(0)},
	}
}

// compliance counts the lines of the SLA log.
func compliance(chats []*simulated.Chat) object {
	var kept, broken []int
	for _, c := range chats {
		if left := dueOf(c).Sub(c.End); left < 0 {
			broken = append(broken, int(-left/time.Second))
		} else {
			kept = append(kept, int(left/time.Second))
		}
	}
	times := func(count, infix string, all []int) object {
		sum, most, least := 0, 0, 0
		for i, n := range all {
			sum += n
			most = max(most, n)
			if i == 0 || n < least {
				least = n
			}
		}
		return object{
			{count, whole(len(all))},
			{"avg" + infix + "Time", whole(sum / max(len(all), 1))},
			{"max" + infix + "Time", whole(most)},
			{"min" + infix + "Time", whole(least)},
		}
	}
	return append(times("fulfilled", "Fulfilled", kept), times("unfulfilled", "Unfulfilled", broken)...)
}

// level is an SLA level: how long a conversation may take.
type level struct {
	id, name string
	within   time.Duration
}

func levelOf(c *simulated.Chat) level {
	if c.Number%2 == 0 {
		return level{"lv01urge", "Urgent", 10 * time.Minute}
	}
	return level{"lv02norm", "Normal", 20 * time.Minute}
}

func dueOf(c *simulated.Chat) time.Time { return c.Start.Add(levelOf(c).within) }

// slaLog has one line for each conversation of the medium; a missed one is not closed, and its offset runs on.
func slaLog(of string) func(*Sim, request) []line {
	return func(s *Sim, r request) (lines []line) {
		for _, c := range s.account.Chats() {
			agent, _ := answered(&c)
			if concerns(of, &c) && r.holds(s.local(c.End)) && r.wants("departmentid", departments()[c.Department].id) &&
				r.wants("agentid", agent.ID) && r.wants("requesterid", contactID(c.Visitor)) && r.wants("slalevelid", levelOf(&c).id) {
				id := fmt.Sprint(41000 + c.Number)
				lines = append(lines, line{r.path + "/" + id, c.End, s.slaLine(r, &c, id)})
			}
		}
		return lines
	}
}

func (s *Sim) slaLine(r request, c *simulated.Chat, id string) object {
	agent, _ := answered(c)
	d, l, due := departments()[c.Department], levelOf(c), dueOf(c)
	agentFirst, agentLast := names(agent)
	first, last := names(c.Visitor)
	until, closed, serverClosed := c.End, c.End.In(viewer).Format(forPeople), s.local(c.End)
	if c.Missed {
		until, closed, serverClosed = r.now, "", ""
	}
	return object{
		{"id", id},
		{"conversationid", conversationID(c)},
		{"code", code(c)},
		{"departmentid", d.id},
		{"department_name", d.name},
		{"levelid", l.id},
		{"sla_level_name", l.name},
		{"sla", offset(until.Sub(due))},
		{"date_created", c.Start.In(viewer).Format(forPeople)},
		{"date_closed", text(closed)},
		{"server_date_closed", text(serverClosed)},
		{"date_due", due.In(viewer).Format(forPeople)},
		{"server_date_due", s.local(due)},
		{"sla_level_id", l.id},
		{"agentid", text(agent.ID)},
		{"agent_firstname", text(agentFirst)},
		{"agent_lastname", text(agentLast)},
		{"req_contactid", contactID(c.Visitor)},
		{"req_firstname", first},
		{"req_lastname", last},
	}
}

// ranks are the lines of the ranking report.
func ranks(s *Sim, r request) (lines []line) {
	for _, c := range s.account.Chats() {
		agent, ok := answered(&c)
		letter := "P"
		if c.Good {
			letter = "W"
		}
		if !ok || c.RatedAt.IsZero() || !r.holds(s.local(c.RatedAt)) || !r.wants("agentid", agent.ID) || !r.wants("contactid", contactID(c.Visitor)) ||
			r.query.Has("types") && !slices.Contains(strings.Split(r.query.Get("types"), ","), letter) {
			continue
		}
		id := fmt.Sprint(49000 + c.Number)
		lines = append(lines, line{id, c.RatedAt, object{
			{"id", id},
			{"rankingType", letter},
			{"datecreated", s.local(c.RatedAt)},
			{"conversationid", conversationID(&c)},
			{"agentcontactid", agentContactID(agent)},
			{"agentEmail", agent.Email},
			{"agent", agent.Name},
			{"contactid", contactID(c.Visitor)},
			{"requesterEmail", c.Visitor.Email},
			{"requester", c.Visitor.Name},
			{"comment", text(c.Comment)},
		}})
	}
	return lines
}

// metricKey is the event contract's key of a bucket without dimensions.
func metricKey(report string, start time.Time, grain string) string {
	return report + "/" + start.UTC().Format(time.RFC3339) + "/" + grain
}

// reportLedger lists what a poller must find of all reports.
func (s *Sim) reportLedger() (entries []simulated.Entry) {
	days := map[string]bool{}
	for _, c := range s.account.Chats() {
		days[s.local(c.End)[:len(time.DateOnly)]] = true
	}
	for path, r := range reports() {
		in := request{report: r, path: path, now: s.account.Now()}
		var lines []line
		switch {
		case path == "reports/performance":
			for _, grain := range []string{"hour", "day", "week", "month"} {
				in.query = map[string][]string{"group_by": {grain}}
				lines = append(lines, r.lines(s, in)...)
			}
		case r.summed:
			for d := range days {
				in.from, in.to = d, d
				lines = append(lines, r.lines(s, in)...)
			}
		default:
			lines = r.lines(s, in)
		}
		for _, l := range lines {
			entries = append(entries, simulated.Entry{Stream: path, Key: l.key, At: l.at, Version: 1})
		}
	}
	return entries
}
