// Package broker is Parley's JetStream: an embedded server or an external one, the streams and buckets that
// architecture.md names, publishing with acknowledgements, looking up last messages, consuming. It alone knows
// nats.go; what others need of it they name in small interfaces of their own.
//
// When the server is lost while running, calls fail or wait until their context ends, and the connection is
// tried again for ever: nobody here gives up.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say where the server is and how the streams are made.
type Options struct {
	// URLs of external servers; empty: an embedded one in DataDir.
	URLs []string
	// Creds, CA, Cert and Key are files; empty ones are not used. Creds is a NATS user's credentials, or its NKey: see WriteIdentities.
	Creds, CA, Cert, Key string
	Replicas             int // 0 is 1
	DataDir              string
	RawRetention         time.Duration // 0 is 7 days
	EventsRetention      time.Duration // 0 is 90 days
	RawMaxBytes          int64         // 0 is 10 GiB
	Partitions           int           // 0 is 16; fixed when RAW is made
	// SyncInterval of the embedded server; zero syncs every message before its
	// acknowledgement. Only benchmarks set it.
	SyncInterval time.Duration
	Logger       *slog.Logger
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.RawRetention, 7*24*time.Hour)
	def(&o.EventsRetention, 90*24*time.Hour)
	o.Replicas = max(o.Replicas, 1)
	if o.RawMaxBytes == 0 {
		o.RawMaxBytes = 10 << 30
	}
	if o.Partitions == 0 {
		o.Partitions = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Errors that callers steer by.
var (
	// ErrConflict: an expected sequence or revision was not the present one.
	ErrConflict = errors.New("another writer was first")
	// ErrFull: the stream takes no more now, or already holds a message on the subject.
	ErrFull = errors.New("the stream is full")
	// ErrNotFound: there is no such message, key or object.
	ErrNotFound = errors.New("not found")
	// ErrEmpty: no Parley has run on these servers yet.
	ErrEmpty = errors.New("there is nothing of Parley on this NATS yet: start `parley run` or `parley poll` on it, or make its streams by `parley provision`")
	// ErrIncomplete: a look-up's answer was cut short; nothing follows from what is missing.
	ErrIncomplete = errors.New("the answer is incomplete")
	// ErrDeadFull: DEAD takes no more letters. What would be one stays where it is, unacknowledged, and holds up what follows it.
	ErrDeadFull = errors.New("the dead letters are full (a quarter of PARLEY_RAW_MAX_BYTES): `parley dlq replay` or `drop` makes room, and what waits goes on by itself")
	// ErrDisconnected: the server is lost, and with it the answer; what was asked may have happened.
	ErrDisconnected = errors.New("the NATS server is lost")
	// ErrDenied: the identity has no right to it. The server does not answer such a request, it only says so beside it.
	ErrDenied = errors.New("this identity may not do that on NATS (deploy/nats/roles.conf)")
)

// Broker is a connection to JetStream and, if embedded, the server itself. It is safe for concurrent use.
type Broker struct {
	options  Options
	identity identity
	embedded *embedded
	nc       *nats.Conn
	js       jetstream.JetStream
	refusals refusals
	pace     pace
}

// Open starts or reaches the server. It does not create anything: see Provision.
func Open(ctx context.Context, o Options) (*Broker, error) {
	o = o.withDefaults()
	b := &Broker{options: o}
	urls := strings.Join(o.URLs, ",")
	opts, err := b.connectOptions()
	if err != nil {
		return nil, err
	}
	if len(o.URLs) == 0 {
		server, err := startEmbedded(o)
		if err != nil {
			return nil, err
		}
		b.embedded = server
		urls = ""
		opts = append(opts, nats.InProcessServer(server), server.login())
	}
	if err := b.connect(ctx, urls, opts); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Attach reaches the embedded server of another process that uses the same data directory.
func Attach(ctx context.Context, o Options) (*Broker, error) {
	o = o.withDefaults()
	b := &Broker{options: o}
	url, err := readAddress(o.DataDir)
	if err != nil {
		return nil, err
	}
	opts, err := b.connectOptions()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, notRunning(o.DataDir) // the address is of one that was killed
	}
	b.nc = nc
	return b, b.useJetStream()
}

// queueLen is how many messages a consumer's subscription has room for, which it takes at once. It holds what two requests may give, MaxBatch each,
// and more. The client's default of 65,536 is half a MiB.
const queueLen = 4096

func (b *Broker) connectOptions() ([]nats.Option, error) {
	log := b.options.Logger
	opts := []nats.Option{
		nats.Name("parley"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second), nats.Timeout(5 * time.Second),
		nats.IgnoreAuthErrorAbort(), // a server that is set up anew refuses for a while
		nats.SyncQueueLen(queueLen),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("the NATS server is lost; waiting for it", "error", err.Error())
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.pace.forget()
			log.Info("the NATS server is back")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.refusals.tell(b.identity.role, err)
			log.Error("NATS refused something", "error", err.Error())
		}),
	}
	if b.options.Creds != "" {
		var err error
		if b.identity, err = readIdentity(b.options.Creds); err != nil {
			return nil, fmt.Errorf("PARLEY_NATS_CREDS: %w", err)
		}
		login, err := b.identity.options()
		if err != nil {
			return nil, fmt.Errorf("PARLEY_NATS_CREDS: %w", err)
		}
		opts = append(opts, login...)
	}
	if b.options.CA != "" {
		opts = append(opts, nats.RootCAs(b.options.CA))
	}
	if b.options.Cert != "" {
		opts = append(opts, nats.ClientCert(b.options.Cert, b.options.Key))
	}
	if b.options.CA != "" || b.options.Cert != "" {
		opts = append(opts, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	return opts, nil
}

// connect tries until the context ends, so that Parley may start before its server.
func (b *Broker) connect(ctx context.Context, urls string, opts []nats.Option) error {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		nc, err := nats.Connect(urls, opts...)
		if err == nil {
			b.nc = nc
			break
		}
		if unparsable := (*url.Error)(nil); errors.As(err, &unparsable) {
			return errors.New("connect to NATS: what is given as a URL is none") // the error holds the URL, and with it a password
		}
		if errors.Is(err, nats.ErrAuthorization) {
			err = fmt.Errorf("%w; want PARLEY_NATS_CREDS to name an identity that this server knows, such as `parley identities` makes for each role", err)
		}
		if final := finalConnectError(err); final || ctx.Err() != nil {
			return unreachable(urls, err)
		}
		b.options.Logger.Warn("NATS cannot be reached; trying again", "servers", hosts(urls), "error", said(err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w%w", unreachable(urls, err), silent{ctx.Err()})
		case <-time.After(pause):
		}
	}
	if got := b.nc.MaxPayload(); got < leastPayload {
		return fmt.Errorf("PARLEY_NATS_URL: %s: the server takes messages of %d bytes (max_payload), want at least %d; its default, 1MB, is enough", hosts(urls), got, leastPayload)
	}
	return b.useJetStream()
}

// unreachable says what to look at when there is no connection.
func unreachable(urls string, err error) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		return fmt.Errorf("PARLEY_NATS_URL: %s refuses this login; look at PARLEY_NATS_CREDS, or at the user in the URL: %w", hosts(urls), err)
	}
	return fmt.Errorf("PARLEY_NATS_URL: %s cannot be reached: %s; is the address right, and does the server run?%w", hosts(urls), said(err), silent{err})
}

// said is why there is no connection, in the words of those who do not know the client.
func said(err error) string {
	if errors.Is(err, nats.ErrNoServers) {
		return "nothing answers there"
	}
	return err.Error()
}

// silent is an error to steer by whose text is said already.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// hosts are the servers without what may be secret in their URLs.
func hosts(urls string) string {
	var names []string
	for _, raw := range strings.Split(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(raw)); err == nil && u.Host != "" {
			names = append(names, u.Host)
		}
	}
	return strings.Join(names, ",")
}

func (b *Broker) useJetStream() error {
	js, err := jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(maxInFlight), jetstream.WithPublishAsyncTimeout(20*time.Second))
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	b.js = js
	return nil
}

// finalConnectError tells errors that waiting does not mend.
func finalConnectError(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) ||
		strings.Contains(err.Error(), "nats: invalid") || strings.Contains(err.Error(), "no such file") || strings.Contains(err.Error(), "certificate")
}

// Close ends the connection and then the embedded server.
func (b *Broker) Close() {
	if b.nc != nil {
		// Acknowledgements are published without waiting: let them out first.
		_ = b.nc.FlushTimeout(2 * time.Second)
		b.nc.Close()
	}
	if b.embedded != nil {
		b.embedded.stop()
	}
}

// Embedded tells whether the server is this process's own: then no other process holds anything of it.
func (b *Broker) Embedded() bool { return b.embedded != nil }

// Options are those of Open with their defaults.
func (b *Broker) Options() Options { return b.options }

// Connected tells whether the server is there at this moment.
func (b *Broker) Connected() bool { return b.nc.IsConnected() }

// Health says what keeps the server from its work: ErrDisconnected, or of the embedded one what its own health check finds. That tells of
// a store that could not be written: the server then answers what it is asked, and stores nothing before it is started anew.
func (b *Broker) Health() error {
	if !b.Connected() {
		return ErrDisconnected
	}
	if b.embedded == nil {
		return nil
	}
	return b.embedded.health()
}

// whileConnected bounds the wait for an answer, which cannot come any more once the connection is lost.
func (b *Broker) whileConnected(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, lose := context.WithCancelCause(ctx)
	ctx, cancel := context.WithTimeout(ctx, limit)
	lost := b.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	if !b.nc.IsConnected() {
		lose(ErrDisconnected)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lost:
			lose(ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-watched
		lose(nil)
		b.nc.RemoveStatusListener(lost)
	}
}

// absentLimit is how long a server may answer that it has no JetStream: one that was just started has it a moment later.
const absentLimit = 30 * time.Second

// Await calls f until it fails for another reason than a server that is lost, busy, just starting or not provisioned yet. What f does must bear being
// done twice: an answer that was lost says nothing.
func (b *Broker) Await(ctx context.Context, f func(ctx context.Context) error) error {
	for attempt, began := 0, time.Now(); ; attempt++ {
		err := f(ctx)
		absent := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled)
		if err == nil || ctx.Err() != nil || !absent && !unanswered(err) || absent && time.Since(began) > absentLimit {
			return err
		}
		if attempt == 0 {
			b.options.Logger.Warn("what is needed of the NATS server is not there; trying again", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(250*time.Millisecond<<min(attempt, 4), 2*time.Second)):
		}
		if err := b.awaitServer(ctx); err != nil {
			return err
		}
	}
}

// unanswered tells errors that say nothing of what was asked, or only that it is not time yet.
func unanswered(err error) bool {
	return errors.Is(err, ErrNotProvisioned) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, ErrDisconnected)
}

// awaitServer waits until the server is there. What is published before that is sent when it is back, whether or not it
// was given up and sent again by then.
func (b *Broker) awaitServer(ctx context.Context) error {
	back := b.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer b.nc.RemoveStatusListener(back)
	for !b.nc.IsConnected() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrDisconnected, ctx.Err())
		case <-back:
			if b.nc.IsClosed() {
				return nats.ErrConnectionClosed
			}
		}
	}
	return nil
}

// Message is what is published to a stream or was stored in it.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
	// Sequence is the stream's; 0 before the message is stored.
	Sequence uint64
	// Time is when it was stored.
	Time time.Time
}

// Get gives the last value of a header; direct gets append theirs to what was there.
func (m *Message) Get(name string) string {
	if v := m.Header[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// apiError turns JetStream's codes into this package's errors.
func apiError(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	return codeError(int(api.ErrorCode), err)
}

func codeError(code int, err error) error {
	switch code {
	case 10071, 10164: // wrong last sequence; the same subject twice, or one that is in flight
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case 10077: // maximum messages, messages per subject or bytes exceeded
		return fmt.Errorf("%w: %w", ErrFull, err)
	default:
		return err
	}
}
