package cobrowsersim

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/pollers/simulated"
)

var columns = []string{
	"conversation_start", "browse_id", "account_id", "num_messages", "duration_secs", "avgMessageLength", "maxMessageLength",
	"last_agent_id", "reseller_id", "visitor_id", "requestType", "assigned_agent_id", "acceptUrl", "accept_host_id",
	"decisionTime", "firstResponseTime", "transcriptUrl", "avgResponseTime", "maxResponseTime", "successcode", "firstReplyTime",
}

func accountID(c *simulated.Chat) string { return strconv.Itoa(4101 + c.Department) }

func browseID(c *simulated.Chat) string { return strconv.Itoa(70_000_000 + 37*c.Number) }

// row gives the values of one conversation. Malformed ones lack their browse id or a whole column.
func (s *Sim) row(c *simulated.Chat) []string {
	average, longest := lengths(c)
	first, averageWait, longestWait := waits(c)
	last, assigned := "", ""
	if n := len(c.Agents); n > 0 {
		last, assigned = c.Agents[n-1].ID, c.Agents[0].ID
	}
	values := []string{
		c.Start.In(s.zone).Format("Mon, 02 Jan 2006 15:04:05 -0700"), browseID(c), accountID(c), strconv.Itoa(len(c.Messages)),
		seconds(c.End.Sub(c.Start)), average, longest, last, "77", c.Visitor.ID,
		[]string{"ask_proactive", "ask_reactive"}[c.Number%2], assigned, c.PageURL, strconv.Itoa(3101 + c.Department),
		strconv.Itoa(c.Number % 30), first, fmt.Sprintf("https://transcripts.shop.example/read?b=%s&t=%08x", browseID(c), uint32(c.Number)*2654435761),
		averageWait, longestWait, successcode(c), first,
	}
	if c.Malformed && c.Number%2 == 0 {
		values[slices.Index(columns, "browse_id")] = ""
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
