// Package settings decodes the variables of one source or sink strictly: every fault is collected,
// so that a user sees all of them at once, and a secret never shows its value.
//
// A room declares a struct with `env` tags (sethvargo/go-envconfig) whose names lack the
// PARLEY_SOURCE_<N>_ or PARLEY_SINK_<N>_ prefix, and calls Decode:
//
//	var cfg struct {
//		Email    string          `env:"EMAIL, required"`
//		Password settings.Secret `env:"PASSWORD, required"`
//	}
//	vars.Decode(&cfg)
//
// A Secret may come from a file instead: PASSWORD_FILE.
package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/sethvargo/go-envconfig"
)

// Secret is a value that no output may show. Only Reveal gives it.
type Secret struct {
	// A pointer, because fmt prints the private fields of others without asking their methods:
	// of a room's struct that holds a Secret it then shows an address.
	value *string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal gives the value, for the one place that must send it; "" when none was set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String is "[secret]", or "" of an empty one.
func (s Secret) String() string {
	if s.Reveal() == "" {
		return ""
	}
	return "[secret]"
}

// Format hides the value from every verb of fmt.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(f, "%q", s.String())
		return
	}
	_, _ = io.WriteString(f, s.String())
}

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// EnvDecode implements envconfig.Decoder.
func (s *Secret) EnvDecode(value string) error {
	*s = NewSecret(value)
	return nil
}

// Fault is one wrong variable.
type Fault struct {
	Variable string // the full name
	Got      string // what was there; "" when nothing was, or when it is a secret
	Want     string // what is wanted, and what to do
}

// Error names the variable, what was there and what was wanted.
func (f Fault) Error() string {
	switch {
	case f.Variable == "":
		return f.Want
	case f.Got == "":
		return f.Variable + ": " + f.Want
	default:
		return fmt.Sprintf("%s: is %q, %s", f.Variable, f.Got, f.Want)
	}
}

// Faults are all of a configuration's faults.
type Faults []Fault

// Error has one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Vars are the variables of one source or sink, or of Parley itself. It is not for concurrent use.
type Vars struct {
	prefix      string
	values      map[string]string // by name without the prefix
	known       map[string]bool
	secrets     []string
	credentials []string
	faults      Faults
}

// New takes the variables without their prefix; the prefix serves for messages.
func New(prefix string, values map[string]string) *Vars {
	return &Vars{prefix: prefix, values: values, known: make(map[string]bool)}
}

// Name is a variable's full name.
func (v *Vars) Name(name string) string { return v.prefix + name }

// Fault adds a fault of the variable with this name (without prefix).
func (v *Vars) Fault(name, want string) {
	v.faults = append(v.faults, Fault{Variable: v.prefix + name, Got: v.values[name], Want: want})
}

// Redact keeps a variable's value out of faults, because it may hold a secret.
func (v *Vars) Redact(name string) {
	if value := v.values[name]; value != "" {
		v.secrets = append(v.secrets, value)
	}
}

// shortSecret is the length below which a secret is looked for as a whole value only: a shorter one is
// found in everything.
const shortSecret = 4

// holdsSecret tells whether a value is a secret or has one in it, such as a URL with its password.
func (v *Vars) holdsSecret(value string) bool {
	return slices.ContainsFunc(v.secrets, func(secret string) bool {
		return value == secret || len(secret) >= shortSecret && strings.Contains(value, secret)
	})
}

// Decode fills a pointer to a flat struct, field by field. Faults are kept for Faults; a
// field with a fault keeps its zero value. Tag option "required" is honoured, as are defaults.
func (v *Vars) Decode(target any) {
	rv := reflect.ValueOf(target).Elem()
	for i := range rv.NumField() {
		field := rv.Type().Field(i)
		if name, _, _ := strings.Cut(field.Tag.Get("env"), ","); name != "" {
			v.decodeField(strings.TrimSpace(name), field, rv.Field(i))
		}
	}
}

func (v *Vars) decodeField(name string, field reflect.StructField, into reflect.Value) {
	v.known[name] = true
	if field.Type == reflect.TypeOf(Secret{}) || field.Tag.Get("credential") != "" {
		v.credentials = append(v.credentials, name)
	}
	values := map[string]string{}
	if value, ok := v.values[name]; ok && value != "" {
		values[name] = value
	}
	secret := field.Type == reflect.TypeOf(Secret{})
	if secret {
		v.known[name+"_FILE"] = true
		if !v.readSecretFile(name, values) {
			return
		}
		if s := values[name]; s != "" {
			v.secrets = append(v.secrets, s)
		}
	}
	if tag := field.Tag.Get("env"); len(values) == 0 && !strings.Contains(tag, "required") && !strings.Contains(tag, "default=") {
		return // else a type that decodes itself is asked to make something of ""
	}
	// A struct of this one field lets envconfig report each field's fault, not only the first.
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: field.Name, Type: field.Type, Tag: field.Tag}}))
	err := envconfig.ProcessWith(context.Background(), &envconfig.Config{
		Target: one.Interface(), Lookuper: envconfig.MapLookuper(values),
	})
	switch {
	case errors.Is(err, envconfig.ErrMissingRequired):
		want := "is missing; set it"
		if secret {
			want = "is missing; set it, or " + v.prefix + name + "_FILE to a file that holds it"
		}
		v.Fault(name, want)
	case err != nil:
		v.Fault(name, "want "+wanted(field.Type))
	default:
		into.Set(one.Elem().Field(0))
	}
}

// readSecretFile takes a secret's value from NAME_FILE; false means a fault was added.
func (v *Vars) readSecretFile(name string, values map[string]string) bool {
	path := v.values[name+"_FILE"]
	if path == "" {
		return true
	}
	if values[name] != "" {
		v.Fault(name+"_FILE", "want either it or "+v.prefix+name+", not both")
		return false
	}
	content, err := os.ReadFile(path)
	if err != nil {
		v.Fault(name+"_FILE", "want a readable file: "+errors.Unwrap(err).Error())
		return false
	}
	value := strings.TrimRight(string(content), "\r\n")
	if value == "" {
		v.Fault(name+"_FILE", "want a file that holds the value; this one is empty")
		return false
	}
	values[name] = value
	return true
}

// wanted says in words what a field's type takes.
func wanted(t reflect.Type) string {
	switch t.String() {
	case "time.Duration":
		return "a duration such as 90s, 15m or 24h"
	case "[]time.Duration":
		return "durations such as 1h,24h,72h"
	}
	if d, ok := reflect.New(t).Interface().(interface{ Wanted() string }); ok {
		return d.Wanted()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a " + t.String()
	}
}

// Secrets are the values of every Secret decoded so far, for redaction.
func (v *Vars) Secrets() []string { return v.secrets }

// Credentials are the variables of every Secret decoded so far, and of every field with a tag `credential`, such as the user that a key
// belongs to; without the prefix.
func (v *Vars) Credentials() []string { return v.credentials }

// Unknown adds a fault for every variable that no Decode knew. Call it once, at the end.
func (v *Vars) Unknown() {
	names := make([]string, 0, len(v.values))
	for name := range v.values {
		if !v.known[name] {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	known := make([]string, 0, len(v.known))
	for name := range v.known {
		if !strings.HasSuffix(name, "_FILE") {
			known = append(known, name)
		}
	}
	sort.Strings(known)
	for _, name := range names {
		// The value may be a secret under a misspelt name: it is not shown.
		v.faults = append(v.faults, Fault{
			Variable: v.prefix + name,
			Want:     "is unknown; known here are " + v.prefix + "{" + strings.Join(known, ",") + "}",
		})
	}
}

// Faults gives what is wrong so far; nil when nothing is. No value that holds a secret is shown, even one that was
// decoded before the secret.
func (v *Vars) Faults() Faults {
	faults := slices.Clone(v.faults)
	for i := range faults {
		if v.holdsSecret(faults[i].Got) {
			faults[i].Got = ""
		}
	}
	return faults
}
