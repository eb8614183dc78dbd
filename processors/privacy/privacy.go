// Package privacy keeps personal data from leaving the processor: field by field as a policy says, and wherever else in the event the
// same person's data stands.
//
// # Config
//
// PARLEY_PRIVACY is a list of rules, separated by commas: [<kind>:]<path>=<action>. A path is the names of the schemas with dots, lists count
// for nothing, * is any name, and a rule is for everything within what it names. Of several rules for a field the longest
// path counts, then the one with fewer *, then the one with a kind.
//
//	keep      as it is
//	mask      in text: e-mail addresses become [email], telephone numbers [phone], card numbers [card], IBANs [iban], IP addresses
//	          [ip]. Names, addresses and the like are hidden whole where the rule names them, and always of visitors and contacts
//	truncate  an IP address: the last byte (IPv6: the last ten) becomes 0; what is no address is dropped
//	hmac      hmac:<key>:<32 hex digits>: the same for the same value in any field, for as long as the key is the same
//	drop      absent
//
// So visitor.ip=truncate,visitor.email=hmac,messages.text=mask,visitor.name=drop leaves all else as it is, and *=drop,status=keep,channel=keep
// is an allow-list. *=mask is a good first rule.
//
// PARLEY_PRIVACY_KEY or, better, PARLEY_PRIVACY_KEY_FILE is the key of hmac, of at least 16 bytes. <key> in the values is the beginning of a
// hash of it: after the key is replaced and Parley started anew, old and new values do not match, and can be told apart. Keep the old one for
// as long as there are events of it: whom `parley forget` erases is found under the present key, and under the old one by
// `parley forget --former-policy` with that in its place.
//
// # Delivery
//
// The policy has the last word on an entity, after every enrichment. An entity that it cannot be applied to is not published: its record is a
// dead letter. What a rule hides of a visitor, requester, contact, sender or recipient (id, name, email, ip, phone) is also hidden
// in every other field of the event, kept ones too: a field that is the value gets what the rule made of it, in text [name] and so on
// stands instead. The HTML that messages.text or preview was made of is dropped where there is a rule for these. Reasons of dead letters and the
// processor's logs have their quotations cut out and are masked like text.
//
// # Limits
//
// A message event (PARLEY_MESSAGE_EVENTS) is made of the treated conversation: it has what messages.… lets through, and no rules of its own.
// id, vendor, source and vendor_id cannot be changed, and stand in subjects: where a vendor's id is an e-mail address (LiveChat's agents in
// reports), it is published. Numbers, times and words of a fixed list can be kept or dropped alone, and pass rules for what holds them
// that say otherwise; fields that a schema requires pass *=drop. A first name alone, a nickname or a misspelt address is not found in text. Mask
// knows formats, not meaning: numbers of nine digits count as telephone numbers, and those written together with letters do not; ids lose only
// e-mail addresses. RAW, and the bytes of dead letters, are the vendor's as they
// were; PARLEY_RAW_RETENTION shortens the former. The digest of an event is that of its content before, with the installation's key: without
// that nobody can try values out.
package privacy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// Policy is a policy that was found right. It implements processors.Guard.
type Policy struct {
	rules []rule
	key   []byte
	keyID string
	plans map[events.Kind][]field
}

// Fault is one thing that is wrong with a policy or its key.
type Fault struct {
	Key  bool // else the policy
	Want string
}

// minKey keeps a key from being guessed.
const minKey = 16

// New reads a policy; the key may be empty where no rule says hmac. The Policy is nil when there are faults.
func New(policy, key string) (*Policy, []Fault) {
	rules, wrong := parse(policy)
	var faults []Fault
	for _, w := range wrong {
		faults = append(faults, Fault{Want: w})
	}
	hashes := slices.ContainsFunc(rules, func(r rule) bool { return r.action == hash })
	switch {
	case hashes && key == "":
		faults = append(faults, Fault{Key: true, Want: "is missing; hmac needs a key, better in a file that PARLEY_PRIVACY_KEY_FILE names"})
	case key != "" && len(key) < minKey:
		faults = append(faults, Fault{Key: true, Want: fmt.Sprintf("want at least %d bytes, such as `openssl rand -hex 32` gives", minKey)})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	p := &Policy{rules: rules, key: []byte(key), plans: make(map[events.Kind][]field)}
	id := sha256.Sum256([]byte("parley privacy key\n" + key))
	p.keyID = hex.EncodeToString(id[:4])
	for _, kind := range ruled() {
		p.plans[kind] = p.plan(kind)
	}
	return p, nil
}

// String tells a policy in the order in which its rules count.
func (p *Policy) String() string {
	texts := make([]string, len(p.rules))
	for i := range p.rules {
		texts[i] = p.rules[i].text
	}
	text := strings.Join(texts, ", ")
	for _, r := range p.rules {
		if r.kind == "" && len(r.path) == 1 && r.path[0] == "*" {
			if len(p.key) > 0 {
				text += "; the key is " + p.keyID
			}
			return text
		}
	}
	text += ", all else as it is"
	if len(p.key) > 0 {
		text += "; the key is " + p.keyID
	}
	return text
}

// Text implements processors.Guard: what is quoted is cut out, and the rest masked.
func (*Policy) Text(reason string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(reason, `"`)
		out.WriteString(before)
		if !found {
			return Mask(out.String())
		}
		out.WriteString(`"…"`)
		end := 0
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		reason = rest[min(end+1, len(rest)):]
	}
}

// Log masks what must not stand in any log: numbers are left, because those of a log are times, sizes and addresses of servers.
func (*Policy) Log(text string) string { return maskEmails(text) }

// Treat implements processors.Guard.
func (p *Policy) Treat(e events.Entity) (err error) {
	if m, ok := e.(*events.SingleMessage); ok {
		return p.treatSingle(m)
	}
	kind := e.Kind()
	plan, known := p.plans[kind]
	if !known {
		return fmt.Errorf("no schema says which fields a %s has", kind)
	}
	t := treatment{policy: p, kind: kind}
	t.people(e)
	v := reflect.ValueOf(e).Elem()
	t.fields(v, plan)
	if t.err == nil && len(t.echoes) > 0 {
		t.hideEchoes(v, plan)
	}
	return t.err
}

// treatSingle treats a message event like its conversation with this message alone.
func (p *Policy) treatSingle(m *events.SingleMessage) error {
	c := events.Conversation{Base: m.Base, Messages: []events.Message{{
		ID: m.MessageID, At: m.At, Author: m.Author, Type: m.Type, VendorType: m.VendorType, Text: m.Text, Attributes: m.Attributes,
	}}}
	c.Attributes = nil
	if err := p.Treat(&c); err != nil {
		return err
	}
	treated := events.SingleMessage{Base: c.Base, ConversationID: m.ConversationID}
	for _, left := range c.Messages {
		treated.MessageID, treated.At, treated.Author, treated.Type = left.ID, left.At, left.Author, left.Type
		treated.VendorType, treated.Text, treated.Attributes = left.VendorType, left.Text, left.Attributes
	}
	*m = treated
	return nil
}

// field is one field of a kind's type and what the policy says of it.
type field struct {
	index  []int
	name   string
	path   []string
	action action
	itself bool // the rule names it
	inside bool // rules are for what it holds
	figure bool // a number, a time or one of few words
	inline bool // a map whose entries are fields themselves
	sub    []field
}

var (
	instant   = reflect.TypeFor[time.Time]()
	reference = reflect.TypeFor[events.Reference]()
)

func (p *Policy) plan(kind events.Kind) []field {
	switch kind {
	case events.KindConversation:
		return p.planOf(kind, reflect.TypeFor[events.Conversation](), nil)
	case events.KindMetric:
		return p.planOf(kind, reflect.TypeFor[events.Metric](), nil)
	case events.KindActivity:
		return p.planOf(kind, reflect.TypeFor[events.Activity](), nil)
	case events.KindPresence:
		return p.planOf(kind, reflect.TypeFor[events.Presence](), nil)
	case events.KindRating:
		return p.planOf(kind, reflect.TypeFor[events.Rating](), nil)
	case events.KindSLA:
		return p.planOf(kind, reflect.TypeFor[events.SLA](), nil)
	case events.KindEmail:
		return p.planOf(kind, reflect.TypeFor[events.Email](), nil)
	default:
		return p.planOf(kind, reference, nil)
	}
}

// referenceNames are the JSON names of a Reference's own fields, which its tags do not tell.
var referenceNames = map[string]string{"Name": "name", "CreatedAt": "created_at", "UpdatedAt": "updated_at", "Fields": ""}

func (p *Policy) planOf(kind events.Kind, t reflect.Type, path []string) (plan []field) {
	schema := schemaOf(kind)
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous {
			for _, f := range p.planOf(kind, sf.Type, path) {
				f.index = append([]int{i}, f.index...)
				plan = append(plan, f)
			}
			continue
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if t == reference {
			own, ok := referenceNames[sf.Name]
			if !ok {
				continue // which kind it is
			}
			name = own
		}
		if len(path) == 0 && slices.Contains(identity, name) {
			continue
		}
		f := field{index: []int{i}, name: name, path: append(slices.Clone(path), name)}
		if name == "" {
			f.path, f.inline, f.inside = nil, true, true
		} else {
			f.action, f.itself = p.decide(kind, f.path)
			f.inside = p.inside(kind, f.path) || p.holdsOriginal(kind, f.path)
			f.figure = figure(schema, f.path)
		}
		elem := sf.Type
		for elem.Kind() == reflect.Pointer || elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct && elem != instant {
			f.sub = p.planOf(kind, elem, f.path)
		}
		plan = append(plan, f)
	}
	return plan
}

func figure(schema *node, path []string) bool {
	for _, n := range schema.find(path, false) {
		return n != anything && n.Properties == nil && n.Type != "object" && !n.takes(hash, path)
	}
	return false
}

// originals are the attributes that hold what a field was made of.
var originals = map[string][]string{
	"messages.attributes.text_html": {"messages", "text"},
	"attributes.preview_html":       {"preview"},
}

func (p *Policy) holdsOriginal(kind events.Kind, path []string) bool {
	for original, source := range originals {
		if a, _ := p.decide(kind, source); a != keep && strings.HasPrefix(original, strings.Join(path, ".")+".") {
			return true
		}
	}
	return false
}

// treatment is a policy on its way through one entity.
type treatment struct {
	policy *Policy
	kind   events.Kind
	echoes []echo
	err    error
}

func (t *treatment) fields(v reflect.Value, plan []field) {
	for i := range plan {
		f := &plan[i]
		if f.action == keep && !f.inside {
			continue
		}
		t.field(v.FieldByIndex(f.index), f)
	}
}

func (t *treatment) field(v reflect.Value, f *field) {
	if f.action == drop && !f.inside {
		t.drop(v, f)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if f.sub == nil || v.IsNil() {
			t.drop(v, f) // a figure beside kept ones
			return
		}
		t.fields(v.Elem(), f.sub)
		if v.Elem().IsZero() {
			v.SetZero()
		}
	case reflect.Struct:
		t.fields(v, f.sub)
	case reflect.Slice:
		t.list(v, f)
	case reflect.String:
		if f.action != keep && !f.figure {
			v.SetString(t.text(v.String(), f.action, f.path, f.itself))
		}
	case reflect.Map:
		t.mapped(v, f)
	}
}

func (*treatment) drop(v reflect.Value, f *field) {
	switch {
	case f.action != drop:
	case strings.Join(f.path, ".") == "surveys.responses": // which is never absent
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	default:
		v.SetZero()
	}
}

func (t *treatment) list(v reflect.Value, f *field) {
	if v.Type().Elem().Kind() == reflect.Struct {
		left := f.action != drop
		for i := range v.Len() {
			t.fields(v.Index(i), f.sub)
			left = left || !v.Index(i).IsZero()
		}
		if !left {
			v.SetZero()
		}
		return
	}
	texts, ok := v.Interface().([]string)
	if !ok || f.figure || f.action == keep {
		return
	}
	kept := make([]string, 0, len(texts))
	for _, s := range texts {
		if s = t.text(s, f.action, f.path, f.itself); s != "" {
			kept = append(kept, s)
		}
	}
	v.Set(reflect.ValueOf(kept))
}

func (t *treatment) mapped(v reflect.Value, f *field) {
	if v.IsNil() {
		return
	}
	switch m := v.Interface().(type) {
	case map[string]any:
		if t.free(m, f.path); len(m) == 0 {
			v.SetZero()
		}
	case map[string]string:
		at := append(slices.Clone(f.path), "")
		for key, value := range m {
			at[len(f.path)] = key
			a, itself := t.policy.decide(t.kind, at)
			if value = t.text(value, a, at, itself); value == "" {
				delete(m, key)
				continue
			}
			m[key] = value
		}
		if len(m) == 0 {
			v.SetZero()
		}
	case map[string]float64:
		for key := range m {
			if a, _ := t.policy.decide(t.kind, append(slices.Clone(f.path), key)); a == drop && f.action != keep || f.inside && a == drop {
				delete(m, key)
			}
		}
	default:
		t.err = fmt.Errorf("the field %s has values of a form that no rule knows", strings.Join(f.path, "."))
	}
}

// free treats a map whose entries may be anything.
func (t *treatment) free(m map[string]any, path []string) {
	var renamed map[string]any
	at := append(slices.Clone(path), "") // what is called below copies it before it changes it
	for key, value := range m {
		at[len(path)] = key
		if len(at) == 1 && slices.Contains(identity, key) {
			continue
		}
		a, itself := t.policy.decide(t.kind, at)
		if a != drop && strings.HasSuffix(key, "_html") {
			if source, is := originals[strings.Join(at, ".")]; is {
				if of, _ := t.policy.decide(t.kind, source); of != keep {
					a = drop
				}
			}
		}
		treated, stays := t.any(value, a, at, itself)
		if !stays {
			delete(m, key)
			continue
		}
		m[key] = treated
		if a == keep {
			continue
		}
		if name := Mask(key); name != key { // some name what they keep by an address
			if renamed == nil {
				renamed = make(map[string]any)
			}
			renamed[name] = treated
			delete(m, key)
		}
	}
	for name, value := range renamed {
		m[name] = value
	}
}

func (t *treatment) any(value any, a action, path []string, itself bool) (treated any, stays bool) {
	if a == keep && !t.policy.inside(t.kind, path) {
		return value, true
	}
	switch v := value.(type) {
	case map[string]any:
		if a == drop && !t.policy.inside(t.kind, path) {
			return nil, false
		}
		t.free(v, path)
		return v, len(v) > 0
	case []any:
		kept := make([]any, 0, len(v))
		for _, item := range v {
			if treated, stays := t.any(item, a, path, itself); stays {
				kept = append(kept, treated)
			}
		}
		return kept, len(kept) > 0
	case string:
		s := t.text(v, a, path, itself)
		return s, s != ""
	case nil, bool:
		return v, a != drop
	case json.Number, int, int32, int64, uint64, float64:
		return t.numeric(v, a, path, itself)
	}
	general, err := generic(value)
	if err != nil {
		t.err = fmt.Errorf("the field %s: %w", strings.Join(path, "."), err)
		return nil, false
	}
	return t.any(general, a, path, itself)
}

// numeric treats a number like its digits: a card's number may be one.
func (t *treatment) numeric(v any, a action, path []string, itself bool) (any, bool) {
	if a == keep {
		return v, true
	}
	plain, _ := json.Marshal(v)
	s := t.text(string(plain), a, path, itself)
	if s == string(plain) {
		return v, true
	}
	return s, s != ""
}

// generic gives the JSON form of a value of some other type.
func generic(value any) (any, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var v any
	err = decoder.Decode(&v)
	return v, err
}

// whole are the names of fields that hold one value about a person, which patterns would not find.
var whole = []string{
	"name", "email", "ip", "phone", "user_agent", "organization", "isp", "from", "to", "bcc", "firstname", "lastname", "username", "id",
}

// text does what an action says; "" is nothing left.
func (t *treatment) text(s string, a action, path []string, itself bool) string {
	if s == "" {
		return ""
	}
	switch a {
	case keep:
		return s
	case mask:
		name := strings.ToLower(path[len(path)-1])
		if slices.Contains(whole, name) && (itself || t.ofPerson(path)) {
			return "[" + name + "]"
		}
		if name == "id" && !slices.ContainsFunc(path, func(n string) bool { return n == "attributes" || n == "custom_fields" }) {
			return maskEmails(s) // else no event could be told from another
		}
		return Mask(s)
	case truncate:
		return truncated(s)
	case hash:
		return t.policy.hash(s)
	default:
		return ""
	}
}

// ofPerson tells whether a field is about a visitor or a contact.
func (t *treatment) ofPerson(path []string) bool {
	return t.kind == events.KindContact || t.kind == events.KindEmail && len(path) == 1 || path[0] == "visitor" || path[0] == "requester"
}

func truncated(s string) string {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return ""
	}
	ip = ip.WithZone("").Unmap()
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	prefix, _ := ip.Prefix(bits) // the bits fit
	return prefix.Addr().String()
}

// Hashed gives what stands for a value where a rule says hmac; "" where none does.
func (p *Policy) Hashed(value string) string {
	if len(p.key) == 0 || value == "" {
		return ""
	}
	return p.hash(value)
}

// hashed is what hash gives: an event that is treated again, after a name came to it, keeps what stands for others.
var hashed = regexp.MustCompile(`^hmac:[0-9a-f]{8}:[0-9a-f]{32}$`)

func (p *Policy) hash(s string) string {
	s = strings.TrimSpace(s)
	if hashed.MatchString(s) {
		return s
	}
	if strings.Contains(s, "@") {
		s = strings.ToLower(s) // so that an address is the same however it is written
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(s))
	return "hmac:" + p.keyID + ":" + hex.EncodeToString(mac.Sum(nil)[:16])
}
