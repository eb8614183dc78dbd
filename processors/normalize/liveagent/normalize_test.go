package liveagent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/liveagent"
	"github.com/parley-stream/parley/processors/processortest"
)

const (
	xmlRow = `<conversation>
   <conversationid>q7w3e5r1</conversationid>
   <code>QWE-R7T-YU1</code>
   <datecreated>2026-03-07 09:15:00</datecreated>
   <datechanged>2026-03-07 09:44:10</datechanged>
   <departmentname>Returns &amp; refunds</departmentname>
   <departmentid>r3t5u7n9</departmentid>
   <status>R</status>
   <ownername>Ingrid Solberg</ownername>
   <owneremail>ingrid@visitor.example</owneremail>
   <subject>Parcel &lt;late&gt;</subject>
   <preview>where is it?</preview>
   <publicurlcode>zX81mN40PqRs7T25</publicurlcode>
  </conversation>`
	xmlDetail = `<?xml version='1.0' encoding='utf-8'?>
<response>
 <conversationid>q7w3e5r1</conversationid>
 <code>QWE-R7T-YU1</code>
 <datecreated>2026-03-07 09:15:00</datecreated>
 <datechanged>2026-03-07 09:44:10</datechanged>
 <departmentname>Returns &amp; refunds</departmentname>
 <departmentid>r3t5u7n9</departmentid>
 <status>R</status>
 <ownername>Ingrid Solberg</ownername>
 <owneremail>ingrid@visitor.example</owneremail>
 <subject>Parcel &lt;late&gt;</subject>
 <ownernote>
 </ownernote>
 <preview>where is it?</preview>
 <publicurlcode>zX81mN40PqRs7T25</publicurlcode>
 <assignedto>ag000002</assignedto>
 <channel_type>C</channel_type>
 <customfields>
  <customfield>
   <code>order_no</code>
   <value>5501</value>
  </customfield>
  <customfield>
   <code>order_no</code>
   <value>5502</value>
  </customfield>
  <customfield>
   <code>plan</code>
   <value>gold</value>
  </customfield>
  <customfield>
   <code>unset</code>
   <value>
   </value>
  </customfield>
 </customfields>
</response>`
	xmlMessages = `<?xml version='1.0' encoding='utf-8'?>
<response>
 <groups>
  <group>
   <messagegroupid>gr000001</messagegroupid>
   <userid>vi000009</userid>
   <rtype>C</rtype>
   <rstatus>V</rstatus>
   <datecreated>2026-03-07 09:15:00</datecreated>
   <datefinished>2026-03-07 09:31:40</datefinished>
   <messages>
    <message>
     <messageid>me000001</messageid>
     <userid>vi000009</userid>
     <rtype>M</rtype>
     <datecreated>2026-03-07 09:15:00</datecreated>
     <message>Where is my parcel?
It is &quot;late&quot; &amp; I wait.</message>
    </message>
    <message>
     <messageid>me000002</messageid>
     <userid>ag000001</userid>
     <rtype>M</rtype>
     <datecreated>2026-03-07 09:16:30</datecreated>
     <message>Let me look.</message>
    </message>
   </messages>
  </group>
  <group>
   <userid>ag000001</userid>
   <rtype>T</rtype>
   <rstatus>V</rstatus>
   <datecreated>2026-03-07 09:20:00</datecreated>
   <datefinished>2026-03-07 09:20:00</datefinished>
   <messages>
    <message>
     <messageid>me000003</messageid>
     <userid>ag000001</userid>
     <rtype>R</rtype>
     <datecreated>2026-03-07 09:20:00</datecreated>
     <message>
     </message>
    </message>
   </messages>
  </group>
  <group>
   <messagegroupid>gr000003</messagegroupid>
   <userid>ag000002</userid>
   <rtype>I</rtype>
   <rstatus>V</rstatus>
   <datecreated>2026-03-07 09:33:00</datecreated>
   <datefinished>2026-03-07 09:44:10</datefinished>
   <messages>
    <message>
     <messageid>me000004</messageid>
     <userid>ag000002</userid>
     <rtype>N</rtype>
     <datecreated>2026-03-07 09:33:00</datecreated>
     <message>refund agreed</message>
    </message>
    <message>
     <messageid>me000005</messageid>
     <userid>vi000009</userid>
     <rtype>W</rtype>
     <datecreated>2026-03-07 09:44:00</datecreated>
     <message>
     </message>
    </message>
    <message>
     <messageid>me000006</messageid>
     <userid>vi000009</userid>
     <rtype>C</rtype>
     <datecreated>2026-03-07 09:44:10</datecreated>
     <message>quick and kind</message>
    </message>
    <message>
     <messageid>me000007</messageid>
     <userid>ex000001</userid>
     <rtype>7</rtype>
     <datecreated>2026-03-07 09:44:10</datecreated>
     <message>of a type to come</message>
    </message>
   </messages>
  </group>
 </groups>
</response>`
	xmlTags = `<?xml version='1.0' encoding='utf-8'?>
<response>
 <tags>
  <tag>
   <id>t9g8</id>
   <name>refund</name>
  </tag>
  <tag>
   <id>t7g6</id>
   <name>Très bien</name>
  </tag>
 </tags>
</response>`
)

const (
	jsonRow = `{"conversationid":"q7w3e5r1","code":"QWE-R7T-YU1","datecreated":"2026-03-07 09:15:00","datechanged":"2026-03-07 09:44:10",
"departmentname":"Returns & refunds","departmentid":"r3t5u7n9","status":"R","ownername":"Ingrid Solberg","owneremail":"ingrid@visitor.example",
"subject":"Parcel <late>","preview":"where is it?","publicurlcode":"zX81mN40PqRs7T25"}`
	jsonDetail = `{"response":{"conversationid":"q7w3e5r1","code":"QWE-R7T-YU1","datecreated":"2026-03-07 09:15:00","datechanged":"2026-03-07 09:44:10",
"departmentname":"Returns & refunds","departmentid":"r3t5u7n9","status":"R","ownername":"Ingrid Solberg","owneremail":"ingrid@visitor.example",
"subject":"Parcel <late>","ownernote":null,"preview":"where is it?","publicurlcode":"zX81mN40PqRs7T25","assignedto":"ag000002","channel_type":"C",
"customfields":[{"code":"order_no","value":5501},{"code":"order_no","value":"5502"},{"code":"plan","value":"gold"},{"code":"unset","value":null}]}}`
	jsonMessages = `{"response":{"groups":[
{"messagegroupid":"gr000001","userid":"vi000009","rtype":"C","rstatus":"V","datecreated":"2026-03-07 09:15:00","datefinished":"2026-03-07 09:31:40","messages":[
 {"messageid":"me000001","userid":"vi000009","rtype":"M","datecreated":"2026-03-07 09:15:00","message":"Where is my parcel?\nIt is \"late\" & I wait."},
 {"messageid":"me000002","userid":"ag000001","rtype":"M","datecreated":"2026-03-07 09:16:30","message":"Let me look."}]},
{"userid":"ag000001","rtype":"T","rstatus":"V","datecreated":"2026-03-07 09:20:00","datefinished":"2026-03-07 09:20:00","messages":[
 {"messageid":"me000003","userid":"ag000001","rtype":"R","datecreated":"2026-03-07 09:20:00","message":""}]},
{"messagegroupid":"gr000003","userid":"ag000002","rtype":"I","rstatus":"V","datecreated":"2026-03-07 09:33:00","datefinished":"2026-03-07 09:44:10","messages":[
 {"messageid":"me000004","userid":"ag000002","rtype":"N","datecreated":"2026-03-07 09:33:00","message":"refund agreed"},
 {"messageid":"me000005","userid":"vi000009","rtype":"W","datecreated":"2026-03-07 09:44:00","message":null},
 {"messageid":"me000006","userid":"vi000009","rtype":"C","datecreated":"2026-03-07 09:44:10","message":"quick and kind"},
 {"messageid":"me000007","userid":"ex000001","rtype":7,"datecreated":"2026-03-07 09:44:10","message":"of a type to come"}]}]}}`
	jsonTags = `{"response":{"tags":[{"id":"t9g8","name":"refund"},{"id":"t7g6","name":"Tr\u00e8s bien"}]}}`
)

const zone = "America/Los_Angeles"

// record has parts of one content type: the row, and then name and body in turn.
func record(contentType, row string, parts ...string) *events.Record {
	all := []string{"", contentType, row}
	for i := 0; i < len(parts); i += 2 {
		all = append(all, parts[i], contentType, parts[i+1])
	}
	return processortest.Record("liveagent", "conversations", "q7w3e5r1", zone, all...)
}

func inXML() *events.Record {
	return record(events.ContentXML, xmlRow, "detail", xmlDetail, "messages", xmlMessages, "tags", xmlTags)
}

func inJSON() *events.Record {
	return record(events.ContentJSON, jsonRow, "detail", jsonDetail, "messages", jsonMessages, "tags", jsonTags)
}

func TestTheDocumentedConversationInXML(t *testing.T) {
	processortest.Golden(t, liveagent.Normalize, "conversation", inXML())
}

func TestTheSameConversationInJSONHasTheSameContent(t *testing.T) {
	processortest.Golden(t, liveagent.Normalize, "conversation", inJSON())
}

func normalize(t *testing.T, r *events.Record) *events.Conversation {
	t.Helper()
	entity, err := liveagent.Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	processortest.Check(t, liveagent.Normalize, r, entity)
	return entity.(*events.Conversation)
}

// small is a conversation of a row with these members added.
func small(members string) *events.Record {
	return record(events.ContentJSON, `{"conversationid":"q7w3e5r1"`+members+`}`)
}

func TestStatusLetters(t *testing.T) {
	letters := map[string][2]string{ // status, channel
		"A": {"answered"}, "P": {"open", "call"}, "T": {"open", "chat"}, "X": {"deleted"}, "B": {"spam"}, "I": {"new"},
		"C": {"open"}, "R": {"resolved"}, "N": {"new"}, "W": {"postponed"}, "L": {""}, "€": {""},
	}
	for letter, want := range letters {
		c := normalize(t, small(`,"status":"`+letter+`"`))
		if c.VendorStatus != letter || c.Status != want[0] || c.Channel != want[1] {
			t.Errorf("%s: vendor_status %q, status %q, channel %q; want %v", letter, c.VendorStatus, c.Status, c.Channel, want)
		}
	}
}

// withGroups is a conversation with these groups.
func withGroups(groups, members string) *events.Record {
	return record(events.ContentJSON, `{"conversationid":"q7w3e5r1"`+members+`}`, "messages", `{"response":{"groups":[`+groups+`]}}`)
}

func TestTheEarliestGroupDecidesTheChannel(t *testing.T) {
	letters := map[string]string{
		"C": "chat", "S": "chat", "P": "call", "V": "call", "1": "call", "F": "social", "W": "social", "Y": "social",
		"M": "offline_message", "I": "ticket", "R": "ticket", "9": "ticket",
	}
	for letter, want := range letters {
		later := `{"rtype":"Q","datecreated":"2026-03-07 10:00:00"},`
		c := normalize(t, withGroups(later+`{"rtype":"`+letter+`","datecreated":"2026-03-07 09:00:00"}`, `,"status":"T"`))
		if c.Channel != want {
			t.Errorf("%s: channel %q, want %q", letter, c.Channel, want)
		}
	}
	if c := normalize(t, withGroups(`{"rtype":"M"},{"rtype":"C"}`, "")); c.Channel != "offline_message" {
		t.Errorf("without times: channel %q, want that of the first group", c.Channel)
	}
	if c := normalize(t, withGroups("", "")); c.Channel != "" {
		t.Errorf("without groups: channel %q, want none", c.Channel)
	}
}

func TestAuthorsAreToldFromTheConversation(t *testing.T) {
	line := func(userid, rtype string) string {
		return fmt.Sprintf(`{"userid":%q,"rtype":%q,"message":"x"}`, userid, rtype)
	}
	group := func(userid, rtype string, lines ...string) string {
		return fmt.Sprintf(`{"userid":%q,"rtype":%q,"messages":[%s]}`, userid, rtype, strings.Join(lines, ","))
	}
	cases := map[string]struct {
		assigned, groups string
		want             []string
	}{
		"a chat's starter, and who answers him":    {"", group("v", "C", line("v", "M"), line("a", "M"), line("v", "M")), []string{"visitor", "agent", "visitor"}},
		"the assigned agent":                       {"a", group("", "M", line("a", "M"), line("b", "M")), []string{"agent", ""}},
		"an offline message, others unknown":       {"", group("v", "M", line("v", "M"), line("b", "Q")), []string{"visitor", ""}},
		"a chat that its agent began":              {"a", group("a", "C", line("a", "M"), line("b", "M")), []string{"agent", ""}},
		"a group whose creator did not write":      {"", group("u", "M", line("w", "M")), []string{""}},
		"a note tells an agent":                    {"", group("v", "M", line("v", "M")) + "," + group("x", "9", line("b", "N"), line("b", "M")), []string{"visitor", "agent", "agent"}},
		"system types whoever they are of":         {"a", group("v", "C", line("a", "S"), line("a", "T"), line("a", "G"), line("a", "R"), line("a", "X")), []string{"system", "system", "system", "system", "system"}},
		"a note of the system":                     {"", group("v", "M", line("System", "N"), line("v", "M")), []string{"system", "visitor"}},
		"a ranking, by whomever":                   {"", group("", "9", line("z", "P"), line("z", "W"), line("z", "C")), []string{"visitor", "visitor", "visitor"}},
		"an unknown type, by the userid":           {"a", group("v", "C", line("v", "M"), line("a", "7")), []string{"visitor", "agent"}},
		"a start info is no opening":               {"", group("s", "S", line("s", "S")) + "," + group("v", "C", line("v", "M")), []string{"system", "visitor"}},
		"a ticket's opener is not known as anyone": {"", group("v", "9", line("v", "M")), []string{""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range normalize(t, withGroups(c.groups, `,"assignedto":"`+c.assigned+`"`)).Messages {
				kind := ""
				if m.Author != nil {
					kind = m.Author.Type
				}
				got = append(got, kind)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestMessageTypesAreTheDocumentsWords(t *testing.T) {
	words := map[string]string{
		"D": "call", "E": "end", "F": "file", "Z": "formfield", "H": "header", "I": "internal", "M": "message", "B": "splitted",
		"X": "mixed_message", "N": "note", "L": "note_file", "Q": "quoted_text", "C": "ranking_comment", "P": "ranking_rebuke",
		"W": "ranking_reward", "J": "statis", "S": "system", "G": "tag", "O": "footer", "A": "header", "T": "title",
		"R": "transfer", "U": "useragent", "V": "voice", "7": "",
	}
	for letter, want := range words {
		m := normalize(t, withGroups(`{"messages":[{"rtype":"`+letter+`"}]}`, "")).Messages[0]
		if m.Type != want || m.VendorType != letter {
			t.Errorf("%s: type %q, vendor_type %q; want %q", letter, m.Type, m.VendorType, want)
		}
	}
}

func TestTheLastRankingIsTheRating(t *testing.T) {
	c := normalize(t, withGroups(`{"messages":[{"rtype":"W"},{"rtype":"C","message":"fine"},{"rtype":"P"}]}`, ""))
	if c.Rating == nil || c.Rating.Value != "bad" || c.Rating.Comment != "fine" {
		t.Errorf("rating %+v", c.Rating)
	}
}

func TestTimes(t *testing.T) {
	cases := map[string]struct {
		text, want string
		kept       bool
	}{
		"winter":                       {"2026-01-15 08:00:00", "2026-01-15T16:00:00Z", false},
		"summer":                       {"2026-07-15 08:00:00", "2026-07-15T15:00:00Z", false},
		"the American form":            {"01/15/2026 08:00:00", "2026-01-15T16:00:00Z", false},
		"white space around":           {"\n 2026-01-15 08:00:00\t", "2026-01-15T16:00:00Z", false},
		"twice: the earlier":           {"2026-11-01 01:30:00", "2026-11-01T08:30:00Z", true},
		"the first second twice":       {"2026-11-01 01:00:00", "2026-11-01T08:00:00Z", true},
		"the first second after twice": {"2026-11-01 02:00:00", "2026-11-01T10:00:00Z", false},
		"the last before the gap":      {"2026-03-08 01:59:59", "2026-03-08T09:59:59Z", false},
		"in the gap":                   {"2026-03-08 02:30:00", "", true},
		"after the gap":                {"2026-03-08 03:00:00", "2026-03-08T10:00:00Z", false},
		"a date":                       {"01/15/2026", "", true},
		"now":                          {"now", "", true},
		"a duration":                   {"-01:56:53", "", true},
		"another order":                {"15-01-2026 08:00:00", "", true},
		"MySQL's zero":                 {"0000-00-00 00:00:00", "", true},
		"a leap second":                {"2016-12-31 23:59:60", "", true},
		"an hour of one digit":         {"01/15/2026  8:00:00", "", true},
		"fractions":                    {"2026-01-15 08:00:00.5", "", true},
		"beyond what JSON takes":       {"9999-12-31 23:59:59", "", true},
		"long ago":                     {"1900-01-01 00:00:00", "1900-01-01T08:00:00Z", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			text, _ := json.Marshal(c.text)
			got := normalize(t, small(`,"datecreated":`+string(text)))
			at := ""
			if !got.CreatedAt.IsZero() {
				at = got.CreatedAt.Format(time.RFC3339)
			}
			if _, kept := got.Attributes["datecreated"]; at != c.want || kept != c.kept {
				t.Errorf("created_at %q, text kept: %v; want %q, %v", at, kept, c.want, c.kept)
			}
			m := normalize(t, withGroups(`{"messages":[{"datecreated":`+string(text)+`}]}`, "")).Messages[0]
			if _, kept := m.Attributes["datecreated"]; m.At != got.CreatedAt || kept != c.kept {
				t.Errorf("message: at %v, text kept: %v", m.At, kept)
			}
		})
	}
}

func TestTimesOfOtherZones(t *testing.T) {
	cases := map[string]struct{ zone, text, want string }{
		"half an hour back, twice": {"Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04T14:45:00Z"},
		"no zone is the default":   {"", "2026-01-15 08:00:00", "2026-01-15T16:00:00Z"},
		"a zone without changes":   {"UTC", "2026-01-15 08:00:00", "2026-01-15T08:00:00Z"},
	}
	for name, c := range cases {
		r := small(`,"datechanged":"` + c.text + `"`)
		r.Timezone = c.zone
		if got := normalize(t, r).UpdatedAt.Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	r := small("")
	r.Timezone = "Nowhere/Land"
	processortest.Malformed(t, liveagent.Normalize, r, "time zone")
}

func TestNothingIsLost(t *testing.T) {
	r := record(events.ContentJSON, `{"conversationid":"q7w3e5r1","datedue":"2026-03-09","only_row":1,"tags":"t1,t2"}`,
		"detail", `{"response":{"conversationid":"q7w3e5r1","subject":{"a":"odd"},"x":[1,{"y":null}],"customfields":[{"code":"c","value":"v","name":"C"},{"value":"no code"},7]},"meta":{"took":3}}`,
		"messages", `{"response":{"groups":["odd",{"rtype":"M","flag":true,"messages":["stray",{"message":{"html":"<b>"},"extra":1.50}]}],"more":"yes"}}`,
		"tags", `{"response":{"tags":[{"id":5,"name":"a","colour":"red"},"loose"]}}`)
	got := normalize(t, r)
	content, _ := json.Marshal(map[string]any{"attributes": got.Attributes, "message": got.Messages[0].Attributes, "custom": got.CustomFields})
	want := `{"attributes":{"conversation":{"tags":"t1,t2"},` +
		`"customfields":[7,{"code":"c","name":"C","value":"v"},{"value":"no code"}],` +
		`"datedue":"2026-03-09","groups":[{"flag":true,"messages":["stray"],"rtype":"M"}],"messages":{"groups":["odd"]},"meta":{"took":3},"more":"yes","only_row":1,` +
		`"subject":{"a":"odd"},"tags":[{"colour":"red","id":5,"name":"a"}],"tags+":{"tags":["loose"]},"x":[1,{"y":null}]},` +
		`"custom":{"c":"v"},"message":{"extra":1.50,"message":{"html":"\u003cb\u003e"},"messagegroup":0}}`
	if diff := cmp.Diff(indent(want), indent(string(content))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func indent(s string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(s), "", " "); err != nil {
		return s
	}
	return b.String()
}

func TestWhatIsNoTextIsReplacedAndSaid(t *testing.T) {
	const bad = "\uFFFD"
	cases := map[string]struct {
		record             *events.Record
		subject            string
		invalid, forbidden bool
	}{
		"a byte in JSON":            {small(",\"subject\":\"a\xffb\""), "a" + bad + "b", true, false},
		"half a pair in JSON":       {small(`,"subject":"a\ud83db"`), "a" + bad + "b", true, false},
		"a pair in JSON":            {small(`,"subject":"\ud83d\ude00 \\ud83d"`), "😀 \\ud83d", false, false},
		"a replacement in JSON":     {small(`,"subject":"�\ufffd"`), bad + bad, false, false},
		"a byte in XML":             {record(events.ContentXML, "<conversation><conversationid>q7w3e5r1</conversationid><subject>a\xffb</subject></conversation>"), "a" + bad + "b", true, false},
		"a control character":       {record(events.ContentXML, "<conversation><conversationid>q7w3e5r1</conversationid><subject>a\x0bb</subject></conversation>"), "a" + bad + "b", false, true},
		"a reference to one":        {record(events.ContentXML, "<conversation><conversationid>q7w3e5r1</conversationid><subject>a&#11;&#xB;b&#65;</subject></conversation>"), "a" + bad + bad + "bA", false, true},
		"a CDATA section":           {record(events.ContentXML, "<conversation><conversationid>q7w3e5r1</conversationid><subject>a<![CDATA[<&>]]>b</subject></conversation>"), "a<&>b", false, false},
		"a byte order mark in JSON": {record(events.ContentJSON, "\ufeff"+`{"conversationid":"q7w3e5r1","subject":"s"}`), "s", false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := normalize(t, c.record)
			if got.Subject != c.subject || (got.Attributes["invalid_utf8"] == true) != c.invalid || (got.Attributes["invalid_xml_characters"] == true) != c.forbidden {
				t.Errorf("subject %q, attributes %v", got.Subject, got.Attributes)
			}
		})
	}
}

func TestMalformedRecordsAreRefused(t *testing.T) {
	ok := `{"conversationid":"q7w3e5r1"}`
	deep := strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)
	large := small("")
	large.Parts[0].Body.Size = events.MaxRecordBytes + 1
	other := small("")
	other.Stream = "visitors"
	cases := map[string]struct {
		record *events.Record
		want   string
	}{
		"no id":                     {record(events.ContentJSON, `{"code":"x"}`), "conversationid"},
		"an id of white space":      {record(events.ContentJSON, `{"conversationid":" "}`), "conversationid"},
		"an id that is an object":   {record(events.ContentJSON, `{"conversationid":{}}`), "conversationid"},
		"another id":                {record(events.ContentJSON, `{"conversationid":"other"}`), "conversationid"},
		"another detail":            {record(events.ContentJSON, ok, "detail", `{"response":{"conversationid":"other"}}`), "conversationid"},
		"no row":                    {processortest.Record("liveagent", "conversations", "q7w3e5r1", zone), "part"},
		"an unknown part":           {record(events.ContentJSON, ok, "novelty", `{"response":{}}`), "novelty"},
		"a bad escape":              {record(events.ContentJSON, ok, "detail", `{"response":{"conversationid":"q7w3e5r1","subject":"\q"}}`), "detail"},
		"an undecodable message":    {record(events.ContentJSON, ok, "messages", `{"response":{"groups":[immediate]}}`), "messages"},
		"no response":               {record(events.ContentJSON, ok, "tags", `{"tags":[]}`), "response"},
		"an array":                  {record(events.ContentJSON, `[]`), "object"},
		"something behind":          {record(events.ContentJSON, ok+"{}"), "follows"},
		"too deep":                  {record(events.ContentJSON, `{"conversationid":"q7w3e5r1","a":`+deep+`}`), "deeper"},
		"too deep in XML":           {record(events.ContentXML, strings.Repeat("<a>", 300)+strings.Repeat("</a>", 300)), "deeper"},
		"an unknown entity":         {record(events.ContentXML, `<conversation><conversationid>q7w3e5r1</conversationid>&nosuch;</conversation>`), "entity"},
		"a DOCTYPE":                 {record(events.ContentXML, `<!DOCTYPE a [<!ENTITY b "c">]><conversation/>`), "DOCTYPE"},
		"another root":              {record(events.ContentXML, `<chat><conversationid>q7w3e5r1</conversationid></chat>`), "chat"},
		"text for a root":           {record(events.ContentXML, `<conversation>x</conversation>`), "text"},
		"two roots":                 {record(events.ContentXML, `<conversation/><conversation/>`), "root"},
		"an element without an end": {record(events.ContentXML, `<conversation><conversationid>q7w3e5r1</conversation>`), "conversationid"},
		"CSV":                       {record(events.ContentCSV, `a,b`), "content type"},
		"a part too large to keep":  {large, "too large"},
		"another stream":            {other, "visitors"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, liveagent.Normalize, c.record, c.want) })
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{jsonRow, jsonDetail, jsonMessages, jsonTags, `{"response":{"groups":{}}}`, `{"response":{"conversationid":"q7w3e5r1","datecreated":"2026-11-01 01:30:00","n":1e999}}`} {
		for part := range 4 {
			f.Add(part, []byte(seed))
		}
	}
	fuzz(f, inJSON)
}

func FuzzXML(f *testing.F) {
	for _, seed := range []string{xmlRow, xmlDetail, xmlMessages, xmlTags, "<response><tags>x<tag/></tags></response>", "<response a='1'>&#1;</response>"} {
		for part := range 4 {
			f.Add(part, []byte(seed))
		}
	}
	fuzz(f, inXML)
}

// fuzz varies one part of a record.
func fuzz(f *testing.F, whole func() *events.Record) {
	f.Fuzz(func(t *testing.T, part int, body []byte) {
		r := whole()
		if part < 0 || part >= len(r.Parts) {
			return
		}
		r.Parts[part].Body.Bytes = body
		if entity, err := liveagent.Normalize(r); err == nil {
			processortest.Check(t, liveagent.Normalize, r, entity)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-11-01 01:30:00", "2026-03-08 02:30:00", "01/15/2026 08:00:00", "now", "-01:56:53", "0001-01-01 00:00:00", "9999-12-31 23:59:59"} {
		for _, z := range []string{zone, "Australia/Lord_Howe", "UTC", "Africa/Monrovia", ""} {
			f.Add(seed, z)
		}
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		quoted, err := json.Marshal(text)
		if err != nil || strings.TrimSpace(text) == "" {
			return
		}
		r := small(`,"datecreated":` + string(quoted))
		r.Timezone = name
		entity, err := liveagent.Normalize(r)
		if err != nil {
			return // no such zone
		}
		processortest.Check(t, liveagent.Normalize, r, entity)
		c := entity.(*events.Conversation)
		if _, kept := c.Attributes["datecreated"]; !kept && c.CreatedAt.IsZero() {
			t.Errorf("%q in %q is lost", text, name)
		}
		if name == "" {
			name = zone // the default
		}
		if loc, err := time.LoadLocation(name); err == nil && !c.CreatedAt.IsZero() {
			shown := c.CreatedAt.In(loc)
			if trimmed := strings.TrimSpace(text); shown.Format(time.DateTime) != trimmed && shown.Format("01/02/2006 15:04:05") != trimmed {
				t.Errorf("%q in %q is read as %s", text, name, shown)
			}
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	for name, r := range map[string]*events.Record{"json": inJSON(), "xml": inXML()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := liveagent.Normalize(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
