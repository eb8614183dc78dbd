package liveleadersim

import (
	"strconv"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// endpoint is the document's one.
const endpoint = "GET /a/Srv?a=export"

// specimen writes a chat in which every element and attribute of the document has a value of its own; its times are just behind from.
func (d *document) specimen(f *simulated.Fields, from time.Time) {
	at := from.Truncate(10 * time.Millisecond)
	element := func(name string) { d.element(name, f.Text(endpoint, name)) }
	moment := func(name string) string {
		at = at.Add(10 * time.Millisecond)
		f.Put(endpoint, name, at.UTC().Format(time.RFC3339Nano))
		return d.time(at)
	}
	d.raw("<chat>\n")
	for _, name := range []string{"id", "referrer", "keywords", "operator"} {
		element(name)
	}
	d.element("operator", f.Text(endpoint, "operator, the second"))
	element("visitorip")
	d.element("start", moment("start"))
	d.element("stop", moment("stop"))
	d.element("duration", strconv.Itoa(f.Number(endpoint, "duration")))
	for _, name := range []string{"url", "city", "country", "organization", "ISP"} {
		element(name)
	}
	f.At(endpoint, "msg@from, visitor", "messages.author.type", "visitor")
	d.msg("visitor", moment("msg@time"), f.Text(endpoint, "msg"))
	const sender = "msg@from, operator"
	d.msg(f.Put(endpoint, sender, f.Text(endpoint, sender)+"@agent.example"), moment("msg@time, the second"), f.Text(endpoint, "msg, the second"))
	d.raw("<userinfo>\n")
	for _, name := range []string{"userinfo.entry", "userinfo.entry, the second"} {
		d.named("entry", "key", f.Text(endpoint, name+"@key"), f.Text(endpoint, name))
	}
	d.raw("</userinfo>\n")
	for _, context := range []string{"entry", "exit"} {
		f.At(endpoint, "survey@context, "+context, "surveys.context", context)
		name := "survey, " + context + ".response"
		d.survey(context, f.Text(endpoint, name+"@question"), f.Text(endpoint, name), f.Text(endpoint, name+"@question, the second"), f.Text(endpoint, name+", the second"))
	}
	d.raw("</chat>\n")
}
