package object

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

const (
	googleEndpoint = "https://storage.googleapis.com"
	googleScope    = "https://www.googleapis.com/auth/devstorage.read_write"
	// attempts is how often a request is tried, as the other providers' clients do.
	attempts   = 3
	firstPause = 200 * time.Millisecond
)

// googleBucket is a bucket of Google Cloud Storage by its JSON API.
type googleBucket struct {
	client  *http.Client
	tokens  oauth2.TokenSource // nil: none are sent
	base    string
	bucket  string
	timeout time.Duration
}

func (c config) openGoogle(ctx context.Context) (store, error) {
	g := &googleBucket{base: strings.TrimRight(cmp.Or(c.endpoint, googleEndpoint), "/"), bucket: c.bucket, timeout: c.timeout}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	g.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// Tokens are asked for as long as the sink lives.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: transport, Timeout: c.timeout})
	switch {
	case c.googleKey.Reveal() != "":
		key, err := google.JWTConfigFromJSON([]byte(c.googleKey.Reveal()), googleScope)
		if err != nil {
			return nil, errors.New("CREDENTIALS is no service account's key: want its JSON, as Google gives it")
		}
		g.tokens = key.TokenSource(ctx)
	case c.endpoint != "" && os.Getenv(googleVariable) == "":
		// An emulator knows no credentials.
	default:
		found, err := google.FindDefaultCredentials(ctx, googleScope)
		if err != nil {
			return nil, fmt.Errorf("no credentials for Google: set CREDENTIALS_FILE or %s to the file of a service account's key: %w", googleVariable, err)
		}
		g.tokens = found.TokenSource
	}
	return g, nil
}

const googleVariable = "GOOGLE_APPLICATION_CREDENTIALS"

// place implements store.
func (g *googleBucket) place(key string) string { return "gs://" + g.bucket + "/" + key }

// call is one request, made anew for each attempt.
type call struct {
	what, key    string // for errors
	method, path string
	query        url.Values
	header       map[string]string
	body         func() io.Reader
	size         int64
	// once tells that a request whose answer is lost must not be made again.
	once bool
}

func (g *googleBucket) object(key string) string {
	return "/storage/v1/b/" + url.PathEscape(g.bucket) + "/o/" + url.PathEscape(key)
}

// do gives the answer, whose body the caller closes, if it is a success or a 308.
func (g *googleBucket) do(ctx context.Context, c call) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := g.try(ctx, c)
		if err == nil || attempt == attempts {
			return response, err
		}
		var refused *googleError
		if answered := errors.As(err, &refused); answered && !refused.passes() || !answered && c.once || ctx.Err() != nil {
			return nil, err
		}
		if err := wait(ctx, time.Duration(rand.Int64N(int64(firstPause<<attempt)))); err != nil {
			return nil, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (g *googleBucket) try(ctx context.Context, c call) (*http.Response, error) {
	target := g.base + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	var body io.Reader
	if c.body != nil {
		body = c.body()
	}
	request, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return nil, g.fail(c, errors.New("the request cannot be made"))
	}
	request.ContentLength = c.size
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	if g.tokens != nil {
		token, err := g.tokens.Token()
		if err != nil {
			return nil, g.fail(c, fmt.Errorf("get a token; look at %s or CREDENTIALS: %w", googleVariable, err))
		}
		token.SetAuthHeader(request)
	}
	response, err := g.client.Do(request)
	if err != nil {
		var inURL *url.Error // whose URL may hold an upload's id
		if errors.As(err, &inURL) {
			err = inURL.Err
		}
		return nil, g.fail(c, err)
	}
	if response.StatusCode/100 == 2 || response.StatusCode == http.StatusPermanentRedirect {
		return response, nil
	}
	defer response.Body.Close()
	return nil, g.fail(c, readGoogleError(response))
}

// fail names the place, and takes out what must not be shown: a server can repeat what it was sent.
func (g *googleBucket) fail(c call, err error) error {
	text := err.Error()
	if g.tokens != nil {
		if token, tokenErr := g.tokens.Token(); tokenErr == nil && token.AccessToken != "" {
			text = strings.ReplaceAll(text, token.AccessToken, "[secret]")
		}
	}
	wrapped := &placedError{fmt.Sprintf("%s %s: %s", c.what, g.place(c.key), text), err}
	var refused *googleError
	if !errors.As(err, &refused) {
		return wrapped
	}
	switch {
	case refused.status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", errExists, wrapped)
	case refused.status == http.StatusNotFound && !refused.noBucket():
		return fmt.Errorf("%w: %w", errMissing, wrapped)
	}
	return wrapped
}

// placedError has a text of its own.
type placedError struct {
	text string
	err  error
}

// Error gives the text.
func (e *placedError) Error() string { return e.text }

// Unwrap gives the cause, whose text may hold what must not be shown.
func (e *placedError) Unwrap() error { return e.err }

// googleError is an answer that is no success.
type googleError struct {
	status  int
	message string
}

func readGoogleError(r *http.Response) *googleError {
	content, _ := io.ReadAll(io.LimitReader(r.Body, maxState))
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	e := &googleError{status: r.StatusCode}
	if json.Unmarshal(content, &body) == nil {
		e.message = body.Error.Message
	}
	return e
}

// Error says what was answered, and what to do.
func (e *googleError) Error() string {
	text := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + e.message
	}
	switch {
	case e.noBucket():
		text += "; make the bucket, or look at the URL"
	case e.status == http.StatusUnauthorized:
		text += "; look at " + googleVariable + " or CREDENTIALS"
	case e.status == http.StatusForbidden:
		text += "; look at the permissions of the credentials: storage.objects.create, get, list and delete on the bucket"
	}
	return text
}

func (e *googleError) noBucket() bool {
	return e.status == http.StatusNotFound && strings.Contains(e.message, "bucket does not exist")
}

// passes tells whether the next attempt may be answered otherwise.
func (e *googleError) passes() bool {
	return e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout
}

// ask makes a call whose answer is read into a value, or nil.
func (g *googleBucket) ask(ctx context.Context, c call, into any) error {
	ctx, cancel := limit(ctx, g.timeout, c.size)
	defer cancel()
	response, err := g.do(ctx, c)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return g.fail(c, fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

// put implements store. The version is Google's generation.
func (g *googleBucket) put(ctx context.Context, key string, content []byte, onlyNew bool, version string) error {
	if onlyNew {
		version = "0"
	}
	u := upload{key: key, contentType: "application/octet-stream", body: bytes.NewReader(content), size: int64(len(content))}
	return g.insert(ctx, u, version)
}

// get implements store.
func (g *googleBucket) get(ctx context.Context, key string) (content []byte, version string, err error) {
	ctx, cancel := limit(ctx, g.timeout, maxState)
	defer cancel()
	c := g.media(key)
	response, err := g.do(ctx, c)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	if content, err = io.ReadAll(io.LimitReader(response.Body, maxState)); err != nil {
		return nil, "", g.fail(c, err)
	}
	return content, response.Header.Get("X-Goog-Generation"), nil
}

func (g *googleBucket) media(key string) call {
	return call{what: "get", key: key, method: http.MethodGet, path: g.object(key), query: url.Values{"alt": {"media"}}}
}

// read implements store.
func (g *googleBucket) read(ctx context.Context, key string) (io.ReadCloser, error) {
	response, err := g.do(ctx, g.media(key))
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// remove implements store; one that is not there is removed.
func (g *googleBucket) remove(ctx context.Context, key string) error {
	err := g.ask(ctx, call{what: "delete", key: key, method: http.MethodDelete, path: g.object(key)}, nil)
	if errors.Is(err, errMissing) {
		return nil
	}
	return err
}

// list implements store.
func (g *googleBucket) list(ctx context.Context, prefix string, flat bool, visit func(found) bool) error {
	c := call{what: "list", key: prefix, method: http.MethodGet, path: "/storage/v1/b/" + url.PathEscape(g.bucket) + "/o"}
	c.query = url.Values{"prefix": {prefix}, "fields": {"items(name,updated),prefixes,nextPageToken"}}
	if flat {
		c.query.Set("delimiter", "/")
	}
	for {
		var page struct {
			Items []struct {
				Name    string    `json:"name"`
				Updated time.Time `json:"updated"`
			} `json:"items"`
			Prefixes []string `json:"prefixes"`
			Next     string   `json:"nextPageToken"`
		}
		if err := g.ask(ctx, c, &page); err != nil {
			return err
		}
		for _, o := range page.Items {
			if !visit(found{o.Name, o.Updated}) {
				return nil
			}
		}
		for _, p := range page.Prefixes {
			if !visit(found{key: p}) {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		c.query.Set("pageToken", page.Next)
	}
}

// create implements store.
func (g *googleBucket) create(ctx context.Context, u upload, part int64) error {
	if u.size > part {
		return g.createInParts(ctx, u, part)
	}
	return g.insert(ctx, u, "0")
}

// resource is an object's description. The server refuses a body that has not this MD5.
func (u upload) resource() []byte {
	r := map[string]any{"name": u.key, "contentType": u.contentType, "md5Hash": base64MD5(io.NewSectionReader(u.body, 0, u.size))}
	if u.digest != "" {
		r["metadata"] = map[string]string{digestKey: u.digest}
	}
	content, _ := json.Marshal(r) // strings always encode
	return content
}

func (g *googleBucket) uploadTo(kind, generation string) call {
	query := url.Values{"uploadType": {kind}}
	if generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	return call{what: "put", method: http.MethodPost, path: "/upload/storage/v1/b/" + url.PathEscape(g.bucket) + "/o", query: query}
}

// insert writes an object in one request, on the condition that there is this generation of it; 0: none, "": whatever there is.
func (g *googleBucket) insert(ctx context.Context, u upload, generation string) error {
	var head bytes.Buffer
	parts := multipart.NewWriter(&head)
	w, _ := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/json; charset=UTF-8"}}) // a bytes.Buffer takes everything
	_, _ = w.Write(u.resource())
	_, _ = parts.CreatePart(textproto.MIMEHeader{"Content-Type": {u.contentType}})
	begin := bytes.Clone(head.Bytes())
	head.Reset()
	_ = parts.Close()
	end := head.Bytes()
	c := g.uploadTo("multipart", generation)
	c.key, c.size = u.key, int64(len(begin))+u.size+int64(len(end))
	c.header = map[string]string{"Content-Type": "multipart/related; boundary=" + parts.Boundary()}
	c.body = func() io.Reader {
		return io.MultiReader(bytes.NewReader(begin), io.NewSectionReader(u.body, 0, u.size), bytes.NewReader(end))
	}
	return g.ask(ctx, c, nil)
}

func (g *googleBucket) createInParts(ctx context.Context, u upload, part int64) error {
	session, err := g.begin(ctx, u)
	if err != nil {
		return err
	}
	for from := int64(0); from < u.size && err == nil; {
		from, err = g.part(ctx, u, session, from, min(part, u.size-from))
	}
	if err != nil {
		// What cannot be given up now goes by itself: Google forgets an upload after a week, and bills none.
		session.method, session.what = http.MethodDelete, "give up upload of"
		_ = g.ask(context.WithoutCancel(ctx), session, nil)
	}
	return err
}

// begin gives the call that an upload's parts are sent by.
func (g *googleBucket) begin(ctx context.Context, u upload) (session call, err error) {
	c := g.uploadTo("resumable", "0")
	resource := u.resource()
	c.what, c.key, c.size = "begin upload of", u.key, int64(len(resource))
	c.body = func() io.Reader { return bytes.NewReader(resource) }
	c.query.Set("name", u.key)
	c.header = map[string]string{"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Type": u.contentType, "X-Upload-Content-Length": strconv.FormatInt(u.size, 10)}
	ctx, cancel := limit(ctx, g.timeout, c.size)
	defer cancel()
	response, err := g.do(ctx, c)
	if err != nil {
		return call{}, err
	}
	defer response.Body.Close()
	at, err := url.Parse(response.Header.Get("Location"))
	if err != nil || at.Path == "" {
		return call{}, g.fail(c, errors.New("the answer says not where the upload is"))
	}
	// Parts go where the bucket is, whatever host is named: nobody else gets the token.
	return call{what: "upload a part of", key: u.key, method: http.MethodPut, path: at.EscapedPath(), query: at.Query()}, nil
}

// part sends the bytes from a place on, and gives how far the server has them.
func (g *googleBucket) part(ctx context.Context, u upload, c call, from, size int64) (next int64, err error) {
	c.size, c.once = size, true // whether a part whose answer is lost was taken, is not known
	c.body = func() io.Reader { return io.NewSectionReader(u.body, from, size) }
	c.header = map[string]string{"Content-Type": u.contentType, "Content-Range": fmt.Sprintf("bytes %d-%d/%d", from, from+size-1, u.size)}
	ctx, cancel := limit(ctx, g.timeout, size)
	defer cancel()
	response, err := g.do(ctx, c)
	if err != nil {
		return from, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPermanentRedirect {
		return u.size, nil
	}
	_, last, _ := strings.Cut(response.Header.Get("Range"), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	if next = n + 1; err != nil || next <= from || next > u.size {
		return from, g.fail(c, fmt.Errorf("the server has %q after %d bytes", response.Header.Get("Range"), from+size))
	}
	return next, nil
}

// digest implements store.
func (g *googleBucket) digest(ctx context.Context, key string) (string, error) {
	var object struct {
		Metadata map[string]string `json:"metadata"`
	}
	err := g.ask(ctx, call{what: "look at", key: key, method: http.MethodGet, path: g.object(key), query: url.Values{"fields": {"metadata"}}}, &object)
	return object.Metadata[digestKey], err
}

// sweep implements store: uploads that nobody goes on with go by themselves, and cannot be listed.
func (g *googleBucket) sweep(context.Context, string, time.Time, func(string) bool) error { return nil }
