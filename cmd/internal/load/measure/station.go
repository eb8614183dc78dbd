package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// station is a server, external or embedded in the process that is measured, and a folder for it.
type station struct {
	server, sync string
	dir          string
	external     *child         // nil: embedded
	broker       *broker.Broker // reaches the external server
	profiles     string         // where the measured processes' go
	log          io.Writer
}

func newStation(ctx context.Context, server, sync, profiles string, log io.Writer) (*station, error) {
	dir, err := os.MkdirTemp("", "parley-load-")
	if err != nil {
		return nil, err
	}
	s := &station{server: server, sync: sync, dir: dir, profiles: profiles, log: log}
	if server == "embedded" {
		return s, nil
	}
	if s.external, err = start(ctx, job{Do: "server", Dir: s.data(), Sync: sync}); err == nil {
		err = s.external.begin()
	}
	if err == nil {
		s.broker, err = broker.Attach(ctx, broker.Options{DataDir: s.data()})
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *station) data() string { return filepath.Join(s.dir, "data") }

func (s *station) close() error {
	if s.broker != nil {
		s.broker.Close()
	}
	var err error
	if s.external != nil {
		_, err = s.external.end()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// onBroker reaches the server, which is opened for it when it is embedded: no other process may be on it.
func (s *station) onBroker(ctx context.Context, do func(*broker.Broker) error) error {
	if s.broker != nil {
		return do(s.broker)
	}
	b, err := broker.Open(ctx, brokerOptions(s.data(), s.sync))
	if err != nil {
		return err
	}
	defer b.Close()
	return do(b)
}

// measurement is a process that is measured until it is done.
type measurement struct {
	stage   string
	records int
	job     job
	environ []string
	// done tells, asked again and again, that the work is done; nil: the process ends by itself.
	done func(*broker.Broker) (bool, error)
	// flush: what the process does at its end belongs to the work.
	flush bool
}

// begin starts a process on the server, ready to work.
func (s *station) begin(ctx context.Context, j job, environ []string) (*child, error) {
	j.Dir = s.data()
	if s.external == nil {
		j.Sync = s.sync
	}
	return start(ctx, j, append([]string{"PARLEY_DATA_DIR=" + s.data(), "PARLEY_HTTP_ADDR=", "PARLEY_LOG_LEVEL=error", "PARLEY_LOG_FORMAT=text"}, environ...)...)
}

func (s *station) measure(ctx context.Context, m measurement) (Figure, error) {
	_, _ = fmt.Fprintf(s.log, "%s server, sync %s: %s\n", s.server, s.sync, m.stage)
	m.job.Profile = profilePath(s.profiles, s.server+" "+s.sync+" "+m.stage)
	f, err := s.follow(ctx, m)
	if err != nil {
		return f, fmt.Errorf("%s: %w", m.stage, err)
	}
	return f, nil
}

func (s *station) follow(ctx context.Context, m measurement) (f Figure, err error) {
	c, err := s.begin(ctx, m.job, m.environ)
	if err != nil {
		return f, err
	}
	ended := false
	defer func() {
		if !ended {
			c.kill()
		}
	}()
	if s.external != nil && s.profiles != "" {
		if err := s.external.tell("profile " + profilePath(s.profiles, "server "+s.sync+" "+m.stage)); err != nil {
			return f, err
		}
	}
	before, err := s.serverUsage()
	if err != nil {
		return f, err
	}
	began := time.Now()
	if err := c.begin(); err != nil {
		return f, err
	}
	var last outcome
	if m.done == nil {
		last, err = c.wait()
	} else {
		if err := s.await(ctx, m.done); err != nil {
			return f, err
		}
		took := time.Since(began)
		if last, err = c.end(); !m.flush {
			last.Took = took
		}
	}
	ended = true
	if err != nil {
		return f, err
	}
	after, err := s.serverUsage()
	return figure(m.stage, m.records, last.Took, last.Usage, after.minus(before)), err
}

func (s *station) serverUsage() (usage, error) {
	if s.external == nil {
		return usage{}, nil
	}
	return s.external.usage()
}

const (
	// look is how often is asked whether the work is done; patience how long it may take.
	look     = 20 * time.Millisecond
	patience = 10 * time.Minute
)

// await asks until the work is done.
func (s *station) await(ctx context.Context, done func(*broker.Broker) (bool, error)) error {
	b := s.broker
	if b == nil {
		var err error
		if b, err = broker.Attach(ctx, broker.Options{DataDir: s.data()}); err != nil {
			return err
		}
		defer b.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		is, err := done(b)
		if err != nil || is {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
	}
}
