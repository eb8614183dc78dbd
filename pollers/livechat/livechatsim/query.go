package livechatsim

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// query is what the documented parameters ask for.
type query struct {
	page     int
	from, to time.Time // of the start, half-open; zero is without end
	filters  []func(*simulated.Chat) bool
}

// choose gives those of the chats, newest start first, that are asked for.
func (q *query) choose(chats []*simulated.Chat) []*simulated.Chat {
	first, last := 0, len(chats)
	if !q.to.IsZero() {
		first = sort.Search(len(chats), func(i int) bool { return chats[i].Start.Before(q.to) })
	}
	if !q.from.IsZero() {
		last = sort.Search(len(chats), func(i int) bool { return chats[i].Start.Before(q.from) })
	}
	chats = chats[min(first, last):last:last]
	if len(q.filters) == 0 {
		return chats
	}
	return slices.DeleteFunc(slices.Clone(chats), func(c *simulated.Chat) bool { return !q.matches(c) })
}

func (q *query) matches(c *simulated.Chat) bool {
	for _, f := range q.filters {
		if !f(c) {
			return false
		}
	}
	return true
}

func (q *query) add(f func(*simulated.Chat) bool) { q.filters = append(q.filters, f) }

// parseQuery refuses what the document does not know: another parameter, one that comes twice, another form.
func (s *Sim) parseQuery(values url.Values) (*query, error) {
	q := &query{page: 1}
	for name, all := range values {
		if len(all) != 1 {
			return nil, fmt.Errorf("%s: is given %d times", name, len(all))
		}
		if all[0] == "" {
			return nil, fmt.Errorf("%s: is empty", name)
		}
		var err error
		switch value := all[0]; name {
		case "date_from":
			q.from, err = s.day(value)
		case "date_to":
			q.to, err = s.day(value)
			q.to = q.to.AddDate(0, 0, 1)
		case "page":
			q.page, err = number(value, 1)
		default:
			err = q.filter(name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if !q.to.IsZero() && !q.from.Before(q.to) {
		return nil, fmt.Errorf("date_to: is before date_from")
	}
	return q, nil
}

func (s *Sim) day(value string) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateOnly, value, s.location)
	if err != nil {
		return t, fmt.Errorf("is no YYYY-MM-DD")
	}
	return t, nil
}

func number(value string, least int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || strconv.Itoa(n) != value {
		return 0, fmt.Errorf("is no number from %d", least)
	}
	return n, nil
}

// filter adds one of the parameters that choose chats by what they hold.
func (q *query) filter(name, value string) error {
	switch name {
	case "type":
		q.add(func(c *simulated.Chat) bool { return value == kind(c) })
		return oneOf(value, "chat", "missed_chat")
	case "visitor_id":
		q.add(func(c *simulated.Chat) bool { return value == visitorID(c) })
	case "query":
		q.add(func(c *simulated.Chat) bool { return holds(c, value) })
	case "agent":
		q.add(func(c *simulated.Chat) bool {
			return slices.ContainsFunc(c.Agents, func(p simulated.Person) bool { return p.Email == value })
		})
	case "has_goal":
		q.add(func(c *simulated.Chat) bool { return (value == "1") == (goal(c) > 0) })
		return oneOf(value, "0", "1")
	case "rate":
		q.add(func(c *simulated.Chat) bool { return rate(c) == value || value == "rated" && rate(c) != "not_rated" })
		return oneOf(value, "rated", "not_rated", "rated_good", "rated_bad")
	case "group", "goal":
		n, err := number(value, 0)
		q.add(func(c *simulated.Chat) bool {
			return name == "group" && c.Department == n || name == "goal" && n > 0 && goal(c) == n
		})
		return err
	default:
		return fmt.Errorf("is unknown")
	}
	return nil
}

func oneOf(value string, known ...string) error {
	if !slices.Contains(known, value) {
		return fmt.Errorf("is none of %s", strings.Join(known, ", "))
	}
	return nil
}

func holds(c *simulated.Chat, text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(strings.ToLower(c.Visitor.Name), text) ||
		slices.ContainsFunc(c.Messages, func(l simulated.Line) bool { return strings.Contains(strings.ToLower(l.Text), text) })
}
