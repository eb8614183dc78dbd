package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// embedded is a NATS server in this process, with file storage that is locked against a second one.
type embedded struct {
	*server.Server
	lock    *os.File
	address string // the file that tells other processes how to reach it
	token   string
}

const startLimit = 2 * time.Minute // a store with millions of messages takes seconds to read

func startEmbedded(o Options) (*embedded, error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, unusable(o.DataDir, err)
	}
	// The store has no lock of its own: two servers would both acknowledge the same sequences.
	lock, err := lockFile(filepath.Join(o.DataDir, "lock"))
	if err != nil {
		return nil, unusable(o.DataDir, err)
	}
	e := &embedded{lock: lock, address: filepath.Join(o.DataDir, "address"), token: rand.Text()}
	if err := e.start(o); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

func (e *embedded) start(o Options) (err error) {
	sync := server.Options{SyncAlways: o.SyncInterval == 0, SyncInterval: o.SyncInterval}
	e.Server, err = server.NewServer(&server.Options{
		ServerName: "parley", Host: "127.0.0.1", Port: server.RANDOM_PORT, Authorization: e.token,
		JetStream: true, StoreDir: filepath.Join(o.DataDir, storeDir),
		// Streams reserve their MaxBytes; what is really there, the disk says.
		JetStreamMaxStore: 1 << 50, JetStreamMaxMemory: 1 << 30,
		MaxPayload: maxPayload, SyncAlways: sync.SyncAlways, SyncInterval: sync.SyncInterval,
		NoSigs: true, NoLog: true,
	})
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	e.SetLoggerV2(&serverLog{o.Logger}, false, false, false)
	e.Start()
	if !e.ReadyForConnections(startLimit) {
		return errors.New("embedded NATS server: not ready after " + startLimit.String())
	}
	u := url.URL{Scheme: "nats", User: url.User(e.token), Host: e.Addr().String()}
	if err := os.WriteFile(e.address, []byte(u.String()), 0o600); err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	return nil
}

func (e *embedded) login() nats.Option { return nats.Token(e.token) }

func (e *embedded) health() error {
	if h := e.Healthz(&server.HealthzOptions{JSEnabledOnly: true}); h.StatusCode != http.StatusOK {
		return fmt.Errorf("embedded NATS server: %s", h.Error)
	}
	return nil
}

func (e *embedded) stop() {
	if e.Server != nil {
		e.Shutdown()
		e.WaitForShutdown()
	}
	_ = os.Remove(e.address)
	_ = e.lock.Close()
}

// readAddress finds the embedded server of another process.
func readAddress(dataDir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dataDir, "address"))
	if err != nil {
		return "", notRunning(dataDir)
	}
	return strings.TrimSpace(string(b)), nil
}

// unusable says that the embedded server cannot work in a directory.
func unusable(dataDir string, err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return fmt.Errorf("PARLEY_DATA_DIR: is %q, want a directory that this user can make and write: %w", dataDir, pathErr.Err)
	}
	return fmt.Errorf("PARLEY_DATA_DIR: %s: %w", dataDir, err)
}

// HasStore tells whether an embedded server has ever stored anything in a data directory, without making it.
func HasStore(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, storeDir))
	return err == nil
}

// storeDir is where the embedded server stores, within the data directory.
const storeDir = "nats"

func notRunning(dataDir string) error {
	return fmt.Errorf("no parley is running with PARLEY_DATA_DIR %s; start `parley run` there, or set PARLEY_NATS_URL", dataDir)
}

// lockFile takes an exclusive lock that the kernel frees when the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("is in use by another parley (process %s); stop it, or give this one another directory", strings.TrimSpace(string(holder)))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// serverLog passes on what an operator must know; the server's notices of its own start and end are none of it.
type serverLog struct {
	log interface {
		Warn(msg string, args ...any)
		Error(msg string, args ...any)
	}
}

func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("NATS server warns", "text", fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("NATS server reports an error", "text", fmt.Sprintf(format, v...))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.log.Error("NATS server cannot go on", "text", fmt.Sprintf(format, v...))
}
