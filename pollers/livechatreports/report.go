package livechatreports

import (
	"fmt"

	"github.com/parley-stream/parley/events"
)

// report is one method of the API.
type report struct {
	path string // below the access path; the stream's name
	name string // what the response calls itself
	// family is the group of methods that take the same filters: chats, agents, tags, stats.
	family string
	// distributed says that the records are buckets of time, which the parameter distribution chooses.
	distributed bool
	// dimension is what the names within a bucket, or those of the records where there are no buckets, are names of.
	dimension string
}

func reports() []report {
	return []report{
		{"chats/duration", "duration-report", "chats", true, ""},
		{"chats/tags", "tags-report", "chats", true, "tag"},
		{"chats/total_chats", "total-chats-report", "chats", true, ""},
		{"chats/ratings", "ratings-report", "chats", true, ""},
		{"chats/ranking", "ranking-report", "chats", false, "agent"},
		{"chats/engagement", "engagement-report", "chats", true, ""},
		{greetingsPath, "greetings-conversion-report", "chats", true, "greeting"},
		{formsPath, "form-report", "chats", false, ""},
		{"chats/response_time", "response-time-report", "chats", true, ""},
		{"chats/first_response_time", "first-response-time-report", "chats", true, ""},
		{"agents/availability", "availability-report", "agents", true, ""},
		{"agents/performance", "performance-report", "agents", false, "agent"},
		{"tags/chat_usage", "tags-chat-usage-report", "tags", false, "tag"},
		{visitorsPath, "visitors-report", "stats", false, ""},
	}
}

// The reports whose responses have a form of their own.
const (
	greetingsPath = "chats/greetings_conversion" // has a cap
	formsPath     = "chats/forms"                // records are a list
	visitorsPath  = "stats/visitors"             // no records, a summary
	checkPath     = "chats/total_chats"
)

// greetingsCap is how many greetings a day the vendor gives at most.
const greetingsCap = 100

func reportAt(path string) (report, error) {
	for _, r := range reports() {
		if r.path == path {
			return r, nil
		}
	}
	return report{}, events.Permanent(fmt.Errorf("stream %q: the Reports API has no such report", path))
}

// reportOfCheck is the report that the credentials are tried with.
func reportOfCheck() report {
	r, _ := reportAt(checkPath) // it is in the list
	return r
}
