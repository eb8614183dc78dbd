package cobrowsersim

import (
	"strconv"
	"strings"
	"time"
)

// specimen gives a row in which every column has a value of its own. It is of the day that begins at from.
func (s *Sim) specimen(c command, from time.Time) []string {
	endpoint := "c=" + c.name
	at := from.Add(11*time.Minute + 7*time.Second) // the story's times are other ones, and each list has its own
	for _, other := range commands() {
		if other.name == c.name {
			break
		}
		at = at.Add(time.Minute)
	}
	values := make([]string, len(c.columns))
	for i, column := range c.columns {
		values[i] = s.special(endpoint, column, from, at)
		switch {
		case values[i] != "":
		case isText(column):
			values[i] = s.fields.Text(endpoint, column)
		default:
			values[i] = strconv.Itoa(s.fields.Number(endpoint, column))
		}
	}
	return values
}

// isText tells columns that hold words from those that hold numbers and ids.
func isText(column string) bool {
	switch column {
	case "name", "postfix", "username", "firstname", "lastname", "email", "cccgroup_name", "to", "bcc", "subject", "from", "hostname",
		"multiple_acc_id", "filtername", "presetName", "preset", "successcode":
		return true
	}
	return false
}

// special gives times, addresses and codes, which are neither; "" for another column.
func (s *Sim) special(endpoint, column string, from, at time.Time) string {
	switch column {
	case "conversation_start", "timestamp", "session_start", "time_start", "time_end":
		if column == "time_end" {
			at = at.Add(11 * time.Second)
		}
		s.fields.Put(endpoint, column, at.UTC().Format(time.RFC3339))
		return s.rfc2822(at)
	case "hourBegin_time", "hourEnd_time", "hourOfDay":
		return s.specimenHour(endpoint, column, from)
	case "acceptUrl", "transcriptUrl":
		return s.fields.Put(endpoint, column, "https://shop.example/specimen/"+column)
	case "requestType":
		s.fields.At(endpoint, column, "attributes.requestType", "ask_proactive")
		return "ask_proactive"
	case "action":
		s.fields.At(endpoint, column, "action", "remove")
		return "remove"
	case "state":
		s.fields.At(endpoint, column, "state", "offline")
		return "offline"
	case "disabled":
		s.fields.At(endpoint, column, "disabled", "true")
		return "1"
	}
	return ""
}

// specimenHour is an hour of a place whose clocks differ by half or a quarter of an hour, so that no other row has it.
func (s *Sim) specimenHour(endpoint, column string, from time.Time) string {
	place, shift := time.FixedZone("", 5*3600+1800), 2*time.Hour+30*time.Minute
	switch {
	case strings.HasSuffix(endpoint, "hostspecshourly"):
		place, shift = time.FixedZone("", 5*3600+2700), 4*time.Hour+15*time.Minute
	case strings.HasSuffix(endpoint, "filterstatshourly"):
		place, shift = time.FixedZone("", 12*3600+2700), 6*time.Hour+15*time.Minute
	}
	const form = "Mon, 02 Jan 2006 15:04:05 -0700"
	begin := from.Add(shift)
	switch column {
	case "hourBegin_time":
		s.fields.At(endpoint, column, "interval.start", begin.UTC().Format(time.RFC3339))
		return begin.In(place).Format(form)
	case "hourEnd_time":
		s.fields.At(endpoint, column, "interval.end", begin.Add(time.Hour).UTC().Format(time.RFC3339))
		return begin.Add(time.Hour - time.Second).In(place).Format(form)
	default:
		hour := strconv.Itoa(begin.In(place).Hour())
		s.fields.At(endpoint, column, "attributes.hourOfDay", hour)
		return hour
	}
}
