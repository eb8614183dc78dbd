package events

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxCobrowserID bounds an id of CoBrowser's: a longer value is none.
const maxCobrowserID = 256

// CobrowserConversationKey is the vendor_id of a conversation of CoBrowser's, which has no id of its own:
// <account_id>-<browse_id>-<conversation_start as Unix seconds>. It is "" when one of the three is unknown
// (empty, white space, not UTF-8, over 256 bytes, the zero time): the record then has no id.
func CobrowserConversationKey(accountID, browseID string, start time.Time) string {
	if !cobrowserID(accountID) || !cobrowserID(browseID) || start.IsZero() {
		return ""
	}
	key := make([]byte, 0, 64)
	key = append(append(append(append(key, accountID...), '-'), browseID...), '-')
	return string(strconv.AppendInt(key, start.Unix(), 10))
}

// CobrowserKey is the vendor_id of a row of the list that a command of CoBrowser's gives; value is the text of a column, "" of one that the
// row lacks. It is "" when what makes the key is not there: the record then has no id.
//
//   - conversations: CobrowserConversationKey
//   - accounts, hosts, emails: <id>; agents, cccagents: <stream>/<id>
//   - agentactivity, slotsactivity, cccslotsactivity: <stream>/<activity_id>, or, where that is unknown,
//     <stream>/<account>-<agent>-<time_start as Unix seconds>-<action or state>
//   - cccagentgroups/<cccagent_id>-<cccgroup_id>, cccgroupaccounts/<cccgroup_id>-<account_id>
//   - the statistics: MetricKey of what CobrowserMetric gives
func CobrowserKey(stream string, value func(column string) string, timezone string) string {
	switch stream {
	case "conversations":
		start, _ := CobrowserTime(value("conversation_start"), timezone)
		return CobrowserConversationKey(value("account_id"), value("browse_id"), start)
	case "accounts", "hosts", "emails":
		return joinedIDs("", value("id"))
	case "agents", "cccagents":
		return joinedIDs(stream+"/", value("id"))
	case "cccagentgroups":
		return joinedIDs(stream+"/", value("cccagent_id"), value("cccgroup_id"))
	case "cccgroupaccounts":
		return joinedIDs(stream+"/", value("cccgroup_id"), value("account_id"))
	case "agentactivity":
		return cobrowserActivityKey(stream, value, "agent_id", "state", timezone)
	case "slotsactivity":
		return cobrowserActivityKey(stream, value, "agent_id", "action", timezone)
	case "cccslotsactivity":
		return cobrowserActivityKey(stream, value, "cccagent_id", "action", timezone)
	}
	if m, ok := CobrowserMetric(stream, value, timezone); ok {
		return MetricKey(stream, m.Start, m.Grain, m.Dimensions)
	}
	return ""
}

// joinedIDs gives ids with a dash between, behind a prefix; "" when one of them is none.
func joinedIDs(prefix string, ids ...string) string {
	for _, id := range ids {
		if !cobrowserID(id) {
			return ""
		}
	}
	return prefix + strings.Join(ids, "-")
}

func cobrowserActivityKey(stream string, value func(string) string, agent, what, timezone string) string {
	if key := joinedIDs(stream+"/", value("activity_id")); key != "" {
		return key
	}
	start, ok := CobrowserTime(value("time_start"), timezone)
	if !ok {
		return ""
	}
	return joinedIDs(stream+"/", value("account_id"), value(agent), strconv.FormatInt(start.Unix(), 10), value(what))
}

// CobrowserBucket tells the rows of CoBrowser's statistics apart.
type CobrowserBucket struct {
	Start      time.Time
	Grain      string
	Dimensions map[string]string // values as the vendor wrote them
}

// CobrowserMetric gives the bucket of a row of CoBrowser's statistics, as CobrowserKey does the key. False: the stream gives no statistics,
// or the row lacks its time or an id. A preset, and the account of a host, may be unknown: the dimension is then absent.
func CobrowserMetric(stream string, value func(column string) string, timezone string) (CobrowserBucket, bool) {
	b := CobrowserBucket{Grain: "hour", Dimensions: make(map[string]string, 3)}
	at, ok := "hourBegin_time", false
	switch stream {
	case "accountspecshourly":
		ok = b.needs("account", value("account_id"))
	case "hostspecshourly":
		ok = b.needs("site", value("host_id")) && b.may("account", value("account_id"))
	case "filterstatshourly":
		ok = b.needs("account", value("account_id")) && b.needs("filter", value("id"))
	case "agentperformance":
		at, b.Grain = "session_start", "session"
		ok = b.needs("agent", value("agent_id")) && b.needs("session", value("session_id")) && b.may("preset", value("preset"))
	}
	if ok {
		b.Start, ok = CobrowserTime(value(at), timezone)
	}
	return b, ok
}

// needs sets a dimension; false when the value is no id.
func (b *CobrowserBucket) needs(dimension, value string) bool {
	b.Dimensions[dimension] = value
	return cobrowserID(value)
}

// may sets a dimension unless it is unknown.
func (b *CobrowserBucket) may(dimension, value string) bool {
	return strings.TrimSpace(value) == "" || b.needs(dimension, value)
}

func cobrowserID(id string) bool {
	return strings.TrimSpace(id) != "" && len(id) <= maxCobrowserID && utf8.ValidString(id)
}

// CobrowserTime reads a date-time of RFC 2822, such as "Tue, 27 Oct 2026 16:04:05 +0100", as UTC. The name of the
// day is not needed nor compared; seconds, a two-digit year, the zone names of RFC 2822 (UT, GMT, EST …) and a comment at
// the end are as that document has them. A time without an offset is in the IANA zone, the earlier one where clocks
// showed it twice. False: it fits no such form, names no moment (30 February, an hour that clocks
// skipped), or is not within 1900 to 9999; the time is then the zero one.
func CobrowserTime(text, timezone string) (time.Time, bool) {
	s := timeScanner{rest: dropComment(strings.TrimSpace(text))}
	s.dayName()
	day := s.number(1, 2)
	month := s.month()
	year := s.year()
	hour := s.number(1, 2)
	minute := s.after(':')
	second := 0
	if strings.HasPrefix(s.rest, ":") {
		second = s.after(':')
	}
	if s.bad || hour > 23 || minute > 59 || second > 60 || day < 1 || year < 1900 || year > 9999 {
		return time.Time{}, false
	}
	wall := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	if day > 28 && day > daysIn(year, month) {
		return time.Time{}, false
	}
	t, ok := atOffset(wall, s.space(), timezone)
	if !ok || t.Year() < 1900 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t, true
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// dropComment takes off a comment at the end: "+0100 (CET)".
func dropComment(text string) string {
	if open := strings.LastIndexByte(text, '('); open > 0 && strings.HasSuffix(text, ")") {
		return strings.TrimSpace(text[:open])
	}
	return text
}

// timeScanner reads a date-time from left to right; bad stays once something was not as it should be.
type timeScanner struct {
	rest string
	bad  bool
}

// space skips white space and gives what is left.
func (s *timeScanner) space() string {
	i := 0
	for i < len(s.rest) && (s.rest[i] == ' ' || s.rest[i] == '\t' || s.rest[i] == '\r' || s.rest[i] == '\n') {
		i++
	}
	s.rest = s.rest[i:]
	return s.rest
}

func (s *timeScanner) dayName() {
	if i := strings.IndexByte(s.rest, ','); i >= 0 {
		s.bad = i != 3
		s.rest = s.rest[i+1:]
	}
}

// number reads a number of so many digits.
func (s *timeScanner) number(least, most int) int {
	s.space()
	n, digits := 0, 0
	for digits < len(s.rest) && s.rest[digits] >= '0' && s.rest[digits] <= '9' && digits <= most {
		n = n*10 + int(s.rest[digits]-'0')
		digits++
	}
	s.bad = s.bad || digits < least || digits > most
	s.rest = s.rest[digits:]
	return n
}

// after reads two digits that stand behind a separator.
func (s *timeScanner) after(separator byte) int {
	if s.space() == "" || s.rest[0] != separator {
		s.bad = true
		return 0
	}
	s.rest = s.rest[1:]
	return s.number(2, 2)
}

func (s *timeScanner) month() time.Month {
	if len(s.space()) < 3 {
		s.bad = true
		return 0
	}
	month := monthNamed(s.rest[0]|0x20, s.rest[1]|0x20, s.rest[2]|0x20)
	s.bad = s.bad || month == 0
	s.rest = s.rest[3:]
	return month
}

// monthNamed gives a month by the three lower-case letters of its name; 0 for none.
func monthNamed(a, b, c byte) time.Month {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	for i := 0; i < len(names); i += 3 {
		if names[i] == a && names[i+1] == b && names[i+2] == c {
			return time.Month(i/3 + 1)
		}
	}
	return 0
}

// year reads the years of RFC 2822: 00 to 49 are of this century, other two and three digits count from 1900.
func (s *timeScanner) year() int {
	s.space()
	length := len(s.rest)
	n := s.number(2, 4)
	switch digits := length - len(s.rest); {
	case digits == 2 && n < 50:
		return n + 2000
	case digits == 2 || digits == 3:
		return n + 1900
	default:
		return n
	}
}

// zoneName gives an obsolete zone of RFC 2822, in minutes east of UTC; other names are unknown zones there.
func zoneName(name string) (minutes int, ok bool) {
	switch strings.ToUpper(name) {
	case "UT", "UTC", "GMT", "Z":
		return 0, true
	case "EDT":
		return -4 * 60, true
	case "EST", "CDT":
		return -5 * 60, true
	case "CST", "MDT":
		return -6 * 60, true
	case "MST", "PDT":
		return -7 * 60, true
	case "PST":
		return -8 * 60, true
	default:
		return 0, false
	}
}

// atOffset gives the instant of a wall clock's time under the text of its zone.
func atOffset(wall time.Time, zone, timezone string) (time.Time, bool) {
	if zone == "" {
		loc, err := time.LoadLocation(timezone)
		if err != nil {
			return time.Time{}, false
		}
		return earliest(wall, loc)
	}
	minutes, ok := zoneName(zone)
	if !ok {
		minutes, ok = numericZone(zone)
	}
	return wall.Add(-time.Duration(minutes) * time.Minute), ok
}

// numericZone reads +hhmm or -hhmm in minutes.
func numericZone(zone string) (minutes int, ok bool) {
	if len(zone) != 5 || (zone[0] != '+' && zone[0] != '-') {
		return 0, false
	}
	for i := 1; i < 5; i++ {
		if zone[i] < '0' || zone[i] > '9' {
			return 0, false
		}
	}
	hours, rest := int(zone[1]-'0')*10+int(zone[2]-'0'), int(zone[3]-'0')*10+int(zone[4]-'0')
	minutes = hours*60 + rest
	if zone[0] == '-' {
		minutes = -minutes
	}
	return minutes, hours < 24 && rest < 60
}

// earliest gives the first instant at which clocks in loc showed the wall's time; false if they skipped it.
func earliest(wall time.Time, loc *time.Location) (time.Time, bool) {
	var found time.Time
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(loc).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		_, shown := t.In(loc).Zone()
		if shown == offset && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	return found, !found.IsZero()
}
