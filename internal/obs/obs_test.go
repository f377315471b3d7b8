package obs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestMetricsPage(t *testing.T) {
	m := NewMetrics()
	m.Counter("shed_total", "shed connections", "decoy").WithLabelValues("ssh").Add(3)
	m.Counter("bartizan_shed_total", "shed connections", "decoy").WithLabelValues("ssh").Inc() // the same one
	m.Gauge("parts", "running parts").WithLabelValues().Set(2)
	m.Histogram("took_seconds", "time", nil).WithLabelValues().Observe(0.2)
	m.GaugeFunc("now", "asked for", func() float64 { return 7 })
	code, body := get(t, Handler(m, NewHealth()), "/metrics")
	for _, want := range []string{
		`bartizan_shed_total{decoy="ssh"} 4`, "bartizan_parts 2", `bartizan_took_seconds_bucket{le="0.25"} 1`,
		"bartizan_now 7", "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if code != 200 {
		t.Error(code)
	}
	values, err := m.Gather()
	if err != nil || values[`bartizan_shed_total{decoy="ssh"}`] != 4 || values["bartizan_took_seconds"] != 1 {
		t.Errorf("%v %v", err, values)
	}
}

func TestMetricsArePrivate(t *testing.T) {
	NewMetrics().Counter("x_total", "x").WithLabelValues().Inc()
	if _, body := get(t, NewMetrics().Handler(), "/metrics"); strings.Contains(body, "x_total") {
		t.Error("two registries share a metric")
	}
}

func TestMetricConflictsPanic(t *testing.T) {
	for name, f := range map[string]func(*Metrics){
		"type":   func(m *Metrics) { m.Gauge("x_total", "x") },
		"labels": func(m *Metrics) { m.Counter("x_total", "x", "a") },
		"name":   func(m *Metrics) { m.Counter("X total", "x") },
	} {
		func() {
			defer func() {
				if v := recover(); !strings.HasPrefix(fmt.Sprint(v), "BUG:") {
					t.Errorf("%s: %v", name, v)
				}
			}()
			m := NewMetrics()
			m.Counter("x_total", "x")
			f(m)
		}()
	}
}

func TestHealthPage(t *testing.T) {
	h := NewHealth()
	page := Handler(NewMetrics(), h)
	check := func(code int, state State, checks int) {
		t.Helper()
		gotCode, body := get(t, page, "/health")
		var got struct {
			State  State
			Detail string
			Checks []Check
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if gotCode != code || got.State != state || len(got.Checks) != checks || got.Checks == nil {
			t.Errorf("got %d %s, want %d %s with %d checks", gotCode, body, code, state, checks)
		}
	}
	check(503, StateFailed, 0) // nobody has looked yet
	h.Set("bus", StateOK, "")
	check(200, StateOK, 1)
	h.Set("enforce", StateDegraded, "no nft")
	check(200, StateDegraded, 2)
	h.Set("disk", StateFailed, "full")
	check(503, StateFailed, 3)
	h.Set("disk", StateOK, "")
	h.Remove("enforce")
	check(200, StateOK, 2)
	h.Set("disk", State("strange"), "")
	check(503, StateFailed, 2)
}

func TestHealthSince(t *testing.T) {
	var h Health
	h.Set("a", StateOK, "one")
	first, _ := h.Checks()
	h.Set("a", StateOK, "two")
	same, _ := h.Checks()
	h.Set("a", StateFailed, "")
	changed, _ := h.Checks()
	if !same[0].Since.Equal(first[0].Since) || same[0].Detail != "two" || changed[0].Since.Before(first[0].Since) {
		t.Errorf("%v %v %v", first, same, changed)
	}
}

func TestLogger(t *testing.T) {
	var text, js bytes.Buffer
	NewLogger(&text, FormatText, slog.LevelInfo).Info("hello", "a", "x\ny")
	NewLogger(&js, FormatJSON, slog.LevelWarn).Info("quiet")
	NewLogger(&js, FormatJSON, slog.LevelWarn).Warn("loud")
	if !strings.Contains(text.String(), `msg=hello a="x\ny"`) || strings.Count(text.String(), "\n") != 1 {
		t.Error(text.String())
	}
	var line struct{ Msg string }
	if err := json.Unmarshal(js.Bytes(), &line); err != nil || line.Msg != "loud" {
		t.Errorf("%v %s", err, js.String())
	}
	var f Format
	if f.UnmarshalText([]byte("xml")) == nil || f.UnmarshalText([]byte("json")) != nil || f != FormatJSON {
		t.Error("format is not checked")
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":     "plain text",
		"a\r\nb":         `a\r\nb`,
		"\x1b[2J":        `\x1b[2J`,
		"\xff\x00":       `\xff\x00`,
		"p\u0430ypal":    `p\u0430ypal`,
		`say "x" \ y`:    `say \"x\" \\ y`,
		"0123456789abcd": "0123456789...(+4 bytes)",
	} {
		if got := Quote([]byte(in), 10+len(in)*b2i(len(in) != 14)); got != want {
			t.Errorf("Quote(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Quote([]byte("x"), -1); got != "...(+1 bytes)" {
		t.Error(got)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte("a\x00\xff\n\u202e"), 5)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		for _, c := range []byte(Quote(b, limit)) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q has byte %#x", Quote(b, limit), c)
			}
		}
	})
}
