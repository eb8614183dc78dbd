package settings_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events/settings"
)

// grain is a type that says itself what it wants.
type grain string

func (g *grain) EnvDecode(value string) error {
	if value != "day" && value != "hour" {
		return errors.New("no grain")
	}
	*g = grain(value)
	return nil
}

func (grain) Wanted() string { return "day or hour" }

type config struct {
	Email    string          `env:"EMAIL, required"`
	Password settings.Secret `env:"PASSWORD, required"`
	Token    settings.Secret `env:"TOKEN"`
	Rate     float64         `env:"RATE, default=2.5"`
	Pages    int             `env:"PAGES, default=10"`
	Limit    uint            `env:"LIMIT"`
	Every    time.Duration   `env:"EVERY, default=1m"`
	Reread   []time.Duration `env:"REREAD, default=1h,24h"`
	Deleted  bool            `env:"DELETED"`
	Queries  []string        `env:"QUERIES"`
	Grain    grain           `env:"GRAIN"`
	ignored  string
}

const prefix = "PARLEY_SOURCE_A_"

// good are variables without a fault.
func good() map[string]string {
	return map[string]string{"EMAIL": "ada@vendor.example", "PASSWORD": "hunter2-hunter2"}
}

func decode(values map[string]string) (config, settings.Faults) {
	vars := settings.New(prefix, values)
	var c config
	vars.Decode(&c)
	vars.Unknown()
	return c, vars.Faults()
}

func TestVariablesAndDefaultsFillTheStruct(t *testing.T) {
	c, faults := decode(good())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if c.Email != "ada@vendor.example" || c.Password.Reveal() != "hunter2-hunter2" || c.Token.Reveal() != "" {
		t.Errorf("email %q, password %q, token %q", c.Email, c.Password.Reveal(), c.Token.Reveal())
	}
	if c.Rate != 2.5 || c.Pages != 10 || c.Every != time.Minute || c.Deleted || c.Queries != nil || c.ignored != "" {
		t.Errorf("defaults: %+v", c)
	}
	if diff := cmp.Diff([]time.Duration{time.Hour, 24 * time.Hour}, c.Reread); diff != "" {
		t.Error(diff)
	}

	values := good()
	for name, value := range map[string]string{
		"RATE": "0.1", "PAGES": "-3", "LIMIT": "7", "EVERY": "90s", "REREAD": "30m", "DELETED": "true", "QUERIES": "price,how to,", "GRAIN": "hour",
	} {
		values[name] = value
	}
	c, faults = decode(values)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if c.Rate != 0.1 || c.Pages != -3 || c.Limit != 7 || c.Every != 90*time.Second || !c.Deleted || c.Grain != "hour" || len(c.Reread) != 1 {
		t.Errorf("%+v", c)
	}
	if len(c.Queries) < 2 || c.Queries[1] != "how to" {
		t.Errorf("queries %q", c.Queries)
	}
}

func TestAnEmptyVariableIsAsIfItWereNotThere(t *testing.T) {
	values := good()
	values["RATE"], values["EVERY"], values["GRAIN"], values["TOKEN"] = "", "", "", ""
	c, faults := decode(values)
	if len(faults) > 0 || c.Rate != 2.5 || c.Every != time.Minute {
		t.Errorf("%+v, %v", c, faults)
	}
}

func TestEveryFaultSaysWhatWasThereAndWhatIsWanted(t *testing.T) {
	cases := map[string]struct {
		change func(v map[string]string)
		want   string
	}{
		"missing": {func(v map[string]string) { delete(v, "EMAIL") }, "PARLEY_SOURCE_A_EMAIL: is missing; set it"},
		"empty":   {func(v map[string]string) { v["EMAIL"] = "" }, "PARLEY_SOURCE_A_EMAIL: is missing; set it"},
		"a missing secret": {
			func(v map[string]string) { delete(v, "PASSWORD") },
			"PARLEY_SOURCE_A_PASSWORD: is missing; set it, or PARLEY_SOURCE_A_PASSWORD_FILE to a file that holds it",
		},
		"an empty secret": {
			func(v map[string]string) { v["PASSWORD"] = "" },
			"PARLEY_SOURCE_A_PASSWORD: is missing; set it, or PARLEY_SOURCE_A_PASSWORD_FILE to a file that holds it",
		},
		"a number":         {func(v map[string]string) { v["RATE"] = "fast" }, `PARLEY_SOURCE_A_RATE: is "fast", want a number`},
		"a whole number":   {func(v map[string]string) { v["PAGES"] = "1.5" }, `PARLEY_SOURCE_A_PAGES: is "1.5", want a whole number`},
		"a count":          {func(v map[string]string) { v["LIMIT"] = "-1" }, `PARLEY_SOURCE_A_LIMIT: is "-1", want a whole number that is not negative`},
		"a duration":       {func(v map[string]string) { v["EVERY"] = "90" }, `PARLEY_SOURCE_A_EVERY: is "90", want a duration such as 90s, 15m or 24h`},
		"durations":        {func(v map[string]string) { v["REREAD"] = "1h,soon" }, `PARLEY_SOURCE_A_REREAD: is "1h,soon", want durations such as 1h,24h,72h`},
		"truth":            {func(v map[string]string) { v["DELETED"] = "maybe" }, `PARLEY_SOURCE_A_DELETED: is "maybe", want true or false`},
		"a type's own way": {func(v map[string]string) { v["GRAIN"] = "week" }, `PARLEY_SOURCE_A_GRAIN: is "week", want day or hour`},
		"unknown": {
			func(v map[string]string) { v["PASWORD"] = "x" },
			"PARLEY_SOURCE_A_PASWORD: is unknown; known here are PARLEY_SOURCE_A_{DELETED,EMAIL,EVERY,GRAIN,LIMIT,PAGES,PASSWORD,QUERIES,RATE,REREAD,TOKEN}",
		},
		"a file for what is no secret": {
			func(v map[string]string) { v["EMAIL_FILE"] = "/x" },
			"PARLEY_SOURCE_A_EMAIL_FILE: is unknown; known here are PARLEY_SOURCE_A_{DELETED,EMAIL,EVERY,GRAIN,LIMIT,PAGES,PASSWORD,QUERIES,RATE,REREAD,TOKEN}",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			values := good()
			c.change(values)
			if _, faults := decode(values); faults.Error() != c.want {
				t.Errorf("faults\n%v\nwant\n%s", faults, c.want)
			}
		})
	}
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	c, faults := decode(map[string]string{
		"RATE": "fast", "PAGES": "many", "EVERY": "often", "DELETED": "maybe", "GRAIN": "week", "NONSENSE": "1", "OTHER": "2", "LIMIT": "3",
	})
	var names []string
	for _, f := range faults {
		names = append(names, strings.TrimPrefix(f.Variable, prefix))
	}
	want := []string{"EMAIL", "PASSWORD", "RATE", "PAGES", "EVERY", "DELETED", "GRAIN", "NONSENSE", "OTHER"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if lines := strings.Count(faults.Error(), "\n") + 1; lines != len(want) {
		t.Errorf("%d lines, want %d", lines, len(want))
	}
	if c.Rate != 0 || c.Every != 0 || c.Limit != 3 {
		t.Errorf("%+v: want zero where there is a fault, and the value where there is none", c)
	}
}

func TestARoomCanAddFaults(t *testing.T) {
	vars := settings.New(prefix, map[string]string{"URL": "ftp://vendor.example"})
	vars.Fault("URL", "want https")
	vars.Fault("ZONE", "want one")
	want := settings.Faults{
		{Variable: "PARLEY_SOURCE_A_URL", Got: "ftp://vendor.example", Want: "want https"}, {Variable: "PARLEY_SOURCE_A_ZONE", Want: "want one"},
	}
	if diff := cmp.Diff(want, vars.Faults()); diff != "" {
		t.Error(diff)
	}
	if got := (settings.Fault{Want: "want a source"}).Error(); got != "want a source" {
		t.Errorf("a fault of no variable: %q", got)
	}
	if vars.Name("URL") != "PARLEY_SOURCE_A_URL" {
		t.Errorf("name %q", vars.Name("URL"))
	}
	if vars := settings.New("", nil); vars.Faults() != nil {
		t.Errorf("faults of nothing: %v", vars.Faults())
	}
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASecretCanComeFromAFile(t *testing.T) {
	for content, want := range map[string]string{
		"hunter2": "hunter2", "hunter2\n": "hunter2", "hunter2\r\n": "hunter2", "hunter2\n\n": "hunter2",
		" two words \n": " two words ", "line\nline\n": "line\nline",
	} {
		values := good()
		delete(values, "PASSWORD")
		values["PASSWORD_FILE"] = secretFile(t, content)
		c, faults := decode(values)
		if len(faults) > 0 || c.Password.Reveal() != want {
			t.Errorf("a file of %q gives %q, %v; want %q", content, c.Password.Reveal(), faults, want)
		}
	}
}

func TestASecretsFileThatDoesNotHelpIsAFault(t *testing.T) {
	cases := map[string]struct {
		change func(v map[string]string)
		want   string
	}{
		"it is missing":   {func(v map[string]string) { delete(v, "PASSWORD"); v["PASSWORD_FILE"] = "/nowhere/at/all" }, "want a readable file: no such file or directory"},
		"it is a folder":  {func(v map[string]string) { delete(v, "PASSWORD"); v["PASSWORD_FILE"] = t.TempDir() }, "want a readable file: is a directory"},
		"both are set":    {func(v map[string]string) { v["PASSWORD_FILE"] = secretFile(t, "x") }, "want either it or PARLEY_SOURCE_A_PASSWORD, not both"},
		"it is empty":     {func(v map[string]string) { delete(v, "PASSWORD"); v["PASSWORD_FILE"] = secretFile(t, "") }, "this one is empty"},
		"it has no text":  {func(v map[string]string) { delete(v, "PASSWORD"); v["PASSWORD_FILE"] = secretFile(t, "\r\n\n") }, "this one is empty"},
		"it is not asked": {func(v map[string]string) { v["TOKEN_FILE"] = secretFile(t, "\n") }, "PARLEY_SOURCE_A_TOKEN_FILE"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			values := good()
			c.change(values)
			got, faults := decode(values)
			if len(faults) != 1 || !strings.Contains(faults.Error(), c.want) || !strings.Contains(faults.Error(), "_FILE: ") {
				t.Errorf("faults %v; want one with %q", faults, c.want)
			}
			if strings.Contains(faults.Error(), "hunter2") || got.Token.Reveal() != "" {
				t.Errorf("token %q, faults %v", got.Token.Reveal(), faults)
			}
		})
	}
}

func TestFaultsNeverShowASecret(t *testing.T) {
	const secret = "hunter2-hunter2"
	cases := map[string]map[string]string{
		"in the wrong variable":        {"EMAIL": "a", "PASSWORD": secret, "PAGES": secret},
		"in one that is decoded later": {"EMAIL": "a", "TOKEN": secret, "RATE": secret},
		"inside a longer value":        {"EMAIL": "a", "PASSWORD": secret, "GRAIN": "https://ada:" + secret + "@vendor.example"},
		"under a misspelt name":        {"EMAIL": "a", "PASSWROD": secret},
	}
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			_, faults := decode(values)
			text := fmt.Sprintf("%v %+v %#v %s", faults, faults, faults, faults.Error())
			if len(faults) == 0 || strings.Contains(text, secret) {
				t.Errorf("%s", text)
			}
		})
	}

	vars := settings.New(prefix, map[string]string{"URL": "https://ada:" + secret + "@vendor.example"})
	vars.Redact("URL")
	vars.Redact("NOT_THERE")
	vars.Fault("URL", "want a host that answers")
	if got := vars.Faults().Error(); got != prefix+"URL: want a host that answers" {
		t.Errorf("a redacted variable: %s", got)
	}
	for _, s := range vars.Secrets() {
		if s == "" {
			t.Error("the empty text is a secret: a redactor would find it everywhere")
		}
	}
}

func TestSecretsAreGivenForRedaction(t *testing.T) {
	values := good()
	values["TOKEN_FILE"] = secretFile(t, "tok\n")
	vars := settings.New(prefix, values)
	var c config
	vars.Decode(&c)
	if diff := cmp.Diff([]string{"hunter2-hunter2", "tok"}, vars.Secrets()); diff != "" {
		t.Error(diff)
	}
}

// room keeps its secret in a private field, which fmt prints without asking any method.
type room struct {
	name     string
	password settings.Secret
	all      []settings.Secret
	byName   map[string]settings.Secret
	pointer  *settings.Secret
}

func TestNoOutputShowsASecret(t *testing.T) {
	const value = "hunter2"
	s := settings.NewSecret(value)
	r := room{"a", s, []settings.Secret{s}, map[string]settings.Secret{"a": s}, &s}
	public := struct {
		Password settings.Secret
		All      map[string]settings.Secret
		Pointer  *settings.Secret
	}{s, r.byName, &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%p", "%T", "% x", "%10s", "%U"} {
		for _, v := range []any{s, &s, r, &r, public, &public, []any{s}, errors.Join(fmt.Errorf("%v", s))} {
			fmt.Fprintf(&out, verb, v)
		}
	}
	fmt.Fprintln(&out, s, r, public)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "secret", s, "pointer", &s, "room", r, "public", public, slog.Group("g", "secret", s))
	}
	encoded, err := json.Marshal(map[string]any{"secret": s, "public": public, "room": r})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, form := range []string{value, "68756e74657232", "68756E74657232", "68 75 6e", "104 117 110", "aHVudGVyMg"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s is in the output:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing stands where the secret was")
	}
}

func TestAnEmptySecretShowsThatItIsEmpty(t *testing.T) {
	for _, s := range []settings.Secret{{}, settings.NewSecret("")} {
		if s.String() != "" || s.Reveal() != "" || fmt.Sprintf("%v|%q", s, s) != `|""` {
			t.Errorf("%v", s)
		}
	}
}

func ExampleVars_Decode() {
	vars := settings.New("PARLEY_SOURCE_SHOP_", map[string]string{"PASSWORD": "s3cret-enough", "PAGES": "many", "PAGE": "1"})
	var cfg struct {
		Email    string          `env:"EMAIL, required"`
		Password settings.Secret `env:"PASSWORD, required"`
		Pages    int             `env:"PAGES, default=10"`
	}
	vars.Decode(&cfg)
	vars.Unknown()
	fmt.Println(cfg.Password)
	fmt.Println(vars.Faults())
	// Output:
	// [secret]
	// PARLEY_SOURCE_SHOP_EMAIL: is missing; set it
	// PARLEY_SOURCE_SHOP_PAGES: is "many", want a whole number
	// PARLEY_SOURCE_SHOP_PAGE: is unknown; known here are PARLEY_SOURCE_SHOP_{EMAIL,PAGES,PASSWORD}
}

func ExampleSecret() {
	password := settings.NewSecret("s3cret-enough")
	fmt.Println(password)
	fmt.Println(len(password.Reveal()))
	// Output:
	// [secret]
	// 13
}
