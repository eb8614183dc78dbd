package liveagent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parley-stream/parley/events/settings"
)

// companions gives what a column says nothing without: that a length or an offset is final, and where a week or month ends.
func companions(column string) []string {
	return map[string][]string{
		"datetime": {"dateto"}, "hours_online": {"to_date"}, "sla": {"date_closed", "server_date_closed"},
	}[column]
}

// narrow reads COLUMNS: each report that has some of the columns is asked for these, and for what tells its rows apart; every other for
// all it has, since a report that is not wanted is left out by STREAMS.
func narrow(all []*report, columns []string, vars *settings.Vars) []*report {
	unknown := make(map[string]bool)
	for i, name := range columns {
		columns[i] = strings.TrimSpace(name)
		unknown[columns[i]] = true
	}
	for _, r := range all {
		if r.columns == "" {
			continue // the call has no such parameter
		}
		documented := strings.Split(r.columns, ",")
		named := slices.ContainsFunc(documented, func(c string) bool { return slices.Contains(columns, c) })
		wanted := append([]string{r.id}, columns...)
		for _, name := range slices.Clone(wanted) {
			wanted = append(wanted, companions(name)...)
		}
		kept := slices.DeleteFunc(documented, func(c string) bool {
			delete(unknown, c)
			return !slices.Contains(wanted, c)
		})
		if named {
			r.columns = strings.Join(kept, ",")
		}
	}
	for _, name := range columns {
		if unknown[name] {
			vars.Fault("COLUMNS", fmt.Sprintf("%q is a column of none of LiveAgent's reports; want return fields of its document, separated by commas, such as answers,chats", name))
			break
		}
	}
	return all
}
