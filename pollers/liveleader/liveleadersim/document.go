package liveleadersim

import (
	"bufio"
	"encoding/xml"
	"io"
	"strconv"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// responseTime is the response's form of times: DD-MM-YYYYTHH:MM:SSff.
const responseTime = "02-01-2006T15:04:05"

// write answers with the chats that touch a period.
func (s *Sim) write(w io.Writer, from, to time.Time) {
	d := &document{Writer: bufio.NewWriter(w), zone: s.zone}
	d.raw("<chats>\n")
	if fields := s.account.Options().Fields; fields != nil {
		d.specimen(fields, from)
	}
	for _, c := range s.account.Between(from, to) {
		if !c.Missed && !c.End.Before(from) && c.Start.Before(to) {
			d.chat(s.id(c), c)
		}
	}
	d.raw("</chats>\n")
	_ = d.Flush() // an error is the client's leaving
}

// document writes elements; the buffered writer keeps the first error.
type document struct {
	*bufio.Writer
	zone *time.Location
}

func (d *document) raw(text string) { _, _ = d.WriteString(text) }

func (d *document) text(text string) { _ = xml.EscapeText(d, []byte(text)) }

func (d *document) time(t time.Time) string {
	t = t.In(d.zone)
	hundredths := strconv.Itoa(100 + t.Nanosecond()/1e7)[1:]
	return t.Format(responseTime) + hundredths
}

// element writes an element, or nothing where there is no text.
func (d *document) element(name, text string) {
	if text == "" {
		return
	}
	d.raw("<" + name + ">")
	d.text(text)
	d.raw("</" + name + ">\n")
}

// named writes an element with one attribute.
func (d *document) named(name, attribute, value, text string) {
	d.raw("<" + name + " " + attribute + `="`)
	d.text(value)
	d.raw(`">`)
	d.text(text)
	d.raw("</" + name + ">\n")
}

// withoutID and unclosed are the two ways in which a malformed chat is broken.
func withoutID(c simulated.Chat) bool { return c.Malformed && c.Number%2 == 1 }

func unclosed(c simulated.Chat) bool { return c.Malformed && c.Number%2 == 0 }

// What the document has "0/1" or "0+" times is left out of some chats: what was searched for of those that came from elsewhere, where the
// visitor is of those without geolocation data, userinfo and surveys of those whose site has none. The barest have none of it.
func bare(c simulated.Chat) bool { return c.Number%6 == 0 }

func located(c simulated.Chat) bool { return c.Number%6 > 1 }

func surveyed(c simulated.Chat, context string) bool {
	if context == "entry" {
		return !bare(c) && c.Number%6 != 2
	}
	return !bare(c) && !c.RatedAt.IsZero()
}

func (d *document) chat(id string, c simulated.Chat) {
	d.raw("<chat>\n")
	if !withoutID(c) {
		d.element("id", id)
	}
	if !bare(c) {
		d.element("referrer", c.Referrer)
		d.element("keywords", c.Keywords)
	}
	for _, operator := range c.Agents {
		d.element("operator", operator.Email)
	}
	d.element("visitorip", c.Visitor.IP)
	d.element("start", d.time(c.Start))
	d.element("stop", d.time(c.End))
	d.element("duration", strconv.Itoa(int(c.End.Sub(c.Start)/time.Second)))
	d.element("url", c.PageURL)
	if located(c) {
		d.element("city", c.Visitor.City)
		d.element("country", c.Visitor.Country)
		d.element("organization", c.Visitor.Org)
		d.element("ISP", c.Visitor.ISP)
	}
	for _, line := range c.Messages {
		d.message(line)
	}
	if unclosed(c) {
		d.raw("<userinfo>\n")
	}
	d.userinfo(c)
	d.surveys(c)
	d.raw("</chat>\n")
}

func (d *document) message(line simulated.Line) {
	from := line.Agent.Email
	if line.Visitor {
		from = "visitor"
	}
	d.msg(from, d.time(line.At), line.Text)
}

func (d *document) msg(from, at, text string) {
	d.raw(`<msg from="`)
	d.text(from)
	d.raw(`" time="` + at + "\">\n")
	d.text(text)
	d.raw("\n</msg>\n")
}

func (d *document) userinfo(c simulated.Chat) {
	if bare(c) && c.Edits == 0 {
		return
	}
	d.raw("<userinfo>\n")
	if !bare(c) {
		d.named("entry", "key", "CustomerNo", strconv.Itoa(c.CustomerNo))
	}
	if c.Edits > 0 {
		d.named("entry", "key", "Edited", strconv.Itoa(c.Edits))
	}
	d.raw("</userinfo>\n")
}

func (d *document) surveys(c simulated.Chat) {
	if surveyed(c, "entry") {
		d.survey("entry", "Name", c.Visitor.Name, "E-mail", c.Visitor.Email)
	}
	if !surveyed(c, "exit") {
		return
	}
	rating := "2"
	if c.Good {
		rating = "10"
	}
	if c.Comment == "" {
		d.survey("exit", "Rate our service", rating)
		return
	}
	d.survey("exit", "Rate our service", rating, "Anything else?", c.Comment)
}

// survey writes questions and answers in turn.
func (d *document) survey(context string, responses ...string) {
	d.raw(`<survey context="` + context + "\">\n")
	for i := 0; i+1 < len(responses); i += 2 {
		d.named("response", "question", responses[i], responses[i+1])
	}
	d.raw("</survey>\n")
}
