package cobrowser_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/cobrowser"
	"github.com/parley-stream/parley/processors/processortest"
)

const header = `"conversation_start";"browse_id";"account_id";"num_messages";"duration_secs";"avgMessageLength";"maxMessageLength";"last_agent_id";"reseller_id";"visitor_id";"requestType";"assigned_agent_id";"acceptUrl";"accept_host_id";"decisionTime";"firstResponseTime";"transcriptUrl";"avgResponseTime";"maxResponseTime";"successcode";"firstReplyTime"`

const full = `"Tue, 27 Oct 2026 16:04:05 +0100";"70000185";"4102";"9";"642";"41.75";"118";"30553";"77";"5581207";"ask_reactive";"30417";"https://shop.example/returns?utm_source=mail;a=""b""";"3102";"6";"14";"https://transcripts.shop.example/read?b=70000185&t=9f21c07e";"22.5";"61";"sale";"17"`

const key = "4102-70000185-1793113445"

// record gives a record of conversations with a semicolon between values.
func record(key, header, row string) *events.Record {
	r := processortest.Record("cobrowser", "conversations", key, "Europe/Amsterdam", "", events.ContentCSV, header+"\n"+row)
	r.Params = map[string]string{"separator": ";"}
	return r
}

// edit gives the full row with other values, by their columns.
func edit(values map[string]string) string {
	names, row := fields(header), fields(full)
	for i, name := range names {
		if v, ok := values[name]; ok {
			row[i] = v
		}
		row[i] = `"` + strings.ReplaceAll(row[i], `"`, `""`) + `"`
	}
	return strings.Join(row, ";")
}

func fields(line string) []string {
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = ';'
	out, err := r.Read()
	if err != nil {
		panic(err)
	}
	return out
}

func TestEveryDocumentedColumnHasItsPlace(t *testing.T) {
	processortest.Golden(t, cobrowser.Normalize, "conversation", record(key, header, full))
}

func TestWhatIsEmptyIsUnknown(t *testing.T) {
	empty := map[string]string{}
	for _, name := range fields(header) {
		empty[name] = ""
	}
	for _, name := range []string{"conversation_start", "browse_id", "account_id"} {
		delete(empty, name)
	}
	empty["successcode"], empty["visitor_id"] = " \t", "\r\n"
	processortest.Golden(t, cobrowser.Normalize, "empty", record(key, header, edit(empty)))
}

func TestAChatThatNobodyAnsweredHasNoAgents(t *testing.T) {
	processortest.Golden(t, cobrowser.Normalize, "unanswered", record(key, header, edit(map[string]string{
		"num_messages": "1", "last_agent_id": "", "assigned_agent_id": "", "firstResponseTime": "", "avgResponseTime": "",
		"maxResponseTime": "", "firstReplyTime": "", "successcode": "", "decisionTime": "0",
	})))
}

func TestAnAgentWhoWasAssignedAndEndedIsOneEntry(t *testing.T) {
	processortest.Golden(t, cobrowser.Normalize, "one_agent", record(key, header, edit(map[string]string{"last_agent_id": "30417"})))
}

func TestOddValuesStayAsTheyAreInAttributes(t *testing.T) {
	processortest.Golden(t, cobrowser.Normalize, "odd", record(key, header, edit(map[string]string{
		"num_messages": "9.5", "duration_secs": "00:10:42", "avgMessageLength": "41,75", "maxMessageLength": "NaN",
		"decisionTime": "-3", "firstResponseTime": "0x1p4", "avgResponseTime": "1e999", "maxResponseTime": "Inf", "firstReplyTime": "1_0",
		"requestType": "ask_something_new", "acceptUrl": "not a URL", "successcode": "=1+1\r\nb\x00\u202e",
	})))
}

func TestUnknownColumnsInAnyOrderReachAttributes(t *testing.T) {
	processortest.Golden(t, cobrowser.Normalize, "columns", record(key,
		`"chatcampaign_id";"account_id";"";"browse_id";"note";"conversation_start";"note";"num_messages";"num_messages";"note#7"`,
		`"512";"4102";"nameless";"70000185";"first";"Tue, 27 Oct 2026 16:04:05 +0100";"second";"0";"12";"third"`))
}

func TestBytesThatAreNoUTF8AreReplacedAndMarked(t *testing.T) {
	processortest.Golden(t, cobrowser.Normalize, "utf8", record(key,
		header+";\"\xff\";\"\xfe\"", edit(map[string]string{"successcode": "caf\xe9", "visitor_id": "\xc3\x28"})+`;"a";"b"`))
}

func TestASeparatorComesWithTheRecord(t *testing.T) {
	for _, sep := range []string{",", ":", "|"} {
		row := strings.ReplaceAll(full, `";"`, `"`+sep+`"`)
		r := record(key, strings.ReplaceAll(header, ";", sep), row)
		r.Params["separator"] = sep
		got, err := cobrowser.Normalize(r)
		if err != nil {
			t.Fatalf("separator %s: %v", sep, err)
		}
		want, err := cobrowser.Normalize(record(key, header, full))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := processortest.Check(t, cobrowser.Normalize, r, got), content(t, want); string(a) != b {
			t.Errorf("separator %s:\n%s, want\n%s", sep, a, b)
		}
	}
}

func content(t *testing.T, e events.Entity) string {
	t.Helper()
	b, err := events.EncodeContent(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTimesAreInUTCAndWithoutAnOffsetInTheRecordsZone(t *testing.T) {
	for text, want := range map[string]string{
		"Sun, 25 Oct 2026 02:30:00 +0200": "2026-10-25T00:30:00Z",
		"Sun, 25 Oct 2026 02:30:00 +0100": "2026-10-25T01:30:00Z",
		"Sun, 25 Oct 2026 02:30:00":       "2026-10-25T00:30:00Z",
		"25 Oct 2026 02:30 EST":           "2026-10-25T07:30:00Z",
	} {
		at, err := time.Parse(time.RFC3339, want)
		if err != nil {
			t.Fatal(err)
		}
		r := record(events.CobrowserConversationKey("4102", "70000185", at), header, edit(map[string]string{"conversation_start": text}))
		entity, err := cobrowser.Normalize(r)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := entity.(*events.Conversation).StartedAt; !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("%q = %s, want %s", text, got, want)
		}
	}
}

func TestWhatHasNoKeyOrNoRowIsMalformed(t *testing.T) {
	over := record(key, header, full)
	over.Parts[0].Body.Size = events.MaxRecordBytes + 1
	other := record(key, header, full)
	other.Stream = "chats"
	for name, test := range map[string]struct {
		record *events.Record
		want   string
	}{
		"no browse id":         {record("", header, edit(map[string]string{"browse_id": ""})), "browse_id"},
		"no account":           {record("", header, edit(map[string]string{"account_id": " "})), "account_id"},
		"no time":              {record("", header, edit(map[string]string{"conversation_start": ""})), "conversation_start"},
		"a skipped hour":       {record("", header, edit(map[string]string{"conversation_start": "Sun, 29 Mar 2026 02:30:00"})), "conversation_start"},
		"an id of bytes":       {record("", header, edit(map[string]string{"browse_id": "\xff"})), "browse_id"},
		"another key":          {record("4102-1-1793113445", header, full), "key"},
		"a column too few":     {record("", header, strings.TrimSuffix(full, `;"17"`)), "the header has 21 columns, the row 20"},
		"a column too many":    {record("", header, full+`;"x"`), "the header has 21 columns, the row 22"},
		"no row":               {record("", header, ""), "the row 1"},
		"one line":             {processortest.Record("cobrowser", "conversations", "", "", "", events.ContentCSV, header), "one line"},
		"nothing":              {processortest.Record("cobrowser", "conversations", "", ""), "one line"},
		"two rows":             {record(key, header, full+"\n"+full), "more than the header and one row"},
		"no column of the key": {record("", strings.Replace(header, "browse_id", "visit_id", 1), full), "browse_id"},
		"a row too large":      {over, "bytes long"},
		"endless columns":      {record("", header, strings.Repeat(";", 1<<20)), "columns"},
		"another stream":       {other, "chats"},
	} {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, cobrowser.Normalize, test.record, test.want) })
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{
		header + "\n" + full, "a;b\n", "account_id;browse_id;conversation_start\n1;2;1 Jan 2026 00:00 GMT", header + "\r\n" + full + "\r\n",
		"\"account_id\";browse_id;conversation_start;x;x\n1;2;\"1 Jan 2026 00:00 GMT\";\"a\"\"b\"c\";\xff",
	} {
		f.Add([]byte(seed))
	}
	processortest.Fuzz(f, cobrowser.Normalize, func(body []byte) *events.Record {
		r := processortest.Record("cobrowser", "conversations", "", "Europe/Amsterdam", "", events.ContentCSV, string(body))
		r.Params, r.Key = map[string]string{"separator": ";"}, fuzzKey("conversations", string(body))
		return r
	})
}

// fuzzKey is what encoding/csv makes of a record's key.
func fuzzKey(stream, body string) string {
	parser := csv.NewReader(strings.NewReader(body))
	parser.Comma, parser.LazyQuotes, parser.FieldsPerRecord = ';', true, -1
	rows, err := parser.ReadAll()
	if err != nil || len(rows) < 2 {
		return ""
	}
	value := map[string]string{}
	for i := range min(len(rows[0]), len(rows[1])) {
		if _, twice := value[rows[0][i]]; !twice {
			value[rows[0][i]] = rows[1][i]
		}
	}
	return events.CobrowserKey(stream, func(column string) string { return value[column] }, "Europe/Amsterdam")
}
