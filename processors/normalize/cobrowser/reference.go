package cobrowser

import (
	"strings"

	"github.com/parley-stream/parley/events"
)

// email is one that was sent from the vendor's interface.
func email(r *events.Record, row *row) *events.Email {
	row.take("id") // it is the vendor_id
	e := &events.Email{
		Base: events.NewBase(r), From: row.take("from"), To: row.take("to"), Bcc: row.take("bcc"), Subject: row.take("subject"),
		At: row.time("timestamp", r.Timezone), Agent: row.named("agent_id"),
	}
	row.rest(&e.Base)
	return e
}

// reference is a row of a directory.
func reference(r *events.Record, row *row) *events.Reference {
	e := &events.Reference{Base: events.NewBase(r), Fields: make(map[string]any)}
	switch r.Stream {
	case "accounts":
		row.take("id") // it is the vendor_id
		e.Of, e.Name = events.KindAccount, row.take("name")
		row.fields(e, "postfix", "reseller_id")
	case "hosts":
		row.take("id")
		e.Of, e.Name = events.KindSite, row.take("hostname")
		row.fields(e, "account_id", "hostname", "multiple_acc_id")
	case "agents", "cccagents":
		e.Of = events.KindAgent
		row.disabled(e)
		row.fields(e, "username", "firstname", "lastname", "email", "account_id", "cccagent_id", "cccaccount_id")
		e.Name = strings.TrimSpace(row.take("firstname") + " " + row.take("lastname"))
	default:
		e.Of = events.KindMembership
		row.fields(e, "cccagent_id", "cccgroup_id", "account_id", "cccgroup_name", "cccaccount_id")
	}
	row.rest(&e.Base)
	return e
}

// fields takes columns under their own names, which are in snake case.
func (r *row) fields(e *events.Reference, columns ...string) {
	for _, column := range columns {
		if text := r.take(column); text != "" {
			e.Fields[column] = text
		}
	}
}

// disabled takes the mark of a deleted agent; another value than 1 and 0 is left for attributes.
func (r *row) disabled(e *events.Reference) {
	switch strings.TrimSpace(r.raw("disabled")) {
	case "1":
		e.Fields["disabled"] = true
	case "0":
		e.Fields["disabled"] = false
	default:
		return
	}
	r.take("disabled")
}
