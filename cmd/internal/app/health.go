package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events/settings"
)

// Health asks the Parley that serves HTTP at PARLEY_HTTP_ADDR on this machine whether it can do its work, and prints what keeps it from that:
// then the error is ErrReported. It is for a container's health check, and needs none of the other variables.
func Health(ctx context.Context, environ []string, out io.Writer) error {
	addr, err := healthAddr(environ)
	if err != nil {
		return err
	}
	h, err := askReady(ctx, "http://"+addr+"/readyz")
	if err != nil {
		return fmt.Errorf("ask /readyz: %w; no Parley serves HTTP there (PARLEY_HTTP_ADDR), or it hangs", err)
	}
	text := string(h.State) + "\n"
	for _, c := range h.Checks {
		if c.State != ops.OK {
			text += fmt.Sprintf("%s %s: %s; %s\n", c.State, c.Name, c.What, c.Do)
		}
	}
	if _, err := io.WriteString(out, printableLines(text)); err != nil {
		return err
	}
	if h.State == ops.Failed {
		return ErrReported
	}
	return nil
}

// healthAddr is where the process of this container listens; one that listens everywhere answers on loopback too.
func healthAddr(environ []string) (string, error) {
	addr := "127.0.0.1:8090" // config's default
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, "PARLEY_HTTP_ADDR="); ok {
			addr = value
		}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || port == "0" {
		return "", settings.Faults{{Variable: "PARLEY_HTTP_ADDR", Got: addr, Want: "want host:port, where the process that is asked serves HTTP"}}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

const (
	healthPatience = 5 * time.Second
	healthBytes    = 1 << 20
)

func askReady(ctx context.Context, url string) (h ops.Health, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return h, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req) // no proxy stands before one's own process
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, healthBytes)).Decode(&h); err != nil {
		return h, fmt.Errorf("the answer, %s, is not Parley's: %w", resp.Status, err)
	}
	ready := resp.StatusCode == http.StatusOK && (h.State == ops.OK || h.State == ops.Degraded)
	if !ready && h.State != ops.Failed {
		return h, errors.New("the answer, " + resp.Status + ", is not Parley's")
	}
	return h, nil
}
