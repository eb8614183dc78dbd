package liveagentsim

import "strings"

// columnsOf reads names and types: "id:text worktime:int".
func columnsOf(text string) []column {
	var all []column
	for _, c := range strings.Fields(text) {
		name, kind, _ := strings.Cut(c, ":")
		all = append(all, column{name, kind})
	}
	return all
}

// The document's return fields.
const (
	agentFields = `id:text contactid:text firstname:text lastname:text worktime:int answers:int answers_ph:rate newAnswerAvgTime:int
		nextAnswerAvgTime:int calls:int calls_ph:rate missed_calls:int missed_calls_ph:rate call_seconds:int call_seconds_ph:rate chats:int
		chats_ph:rate chat_answers:int chat_answers_ph:rate missed_chats:int missed_chats_ph:rate chatPickupAvgTime:int chatAvgTime:int
		not_ranked:int not_ranked_p:rate not_ranked_ph:rate rewards:int rewards_p:rate rewards_ph:rate punishments:int punishments_p:rate
		punishments_ph:rate`
	figureFields = ` answers:int newAnswerAvgTime:int nextAnswerAvgTime:int chat_answers:int chats:int missed_chats:int chatPickupAvgTime:int
		chatAvgTime:int calls:int missed_calls:int call_seconds:int not_ranked:int not_ranked_p:rate rewards:int rewards_p:rate punishments:int
		punishments_p:rate i_messages:int i_chats:int i_calls:int f_chats:hidden f_calls:hidden`
	sessionFields = `id:int userid:text firstname:text lastname:text contactid:text departmentid:text department_name:text hours_online:time
		from_date:time to_date:time`
	availabilityFields = `date:time mins:int pct:rate`
	loadFields         = `date:time avgQueue:rate maxQueue:int minQueue:int avgSlots:rate maxSlots:int minSlots:int avgService:rate maxService:int
		minService:int`
	complianceFields = `date:time fulfilled:int avgFulfilledTime:int maxFulfilledTime:int minFulfilledTime:int unfulfilled:int
		avgUnfulfilledTime:int maxUnfulfilledTime:int minUnfulfilledTime:int`
	slaFields = `id:text conversationid:text code:text departmentid:text department_name:text levelid:text sla_level_name:text sla:time
		date_created:time date_closed:time server_date_closed:time date_due:time server_date_due:time sla_level_id:text agentid:text
		agent_firstname:text agent_lastname:text req_contactid:text req_firstname:text req_lastname:text`
	rankFields = `id:text rankingType:time datecreated:time conversationid:text agentcontactid:text agentEmail:text agent:text contactid:text
		requesterEmail:text requester:text comment:text`
)

// reports gives the document's reports by their paths.
func reports() map[string]report {
	all := map[string]report{
		"reports/agents":      sums("agents", "agent", agentFields, agents),
		"reports/channels":    sums("channels", "channel", "id:text channelName:text"+figureFields, figures("channelName", channelsOf)),
		"reports/departments": sums("departments", "department", "id:text departmentName:text"+figureFields, figures("departmentName", departmentsOf)),
		"reports/tags":        sums("tags", "tag", "id:text tagName:text"+figureFields, figures("tagName", labelsOf)),
		"reports/performance": {
			list: "performance", item: "item", columns: columnsOf("datetime:time dateto:time" + figureFields), dated: true, selects: true,
			parameters: []string{"group_by"}, lines: performance,
		},
		"reports/ranking": {
			list: "ranks", item: "rank", columns: columnsOf(rankFields), dated: true, selects: true,
			parameters: []string{"agentid", "contactid", "types"}, lines: ranks,
		},
	}
	for _, of := range mediums {
		addMedium(all, of)
	}
	return all
}

// mediums are what the remaining reports are of.
var mediums = []string{"tickets", "chats", "calls"}

func addMedium(all map[string]report, of string) {
	path := "reports/" + of + "/"
	agent := []string{"departmentid", "agentid"}
	all[path+"agentsavailability"] = report{
		list: "agentsavailability", item: "item", columns: columnsOf(sessionFields), selects: true,
		parameters: agent, lines: sessions(of),
	}
	if of != "tickets" {
		all[path+"availability"] = report{
			list: "availability", item: "item", columns: columnsOf(availabilityFields),
			parameters: agent, lines: hours(of, availability),
		}
	}
	all[path+"load"] = report{
		list: "loads", item: "load", columns: columnsOf(loadFields),
		parameters: agent, lines: hours(of, load),
	}
	all[path+"slacompliance"] = report{
		list: "slacompliances", item: "slacompliance", columns: columnsOf(complianceFields),
		parameters: []string{"datetime", "departmentid", "userid", "slalevelid"}, lines: hours(of, compliance),
	}
	all[path+"slalog"] = report{
		list: "slalogs", item: "slalog", columns: columnsOf(slaFields), dated: true, selects: true,
		parameters: []string{"departmentid", "agentid", "requesterid", "slalevelid"}, lines: slaLog(of),
	}
}

// sums is a report that adds up what is asked for, per agent, channel, department or tag.
func sums(list, item, fields string, lines func(*Sim, request) []line) report {
	return report{list: list, item: item, columns: columnsOf(fields), dated: true, selects: true, summed: true, lines: lines}
}
