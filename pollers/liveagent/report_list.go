package liveagent

// The document's columns. They are asked for by name, since its examples lack f_chats and f_calls.
const (
	agentColumns = "id,contactid,firstname,lastname,worktime,answers,answers_ph,newAnswerAvgTime,nextAnswerAvgTime,calls,calls_ph," +
		"missed_calls,missed_calls_ph,call_seconds,call_seconds_ph,chats,chats_ph,chat_answers,chat_answers_ph,missed_chats,missed_chats_ph," +
		"chatPickupAvgTime,chatAvgTime,not_ranked,not_ranked_p,not_ranked_ph,rewards,rewards_p,rewards_ph,punishments,punishments_p,punishments_ph"
	figureColumns = ",answers,newAnswerAvgTime,nextAnswerAvgTime,chat_answers,chats,missed_chats,chatPickupAvgTime,chatAvgTime,calls,missed_calls," +
		"call_seconds,not_ranked,not_ranked_p,rewards,rewards_p,punishments,punishments_p,i_messages,i_chats,i_calls,f_chats,f_calls"
	availabilityColumns = "id,userid,firstname,lastname,contactid,departmentid,department_name,hours_online,from_date,to_date"
	slaColumns          = "id,conversationid,code,departmentid,department_name,levelid,sla_level_name,sla,date_created,date_closed,server_date_closed," +
		"date_due,server_date_due,sla_level_id,agentid,agent_firstname,agent_lastname,req_contactid,req_firstname,req_lastname"
	rankColumns = "id,rankingType,datecreated,conversationid,agentcontactid,agentEmail,agent,contactid,requesterEmail,requester,comment"
)

// reports gives all reports of the document, in its order.
func reports() []*report {
	all := []*report{
		sums("reports/agents", "agents", "agent", agentColumns),
		sums("reports/channels", "channels", "channel", "id,channelName"+figureColumns),
		sums("reports/departments", "departments", "department", "id,departmentName"+figureColumns),
		{
			listing: listing{path: "reports/performance", name: "performance", item: "item"}, id: "datetime", span: longSpan,
			columns: "datetime,dateto" + figureColumns, questions: eachGrain, identify: perBucket,
		},
		sums("reports/tags", "tags", "tag", "id,tagName"+figureColumns),
	}
	for _, of := range []string{"tickets", "chats", "calls"} {
		path := "reports/" + of + "/"
		all = append(all, entries(path+"agentsavailability", "agentsavailability", "item", availabilityColumns))
		if of != "tickets" {
			all = append(all, series(path+"availability", "availability", "item"))
		}
		compliance := series(path+"slacompliance", "slacompliances", "slacompliance")
		compliance.questions = eachMonth
		all = append(all, series(path+"load", "loads", "load"), compliance, entries(path+"slalog", "slalogs", "slalog", slaColumns))
	}
	ranking := entries("reports/ranking", "ranks", "rank", rankColumns)
	ranking.identify = perEntry("")
	return append(all, ranking)
}

// sums is a report that adds up what is asked for, by its rows' ids.
func sums(path, name, item, columns string) *report {
	return &report{
		listing: listing{path: path, name: name, item: item}, id: "id", span: shortSpan,
		columns: columns, questions: eachDay, identify: perDay(item),
	}
}

// series is a report of buckets.
func series(path, name, item string) *report {
	return &report{
		listing: listing{path: path, name: name, item: item}, id: "date", span: longSpan,
		questions: oneMore, identify: perBucket,
	}
}

// entries is a log whose lines have ids. Several logs are of one kind, so that the path is part of the key.
func entries(path, name, item, columns string) *report {
	return &report{
		listing: listing{path: path, name: name, item: item}, id: "id", span: shortSpan,
		columns: columns, questions: oneMore, identify: perEntry(path + "/"),
	}
}
