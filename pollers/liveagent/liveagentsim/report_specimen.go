package liveagentsim

import (
	"fmt"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// reportSpecimen is a row in which every documented column has a value of its own, in the hour after noon of the first day that is asked for.
func (s *Sim) reportSpecimen(f *simulated.Fields, r request) object {
	endpoint := "GET " + r.path
	if g := r.query.Get("group_by"); g != "" {
		endpoint += "?group_by=" + g
	}
	var row object
	for _, c := range r.report.columns {
		name := r.report.list + "." + r.report.item + "." + c.name
		var value any
		switch c.kind {
		case isText:
			value = f.Text(endpoint, name)
		case isInt, isHidden:
			n := whole(f.Number(endpoint, name))
			if value = n; c.name == "id" {
				f.At(endpoint, name, "vendor_id", r.path+"/"+string(n))
			}
		case isRate:
			value = f.Put(endpoint, name, fmt.Sprintf("%d.25", f.Number(endpoint, name)))
		default:
			value = s.timeSpecimen(f, r, endpoint, name, c.name)
		}
		row = append(row, member{c.name, value})
	}
	return row
}

// specimenTimes are the times of the specimen by their columns: the value, and where and as what it must arrive.
func (s *Sim) timeSpecimen(f *simulated.Fields, r request, endpoint, name, column string) string {
	first, _ := time.ParseInLocation(time.DateOnly, r.from, s.zone)
	noon := first.Add(12 * time.Hour)
	utc := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	at := func(path, canonical, value string) string {
		f.At(endpoint, name, path, canonical)
		return value
	}
	switch column {
	case "date":
		return at("interval.start", utc(noon), s.local(noon))
	case "datetime", "dateto":
		return s.intervalSpecimen(first, r, column, at)
	case "hours_online":
		return at("duration_s", "4987", "01:23:07")
	case "from_date":
		return at("started_at", utc(noon), s.forPeople(noon))
	case "to_date":
		return at("ended_at", utc(noon.Add(4987*time.Second)), s.forPeople(noon.Add(4987*time.Second)))
	case "sla":
		return at("slack_s", "5173", "-01:26:13")
	case "server_date_closed":
		return at("closed_at", utc(noon), s.local(noon))
	case "server_date_due":
		return at("due_at", utc(noon.Add(5173*time.Second)), s.local(noon.Add(5173*time.Second)))
	case "datecreated":
		return at("at", utc(noon.Add(time.Second)), s.local(noon.Add(time.Second)))
	case "rankingType":
		return at("value", "bad", "P")
	}
	shown := noon.Add(time.Duration(len(column)) * time.Minute).In(viewer).Format(forPeople) // date_created, date_closed, date_due
	return at("attributes."+column, shown, shown)
}

// intervalSpecimen is an interval of the performance report around the first day that is asked for: of a week the first that is whole.
func (s *Sim) intervalSpecimen(first time.Time, r request, column string, at func(path, canonical, value string) string) string {
	grain := r.query.Get("group_by")
	start := s.intervalStart(first, grain, r).In(s.zone)
	if grain == "week" && start.Before(first) {
		start = start.AddDate(0, 0, 7)
	}
	from, to := s.cut(start, grain, r)
	if column == "datetime" {
		return at("interval.start", start.UTC().Format(time.RFC3339), from)
	}
	end, _ := time.ParseInLocation(time.DateTime, to, s.zone)
	return at("interval.end", end.Add(time.Second).UTC().Format(time.RFC3339), to)
}
