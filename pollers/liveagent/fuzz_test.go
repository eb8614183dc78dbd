package liveagent_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent"
	"github.com/parley-stream/parley/pollers/pollertest"
)

// memory answers requests by a script without a network.
type memory struct{ script }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/api/"), ".xml")
	body, ok := m.script[path]
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

// inMemory gives the poller that reads a script.
func inMemory(format string, s script) pollers.Poller {
	vars := settings.New("T_", map[string]string{"VENDOR": "liveagent", "URL": "https://vendor.example", "API_KEY": key, "FORMAT": format})
	return liveagent.New(pollers.DecodeSettings("test", vars), vars, pollers.Env{
		Connect: func(_ string, _ pollers.Rate, secrets []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Transport: memory{s}})
		},
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
}

var paths = []string{"departments", "conversations", "conversations/c1", "conversations/c1/messages", "conversations/c1/tags"}

// FuzzJSONResponse checks that whatever the vendor answers is an error or a record without credentials by name.
func FuzzJSONResponse(f *testing.F) {
	for i, path := range paths {
		f.Add(i, jsonScript()[path])
		f.Add(i, strings.Replace(jsonScript()[path], `{"`, `{"authtoken":"s", "`, 2))
	}
	f.Add(2, `{"response":{"conversationid":"c1","a":[{"password":{"x":"}"}},2],"auth\u0074oken":1}}`)
	f.Fuzz(func(t *testing.T, i int, body string) {
		if i < 0 || i >= len(paths) {
			return
		}
		records, err := pollertest.Collect(inMemory("json", jsonScript().with(paths[i], body)), window())
		if err != nil {
			return
		}
		for _, r := range records {
			for _, p := range r.Parts {
				checkPart(t, p, json.Valid([]byte(body)))
			}
		}
	})
}

func checkPart(t *testing.T, p events.Part, decodable bool) {
	t.Helper()
	var value any
	if err := json.Unmarshal(p.Body.Bytes, &value); err != nil {
		if decodable {
			t.Errorf("part %q was JSON, and is %q: %v", p.Name, p.Body.Bytes, err)
		}
		return
	}
	if name := secretIn(value); name != "" {
		t.Errorf("part %q has %s: %s", p.Name, name, p.Body.Bytes)
	}
}

// secretIn gives a secret name in a value.
func secretIn(value any) string {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			switch strings.ToLower(name) {
			case "authtoken", "browsercookiename", "apikey", "api_key", "password":
				return name
			}
			if found := secretIn(inner); found != "" {
				return found
			}
		}
	case []any:
		for _, inner := range v {
			if found := secretIn(inner); found != "" {
				return found
			}
		}
	}
	return ""
}

// FuzzXMLResponse checks the same of XML, as far as it can be told.
func FuzzXMLResponse(f *testing.F) {
	for i, path := range paths {
		f.Add(i, xmlScript()[path])
		f.Add(i, strings.Replace(xmlScript()[path], "</response>", "<authtoken x='/'>s</authtoken></response>", 1))
	}
	f.Fuzz(func(t *testing.T, i int, body string) {
		if i < 0 || i >= len(paths) {
			return
		}
		records, err := pollertest.Collect(inMemory("xml", xmlScript().with(paths[i], body)), window())
		if err != nil {
			return
		}
		for _, r := range records {
			for _, p := range r.Parts {
				if strings.Contains(strings.ToLower(string(p.Body.Bytes)), "<authtoken>") {
					t.Errorf("part %q has a token: %s", p.Name, p.Body.Bytes)
				}
			}
		}
	})
}

// plain answers by a script, whose bodies never stand for a status.
type plain script

func (p plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := p[strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/api/"), ".xml")]
	if !ok {
		w.WriteHeader(http.StatusTeapot)
	}
	_, _ = io.WriteString(w, body)
}

// FuzzDirectoryResponse checks of every stream without a time that whatever the vendor answers is an error or records without
// credentials by name.
func FuzzDirectoryResponse(f *testing.F) {
	streams := slices.Sorted(maps.Keys(made))
	for i, stream := range streams {
		for j, path := range made[stream].paths {
			f.Add(i, j, whole("json")[path], false)
			f.Add(i, j, strings.Replace(whole("json")[path], `{"`, `{"authtoken":"s", "`, 2), false)
			f.Add(i, j, whole("xml")[path], true)
		}
	}
	f.Fuzz(func(t *testing.T, i, j int, body string, inXML bool) {
		if i < 0 || i >= len(streams) || j < 0 || j >= len(made[streams[i]].paths) {
			return
		}
		format := "json"
		if inXML {
			format = "xml"
		}
		answers := plain(whole(format).with(made[streams[i]].paths[j], body))
		records, err := pollertest.Collect(searching(t, format, "a", answers), pollers.Window{Stream: streams[i]})
		if err != nil {
			return
		}
		for _, r := range records {
			for _, p := range r.Parts {
				if inXML && strings.Contains(strings.ToLower(string(p.Body.Bytes)), "<authtoken>") {
					t.Errorf("part %q has a token: %s", p.Name, p.Body.Bytes)
				}
				if !inXML {
					checkPart(t, p, json.Valid([]byte(body)))
				}
			}
		}
	})
}
