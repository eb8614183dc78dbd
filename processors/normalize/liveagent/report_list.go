package liveagent

import "strings"

// The figures of the document, by report.
const (
	agentMeasures = `worktime answers answers_ph newAnswerAvgTime nextAnswerAvgTime calls calls_ph missed_calls missed_calls_ph call_seconds
		call_seconds_ph chats chats_ph chat_answers chat_answers_ph missed_chats missed_chats_ph chatPickupAvgTime chatAvgTime not_ranked
		not_ranked_p not_ranked_ph rewards rewards_p rewards_ph punishments punishments_p punishments_ph`
	figureMeasures = `answers newAnswerAvgTime nextAnswerAvgTime chat_answers chats missed_chats chatPickupAvgTime chatAvgTime calls missed_calls
		call_seconds not_ranked not_ranked_p rewards rewards_p punishments punishments_p i_messages i_chats i_calls f_chats f_calls`
	availabilityMeasures = `mins pct`
	loadMeasures         = `avgQueue maxQueue minQueue avgSlots maxSlots minSlots avgService maxService minService`
	complianceMeasures   = `fulfilled avgFulfilledTime maxFulfilledTime minFulfilledTime unfulfilled avgUnfulfilledTime maxUnfulfilledTime
		minUnfulfilledTime`
)

// reports gives what is known of each report, by its stream.
func reports() map[string]report {
	all := map[string]report{
		"reports/agents":      metricOf("agent", "agent", agentMeasures),
		"reports/channels":    metricOf("channel", "channel", figureMeasures),
		"reports/departments": metricOf("department", "department", figureMeasures),
		"reports/tags":        metricOf("tag", "tag", figureMeasures),
		"reports/performance": metricOf("item", "", figureMeasures),
		"reports/ranking":     {item: "rank", fill: (*row).rating},
	}
	for _, of := range []string{"tickets", "chats", "calls"} {
		path := "reports/" + of + "/"
		all[path+"agentsavailability"] = report{item: "item", fill: (*row).activity}
		all[path+"load"] = metricOf("load", "", loadMeasures)
		all[path+"slacompliance"] = metricOf("slacompliance", "", complianceMeasures)
		all[path+"slalog"] = report{item: "slalog", fill: (*row).sla}
		if of != "tickets" {
			all[path+"availability"] = metricOf("item", "", availabilityMeasures)
		}
	}
	return all
}

func metricOf(item, dimension, measures string) report {
	return report{item: item, dimension: dimension, measures: strings.Fields(measures), fill: (*row).metric}
}
