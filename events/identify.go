package events

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Identifier is something by which a person, or what is told of him, is known. Equal identifiers are equal values.
type Identifier struct {
	Kind   string // one of the By… constants
	Source string // "": in every source
	Value  string
}

// The kinds of identifiers.
const (
	ByEmail        = "email"        // in small letters
	ByVisitor      = "visitor"      // a visitor's, requester's or customer's id in a source
	ByConversation = "conversation" // the canonical id of a conversation: whatever belongs to it
	ByRecord       = "record"       // a stream and the vendor's id: one entity
)

// RecordIdentifier is an entity, or its record, whatever is in it.
func RecordIdentifier(source, stream, key string) Identifier {
	return Identifier{Kind: ByRecord, Source: source, Value: stream + "\n" + key}
}

// Person is what an entity says belongs together: the ids and addresses of a visitor, requester or customer.
type Person struct{ IDs, Emails []string }

// Identifiers gives these as identifiers; addresses both in their source and everywhere.
func (p *Person) Identifiers(source string) (all []Identifier) {
	for _, id := range p.IDs {
		if id != "" {
			all = append(all, Identifier{ByVisitor, source, id})
		}
	}
	for _, email := range p.Emails {
		all = appendEmail(all, source, email)
	}
	return all
}

func appendEmail(all []Identifier, source, email string) []Identifier {
	if email = strings.ToLower(strings.TrimSpace(email)); email == "" {
		return all
	}
	return append(all, Identifier{ByEmail, "", email}, Identifier{ByEmail, source, email})
}

// Persons gives the visitors and customers whom an entity is about; agents are none.
func Persons(e Entity) (all []Person) {
	add := func(id, email string) {
		if id != "" || email != "" {
			all = append(all, Person{IDs: []string{id}, Emails: []string{email}})
		}
	}
	visitor := func(v *Visitor) {
		if v != nil {
			add(v.ID, v.Email)
		}
	}
	author := func(a *Author) {
		if a != nil && a.Type == AuthorVisitor {
			add(a.ID, a.Email)
		}
	}
	switch e := e.(type) {
	case *Conversation:
		visitor(e.Visitor)
		for i := range e.Messages {
			author(e.Messages[i].Author)
		}
	case *Rating:
		visitor(e.Requester)
	case *SLA:
		visitor(e.Requester)
	case *SingleMessage:
		author(e.Author)
	case *Reference:
		if e.Of == KindContact {
			all = append(all, customer(e))
		}
	}
	return all
}

func customer(r *Reference) Person {
	p := Person{IDs: []string{r.VendorID}}
	for name, value := range r.Fields {
		switch {
		case name == "user_id":
			if id, ok := value.(string); ok {
				p.IDs = append(p.IDs, id)
			}
		case strings.Contains(name, "mail"):
			text, _ := json.Marshal(value) // what was decoded or normalised encodes
			p.Emails = append(p.Emails, EmailsIn(text)...)
		}
	}
	slices.Sort(p.Emails)
	return p
}

// Identifiers gives every identifier under which an entity's persons can be erased: their ids, every e-mail address in its canonical content, and
// the conversation that it belongs to. Addresses that the entity gives as an agent's are none, and kinds that name no visitor have none.
func Identifiers(e Entity, content []byte) (all []Identifier) {
	switch e.Kind() {
	case KindConversation, KindRating, KindSLA, KindEmail, KindMessage, KindContact:
	default:
		return nil
	}
	source := e.Common().Source
	for _, p := range Persons(e) {
		all = append(all, p.Identifiers(source)...)
	}
	agents := agentEmails(e)
	for _, email := range EmailsIn(content) {
		if !slices.Contains(agents, email) {
			all = appendEmail(all, source, email)
		}
	}
	if id := e.Conversation(); id != "" {
		all = append(all, Identifier{ByConversation, source, id})
	}
	return all
}

func agentEmails(e Entity) (all []string) {
	add := func(values ...string) {
		for _, v := range values { // some vendors' ids of agents are their addresses
			if strings.Contains(v, "@") {
				all = append(all, strings.ToLower(v))
			}
		}
	}
	author := func(a *Author) {
		if a != nil && a.Type != AuthorVisitor {
			add(a.ID, a.Email)
		}
	}
	switch e := e.(type) {
	case *Conversation:
		for i := range e.Agents {
			add(e.Agents[i].ID, e.Agents[i].Email)
		}
		for i := range e.Messages {
			author(e.Messages[i].Author)
		}
	case *Rating:
		if e.Agent != nil {
			add(e.Agent.ID, e.Agent.Email)
		}
	case *SLA:
		if e.Agent != nil {
			add(e.Agent.ID, e.Agent.Email)
		}
	case *SingleMessage:
		author(e.Author)
	}
	return all
}

// IdentifiersIn gives what may identify somebody in bytes that could not be decoded: addresses, and words with a digit in them as ids.
func IdentifiersIn(source string, text []byte) (all []Identifier) {
	for _, email := range EmailsIn(text) {
		all = appendEmail(all, source, email)
	}
	seen := make(map[string]bool)
	for _, word := range bytes.FieldsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf || !localByte(byte(r)) || strings.ContainsRune(`&=+'`, r) }) {
		if !mayBeID(word) || seen[string(word)] {
			continue
		}
		if seen[string(word)] = true; len(seen) > maxWords {
			break
		}
		all = append(all, Identifier{ByVisitor, source, string(word)})
	}
	return all
}

// mayBeID takes words with a digit; of short numbers too many stand everywhere.
func mayBeID(word []byte) bool {
	letters := len(bytes.Trim(word, "0123456789")) > 0
	return len(word) <= 64 && (letters && len(word) >= 5 || len(word) >= 8) && bytes.ContainsAny(word, "0123456789")
}

// maxWords bounds the ids that are tried of one text.
const maxWords = 20_000

// writings of the @ that stand in URLs, HTML and JSON.
var writings = [][]byte{[]byte("%40"), []byte("&#64;"), []byte("&#x40;"), []byte(`\u0040`), []byte("＠")}

// EmailsIn gives what may be an e-mail address in a text, in small letters and each once. Where it is unclear where an address begins or ends, it
// gives more than one.
func EmailsIn(text []byte) (all []string) {
	for _, w := range writings {
		if bytes.Contains(text, w) {
			text = bytes.ReplaceAll(text, w, []byte("@"))
		}
	}
	for from := 0; ; {
		at := bytes.IndexByte(text[from:], '@')
		if at < 0 {
			return all
		}
		at += from
		from = at + 1
		begin, end := at, from
		for begin > 0 && localByte(text[begin-1]) {
			begin--
		}
		for end < len(text) && domainByte(text[end]) {
			end++
		}
		domain := bytes.TrimRight(text[from:end], ".-")
		if begin == at || len(domain) == 0 || at-begin > 256 || len(domain) > 256 {
			continue
		}
		all = appendAddresses(all, text, begin, at, domain)
	}
}

func appendAddresses(all []string, text []byte, begin, at int, domain []byte) []string {
	domains := [][]byte{domain}
	if ascii := bytes.IndexFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }); ascii > 0 {
		domains = append(domains, domain[:ascii])
	}
	for i := begin; i < at; i++ {
		if i > begin && !mayPrecede(text[i-1]) && (i != begin+1 || begin == 0 || text[begin-1] != '\\') {
			continue
		}
		for _, d := range domains {
			if email := strings.ToLower(string(text[i:at]) + "@" + string(d)); !slices.Contains(all, email) {
				all = append(all, email)
			}
		}
	}
	return all
}

// mayPrecede tells what is allowed in an address, and stands before one more often.
func mayPrecede(c byte) bool { return c >= utf8.RuneSelf || strings.IndexByte("&=+'", c) >= 0 }

func localByte(c byte) bool {
	return plain(c) || c >= utf8.RuneSelf || strings.IndexByte(".+'&=%", c) >= 0
}

func domainByte(c byte) bool { return plain(c) && c != '_' || c == '.' || c >= utf8.RuneSelf }
