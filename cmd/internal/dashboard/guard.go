package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// policy has the browser run and ask nothing but what comes from here, and lets no script turn a text into markup.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
		"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	cookieName = "parley_session"
	// sessionFor is how long a browser that has shown the token need not show it again.
	sessionFor = 12 * time.Hour
	// maxBody bounds what a request may carry.
	maxBody = 64 << 10
)

// guard decides who is answered, and who may act.
type guard struct {
	token    string
	hosts    []string
	anyHost  bool
	crossing *http.CrossOriginProtection
	now      func() time.Time
}

func newGuard(o Options) guard {
	host, _, err := net.SplitHostPort(o.Addr)
	return guard{
		token: o.Token, hosts: o.Hosts, anyHost: len(o.Hosts) == 0 && err == nil && !isLoopback(host),
		crossing: http.NewCrossOriginProtection(), now: time.Now,
	}
}

func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// protect answers only who asks for a name of ours, and nothing that another site has a browser do.
func (g *guard) protect(next http.Handler) http.Handler {
	next = g.crossing.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		if !g.knows(r.Host) {
			writeError(w, http.StatusMisdirectedRequest, "this name is none of the dashboard's: add it to PARLEY_HTTP_HOSTS")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// knows tells whether a Host header names this dashboard.
func (g *guard) knows(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return g.anyHost || isLoopback(host) || slices.Contains(g.hosts, strings.TrimSuffix(strings.ToLower(host), "."))
}

// allowed tells whether a request shows the token, or the cookie that was given for it.
func (g *guard) allowed(r *http.Request) bool {
	if g.token == "" {
		return false
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return g.matches(bearer)
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	until, _, _ := strings.Cut(c.Value, ".")
	seconds, err := strconv.ParseInt(until, 10, 64)
	return err == nil && g.now().Unix() < seconds && hmac.Equal([]byte(c.Value), []byte(g.session(seconds)))
}

// matches compares in a time that tells nothing about the token, its length included.
func (g *guard) matches(shown string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(g.token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// session is the cookie's value: its end, signed with the token. It holds over restarts, and no longer than the token does.
func (g *guard) session(until int64) string {
	mac := hmac.New(sha256.New, []byte(g.token))
	end := strconv.FormatInt(until, 10)
	mac.Write([]byte("parley dashboard session until " + end))
	return end + "." + hex.EncodeToString(mac.Sum(nil))
}

// action lets through who may act. JSON alone is taken: a form of another site cannot send it.
func (g *guard) action(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.token == "":
			writeError(w, http.StatusForbidden, "the dashboard is read-only: set PARLEY_HTTP_TOKEN to act")
		case !g.allowed(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="parley"`)
			writeError(w, http.StatusUnauthorized, "sign in with the token in PARLEY_HTTP_TOKEN")
		case !isJSON(r):
			writeError(w, http.StatusUnsupportedMediaType, "want Content-Type: application/json")
		default:
			next(w, r)
		}
	}
}

func isJSON(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

func (d *Dashboard) session(w http.ResponseWriter, r *http.Request) {
	d.answer(w, r, map[string]bool{"configured": d.guard.token != "", "allowed": d.guard.allowed(r)}, nil)
}

func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	var given struct {
		Token string `json:"token"`
	}
	if d.guard.token == "" {
		writeError(w, http.StatusForbidden, "the dashboard is read-only: set PARLEY_HTTP_TOKEN to act")
		return
	}
	if err := decode(r, &given); err != nil {
		d.answer(w, r, nil, err)
		return
	}
	if !d.guard.matches(strings.TrimSpace(given.Token)) {
		writeError(w, http.StatusUnauthorized, "this is not the token in PARLEY_HTTP_TOKEN")
		return
	}
	until := d.guard.now().Add(sessionFor)
	d.setCookie(w, r, d.guard.session(until.Unix()), int(sessionFor/time.Second))
	w.WriteHeader(http.StatusNoContent)
}

func (d *Dashboard) logout(w http.ResponseWriter, r *http.Request) {
	d.setCookie(w, r, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

func (d *Dashboard) setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		// A proxy before us may speak TLS; then the browser's origin says so.
		Secure: r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	})
}

// decode reads a request's JSON.
func decode(r *http.Request, target any) error {
	if !isJSON(r) {
		return &refusal{http.StatusUnsupportedMediaType, "want Content-Type: application/json"}
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &refusal{http.StatusRequestEntityTooLarge, "want at most 64 KiB"}
	}
	if err != nil {
		return &refusal{http.StatusBadRequest, "want JSON: " + err.Error()}
	}
	return nil
}

// refusal is an error that is the asker's.
type refusal struct {
	status int
	text   string
}

// Error gives the text.
func (r *refusal) Error() string { return r.text }

func writeError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // nobody is left to be told
}
