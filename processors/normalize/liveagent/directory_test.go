package liveagent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/liveagent"
	"github.com/parley-stream/parley/processors/processortest"
)

// sample is a documented example's shape with invented values: each part's name, its JSON and its XML.
type sample struct {
	stream, key string
	parts       [][3]string
}

// samples are by the names of their goldens.
var samples = map[string]sample{
	"agent": {"agents", "uq83kd02", [][3]string{{
		"detail",
		`{"response":{"contactid":"cq11aa22","userid":"uq83kd02","email":"runa@agent.example","firstname":"Runa","lastname":"Lie","systemname":"runa-1","gender":"F","role":"D","phone":null}}`,
		`<?xml version='1.0' encoding='utf-8'?>
<response>
 <contactid>cq11aa22</contactid>
 <userid>uq83kd02</userid>
 <email>runa@agent.example</email>
 <firstname>Runa</firstname>
 <lastname>Lie</lastname>
 <systemname>runa-1</systemname>
 <gender>F</gender>
 <role>D</role>
 <phone>
 </phone>
</response>`,
	}}},
	"application": {"application/status", "application", [][3]string{{
		"detail",
		`{"response":{"liveagentversion":"4.17.3.1","gpfversion":"1.9.9.9","dateinstalled":"2019-02-03 10:20:30","datelatestupdate":"2020-07-08 11:12:13","current_server_time":"2026-03-07 09:15:00"}}`,
		`<response>
 <liveagentversion>4.17.3.1</liveagentversion>
 <gpfversion>1.9.9.9</gpfversion>
 <dateinstalled>2019-02-03 10:20:30</dateinstalled>
 <datelatestupdate>2020-07-08 11:12:13</datelatestupdate>
 <current_server_time>2026-03-07 09:15:00</current_server_time>
</response>`,
	}}},
	"contact": {"customers", "cq55bb66", [][3]string{{
		"",
		`{"contactid":"cq55bb66","email":"old@visitor.example","firstname":"Ola","lastname":"Vik","systemname":"ola-2","userid":"uq55bb66","datecreated":"2026-02-01 12:00:00","role":"V","gender":"M"}`,
		`<customer>
   <contactid>cq55bb66</contactid>
   <email>old@visitor.example</email>
   <firstname>Ola</firstname>
   <lastname>Vik</lastname>
   <systemname>ola-2</systemname>
   <userid>uq55bb66</userid>
   <datecreated>2026-02-01 12:00:00</datecreated>
   <role>V</role>
   <gender>M</gender>
  </customer>`,
	}, {
		"detail",
		`{"response":{"contactid":"cq55bb66","email":"ola@visitor.example","firstname":"Ola","lastname":"Vik","systemname":"ola-2","role":"R","gender":"X","userid":"uq55bb66","datecreated":"2026-02-01 12:00:00","customfields":[{"code":"plan","value":"gold"},{"code":"order","value":17},{"code":"order","value":"18"}]}}`,
		`<response>
 <contactid>cq55bb66</contactid>
 <email>ola@visitor.example</email>
 <firstname>Ola</firstname>
 <lastname>Vik</lastname>
 <systemname>ola-2</systemname>
 <role>R</role>
 <gender>X</gender>
 <userid>uq55bb66</userid>
 <datecreated>2026-02-01 12:00:00</datecreated>
 <customfields>
  <customfield>
   <code>plan</code>
   <value>gold</value>
  </customfield>
  <customfield>
   <code>order</code>
   <value>17</value>
  </customfield>
  <customfield>
   <code>order</code>
   <value>18</value>
  </customfield>
 </customfields>
</response>`,
	}, {
		"groups",
		`{"response":{"groups":[{"groupid":"g9","groupname":"Premium"},{"groupid":"g1","groupname":"VIP","since":"May"}]}}`,
		`<response>
 <groups>
  <group>
   <groupid>g9</groupid>
   <groupname>Premium</groupname>
  </group>
  <group>
   <groupid>g1</groupid>
   <groupname>VIP</groupname>
   <since>May</since>
  </group>
 </groups>
</response>`,
	}}},
	"group": {"customersgroups", "g1", [][3]string{
		{"", `{"id":"g1","name":"VIP"}`, "<group>\n   <id>g1</id>\n   <name>VIP</name>\n  </group>"},
		{
			"detail", `{"response":{"id":"g1","name":"VIP","color":"FAFAFA","bg_color":"0A0A0A"}}`,
			"<response>\n <id>g1</id>\n <name>VIP</name>\n <color>FAFAFA</color>\n <bg_color>0A0A0A</bg_color>\n</response>",
		},
	}},
	"department": {"departments", "dq77", [][3]string{{
		"",
		`{"departmentid":"dq77","name":"Returns","description":"After an order","onlinestatus":"R","presetstatus":"MRT","deleted":"N"}`,
		`<department>
   <departmentid>dq77</departmentid>
   <name>Returns</name>
   <description>After an order</description>
   <onlinestatus>R</onlinestatus>
   <presetstatus>MRT</presetstatus>
   <deleted>N</deleted>
  </department>`,
	}, {
		"detail",
		`{"response":{"departmentid":"dq77","name":"Returns","description":"After an order","onlinestatus":"RX","presetstatus":"MRT","deleted":"N"}}`,
		`<response>
 <departmentid>dq77</departmentid>
 <name>Returns</name>
 <description>After an order</description>
 <onlinestatus>RX</onlinestatus>
 <presetstatus>MRT</presetstatus>
 <deleted>N</deleted>
</response>`,
	}, {
		"agents",
		`{"response":{"agents":[{"userid":"uq9","firstname":"Siv","lastname":null,"email":"siv@agent.example","onlinestatus":"F","presetstatus":"M"},{"userid":"uq1","firstname":"Runa","lastname":"Lie","email":"runa@agent.example","onlinestatus":"TM","presetstatus":"TPM"}]}}`,
		`<response>
 <agents>
  <agent>
   <userid>uq9</userid>
   <firstname>Siv</firstname>
   <lastname>
   </lastname>
   <email>siv@agent.example</email>
   <onlinestatus>F</onlinestatus>
   <presetstatus>M</presetstatus>
  </agent>
  <agent>
   <userid>uq1</userid>
   <firstname>Runa</firstname>
   <lastname>Lie</lastname>
   <email>runa@agent.example</email>
   <onlinestatus>TM</onlinestatus>
   <presetstatus>TPM</presetstatus>
  </agent>
 </agents>
</response>`,
	}}},
	"article": {"knowledgebase/articles", "knowledgebase/articles/417", [][3]string{{
		"",
		`{"kb_entry_id":"417","parent_entry_id":"41","rtype":"A","rstatus":"P","access":"P","access_inherited":"I","urlcode":"731946","treepath":"0|41|","rorder":"3","title":"How to return shoes","metadescription":null,"keywords":"shoes, returns","content":"<p>Put them in the box & send it<\/p>","conversationid":"q7w3e5r1","departmentid":"dq77","views":1244,"votes":"0","datecreated":"2025-08-02 12:24:51","datechanged":"2025-12-22 16:33:40","deleted":"N","description":null,"url":"\/\/help.example\/731946"}`,
		`<article>
   <kb_entry_id>417</kb_entry_id>
   <parent_entry_id>41</parent_entry_id>
    <rtype>A</rtype>
    <rstatus>P</rstatus>
    <access>P</access>
    <access_inherited>I</access_inherited>
    <urlcode>731946</urlcode>
    <treepath>0|41|</treepath>
    <rorder>3</rorder>
    <title>How to return shoes</title>
    <metadescription>
    </metadescription>
    <keywords>shoes, returns</keywords>
    <content>
     <![CDATA[<p>Put them in the box & send it</p>]]>
    </content>
    <conversationid>q7w3e5r1</conversationid>
     <departmentid>dq77</departmentid>
      <views>1244</views>
      <votes>0</votes>
      <datecreated>2025-08-02 12:24:51</datecreated>
      <datechanged>2025-12-22 16:33:40</datechanged>
      <deleted>N</deleted>
      <description>
      </description>
       <url>//help.example/731946</url>
      </article>`,
	}}},
	"article_found": {"knowledgebase/search", "knowledgebase/search/417", [][3]string{{
		"",
		`{"kb_entry_id":"417","urlcode":"731946","title":"How to return shoes","content_text":"Put them in the box","content_simple_html":"<b>Put them<\/b>","treepath":"0|41|","rtype":"A","rstatus":"P","votesCount":"12","datechanged":"2025-12-22 16:33:40","conversationid":null,"url":"\/\/help.example\/731946"}`,
		`<article>
   <kb_entry_id>417</kb_entry_id>
   <urlcode>731946</urlcode>
   <title>How to return shoes</title>
   <content_text>Put them in the box</content_text>
   <content_simple_html>&lt;b&gt;Put them&lt;/b&gt;</content_simple_html>
   <treepath>0|41|</treepath>
   <rtype>A</rtype>
   <rstatus>P</rstatus>
   <votesCount>12</votesCount>
   <datechanged>2025-12-22 16:33:40</datechanged>
   <conversationid>
   </conversationid>
    <url>//help.example/731946</url>
   </article>`,
	}}},
	"presence_agent": {"onlinestatus/agents", "onlinestatus/agents/uq83kd02", [][3]string{{
		"",
		`{"id":"uq83kd02","contactid":"cq11aa22","username":"runa@agent.example","firstname":"Runa","lastname":"Lie","avatar_url":"themes/img/u5.png","presetStatus":"MPRT","onlineStatus":"TM"}`,
		`<agentsOnlineState>
   <id>uq83kd02</id>
   <contactid>cq11aa22</contactid>
   <username>runa@agent.example</username>
   <firstname>Runa</firstname>
   <lastname>Lie</lastname>
   <avatar_url>themes/img/u5.png</avatar_url>
   <presetStatus>MPRT</presetStatus>
   <onlineStatus>TM</onlineStatus>
  </agentsOnlineState>`,
	}}},
	"presence_department": {"onlinestatus/departments", "onlinestatus/departments/dq77", [][3]string{{
		"",
		`{"id":"dq77","name":"Returns","onlineStatus":"F","presetStatus":"MPRT","chat_count":"2","new_count":7,"customer_reply_count":0,"total_count":"1587","max_count":"many"}`,
		`<departmentsOnlineState>
   <id>dq77</id>
   <name>Returns</name>
   <onlineStatus>F</onlineStatus>
   <presetStatus>MPRT</presetStatus>
   <chat_count>2</chat_count>
   <new_count>7</new_count>
   <customer_reply_count>0</customer_reply_count>
   <total_count>1587</total_count>
   <max_count>many</max_count>
  </departmentsOnlineState>`,
	}}},
	"category": {"suggestioncategories", "88", [][3]string{{
		"", `{"id":88,"title":"Wishes","path":"Shop / Wishes"}`,
		"<suggestioncategorie>\n   <id>88</id>\n   <title>Wishes</title>\n   <path>Shop / Wishes</path>\n  </suggestioncategorie>",
	}}},
	"tag": {"tags", "t9g8", [][3]string{
		{"", `{"id":"t9g8","name":"refund"}`, "<tag>\n   <id>t9g8</id>\n   <name>refund</name>\n  </tag>"},
		{
			"detail", `{"response":{"id":"t9g8","name":"refund","color":"111111","bg_color":"EEEEEE"},"took":3}`,
			"<response>\n <id>t9g8</id>\n <name>refund</name>\n <color>111111</color>\n <bg_color>EEEEEE</bg_color>\n</response>",
		},
	}},
	"overview_chats": {"chats/overview", "chats/overview/snapshot", [][3]string{{
		"detail", `{"response":{"chatsOverview":[{"visitors":31,"chats":"4","queue":0,"agents":6}]}}`,
		"<response>\n <chatsOverview>\n  <item>\n   <visitors>31</visitors>\n   <chats>4</chats>\n   <queue>0</queue>\n   <agents>6</agents>\n  </item>\n </chatsOverview>\n</response>",
	}}},
	"overview_calls": {"calls/overview", "calls/overview/snapshot", [][3]string{{
		"detail", `{"response":{"callsOverview":[{"running":3,"ringing":"soon","inqueue":5,"held":1}]}}`,
		"<response>\n <callsOverview>\n  <item>\n   <running>3</running>\n   <ringing>soon</ringing>\n   <inqueue>5</inqueue>\n   <held>1</held>\n  </item>\n </callsOverview>\n</response>",
	}}},
}

func (s sample) record(contentType string) *events.Record {
	var parts []string
	for _, p := range s.parts {
		body := p[1]
		if contentType == events.ContentXML {
			body = p[2]
		}
		parts = append(parts, p[0], contentType, body)
	}
	return processortest.Record("liveagent", s.stream, s.key, zone, parts...)
}

func TestTheDocumentedDirectoriesInJSON(t *testing.T) {
	for name, s := range samples {
		t.Run(name, func(t *testing.T) { processortest.Golden(t, liveagent.Normalize, name, s.record(events.ContentJSON)) })
	}
}

// untyped writes what the document does not know as XML does: as text.
var untyped = strings.NewReplacer(`"took":3`, ``, `"held":1`, `"held":"1"`)

func TestTheSameDirectoriesInXMLHaveTheSameContent(t *testing.T) {
	for name, s := range samples {
		want, got := content(t, s.record(events.ContentJSON)), content(t, s.record(events.ContentXML))
		if diff := cmp.Diff(indent(clean(untyped.Replace(want))), indent(got)); diff != "" {
			t.Errorf("%s (-JSON +XML)\n%s", name, diff)
		}
	}
}

// clean takes away what is empty without its member.
func clean(s string) string { return strings.ReplaceAll(s, `"attributes":{},`, "") }

func content(t *testing.T, r *events.Record) string {
	t.Helper()
	entity, err := liveagent.Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(processortest.Check(t, liveagent.Normalize, r, entity))
}

// decodeContent gives an entity as a subscriber sees it.
func decodeContent(t *testing.T, r *events.Record) map[string]any {
	t.Helper()
	var out map[string]any
	decoder := json.NewDecoder(bytes.NewReader([]byte(content(t, r))))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// rowOf is a record of one part.
func rowOf(stream, key, body string) *events.Record {
	return processortest.Record("liveagent", stream, key, zone, "", events.ContentJSON, body)
}

func TestServicesAreNamedAndWhatTheyDoNotSayStays(t *testing.T) {
	cases := map[string]struct {
		online string // sorted in our order, comma-separated
		stays  bool
	}{
		"T": {"chat", false}, "P": {"phone", false}, "M": {"message", false}, "R": {"read", false}, "RMPT": {"chat,phone,message,read", false},
		"TT": {"chat", false}, "F": {"", true}, "TF": {"chat", true}, "TQ": {"", true}, "on": {"", true}, "T M": {"", true}, "": {"", false},
	}
	for status, want := range cases {
		r := rowOf("onlinestatus/agents", "onlinestatus/agents/u1", `{"id":"u1","onlineStatus":"`+status+`"}`)
		entity, err := liveagent.Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		processortest.Check(t, liveagent.Normalize, r, entity)
		p := entity.(*events.Presence)
		if got := strings.Join(p.Online, ","); got != want.online || (p.Attributes["onlineStatus"] == status) != want.stays {
			t.Errorf("%q: online %q, attributes %v; want %+v", status, got, p.Attributes, want)
		}
	}
}

func TestLettersHaveWordsAndOthersStay(t *testing.T) {
	cases := map[string]struct {
		stream, id, field string
		words             map[string]any
	}{
		"an agent's role":      {"agents", "userid", "role", map[string]any{"D": "administrator", "A": "agent", "O": "owner"}},
		"an agent's gender":    {"agents", "userid", "gender", map[string]any{"M": "male", "F": "female"}},
		"a customer's role":    {"customers", "contactid", "role", map[string]any{"V": "visitor", "R": "registered_visitor"}},
		"a customer's gender":  {"customers", "contactid", "gender", map[string]any{"M": "male", "F": "female"}},
		"a deleted department": {"departments", "departmentid", "deleted", map[string]any{"Y": true, "N": false}},
	}
	for name, c := range cases {
		words := maps.Clone(c.words)
		words["Q"] = nil
		for letter, word := range words {
			got := decodeContent(t, rowOf(c.stream, "k", fmt.Sprintf(`{%q:"k",%q:%q}`, c.id, c.field, letter)))
			kept := got["attributes"] != nil && got["attributes"].(map[string]any)[c.field] == letter
			if got[c.field] != word || kept != (word == nil) {
				t.Errorf("%s: %s is %v, attributes %v", name, letter, got[c.field], got["attributes"])
			}
		}
	}
}

func TestTheDetailCompletesTheRow(t *testing.T) {
	r := processortest.Record("liveagent", "tags", "t1", zone, "", events.ContentJSON, `{"id":"t1","name":"old","color":"row","note":"kept"}`,
		"detail", events.ContentJSON, `{"response":{"id":"t1","name":"new","color":null,"bg_color":"b"}}`)
	got := decodeContent(t, r)
	if got["name"] != "new" || got["color"] != "row" || got["bg_color"] != "b" || got["attributes"].(map[string]any)["note"] != "kept" {
		t.Errorf("%v", got)
	}
}

func TestMalformedDirectoriesAreRefused(t *testing.T) {
	tag := func(parts ...string) *events.Record {
		return processortest.Record("liveagent", "tags", "t1", zone, parts...)
	}
	overview := func(key, list string) *events.Record {
		return processortest.Record("liveagent", "chats/overview", key, zone, "detail", events.ContentJSON, `{"response":{"chatsOverview":`+list+`}}`)
	}
	large := rowOf("tags", "t1", `{"id":"t1"}`)
	large.Parts[0].Body.Size = events.MaxRecordBytes + 1
	elsewhere := rowOf("tags", "t1", `{"id":"t1"}`)
	elsewhere.Timezone = "Nowhere/At_All"
	const snapshot = "chats/overview/snapshot"
	cases := map[string]struct {
		record *events.Record
		want   string
	}{
		"no id":                 {rowOf("tags", "", `{"name":"x"}`), "id is missing"},
		"another id":            {rowOf("tags", "t1", `{"id":"t2"}`), `"t2"`},
		"a key without prefix":  {rowOf("knowledgebase/articles", "1", `{"kb_entry_id":"1"}`), "kb_entry_id"},
		"another detail":        {tag("", events.ContentJSON, `{"id":"t1"}`, "detail", events.ContentJSON, `{"response":{"id":"t2"}}`), `part "detail"`},
		"no part":               {tag(), "no part"},
		"an unknown part":       {tag("", events.ContentJSON, `{"id":"t1"}`, "agents", events.ContentJSON, `{"response":{}}`), "unknown"},
		"no response":           {tag("detail", events.ContentJSON, `{"id":"t1"}`), "response"},
		"no JSON":               {rowOf("tags", "t1", `{"id":"t1",}`), `part ""`},
		"another root":          {tag("", events.ContentXML, `<label><id>t1</id></label>`), "label"},
		"a part too large":      {large, "too large"},
		"an unknown zone":       {elsewhere, "zone"},
		"an overview of none":   {overview(snapshot, "[]"), "0 rows"},
		"an overview of two":    {overview(snapshot, `[{"chats":1},{"chats":2}]`), "2 rows"},
		"an overview's row":     {overview(snapshot, `["x"]`), "1 rows"},
		"an overview's key":     {overview("k", `[{"chats":1}]`), "key"},
		"an application's key":  {processortest.Record("liveagent", "application/status", "", zone, "detail", events.ContentJSON, `{"response":{}}`), "key"},
		"a stream of no reader": {rowOf("suggestions", "1", `{"id":1}`), "suggestions"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, liveagent.Normalize, c.record, c.want) })
	}
}

func TestAnOverviewMayBeAnObject(t *testing.T) {
	got := decodeContent(t, processortest.Record("liveagent", "chats/overview", "chats/overview/snapshot", zone, "detail", events.ContentJSON, `{"response":{"chatsOverview":{"chats":"7"}}}`))
	if fmt.Sprint(got["measures"]) != "map[chats:7]" {
		t.Errorf("%v", got)
	}
}

// FuzzDirectory varies one part of each stream's record, in both formats.
func FuzzDirectory(f *testing.F) {
	names := slices.Sorted(maps.Keys(samples))
	for i, name := range names {
		for p, part := range samples[name].parts {
			f.Add(i, p, false, []byte(part[1]))
			f.Add(i, p, true, []byte(part[2]))
		}
	}
	f.Fuzz(func(t *testing.T, i, p int, inXML bool, body []byte) {
		if i < 0 || i >= len(names) {
			return
		}
		contentType := events.ContentJSON
		if inXML {
			contentType = events.ContentXML
		}
		r := samples[names[i]].record(contentType)
		if p < 0 || p >= len(r.Parts) {
			return
		}
		r.Parts[p].Body.Bytes = body
		if entity, err := liveagent.Normalize(r); err == nil {
			processortest.Check(t, liveagent.Normalize, r, entity)
		}
	})
}
