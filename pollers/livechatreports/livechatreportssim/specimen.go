package livechatreportssim

import (
	"slices"
	"strconv"
)

// specimen fills an answer with the documented fields, each with a value of its own: the first bucket, or one more agent, tag,
// greeting or form. Names of fields are the document's; its day stands for every distribution. s.mu is held.
func (s *Sim) specimen(q query, r *response) {
	f := s.account.Options().Fields
	number := func(name string) int { return f.Number(q.report, name) }
	numbers := func(prefix string, names ...string) figures {
		out := figures{}
		for _, name := range names {
			out[name] = number(prefix + name)
		}
		return out
	}
	if r.Total != nil {
		r.Total = number("total")
	}
	records, _ := r.Records.(map[string]any)
	first := firstBucket(q)
	switch q.report {
	case "chats/duration":
		records[first] = numbers("records.day.", "count", "agents_chatting_duration", "duration")
	case "chats/tags":
		records[first] = map[string]any{f.Text(q.report, "records.day.<tag>, the tag"): number("records.day.<tag>")}
	case "chats/total_chats":
		records[first] = numbers("records.day.", "total", "continuous")
	case "chats/ratings":
		records[first] = numbers("records.day.", "chats", "bad", "good")
	case "chats/ranking":
		records[f.Text(q.report, "records.agent")] = numbers("records.agent.", "total", "good", "bad", "score")
	case "chats/engagement":
		records[first] = numbers("records.day.", "total", "started_by_customer_from_greeting", "started_by_customer_without_greeting", "started_by_agent")
	case greetingsReport:
		id := strconv.Itoa(number("records.day.greeting_id"))
		records[first] = map[string]any{id: numbers("records.day.greeting_id.", "accepted", "canceled", "displayed", "goals")}
	case "chats/forms":
		r.Records = append(r.Records.([]any), specimenForm(q.report, f))
	case "chats/response_time":
		records[first] = numbers("records.day.", "count", "response_time")
	case "chats/first_response_time":
		records[first] = numbers("records.day.", "count", "first_response_time")
	case "agents/availability":
		records[first] = numbers("records.", map[string]string{"hour": "minutes", "day": "hours"}[q.distribution])
	case "agents/performance":
		names := []string{"chats_count", "chats_rated_good", "chats_rated_bad", "first_response_chats_count", "first_response_time"}
		r.Summary = numbers("summary.", names...)
		names = append(names, "accepting_chats_time", "chatting_time", "logged_in_time", "not_accepting_chats_time")
		records[f.Text(q.report, "records, the agent")] = numbers("records.", names...)
	case "tags/chat_usage":
		records[f.Text(q.report, "records.<tag>")] = number("records.<tag>:<chat_count>")
	case "stats/visitors":
		r.Summary = numbers("summary.", "unique_visitors", "page_views")
	}
}

func firstBucket(q query) string {
	starts := q.buckets()
	names := make([]string, 0, len(starts))
	for name := range starts {
		names = append(names, name)
	}
	return slices.MinFunc(names, func(a, b string) int { return starts[a].Compare(starts[b]) })
}

// noter is what the specimens need of simulated.Fields.
type noter interface {
	Text(endpoint, name string) string
	Number(endpoint, name string) int
}

func specimenForm(report string, f noter) map[string]any {
	const form = "records[{form_index}]"
	const field = form + ".fields[{field_index}]"
	const answer = field + ".answers[{answer_index}]"
	return map[string]any{
		"form_id": f.Text(report, form+".form_id"), "count": f.Number(report, form+".count"), "group_id": f.Number(report, form+".group_id"),
		"fields": []any{map[string]any{
			"field_id": f.Text(report, field+".field_id"), "label": f.Text(report, field+".label"),
			"answers": []any{map[string]any{
				"answer_id": f.Number(report, answer+".answer_id"), "label": f.Text(report, answer+".label"), "count": f.Number(report, answer+".count"),
			}},
		}},
	}
}
