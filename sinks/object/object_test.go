package object_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/formattest"
	"github.com/parley-stream/parley/sinks/internal/rollingtest"
	"github.com/parley-stream/parley/sinks/object"
	"github.com/parley-stream/parley/sinks/sinktest"
)

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprint("p", prefixes.Add(1)) }

// opener reaches the server, or a proxy before it.
func opener(t testing.TB, at, prefix, query string) sinks.Opener {
	t.Helper()
	vars := settings.New("PARLEY_SINK_T_", map[string]string{"ACCESS_KEY_ID": keyID, "SECRET_ACCESS_KEY": secret})
	u := &url.URL{Scheme: "s3", Host: bucket, Path: "/" + prefix, RawQuery: "endpoint=" + url.QueryEscape(at) + "&" + query}
	open := object.New(sinks.Settings{Timeout: 30 * time.Second}, vars, u, sinks.Env{DataDir: t.TempDir()})
	if faults := vars.Faults(); faults != nil {
		t.Fatal(faults)
	}
	return open
}

func own(t testing.TB, open sinks.Opener) sinks.Sink {
	t.Helper()
	s, err := open(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t testing.TB, prefix string) (all []events.Event) {
	t.Helper()
	for _, o := range objects(t, prefix) {
		list, err := formattest.Read(o.key, o.content)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

func items(from, to uint64) (list []sinks.Item) {
	for n := from; n <= to; n++ {
		list = append(list, sinks.Item{Sequence: n, Stored: sinktest.Stored(n), Event: sinktest.Event(strings.Repeat("x", int(n%2)+1), n)})
	}
	return list
}

// large are items of 3 MiB each: four of them are an object in parts.
func large(from, to uint64) (list []sinks.Item) {
	for _, item := range items(from, to) {
		item.Event.Data = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("3 MiB of text. ", 3<<20/15))
		list = append(list, item)
	}
	return list
}

func sequences(t testing.TB, prefix string) (got []uint64) {
	t.Helper()
	for _, e := range read(t, prefix) {
		got = append(got, e.Revision)
	}
	slices.Sort(got)
	return got
}

func upTo(n uint64) (want []uint64) {
	for i := uint64(1); i <= n; i++ {
		want = append(want, i)
	}
	return want
}

func variants() map[string]string {
	all := map[string]string{}
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			all[format+" "+compression] = "format=" + format + "&compress=" + compression
		}
	}
	return all
}

func TestTheObjectSinkPassesTheSuite(t *testing.T) {
	for name, query := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			format, _, _ := strings.Cut(name, " ")
			sinktest.Run(t, sinktest.Harness{Kept: formattest.Kept(format), New: func(t *testing.T) sinktest.Destination {
				prefix := newPrefix()
				return sinktest.Destination{
					Open: opener(t, endpoint, prefix, query), Crash: object.Abandon, Read: func(t *testing.T) []events.Event { return read(t, prefix) },
				}
			}})
		})
	}
}

// Every step of the commit is where a process can end: after each, the next owner gets what was not acknowledged.
func TestACrashAtAnyStepOfTheCommitLosesNothingAndWritesNothingTwice(t *testing.T) {
	for variant, query := range map[string]string{"ndjson": "", "csv": "format=csv&compress=zstd", "parquet": "format=parquet&compress=gzip"} {
		for _, loader := range []string{"that waits", "that deletes what it sees"} {
			for _, step := range append(object.Steps(), "acknowledge") {
				if step == "mark" && loader != "that waits" {
					continue // the one moment that the package comment names
				}
				t.Run(fmt.Sprintf("%s, %s, a loader %s", variant, step, loader), func(t *testing.T) {
					t.Parallel()
					crashAt(t, query, step, loader == "that waits")
				})
			}
		}
	}
}

func crashAt(t *testing.T, query, step string, keep bool) {
	prefix := newPrefix()
	open := opener(t, endpoint, prefix, query+"&path={kind}/{date}")
	s := own(t, open)
	var loaded []uint64
	load := func() {
		if keep {
			return
		}
		loaded = append(loaded, sequences(t, prefix)...)
		for _, o := range objects(t, prefix) {
			remove(t, o.key)
		}
	}
	object.SetFault(s, func(at string) error {
		if at == step {
			return errCrash
		}
		return nil
	})
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 10)}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Flush(t.Context())
	if (step == "acknowledge") != (err == nil) || err != nil && !errors.Is(err, errCrash) {
		t.Fatalf("flush: got %v", err)
	}
	object.Abandon(s)
	load()
	s = own(t, open)
	load()
	durable, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 12)})
	if err != nil {
		t.Fatal(err)
	}
	flushed, err := s.Flush(t.Context())
	if err != nil || len(durable)+len(flushed) != 12 {
		t.Fatalf("flush: got %d and %d durable, %v; want 12", len(durable), len(flushed), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	load()
	got := append(loaded, sequences(t, prefix)...)
	if slices.Sort(got); !slices.Equal(got, upTo(12)) {
		t.Errorf("got %v, want 1 to 12 once", got)
	}
}

// A crash leaves an object without its mark, or a claim without its object, in one format, and the next owner writes another.
func TestTheFormatMayChangeBetweenTwoOwners(t *testing.T) {
	for _, step := range object.Steps() {
		t.Run(step, func(t *testing.T) {
			prefix := newPrefix()
			s := own(t, opener(t, endpoint, prefix, "path={kind}"))
			object.SetFault(s, func(at string) error {
				if at == step {
					return errCrash
				}
				return nil
			})
			_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 10)})
			if _, err := s.Flush(t.Context()); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			object.Abandon(s)
			s = own(t, opener(t, endpoint, prefix, "path={kind}&format=parquet"))
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 12)}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := sequences(t, prefix); !slices.Equal(got, upTo(12)) {
				t.Errorf("got %v, want 1 to 12 once", got)
			}
		})
	}
}

// A process that was stopped while it owned the sink wakes when another has it, at any step of a commit.
func TestAnOwnerThatWakesTooLateWritesNothingTwice(t *testing.T) {
	for _, step := range object.Steps() {
		t.Run(step, func(t *testing.T) {
			prefix := newPrefix()
			open := opener(t, endpoint, prefix, "path={kind}")
			wakesLate(t, open, step, func() []uint64 { return sequences(t, prefix) })
		})
	}
}

// wakesLate has an owner fall asleep at a step of a commit, and wake when another has written more.
func wakesLate(t *testing.T, open sinks.Opener, step string, written func() []uint64) {
	t.Helper()
	late, asleep := own(t, open), true
	object.SetFault(late, func(at string) error {
		if at == step && asleep {
			return errCrash
		}
		return nil
	})
	if _, err := late.Deliver(t.Context(), sinks.Batch{Items: items(1, 10)}); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Flush(t.Context()); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	s := own(t, open)
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 15)}); err != nil {
		t.Fatal(err)
	}
	asleep = false
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Flush(t.Context()); err != nil && !errors.Is(err, sinks.ErrReopen) {
		t.Errorf("the late one: %v", err)
	}
	if got := written(); !slices.Equal(got, upTo(15)) {
		t.Errorf("got %v, want 1 to 15 once", got)
	}
}

func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".ndjson") && r.URL.Query().Get("partNumber") == ""
}

func isPart(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

func isBegin(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploads")
}

func isState(r *http.Request) bool {
	return r.Method == http.MethodPut && (strings.Contains(r.URL.Path, "/claims/") || strings.Contains(r.URL.Path, "/done/"))
}

func TestFaultsOfTheServerAndTheNetworkLoseNothingAndWriteNothingTwice(t *testing.T) {
	requests := map[string]func(*http.Request) bool{"a put": isPut, "a part": isPart, "the completion": isComplete, "the beginning of an upload": isBegin, "a claim or mark": isState}
	faults := map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"SlowDown": answer(http.StatusServiceUnavailable, "SlowDown"), "a lost reply": loseReply, "a reset": resetInTheMiddle, "a refusal": answer(http.StatusForbidden, "AccessDenied"),
		"500": answer(http.StatusInternalServerError, "InternalError"), "no room": answer(http.StatusInsufficientStorage, "InsufficientStorage"),
	}
	for what, fits := range requests {
		for name, do := range faults {
			// Once the SDK tries again by itself; four times it gives up, and the sink tries again.
			for _, times := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s meets %s %d times", what, name, times), func(t *testing.T) { meet(t, fault{fits, do}, what != "a put", times) })
			}
		}
	}
	for _, times := range []int{1, 4} {
		t.Run(fmt.Sprintf("the completion is 200 and an error %d times", times), func(t *testing.T) {
			meet(t, fault{isComplete, answer(http.StatusOK, "InternalError")}, true, times)
		})
	}
}

// sdkAttempts is how often the SDK tries a request.
const sdkAttempts = 3

// meet delivers through a fault, as a Runner does.
func meet(t *testing.T, f fault, inParts bool, times int) {
	t.Parallel()
	prefix := newPrefix()
	p, at := startProxy(t, f, times)
	s := own(t, opener(t, at, prefix, "path={kind}"))
	object.SetPart(s, 5<<20)
	list := items(1, 4)
	if inParts {
		list = large(1, 4)
	}
	var durable []uint64
	err := errors.New("not tried")
	for attempt := 0; err != nil && attempt < 8; attempt++ {
		var d []uint64
		if d, err = s.Deliver(t.Context(), sinks.Batch{Items: list}); err == nil {
			durable = append(durable, d...)
			d, err = s.Flush(t.Context())
		}
		durable = append(durable, d...)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("an error shows a secret: %v", err)
		}
	}
	if slices.Sort(durable); err != nil || !slices.Equal(slices.Compact(durable), upTo(4)) {
		t.Fatalf("%v durable, %v", durable, err)
	}
	// What is there although no reply came is found before the fault has come to its end.
	if want := min(times, sdkAttempts); p.met < want {
		t.Errorf("the fault was met %d times, want %d", p.met, want)
	}
	if got := sequences(t, prefix); !slices.Equal(got, upTo(4)) {
		t.Errorf("got %v, want 1 to 4 once", got)
	}
	// An upload whose beginning got no reply is nobody's; what is there for long is swept.
	if err := object.Sweep(t.Context(), s, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left := uploads(t, prefix); len(left) > 0 {
		t.Errorf("uploads are left: %q", left)
	}
}

// A 412 says that the name is taken. Only the same content, by its checksum, is our own.
func TestAnObjectOfOurNameWithOtherContentIsNotTakenForOurs(t *testing.T) {
	prefix := newPrefix()
	s := own(t, opener(t, endpoint, prefix, "path={kind}"))
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 4)}); err != nil {
		t.Fatal(err)
	}
	key, content := prefix+"/conversation/00000000000000000001-00000000000000000004.ndjson", "of somebody else"
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
	durable, err := s.Flush(t.Context())
	if !errors.Is(err, sinks.ErrReopen) || !strings.Contains(err.Error(), "is there with other content") || len(durable) > 0 {
		t.Errorf("%v durable, %v; want none, and the sink opened anew", durable, err)
	}
	if all := objects(t, prefix); len(all) != 1 || string(all[0].content) != content {
		t.Errorf("got %v; want what was there, as it was", all)
	}
}

// Objects wait on the local disk until they are closed.
func TestAFullDiskHoldsEventsBackUntilThereIsRoom(t *testing.T) {
	for variant, query := range map[string]string{"ndjson": "", "csv": "format=csv&compress=zstd", "parquet": "format=parquet"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			prefix := newPrefix()
			s := own(t, opener(t, endpoint, prefix, query+"&path={kind}&rotate_size=30KB"))
			d := &rollingtest.Disk{Room: 100}
			object.WrapSpool(s, d.Wrap)
			durable := map[uint64]bool{}
			refused := 0
			try := func(do func() ([]uint64, error)) bool {
				list, err := do()
				for _, sequence := range list {
					durable[sequence] = true
				}
				if err != nil {
					if refused++; refused > 5000 || !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("refused %d times: %v", refused, err)
					}
					d.Room += 777
				}
				return err == nil
			}
			for batch := range slices.Chunk(items(1, 600), 100) {
				for !try(func() ([]uint64, error) { return s.Deliver(t.Context(), sinks.Batch{Items: batch}) }) {
				}
			}
			for !try(func() ([]uint64, error) { return s.Flush(t.Context()) }) {
			}
			if got := sequences(t, prefix); !slices.Equal(got, upTo(600)) || len(durable) != 600 || refused < 2 {
				t.Errorf("%d events, %d durable, want 600; the disk was full %d times", len(got), len(durable), refused)
			}
		})
	}
}

// Objects of many paths are committed at once; a store that refuses in the middle keeps what it has, and gets the rest later.
func TestAStoreThatRefusesSomeOfManyObjectsGetsEachOnce(t *testing.T) {
	for name, do := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"no room": answer(http.StatusInsufficientStorage, "InsufficientStorage"), "a refusal": answer(http.StatusForbidden, "AccessDenied"), "a lost reply": loseReply,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := newPrefix()
			_, at := startProxy(t, fault{func(r *http.Request) bool { return isPut(r) && strings.Contains(r.URL.Path, "/v2") }, do}, 30)
			s := own(t, opener(t, at, prefix, "path={vendor}"))
			var list []sinks.Item
			for n := uint64(1); n <= 30; n++ {
				e := sinktest.Event("x", n)
				e.Vendor = fmt.Sprint("v", n)
				list = append(list, sinks.Item{Sequence: n, Event: e})
			}
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: list}); err != nil {
				t.Fatal(err)
			}
			var durable []uint64
			err := errors.New("not tried")
			for attempt := 0; err != nil && attempt < 40; attempt++ {
				var d []uint64
				d, err = s.Flush(t.Context())
				durable = append(durable, d...)
			}
			if slices.Sort(durable); err != nil || !slices.Equal(durable, upTo(30)) {
				t.Fatalf("%v durable, %v", durable, err)
			}
			if got := sequences(t, prefix); !slices.Equal(got, upTo(30)) {
				t.Errorf("got %v, want 1 to 30 once", got)
			}
		})
	}
}

func TestOnlyOurOldUploadsAreSwept(t *testing.T) {
	prefix := newPrefix()
	for _, key := range []string{prefix + "/conversation/00000000000000000001-00000000000000000009.ndjson", prefix + "/another/upload.bin"} {
		if _, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	s := own(t, opener(t, endpoint, prefix, ""))
	if _, err := s.Deliver(t.Context(), sinks.Batch{}); err != nil {
		t.Fatal(err)
	}
	if got := uploads(t, prefix); len(got) != 2 {
		t.Errorf("%d uploads are left of 2 that are young", len(got))
	}
	if err := object.Sweep(t.Context(), s, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := uploads(t, prefix); !slices.Equal(got, []string{prefix + "/another/upload.bin"}) {
		t.Errorf("left are %q, want what is not ours", got)
	}
}

func TestNotesGoOnceTheirEventsAreAcknowledged(t *testing.T) {
	prefix := newPrefix()
	s := own(t, opener(t, endpoint, prefix, "path={kind}"))
	for n := uint64(1); n <= 4; n += 2 {
		if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(n, n+1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s = own(t, opener(t, endpoint, prefix, "path={kind}")) // what an earlier owner left goes, too
	for _, look := range []struct {
		floor  uint64
		before time.Time
		want   int
	}{{1, time.Now().Add(time.Hour), 6}, {2, time.Now().Add(-time.Hour), 6}, {2, time.Now().Add(time.Hour), 4}, {4, time.Now().Add(time.Hour), 2}} {
		object.Prune(t.Context(), s, look.floor, look.before)
		left := slices.DeleteFunc(keys(t, prefix), func(key string) bool { return !strings.Contains(key, "/.parley/") })
		if len(left) != look.want {
			t.Errorf("with the ack floor %d: %q, want %d", look.floor, left, look.want)
		}
	}
	if got := sequences(t, prefix); !slices.Equal(got, upTo(4)) {
		t.Errorf("got %v", got)
	}
}

func TestAPrefixServesOneSinkAndOneStream(t *testing.T) {
	prefix := newPrefix()
	open := opener(t, endpoint, prefix, "path={kind}")
	s := own(t, open)
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 5)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	refuses := func(name string, o sinks.Ownership, want string) {
		t.Helper()
		if _, err := open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	refuses("another store", sinks.Ownership{Sink: "archive", Origin: "two", LastSequence: 9}, "another stream store")
	refuses("a stream that was cut off", sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 4}, "has not reached")
	refuses("another sink", sinks.Ownership{Sink: "other", Origin: "one", LastSequence: 9}, `belongs to the sink "archive"`)
	for _, key := range keys(t, prefix) {
		if strings.Contains(key, "/.parley/") {
			remove(t, key)
		}
	}
	refuses("objects without a state", sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 9}, "objects of an earlier sink")
	looked := opener(t, endpoint, newPrefix(), "")
	for _, origin := range []string{"a check", "a run that wrote no object", "the first run"} {
		s, err := looked(t.Context(), sinks.Ownership{Sink: "archive", Origin: origin, LastSequence: 3})
		if err != nil {
			t.Fatalf("%s: %v", origin, err)
		}
		if origin != "a run that wrote no object" {
			continue
		}
		object.SetFault(s, func(step string) error {
			if step == "claim" {
				return errCrash
			}
			return nil
		})
		_, err = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 5)})
		if _, flushErr := s.Flush(t.Context()); err != nil || !errors.Is(flushErr, errCrash) {
			t.Fatal(err, flushErr)
		}
	}
}

// A server can repeat what it was sent.
func TestNoErrorShowsACredential(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, errorBody, "SignatureDoesNotMatch", r.Header.Get("Authorization")+" "+secret)
	}
	_, at := startProxy(t, fault{func(*http.Request) bool { return true }, echo}, 1<<30)
	for name, at := range map[string]string{"a server that repeats": at, "no server": "http://127.0.0.1:1"} {
		_, err := opener(t, at, newPrefix(), "")(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one"})
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), keyID) {
			t.Errorf("%s: got %v", name, err)
		}
		if name != "no server" && !strings.Contains(fmt.Sprint(err), "look at SECRET_ACCESS_KEY") {
			t.Errorf("%s: got %v, want what to do", name, err)
		}
	}
}

func TestTheSpoolLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	vars := settings.New("", map[string]string{"ACCESS_KEY_ID": keyID, "SECRET_ACCESS_KEY": secret})
	u := &url.URL{Scheme: "s3", Host: bucket, Path: "/" + newPrefix(), RawQuery: "endpoint=" + url.QueryEscape(endpoint)}
	s := own(t, object.New(sinks.Settings{Timeout: time.Minute}, vars, u, sinks.Env{DataDir: dir}))
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 500)}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir + "/spool/archive")
	if err != nil || len(entries) > 0 {
		t.Errorf("there is %v, %v", entries, err)
	}
	object.Abandon(s)
}

func TestWrongSettingsGiveAllTheirFaults(t *testing.T) {
	for _, name := range []string{
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_CONFIG_FILE",
		"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN",
	} {
		t.Setenv(name, "")
	}
	for text, want := range map[string][]string{
		"s3://":                      {"names no bucket", "parameter region: is missing"},
		"s3://b":                     {"names no bucket", "parameter region: is missing"},
		"s3://bucket/x?region=eu":    nil,
		"s3://bucket/../x?region=eu": {"a prefix that is no path"},
		"s3://me:hunter2hunter2@bucket?region=eu":            {"holds credentials"},
		"s3://bucket?region=eu&endpoint=ftp://x":             {"parameter endpoint: want https"},
		"s3://bucket?endpoint=http://10.0.0.1":               {"chats travel in the clear"},
		"s3://bucket?endpoint=http://10.0.0.1&insecure=true": nil,
		"s3://bucket?endpoint=http://127.0.0.1:9":            nil,
		"s3://bucket?region=eu&insecure=x&rotate_size=6GiB":  {"parameter insecure", "at most 5GiB"},
		"s3://bucket?region=eu&format=x&compress=y&z=1":      {"parameter format", "parameter compress", "parameter z"},
		"azblob://chats/eu?account=acme":                     nil,
		"azblob://chats/eu":                                  {"parameter account: is missing"},
		"azblob://chats?account=Acme-1":                      {"want a storage account's name"},
		"azblob://chats--eu?account=acme":                    {"names no container"},
		"azblob://chats.eu?account=acme&region=x":            {"names no container", "parameter region"},
		"azblob://me:hunter2hunter2@chats?account=acme":      {"PARLEY_SINK_T_ACCOUNT_KEY or PARLEY_SINK_T_SAS_TOKEN"},
		"azblob://chats?account=acme&sig=hunter2hunter2":     {"PARLEY_SINK_T_SAS_TOKEN", "parameter sig"},
		"azblob://chats?account=acme&rotate_size=6GiB":       {"at most 5GiB"},
		"gs://me:hunter2hunter2@bucket":                      {"PARLEY_SINK_T_CREDENTIALS_FILE"},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		vars := settings.New("PARLEY_SINK_T_", map[string]string{"URL": text})
		object.New(sinks.Settings{}, vars, u, sinks.Env{})
		if got := vars.Faults(); len(got) != len(want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		for _, w := range want {
			if !strings.Contains(vars.Faults().Error(), w) {
				t.Errorf("%s: got %q, want %q", text, vars.Faults(), w)
			}
		}
		if strings.Contains(vars.Faults().Error(), "hunter2") {
			t.Errorf("a password is shown: %v", vars.Faults())
		}
	}
	for name, c := range map[string]struct {
		values map[string]string
		want   string
	}{
		"a key without a secret":  {map[string]string{"ACCESS_KEY_ID": "x"}, "PARLEY_SINK_T_SECRET_ACCESS_KEY: is missing"},
		"a secret without a key":  {map[string]string{"SECRET_ACCESS_KEY": "hunter2"}, "PARLEY_SINK_T_ACCESS_KEY_ID: is missing"},
		"a session without a key": {map[string]string{"SESSION_TOKEN": "hunter2"}, "set them too"},
	} {
		vars := settings.New("PARLEY_SINK_T_", c.values)
		object.New(sinks.Settings{}, vars, &url.URL{Scheme: "s3", Host: "bucket", RawQuery: "region=eu"}, sinks.Env{})
		if got := fmt.Sprint(vars.Faults()); !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestWrongCredentialsOfAzureAreNamedAndNotShown(t *testing.T) {
	for _, name := range []string{"AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"} {
		t.Setenv(name, "")
	}
	for name, c := range map[string]struct {
		values map[string]string
		want   string
	}{
		"a key that is none":       {map[string]string{"ACCOUNT_KEY": "hunter2 hunter2"}, "ACCOUNT_KEY (or AZURE_STORAGE_KEY) is no account's key"},
		"a signature that is none": {map[string]string{"SAS_TOKEN": "hunter2"}, "SAS_TOKEN (or AZURE_STORAGE_SAS_TOKEN) is no shared access signature"},
		"both":                     {map[string]string{"ACCOUNT_KEY": "aHVudGVyMg==", "SAS_TOKEN": "sig=hunter2"}, "PARLEY_SINK_T_SAS_TOKEN: is set beside PARLEY_SINK_T_ACCOUNT_KEY"},
	} {
		vars := settings.New("PARLEY_SINK_T_", c.values)
		u := &url.URL{Scheme: "azblob", Host: "chats", RawQuery: "account=acme"}
		open := object.New(sinks.Settings{Timeout: time.Minute}, vars, u, sinks.Env{DataDir: t.TempDir()})
		got := fmt.Sprint(vars.Faults())
		if vars.Faults() == nil {
			_, err := open(t.Context(), sinks.Ownership{Sink: "archive"})
			got = fmt.Sprint(err)
		}
		if !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") || strings.Contains(got, "aHVudGVyMg") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestASecretMayComeFromAFile(t *testing.T) {
	file := t.TempDir() + "/secret"
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := settings.New("", map[string]string{"ACCESS_KEY_ID": keyID, "SECRET_ACCESS_KEY_FILE": file})
	u := &url.URL{Scheme: "s3", Host: bucket, Path: "/" + newPrefix(), RawQuery: "endpoint=" + url.QueryEscape(endpoint)}
	own(t, object.New(sinks.Settings{Timeout: time.Minute}, vars, u, sinks.Env{DataDir: t.TempDir()}))
	t.Setenv("AWS_ACCESS_KEY_ID", keyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	vars = settings.New("", nil)
	own(t, object.New(sinks.Settings{Timeout: time.Minute}, vars, u, sinks.Env{DataDir: t.TempDir()}))
	if vars.Faults() != nil {
		t.Error(vars.Faults())
	}
}

func TestAnObjectSaysWhatItIs(t *testing.T) {
	prefix := newPrefix()
	s := own(t, opener(t, endpoint, prefix, "path={kind}&format=parquet"))
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(3, 9)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := prefix + "/conversation/00000000000000000003-00000000000000000009.parquet"
	head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentType != "application/vnd.apache.parquet" || len(head.Metadata["parley-sha256"]) != 64 {
		t.Errorf("got %q, %v", *head.ContentType, head.Metadata)
	}
	if !bytes.HasPrefix(objects(t, prefix)[0].content, []byte("PAR1")) {
		t.Error("is no Parquet")
	}
}
