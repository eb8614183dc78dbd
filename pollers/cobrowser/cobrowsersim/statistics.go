package cobrowsersim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// bucket is one hour of one account.
type bucket struct {
	hour    time.Time
	account int
	chats   []simulated.Chat
}

// hours are those in which chats began, by hour and account. The zone's hours are those of UTC.
func (s *Sim) hours() (buckets []bucket) {
	type place struct {
		hour    time.Time
		account int
	}
	index := make(map[place]int)
	for _, c := range s.account.Chats() {
		at := place{c.Start.Truncate(time.Hour).UTC(), c.Department}
		i, ok := index[at]
		if !ok {
			i = len(buckets)
			index[at] = i
			buckets = append(buckets, bucket{hour: at.hour, account: at.account})
		}
		buckets[i].chats = append(buckets[i].chats, c)
	}
	slices.SortFunc(buckets, func(a, b bucket) int {
		return cmp.Or(a.hour.Compare(b.hour), cmp.Compare(a.account, b.account))
	})
	return buckets
}

// hourOf gives the three columns that say which hour it is.
func (s *Sim) hourOf(t time.Time) []string {
	return []string{s.rfc2822(t), s.rfc2822(t.Add(time.Hour - time.Second)), strconv.Itoa(t.In(s.zone).Hour())}
}

// bucketKey is the key of an hour's figures; dimensions are in alphabetical order.
func bucketKey(report string, hour time.Time, dimensions string) string {
	return report + "/" + hour.Format(time.RFC3339) + "/hour/" + dimensions
}

func numbers(n ...int) []string {
	out := make([]string, len(n))
	for i := range n {
		out[i] = strconv.Itoa(n[i])
	}
	return out
}

// requests counts the chats that the company began or the visitor, and those of them that were accepted.
func requests(chats []simulated.Chat, proactive bool) (all, accepted int) {
	for _, c := range chats {
		if (c.Number%2 == 0) == proactive {
			all++
			if !c.Missed {
				accepted++
			}
		}
	}
	return all, accepted
}

func (b *bucket) visits() []string {
	pages := 0
	for _, c := range b.chats {
		pages += 3 + c.Number%5
	}
	reactive, reactiveAccepted := requests(b.chats, false)
	proactive, proactiveAccepted := requests(b.chats, true)
	n := len(b.chats)
	return numbers(4*n+2, pages+4*n, 3*n+2, reactive, reactiveAccepted, proactive, proactiveAccepted)
}

func (s *Sim) accountHours() (rows []row) {
	for _, b := range s.hours() {
		id := accountID(b.account)
		values := append([]string{id}, s.hourOf(b.hour)...)
		rows = append(rows, row{
			values: append(values, b.visits()...), at: b.hour, account: id, key: bucketKey("accountspecshourly", b.hour, "account="+id),
		})
	}
	return rows
}

func (s *Sim) hostHours() (rows []row) {
	for _, b := range s.hours() {
		id, account := hostID(b.account), accountID(b.account)
		values := append(append([]string{id}, s.hourOf(b.hour)...), b.visits()...)
		rows = append(rows, row{
			values: append(values, account), at: b.hour, account: account,
			key: bucketKey("hostspecshourly", b.hour, "account="+account+"/site="+id),
		})
	}
	return rows
}

// filterHours are of the filter that began an hour's proactive chats.
func (s *Sim) filterHours() (rows []row) {
	for _, b := range s.hours() {
		all, accepted := requests(b.chats, true)
		if all == 0 {
			continue
		}
		id, account := strconv.Itoa(61+b.account), accountID(b.account)
		values := append(append([]string{account}, s.hourOf(b.hour)...), id, []string{"Basket > 100 €", "Second visit; no order", `"Help" page`}[b.account])
		rows = append(rows, row{
			values: append(values, numbers(all, accepted, (all-accepted)/2, all+2, 1, 0, (all-accepted+1)/2, 1)...),
			at:     b.hour, account: account, key: bucketKey("filterstatshourly", b.hour, "account="+account+"/filter="+id),
		})
	}
	return rows
}

// agentPerformance has two presets of every shift that has ended.
func (s *Sim) agentPerformance() (rows []row) {
	for _, day := range s.shifts() {
		if day.logout.After(s.account.Now()) {
			continue
		}
		agent, session := agentID(day.agent, day.account), strconv.Itoa(100*day.number+day.agent)
		online, offline := int((day.logout.Sub(day.login)-day.back.Sub(day.lunch))/time.Second), int(day.back.Sub(day.lunch)/time.Second)
		for k := range 2 {
			chats := 3 + (day.number+day.agent+k)%7
			open := 400 * chats
			values := []string{agent, session, preset(k), s.rfc2822(day.login)}
			values = append(values, numbers(chats, 1, k, chats%2)...)
			values = append(values, fmt.Sprintf("%d.%d5", 1+k, chats%10))
			values = append(values, numbers(35*chats, open, open/10, open/8, open/6, open/40, online, offline, online-open/3, online-open/2, online+offline)...)
			rows = append(rows, row{
				values: values, at: day.login, account: accountID(day.account),
				key: fmt.Sprintf("agentperformance/%s/session/agent=%s/preset=%s/session=%s", day.login.UTC().Format(time.RFC3339), agent, preset(k), session),
			})
		}
	}
	return rows
}
