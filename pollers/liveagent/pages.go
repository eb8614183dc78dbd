package liveagent

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/parley-stream/parley/pollers"
)

// paging names the parameters of a list that comes in pages, and how many rows to ask for.
type paging struct {
	count, from string
	size        int
}

// retreats is how often a list is looked for further back before it is given up as one that does not hold still.
const retreats = 5

// pages reads a list page by page. The vendor gives neither a total nor an order, and rows come and go meanwhile: so each page
// begins a little before the end of the last one, and must hold a row of it: then nothing between the two was passed over. If it
// holds none, the reading goes back. The end is where a page has nothing new, not where one is short: a vendor may give
// fewer rows than were asked for.
func (d directory) pages(ctx context.Context, r *reader, work func([]row) error) error {
	var last lastPage
	for at, back := 0, 0; ; {
		rows, err := d.rows(ctx, r, url.Values{d.paging.count: {strconv.Itoa(d.paging.size)}, d.paging.from: {strconv.Itoa(at)}})
		if err != nil {
			return err
		}
		fresh, joined := last.join(rows)
		if !joined && at > 0 {
			if back++; back > retreats {
				return fmt.Errorf("the pages of %s move too fast: %w", d.path, pollers.ErrIncomplete)
			}
			at = max(0, at-d.paging.size/2)
			continue
		}
		if len(fresh) == 0 {
			return last.ends(d, at, rows)
		}
		count := len(rows)
		last = pageAt(at, rows)
		if joined {
			back = 0
		}
		at += count - max(1, count/10)
		if err := work(fresh); err != nil {
			return err
		}
	}
}

// lastPage is what is remembered of the page before.
type lastPage struct {
	at    int
	first string
	rows  map[string]bool
}

func pageAt(at int, rows []row) lastPage {
	p := lastPage{at: at, first: rows[0].identity(), rows: make(map[string]bool, len(rows))}
	for _, w := range rows {
		p.rows[w.identity()] = true
	}
	return p
}

// join gives the rows that the page before did not have, and whether there is one that it had.
func (p lastPage) join(rows []row) (fresh []row, joined bool) {
	for _, w := range rows {
		if p.rows[w.identity()] {
			joined = true
		} else {
			fresh = append(fresh, w)
		}
	}
	return fresh, joined
}

// ends tells the end of the list from a vendor that gives the same page whatever it is asked for.
func (p lastPage) ends(d directory, at int, rows []row) error {
	if at > p.at && len(rows) > 0 && rows[0].identity() == p.first {
		return fmt.Errorf("%s are the same from row %d on as from row %d: %w", d.path, at, p.at, pollers.ErrIncomplete)
	}
	return nil
}
