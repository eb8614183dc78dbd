package catalog_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/simulated"
)

// TestNobodyShowsInMaskedEvents looks for every person of the simulated accounts, agents and visitors, in what `parley tail` and the dashboard
// show of every event to who may not see personal data.
func TestNobodyShowsInMaskedEvents(t *testing.T) {
	for _, v := range catalog.Vendors() {
		t.Run(v.Name, func(t *testing.T) { lookForPeople(t, v) })
	}
}

func lookForPeople(t *testing.T, v catalog.Vendor) {
	o := simulated.Options{Seed: 11, Days: 2, Chats: 25, Start: now, Now: func() time.Time { return now }}
	sim := v.Simulate(o)
	server := httptest.NewServer(sim)
	defer server.Close()
	words := peopleOf(simulated.New(o))
	told := make(map[string]bool)
	for _, r := range readAll(t, v, open(t, v, maps.Clone(sim.Variables(server.URL)))) {
		entity, err := v.Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		content, err := events.EncodeContent(entity)
		if err != nil {
			t.Fatal(err)
		}
		event := events.NewEvent(entity, r, 1, "", content)
		clear := string(event.AppendStructured(nil))
		line := console.EventLine(event, false)
		console.Mask(&event)
		for where, text := range map[string]string{"masked": string(event.AppendStructured(nil)), "line": line} {
			for what, word := range words {
				told[what] = told[what] || strings.Contains(clear, word)
				if at := strings.Index(text, word); at >= 0 {
					t.Errorf("%s %s of %s: the %s %q shows: …%s…", where, entity.Kind(), r.Stream, what, word, text[max(0, at-80):min(len(text), at+80)])
				}
			}
		}
	}
	if len(told) > 0 && !slices.Contains(slices.Collect(maps.Values(told)), true) {
		t.Error("nobody shows in the events as they are: the test shows nothing")
	}
}

// peopleOf are the words that tell who somebody is, by what they are.
func peopleOf(a *simulated.Account) map[string]string {
	words := make(map[string]string)
	add := func(role string, n int, p simulated.Person) {
		first, last, _ := strings.Cut(p.Name, " ")
		for what, word := range map[string]string{
			"name": p.Name, "first name": `"` + first + `"`, "last name": `"` + last + `"`, "e-mail address": p.Email, "IP address": p.IP,
			"escaped address": strings.ReplaceAll(p.Email, "@", "%40"),
		} {
			if strings.Trim(word, `"`) != "" {
				words[fmt.Sprintf("%s of %s %d", what, role, n)] = word
			}
		}
	}
	for i, p := range a.Agents() {
		add("agent", i, p)
	}
	chats := a.Chats()
	for i := range chats {
		add("visitor", i, chats[i].Visitor)
		for j, m := range chats[i].Messages {
			if len(m.Text) > 12 && !strings.ContainsAny(m.Text, `"\<>&`) {
				words[fmt.Sprintf("line %d of chat %d", j, i)] = m.Text
			}
		}
	}
	return words
}
