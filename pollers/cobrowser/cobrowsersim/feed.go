package cobrowsersim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// answered gives the well-formed chats that somebody answered.
func (s *Sim) answered() (chats []simulated.Chat) {
	for _, c := range s.account.Chats() {
		if !c.Missed && !c.Malformed {
			chats = append(chats, c)
		}
	}
	return chats
}

// emails are the transcripts that some visitors asked for, sent a minute after the end.
func (s *Sim) emails() (rows []row) {
	for _, c := range s.answered() {
		at := c.End.Add(time.Minute)
		if c.Number%3 != 0 || at.After(s.account.Now()) {
			continue
		}
		id, bcc := strconv.Itoa(880_000+c.Number), ""
		if c.Number%2 == 0 {
			bcc = "archive@shop.example"
		}
		rows = append(rows, row{
			values: []string{
				browseID(&c), id, s.rfc2822(at), s.chatAgent(&c, 0), c.Visitor.Email, bcc,
				fmt.Sprintf(`Your chat with %s; "%s"`, c.Agents[0].Name, preset(c.Department)), "noreply@shop.example", accountID(c.Department),
			},
			at: at, account: accountID(c.Department), key: id,
		})
	}
	return rows
}

// slotUse is what both lists of slots say of a mutation.
func (s *Sim) slotUse(agent, action, activity string, at time.Time, c *simulated.Chat) []string {
	used := c.Number % 3
	if action == "add" {
		used++
	}
	return []string{
		agent, s.rfc2822(at), action, accountID(c.Department), browseID(c), strconv.Itoa(60_000_000 + c.Number), activity, strconv.Itoa(used), "4",
	}
}

// slots are used from a chat's start to its end.
func (s *Sim) slots() (rows []row) {
	for _, c := range s.answered() {
		length := int(c.End.Sub(c.Start) / time.Second)
		for i, at := range []time.Time{c.Start, c.End} {
			durations := []string{"0", "0", "0", "0", "0"}
			if i == 1 {
				durations = []string{strconv.Itoa(length), strconv.Itoa(length / 20), strconv.Itoa(length / 10), strconv.Itoa(length / 5), strconv.Itoa(length / 50)}
			}
			id := strconv.Itoa(2_000_000 + 2*c.Number + i)
			values := append(s.slotUse(s.chatAgent(&c, 0), []string{"add", "remove"}[i], id, at, &c), durations...)
			rows = append(rows, row{
				values: append(values, preset(c.Department)), at: at, account: accountID(c.Department), key: "slotsactivity/" + id,
			})
		}
	}
	return rows
}

func (s *Sim) cccSlots() (rows []row) {
	for _, c := range s.answered() {
		for i, at := range []time.Time{c.Start, c.End} {
			id := strconv.Itoa(5_000_000 + 2*c.Number + i)
			rows = append(rows, row{
				values: s.slotUse(cccAgentID(s.people[c.Agents[0].ID]), []string{"add", "remove"}[i], id, at, &c), at: at, key: "cccslotsactivity/" + id,
			})
		}
	}
	return rows
}

// shift is one working day of an agent in one account.
type shift struct {
	number, agent, account     int
	login, lunch, back, logout time.Time
	next                       time.Time // the next day's login
}

// shifts are those that have begun by now, oldest first.
func (s *Sim) shifts() (shifts []shift) {
	o := s.account.Options()
	now := s.account.Now()
	y, m, first := o.Start.AddDate(0, 0, -o.Days).In(s.zone).Date()
	for day := first; !time.Date(y, m, day, 0, 0, 0, 0, s.zone).After(now); day++ {
		number := int(time.Date(y, m, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
		at := func(day, hour, minute int) time.Time { return time.Date(y, m, day, hour, minute, 0, 0, s.zone) }
		for i := range s.account.Agents() {
			shifts = append(shifts, shift{
				number: number, agent: i, account: (i + number) % accountCount, login: at(day, 8, 7*i+number%13), lunch: at(day, 12, i),
				back: at(day, 12, 30+i), logout: at(day, 17, 5*i), next: at(day+1, 8, 7*i+(number+1)%13),
			})
		}
	}
	return shifts
}

// agentActivity is a working day: online, a lunch, online, and offline until the next. What has not ended yet shows neither
// end nor length.
func (s *Sim) agentActivity() (rows []row) {
	for _, day := range s.shifts() {
		borders := []time.Time{day.login, day.lunch, day.back, day.logout, day.next}
		for i, state := range []string{"online", "offline", "online", "offline"} {
			begin, end := borders[i], borders[i+1]
			if begin.After(s.account.Now()) {
				break
			}
			ended, length := "", ""
			if !end.After(s.account.Now()) {
				ended, length = s.rfc2822(end), seconds(end.Sub(begin))
			}
			id := strconv.Itoa(1000*day.number + 10*day.agent + i)
			rows = append(rows, row{
				values: []string{agentID(day.agent, day.account), s.rfc2822(begin), ended, state, length, accountID(day.account), id},
				at:     begin, account: accountID(day.account), key: "agentactivity/" + id,
			})
		}
	}
	return rows
}
