package app_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/settings"
)

func TestHealthIsThatOfTheProcessThatAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		body    string
		want    string // in what is printed
		failing string // in the error; "": none
	}{
		"ready":            {http.StatusOK, `{"state":"ok","checks":[{"name":"broker","state":"ok"}]}`, "ok\n", ""},
		"a source refused": {http.StatusOK, `{"state":"degraded","checks":[{"name":"source eu","state":"degraded","what":"refused","do":"set it"}]}`, "source eu: refused; set it", ""},
		"the broker lost":  {http.StatusServiceUnavailable, `{"state":"failed","checks":[{"name":"broker","state":"failed","what":"lost","do":"start it"}]}`, "failed broker: lost; start it", app.ErrReported.Error()},
		"another's page":   {http.StatusOK, `<html>`, "", "not Parley's"},
		"another's answer": {http.StatusNotFound, `{}`, "", "not Parley's"},
		"ok with a fault":  {http.StatusInternalServerError, `{"state":"ok"}`, "", "not Parley's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					t.Errorf("it asks %s", r.URL.Path)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			_, port, err := net.SplitHostPort(s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = app.Health(t.Context(), []string{"PARLEY_HTTP_ADDR=0.0.0.0:" + port}, &out)
			if c.failing == "" && err != nil || c.failing != "" && (err == nil || !strings.Contains(err.Error(), c.failing)) {
				t.Errorf("error %v, want %q", err, c.failing)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("printed %q, want %q", out.String(), c.want)
			}
		})
	}
}

func TestHealthFailsWhereNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if err := app.Health(t.Context(), []string{"PARLEY_HTTP_ADDR=" + addr}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "PARLEY_HTTP_ADDR") {
		t.Errorf("error %v", err)
	}
	for _, none := range []string{"", "8090", "127.0.0.1:0"} {
		var faults settings.Faults
		if err := app.Health(t.Context(), []string{"PARLEY_HTTP_ADDR=" + none}, &bytes.Buffer{}); !errors.As(err, &faults) {
			t.Errorf("%q: error %v, want a fault of the variable", none, err)
		}
	}
}
