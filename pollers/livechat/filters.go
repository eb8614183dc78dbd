package livechat

import (
	"net/url"
	"slices"
	"strings"

	"github.com/parley-stream/parley/events/settings"
)

// filter is one of the document's parameters that choose chats by what they hold.
type filter struct {
	variable, parameter string
	value               string
	want                string // in words
	good                func(value string) bool
}

// decodeFilters reads the filters that are set, and holds each to what the document allows: the vendor's answer to another value is not
// documented, and could be one without chats.
func decodeFilters(vars *settings.Vars) url.Values {
	var cfg struct {
		Agent     string `env:"AGENT"`
		Group     string `env:"GROUP"`
		Goal      string `env:"GOAL"`
		HasGoal   string `env:"HAS_GOAL"`
		Rate      string `env:"RATE_FILTER"`
		Query     string `env:"QUERY"`
		VisitorID string `env:"VISITOR_ID"`
		Type      string `env:"TYPE"`
	}
	vars.Decode(&cfg)
	set := url.Values{}
	for _, f := range []filter{
		{"AGENT", "agent", cfg.Agent, "want an agent's login", bare},
		{"GROUP", "group", cfg.Group, "want a group's id, a whole number", number},
		{"GOAL", "goal", cfg.Goal, "want a goal's id, a whole number", number},
		{"HAS_GOAL", "has_goal", cfg.HasGoal, "want 1 or 0", oneOf("1", "0")},
		{"RATE_FILTER", "rate", cfg.Rate, "want rated, not_rated, rated_good or rated_bad", oneOf("rated", "not_rated", "rated_good", "rated_bad")},
		{"QUERY", "query", cfg.Query, "want a text to look for", bare},
		{"VISITOR_ID", "visitor_id", cfg.VisitorID, "want a visitor's id", bare},
		{"TYPE", "type", cfg.Type, "want chat or missed_chat", oneOf("chat", "missed_chat")},
	} {
		if f.value == "" {
			continue
		}
		if set.Set(f.parameter, f.value); !f.good(f.value) {
			vars.Fault(f.variable, f.want)
		}
	}
	return set
}

// bare takes a text without space around it, which is there by mistake.
func bare(value string) bool { return strings.TrimSpace(value) == value }

func number(value string) bool {
	return strings.Trim(value, "0123456789") == "" && (value == "0" || value[0] != '0') && len(value) <= 18
}

func oneOf(values ...string) func(string) bool {
	return func(value string) bool { return slices.Contains(values, value) }
}
