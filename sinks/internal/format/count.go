package format

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// Subjects are those of the entities that are looked for, as each format has them.
type Subjects map[string]bool

// NewSubjects gives the forms that a subject can have in a file: text that is not UTF-8 is replaced as in every format, and a cell
// of CSV may be made safe, and has line feeds for its line ends once it is read.
func NewSubjects(entities []string) Subjects {
	all := Subjects{}
	for _, entity := range entities {
		text := appendValid(nil, entity)
		for _, form := range [][]byte{text, Guard(nil, text)} {
			all[string(form)] = true
			all[strings.ReplaceAll(string(form), "\r\n", "\n")] = true
		}
	}
	return all
}

// Count tells how many events of a file are of these entities. The format is told by the name's ending; the file is
// read from its beginning to its end in little memory, and of Parquet one column alone.
func (s Subjects) Count(name string, file io.ReaderAt, size int64) (int, error) {
	if strings.HasSuffix(name, ".parquet") {
		return s.countRows(file, size)
	}
	text, done, err := inflate(name, io.NewSectionReader(file, 0, size))
	if err != nil {
		return 0, err
	}
	defer done()
	if strings.Contains(name, ".csv") {
		return s.countCells(text)
	}
	return s.countLines(text)
}

// maxWindow bounds the memory that a file can ask for.
const maxWindow = 64 << 20

func inflate(name string, r io.Reader) (plain io.Reader, done func(), err error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		plain, err = gzip.NewReader(r)
		return plain, func() {}, err
	case strings.HasSuffix(name, ".zst"):
		// One at a time: it starts no goroutine.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	}
	return r, func() {}, nil
}

// countLines reads no more of an event than the names of its members and its subject.
func (s Subjects) countLines(r io.Reader) (count int, err error) {
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		subject, err := readSubject(d)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return count, nil
		}
		if err != nil {
			return count, fmt.Errorf("at byte %d: %w", d.InputOffset(), err)
		}
		if s[subject] {
			count++
		}
	}
}

func readSubject(d *jsontext.Decoder) (subject string, err error) {
	if kind := d.PeekKind(); kind != '{' && kind != 0 {
		return "", errNoObject
	}
	if _, err := d.ReadToken(); err != nil {
		return "", err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return "", err
		}
		if name.String() != "subject" || d.PeekKind() != '"' {
			if err := d.SkipValue(); err != nil {
				return "", err
			}
			continue
		}
		value, err := d.ReadToken()
		if err != nil {
			return "", err
		}
		subject = value.String()
	}
	_, err = d.ReadToken()
	return subject, err
}

// subjectColumn is where a table has the subject.
const subjectColumn = "ce_subject"

var errNoSubjects = errors.New("has no column " + subjectColumn)

func (s Subjects) countCells(r io.Reader) (count int, err error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return 0, err
	}
	column := slices.Index(header, subjectColumn)
	if column < 0 {
		return 0, errNoSubjects
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		if s[row[column]] {
			count++
		}
	}
}

func (s Subjects) countRows(r io.ReaderAt, size int64) (count int, err error) {
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return 0, err
	}
	leaf, ok := file.Schema().Lookup(subjectColumn)
	if !ok {
		return 0, errNoSubjects
	}
	for _, group := range file.RowGroups() {
		n, err := s.countChunk(group.ColumnChunks()[leaf.ColumnIndex])
		if count += n; err != nil {
			return count, err
		}
	}
	return count, nil
}

func (s Subjects) countChunk(chunk parquet.ColumnChunk) (count int, err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	values := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		n, err := s.countPage(page.Values(), values)
		parquet.Release(page)
		if count += n; err != nil {
			return count, err
		}
	}
}

func (s Subjects) countPage(page parquet.ValueReader, values []parquet.Value) (count int, err error) {
	for {
		n, err := page.ReadValues(values)
		for _, v := range values[:n] {
			if !v.IsNull() && s[string(v.ByteArray())] {
				count++
			}
		}
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
	}
}
