package obs

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// prefix is put before every metric name that lacks it.
const prefix = "bartizan_"

// Metrics is a private Prometheus registry, so that two nodes in one test do
// not share counters and no library adds to ours. Asking twice for the same
// metric gives the same one (a rebuilt part goes on counting); asking for the
// same name with another type or other labels is a bug and panics.
type Metrics struct{ reg *prometheus.Registry }

// NewMetrics makes a registry with the Go runtime and process collectors.
func NewMetrics() *Metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{reg: reg}
}

// Counter returns a counter. Label values must come from our own tables and
// configuration, never from the network: each new value is memory for ever.
func (m *Metrics) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: full(name), Help: help}, labels))
}

// Gauge returns a gauge; for labels see Counter.
func (m *Metrics) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: full(name), Help: help}, labels))
}

// Histogram returns a histogram of seconds between 100 µs and 50 s (or with
// the buckets given); for labels see Counter.
func (m *Metrics) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	if buckets == nil {
		buckets = []float64{.0001, .0005, .001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 50}
	}
	return register(m, prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: full(name), Help: help, Buckets: buckets}, labels))
}

// GaugeFunc shows what f returns at the time of asking. f must be quick and
// safe for concurrent use.
func (m *Metrics) GaugeFunc(name, help string, f func() float64) {
	register(m, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: full(name), Help: help}, f))
}

// Handler serves the registry in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{Registry: m.reg, MaxRequestsInFlight: 4})
}

// Gather returns the current values, for status pages and tests: name and
// labels as Prometheus writes them, and the value (a histogram's count).
func (m *Metrics) Gather() (map[string]float64, error) {
	families, err := m.reg.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	out := make(map[string]float64)
	for _, fam := range families {
		for _, metric := range fam.GetMetric() {
			var labels []string
			for _, l := range metric.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := fam.GetName()
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case metric.GetCounter() != nil:
				out[key] = metric.GetCounter().GetValue()
			case metric.GetGauge() != nil:
				out[key] = metric.GetGauge().GetValue()
			case metric.GetHistogram() != nil:
				out[key] = float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return out, nil
}

var metricPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func full(name string) string {
	if !metricPattern.MatchString(name) {
		panic(fmt.Sprintf("BUG: obs: metric name %q does not match %s", name, metricPattern))
	}
	if strings.HasPrefix(name, prefix) {
		return name
	}
	return prefix + name
}

func register[C prometheus.Collector](m *Metrics, c C) C {
	err := m.reg.Register(c)
	if err == nil {
		return c
	}
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := already.ExistingCollector.(C); ok {
			return same
		}
	}
	panic(fmt.Sprintf("BUG: obs: register metric: %v", err))
}
