package app

import (
	"bartizan/internal/obs"

	"github.com/prometheus/client_golang/prometheus"
)

// Labels come from our own rules and configuration only: an attacker must not
// be able to choose how many series there are.
type sensorMetrics struct {
	observations, refused, evidenceLost, signals, accepted, shed, tripped *prometheus.CounterVec
	active                                                                *prometheus.GaugeVec
}

func newSensorMetrics(m *obs.Metrics) sensorMetrics {
	s := sensorMetrics{
		observations: m.Counter("bartizan_observations_total", "Observations taken from the decoys."),
		refused:      m.Counter("bartizan_observations_refused_total", "Observations of the decoys that made no sense."),
		evidenceLost: m.Counter("bartizan_evidence_lost_total", "Pieces of evidence that could not be stored."),
		signals:      m.Counter("bartizan_signals_total", "Signals by kind.", "kind"),
		accepted:     m.Counter("bartizan_decoy_connections_total", "Connections accepted by the decoys."),
		shed:         m.Counter("bartizan_decoy_shed_total", "Connections the decoys refused for load."),
		tripped:      m.Counter("bartizan_decoy_trips_total", "Calls of the decoys' process that only an intruder makes."),
		active:       m.Gauge("bartizan_decoy_active", "Connections open to the decoys."),
	}
	// What has not happened yet is 0 and not absent: alarms need the series.
	for _, c := range []*prometheus.CounterVec{s.observations, s.refused, s.evidenceLost, s.accepted, s.shed, s.tripped} {
		c.WithLabelValues()
	}
	s.active.WithLabelValues()
	return s
}

type hubMetrics struct {
	decisions, receipts, ledger *prometheus.CounterVec
	active, held, indicators    *prometheus.GaugeVec
	latency                     *prometheus.HistogramVec
}

func newHubMetrics(m *obs.Metrics) hubMetrics {
	steps := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	h := hubMetrics{
		decisions:  m.Counter("bartizan_decisions_total", "Decisions made, by action and whether they are in force.", "action", "state"),
		receipts:   m.Counter("bartizan_receipts_total", "Receipts by enforcer and status.", "enforcer", "status"),
		ledger:     m.Counter("bartizan_ledger_entries_total", "Ledger entries by change.", "change"),
		active:     m.Gauge("bartizan_decisions_active", "Decisions in force."),
		held:       m.Gauge("bartizan_decisions_held", "Decisions waiting for a person."),
		indicators: m.Gauge("bartizan_indicators", "Entities something is held about."),
		latency:    m.Histogram("bartizan_step_seconds", "Time from the newest evidence to a step of the loop.", steps, "step"),
	}
	for _, g := range []*prometheus.GaugeVec{h.active, h.held, h.indicators} {
		g.WithLabelValues()
	}
	return h
}
