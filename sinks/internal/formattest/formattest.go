// Package formattest reads files back for tests, with other code than wrote them.
package formattest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/parley-stream/parley/events"
)

// Read gives the events of a file, by the ending of its name.
func Read(name string, content []byte) ([]events.Event, error) {
	plain, err := inflate(name, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var all []events.Event
	switch {
	case strings.Contains(name, ".ndjson"):
		all, err = readLines(plain)
	case strings.Contains(name, ".csv"):
		all, err = readCSV(plain)
	case strings.HasSuffix(name, ".parquet"):
		all, err = readParquet(plain)
	default:
		err = errors.New("is of no format")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

func inflate(name string, content []byte) ([]byte, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		r, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		r.Multistream(false) // one member, as every reader takes it
		return io.ReadAll(r)
	case strings.HasSuffix(name, ".zst"):
		r, err := zstd.NewReader(bytes.NewReader(content), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return content, nil
}

func readLines(content []byte) (all []events.Event, err error) {
	if !bytes.HasSuffix(content, []byte("\n")) {
		return nil, errors.New("does not end with a line")
	}
	for line := range bytes.Lines(content) {
		e, err := events.ParseStructured(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			return nil, fmt.Errorf("%w in %.200q", err, line)
		}
		all = append(all, e)
	}
	return all, nil
}

// unguard takes off what makes cells safe, as package format says: one apostrophe at the beginning of each line.
func unguard(cell string) string {
	cell = strings.TrimPrefix(cell, "'")
	for _, end := range []string{"\n", "\r"} {
		cell = strings.ReplaceAll(cell, end+"'", end)
	}
	return cell
}

func readCSV(content []byte) (all []events.Event, err error) {
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 {
		return nil, errors.New("has no row")
	}
	for _, cells := range rows[1:] {
		row := map[string]any{}
		for i, name := range rows[0] {
			if cells[i] == "" {
				continue
			}
			row[name] = unguard(cells[i])
			if name == "ce_extensions" || name == "other" {
				var value map[string]any
				if err := unmarshal([]byte(cells[i]), &value); err != nil {
					return nil, err
				}
				row[name] = value
			}
		}
		e, err := event(row)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func unmarshal(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

func readParquet(content []byte) (all []events.Event, err error) {
	r := parquet.NewReader(bytes.NewReader(content))
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		row := map[string]any{}
		err := r.Read(&row)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := event(row)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
}

// event puts an event together from its columns. Fields of data beside those in other are what a column holds as text.
func event(row map[string]any) (e events.Event, err error) {
	text := func(name string) string {
		value, _ := row[name].(string)
		delete(row, name)
		return value
	}
	e = events.Event{
		ID: text("ce_id"), Source: text("ce_source"), Type: text("ce_type"), Subject: text("ce_subject"), DataSchema: text("ce_dataschema"),
		DataContentType: text("ce_datacontenttype"), DataRef: text("ce_dataref"), Digest: text("ce_digest"), Vendor: text("ce_vendor"),
		Stream: text("ce_stream"), PartitionKey: text("ce_partitionkey"), TraceParent: text("ce_traceparent"),
	}
	switch revision := row["ce_revision"].(type) {
	case int64:
		e.Revision = uint64(revision)
	case string:
		e.Revision, err = strconv.ParseUint(revision, 10, 64)
	}
	switch at := row["ce_time"].(type) {
	case int64:
		e.Time = time.UnixMicro(at).UTC()
	case string:
		e.Time, err = time.Parse(time.RFC3339Nano, at)
	}
	if err != nil {
		return e, err
	}
	if extensions, ok := row["ce_extensions"].(map[string]any); ok {
		e.Extensions = map[string]string{}
		for name, value := range extensions {
			e.Extensions[name] = value.(string)
		}
	}
	if raw := text("data_base64"); raw != "" {
		e.Data, err = base64.StdEncoding.DecodeString(raw)
		return e, err
	}
	other, _ := row["other"].(map[string]any)
	for _, name := range []string{"ce_revision", "ce_time", "ce_extensions", "other"} {
		delete(row, name)
	}
	maps.DeleteFunc(row, func(_ string, value any) bool { return value == nil })
	maps.Copy(row, other)
	if len(row) > 0 {
		e.Data, err = json.Marshal(row)
	}
	return e, err
}

// Kept is what a format keeps of an event: a table keeps the values of data and not their bytes, Parquet times to the microsecond, and
// encoding/csv reads every line end in a cell as a line feed.
func Kept(format string) func(events.Event) events.Event {
	if format == "ndjson" {
		return nil
	}
	return func(e events.Event) events.Event {
		var value map[string]any
		if unmarshal(e.Data, &value) == nil && value != nil {
			e.Data, _ = json.Marshal(value)
		}
		if format == "parquet" {
			e.Time = e.Time.Truncate(time.Microsecond)
			return e
		}
		for _, s := range []*string{&e.ID, &e.Source, &e.Type, &e.Subject, &e.Vendor, &e.Stream, &e.PartitionKey} {
			*s = strings.ReplaceAll(*s, "\r\n", "\n")
		}
		return e
	}
}
