package sigma

import (
	"strconv"
	"strings"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Detect implements detect.Detector: a request of an access log is an event of
// the category webserver, under the W3C names that rules use. Other
// observations hold nothing that rules name.
func (d *Detector) Detect(o *observe.Observation, emit detect.Emit) {
	if o.Kind != observe.KindHTTP || o.HTTP == nil {
		return
	}
	d.pairs.From, d.pairs.At = Logsource{Category: "webserver"}, o.Time.UTC()
	d.pairs.Fields = request(d.pairs.Fields[:0], o)
	signals := d.runner.Process(&d.pairs, d.out[:0])
	for i := range signals {
		// A correlation whose time is over is about somebody else than this request.
		if s := &signals[i]; s.Address != o.Remote.Addr().String() {
			s.Evidence = []model.Evidence{{Time: s.Time, What: "requests", Excerpt: "requests before, counted by the rule"}}
		}
	}
	d.hand(signals, emit)
	clear(d.pairs.Fields)
}

// request appends the fields of a request. What a log does not have is no field.
func request(dst []Pair, o *observe.Observation) []Pair {
	h := o.HTTP
	add := func(name, value string) {
		if value != "" {
			dst = append(dst, Pair{name, value})
		}
	}
	stem, query, _ := strings.Cut(h.Target, "?")
	add("cs-method", h.Method)
	add("c-uri", h.Target)
	add("cs-uri-stem", stem)
	add("cs-uri-query", h.Target) // rules look for paths in it as well
	add("cs-uri-query", query)
	if h.Status != 0 {
		add("sc-status", strconv.Itoa(h.Status))
	}
	add("cs-host", h.Host)
	add("cs-user-agent", h.Header("User-Agent"))
	add("cs-referer", h.Header("Referer"))
	if o.Remote.IsValid() {
		add("c-ip", o.Remote.Addr().String())
	}
	return dst
}
