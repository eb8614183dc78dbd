package cobrowsersim

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/pollers/simulated"
)

func conversationColumns() []string {
	return []string{
		"conversation_start", "browse_id", "account_id", "num_messages", "duration_secs", "avgMessageLength", "maxMessageLength",
		"last_agent_id", "reseller_id", "visitor_id", "requestType", "assigned_agent_id", "acceptUrl", "accept_host_id",
		"decisionTime", "firstResponseTime", "transcriptUrl", "avgResponseTime", "maxResponseTime", "successcode", "firstReplyTime",
	}
}

func browseID(c *simulated.Chat) string { return strconv.Itoa(70_000_000 + 37*c.Number) }

func (s *Sim) conversations() (rows []row) {
	for _, c := range s.account.Chats() {
		r := row{values: s.conversation(&c), at: c.Start, account: accountID(c.Department), edits: c.Edits, malformed: c.Malformed}
		if !c.RatedAt.IsZero() {
			r.edits++
		}
		if !c.Malformed {
			r.key = r.account + "-" + browseID(&c) + "-" + strconv.FormatInt(c.Start.Unix(), 10)
		}
		rows = append(rows, r)
	}
	return rows
}

// chatAgent is the id of a chat's nth agent; "" of a chat without.
func (s *Sim) chatAgent(c *simulated.Chat, n int) string {
	if n < 0 || n >= len(c.Agents) {
		return ""
	}
	return agentID(s.people[c.Agents[n].ID], c.Department)
}

// conversation gives the values of one. Malformed ones lack their browse id or a whole column.
func (s *Sim) conversation(c *simulated.Chat) []string {
	average, longest := lengths(c)
	first, averageWait, longestWait := waits(c)
	values := []string{
		s.rfc2822(c.Start), browseID(c), accountID(c.Department), strconv.Itoa(len(c.Messages)),
		seconds(c.End.Sub(c.Start)), average, longest, s.chatAgent(c, len(c.Agents)-1), resellerID, c.Visitor.ID,
		[]string{"ask_proactive", "ask_reactive"}[c.Number%2], s.chatAgent(c, 0), c.PageURL, hostID(c.Department),
		strconv.Itoa(c.Number % 30), first, fmt.Sprintf("https://transcripts.shop.example/read?b=%s&t=%08x", browseID(c), uint32(c.Number)*2654435761),
		averageWait, longestWait, successcode(c), first,
	}
	if c.Malformed && c.Number%2 == 0 {
		values[slices.Index(conversationColumns(), "browse_id")] = ""
	} else if c.Malformed {
		values = slices.Delete(values, len(values)-2, len(values)-1)
	}
	return values
}

// successcode shows the rating and the edits.
func successcode(c *simulated.Chat) string {
	code := ""
	if !c.RatedAt.IsZero() {
		code = "bad"
		if c.Good {
			code = "good"
		}
	}
	if c.Edits > 0 {
		if code != "" {
			code += "-"
		}
		code += "edited-" + strconv.Itoa(c.Edits)
	}
	return code
}

// lengths are the average and the largest number of characters of a line.
func lengths(c *simulated.Chat) (average, longest string) {
	sum, most := 0, 0
	for _, m := range c.Messages {
		n := utf8.RuneCountInString(m.Text)
		sum += n
		most = max(most, n)
	}
	return strconv.FormatFloat(float64(sum)/float64(len(c.Messages)), 'f', 2, 64), strconv.Itoa(most)
}

// waits are the visitor's: until the first agent's message, on average, and at most; empty without any answer.
func waits(c *simulated.Chat) (first, average, longest string) {
	var all []time.Duration
	asked := c.Start
	for _, m := range c.Messages {
		if m.Visitor {
			asked = m.At
		} else {
			all = append(all, m.At.Sub(asked))
		}
	}
	if len(all) == 0 {
		return "", "", ""
	}
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return seconds(all[0]), strconv.FormatFloat(sum.Seconds()/float64(len(all)), 'f', 2, 64), seconds(slices.Max(all))
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
