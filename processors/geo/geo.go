// Package geo tells the place of a visitor's IP address from a file in MaxMind's format (GeoLite2, GeoIP2, DB-IP, and others with their fields).
//
// # Config
//
// PARLEY_GEOIP_DB is the file. It is read when Parley starts, which it does not do with a file that is absent or cannot be read, and
// again within ten seconds after it has changed; replace it by a rename. A new file that cannot be read is logged, and the old one goes on.
//
// # Delivery
//
// Of visitor and requester, city, region, country (English names) and attributes.country_code are filled in where the vendor gave no
// place, or the same country; timezone, isp and organization where they are absent and the file has them. An
// address that the file does not know, a private one and one that is no address give nothing.
//
// # Limits
//
// The file is held in memory. Places by address are guesses: a VPN's visitors sit where it does.
package geo

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

// look is how often the file is looked at.
const look = 10 * time.Second

// Options may be zero.
type Options struct {
	Logger *slog.Logger
	Now    func() time.Time
}

type enricher struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	data atomic.Pointer[database]
	next atomic.Int64 // when to look at the file again, as Unix nanoseconds
}

// database is the file as it was at a time.
type database struct {
	reader *maxminddb.Reader
	size   int64
	at     time.Time
}

// New reads the file.
func New(path string, o Options) (processors.Enricher, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &enricher{path: path, log: o.Logger, now: o.Now}
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	e.data.Store(data)
	e.next.Store(o.Now().Add(look).UnixNano())
	return e, nil
}

func read(path string) (*database, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &database{reader, info.Size(), info.ModTime()}, nil
}

// Name implements processors.Enricher.
func (*enricher) Name() string { return "geo" }

// Enrich implements processors.Enricher.
func (e *enricher) Enrich(entity events.Entity) error {
	var person *events.Visitor
	switch entity := entity.(type) {
	case *events.Conversation:
		person = entity.Visitor
	case *events.Rating:
		person = entity.Requester
	case *events.SLA:
		person = entity.Requester
	}
	if person == nil || person.IP == "" {
		return nil
	}
	ip, err := netip.ParseAddr(strings.TrimSpace(person.IP))
	if err != nil {
		return nil //nolint:nilerr // what is no address has no place
	}
	e.refresh()
	var found place
	result := e.data.Load().reader.Lookup(ip.WithZone("").Unmap())
	if err := result.Decode(&found); err != nil {
		return fmt.Errorf("look an address up: %w", err)
	}
	if result.Found() {
		found.tell(person)
	}
	return nil
}

// refresh reads the file again where it has changed. One caller does, the others go on with the old one.
func (e *enricher) refresh() {
	now, next := e.now(), e.next.Load()
	if now.UnixNano() < next || !e.next.CompareAndSwap(next, now.Add(look).UnixNano()) {
		return
	}
	old := e.data.Load()
	info, err := os.Stat(e.path)
	if err == nil && info.Size() == old.size && info.ModTime().Equal(old.at) {
		return
	}
	data, err := read(e.path)
	if err != nil {
		e.log.Warn("the file of places cannot be read again; the old one goes on", "error", err.Error())
		return
	}
	e.data.Store(data)
	e.log.Info("the file of places was read again", "built", data.reader.Metadata.BuildTime())
}

// place are the fields of MaxMind's and compatible databases that have a canonical place.
type place struct {
	City    named   `maxminddb:"city"`
	Regions []named `maxminddb:"subdivisions"`
	Country struct {
		Code  string            `maxminddb:"iso_code"`
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"country"`
	Location struct {
		Timezone string `maxminddb:"time_zone"`
	} `maxminddb:"location"`
	ISP          string `maxminddb:"isp"`
	Organization string `maxminddb:"organization"`
	System       string `maxminddb:"autonomous_system_organization"`
}

type named struct {
	Names map[string]string `maxminddb:"names"`
}

const language = "en"

// tell fills in what is absent. Places of two countries are not mixed.
func (p *place) tell(v *events.Visitor) {
	country := p.Country.Names[language]
	if v.City == "" && v.Region == "" && v.Country == "" || v.Country != "" && strings.EqualFold(v.Country, country) {
		set(&v.City, p.City.Names[language])
		if len(p.Regions) > 0 {
			set(&v.Region, p.Regions[0].Names[language])
		}
		set(&v.Country, country)
		if _, there := v.Attributes["country_code"]; !there && p.Country.Code != "" {
			if v.Attributes == nil {
				v.Attributes = make(map[string]any, 1)
			}
			v.Attributes["country_code"] = p.Country.Code
		}
	}
	set(&v.Timezone, p.Location.Timezone)
	set(&v.Organization, p.Organization)
	set(&v.ISP, p.ISP)
	set(&v.ISP, p.System)
}

func set(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
