package measure

import (
	"fmt"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Chats are so many invented LiveLeader chats of about 2 KiB, one after the other in time.
type Chats struct {
	Count int       `json:"count"`
	Start time.Time `json:"start"` // of the first
	// Every is the time from one chat's start to the next one's.
	Every time.Duration `json:"every"`
	// Entities is how many chats there are, if there are fewer than records: they come again, and of those so many percent Changed.
	Entities int `json:"entities,omitempty"`
	Changed  int `json:"changed,omitempty"`
}

// record appends what a vendor answers for a place in time.
func (c Chats) record(dst []byte, i int) []byte {
	if c.Entities == 0 {
		return c.Append(dst, i, 0)
	}
	version := 0
	for reading := 1; reading <= i/c.Entities; reading++ {
		version += c.edits(i%c.Entities, reading)
	}
	return c.Append(dst, i%c.Entities, version)
}

// edits is 1 when a chat differs from its reading before.
func (c Chats) edits(chat, reading int) int {
	if mix(uint64(reading*c.Entities+chat))%100 < uint64(c.Changed) {
		return 1
	}
	return 0
}

// versions counts what differs among all records.
func (c Chats) versions() int {
	n := min(c.Entities, c.Count)
	for i := c.Entities; i < c.Count; i++ {
		n += c.edits(i%c.Entities, i/c.Entities)
	}
	return n
}

// ID is a chat's key.
func (c Chats) ID(i int) string {
	h := mix(uint64(i))
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), uint16(h>>32), uint16(h>>48)&0xfff, uint16(i)&0xfff, i)
}

// at is when a chat starts.
func (c Chats) at(i int) time.Time { return c.Start.Add(time.Duration(i) * c.Every) }

// between gives the first chat that starts at from or later, and the first that starts at to or later.
func (c Chats) between(from, to time.Time) (first, end int) {
	index := func(t time.Time) int {
		n := int((t.Sub(c.Start) + c.Every - 1) / c.Every)
		return min(max(n, 0), c.Count)
	}
	return index(from), index(to)
}

var (
	cities = [...]string{"Utrecht", "Bergen", "Gent", "Lyon", "Malmö", "Porto", "Graz", "Cork"}
	names  = [...]string{"Linh Castro", "Saskia Brun", "Omar Haddad", "Ingrid Næss", "Piet de Vries", "Ana Sousa", "Jonas Weber", "Aoife Kelly"}
	lines  = [...]string{
		"Good morning, my order has not come yet. Can you look where it is, please?",
		"Let me see. The parcel left our warehouse on Tuesday &amp; should be with you tomorrow.",
		"Which size do you have in mind: &lt;S or L&gt;? Both are in stock at the moment.",
		"The invoice says one thing and the page another, that is why I would rather ask first.",
		"I have sent you the link by e-mail. Is there anything else that I can do for you?",
		"No, that was all. Thank you very much for the quick help, have a nice day!",
	}
)

const vendorTime = "02-01-2006T15:04:05"

// Append appends a chat's element. A version above 0 is noted in it, as a late edit would be.
func (c Chats) Append(dst []byte, i, version int) []byte {
	h := mix(uint64(i) + 1)
	pick := func(n int) int {
		h = mix(h)
		return int(h % uint64(n))
	}
	start, name := c.at(i), names[pick(len(names))]
	agent := "agent" + strconv.Itoa(pick(40)) + "@fjordnett.example"
	element := func(tag, text string) {
		dst = append(append(append(append(dst, "<"+tag+">"...), text...), "</"+tag...), ">\n"...)
	}
	dst = append(dst, "<chat>\n"...)
	element("id", c.ID(i))
	element("referrer", "https://search.example/find?q=garden+chairs&amp;n="+strconv.Itoa(i))
	element("keywords", "garden chairs teak")
	element("operator", agent)
	element("visitorip", "198.51.100."+strconv.Itoa(pick(250)))
	element("start", start.Format(vendorTime)+"00")
	element("stop", start.Add(9*40*time.Second).Format(vendorTime)+"50")
	element("duration", "360")
	element("url", "https://shop.example/garden/chairs?utm_source=search&amp;page="+strconv.Itoa(pick(90)))
	element("city", cities[pick(len(cities))])
	element("country", "Netherlands")
	element("organization", "Maple &amp; Sons")
	element("ISP", "Bluewave Telecom")
	for n := range 9 {
		from := "visitor"
		if n%2 == 1 {
			from = agent
		}
		dst = append(append(dst, "<msg from=\""...), from...)
		dst = append(start.Add(time.Duration(n)*40*time.Second).AppendFormat(append(dst, "\" time=\""...), vendorTime), "00\">\n"...)
		dst = append(append(dst, lines[pick(len(lines))]...), "\n</msg>\n"...)
	}
	dst = append(dst, "<userinfo>\n<entry key=\"CustomerNo\">"...)
	dst = append(strconv.AppendInt(dst, int64(100000+pick(900000)), 10), "</entry>\n"...)
	if version > 0 {
		dst = append(strconv.AppendInt(append(dst, "<entry key=\"Edited\">"...), int64(version), 10), "</entry>\n"...)
	}
	dst = append(append(append(dst, "</userinfo>\n<survey context=\"entry\">\n<response question=\"Name\">"...), name...), "</response>\n</survey>\n"...)
	return append(dst, "<survey context=\"exit\">\n<response question=\"Rate our service\">9</response>\n</survey>\n</chat>"...)
}

// raw gives a chat as its poller would publish it.
func (c Chats) raw(i, version, reading int) (broker.Message, error) {
	r := events.Record{
		Vendor: "liveleader", Source: source, Stream: "chats", Key: c.ID(i), Timezone: "Europe/Oslo",
		WindowFrom: c.Start, WindowTo: c.Start.Add(24 * time.Hour), RequestedAt: c.Start.Add(1000*time.Hour + time.Duration(reading)*time.Hour),
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Parts: []events.Part{{
			ContentType: events.ContentXML, URL: "https://www.liveleader.com/a/Srv?a=export&start=2026-01-01T00%3A00%3A00.000%2B00%3A00&stop=2026-01-02T00%3A00%3A00.000%2B00%3A00",
			Body: events.Body{Bytes: c.Append(nil, i, version)},
		}},
	}
	e, err := events.NewRawEvent(&r, "0011223344556677."+strconv.Itoa(reading*c.Count+i))
	if err != nil {
		return broker.Message{}, err
	}
	m := broker.Message{Subject: events.RawSubject(&r), Header: make(map[string][]string, 12), Data: e.Data}
	e.SetHeaders(m.Header)
	return m, nil
}

// mix spreads a number over 64 bits (SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
