package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/decide"
	"bartizan/internal/detect"
	"bartizan/internal/detect/sigma"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// AutoFormat recognises every record by its content.
const AutoFormat = "auto"

// Request says what to read and what with.
type Request struct {
	Inputs     []string // files, folders, "-" for Stdin
	Stdin      io.Reader
	Type       string              // a format, or AutoFormat
	Format     conf.Raw            // options of the format
	Families   map[string]conf.Raw // options by detector family
	Rules      string              // folder with Sigma rules, or with more rules of one's own
	Expand     map[string][]string // values of %name% in Sigma rules with the modifier expand
	Own        []string            // prefixes of the internal networks; empty: the private ranges
	Intel      []string            // files with lists of indicators, each optionally with @0.6 behind
	Allow      []string            // files with what no list may hit
	Policy     *decide.Policy      // decides from the signals; nil: nothing is decided
	Decided    func(Decision) error
	Quarantine io.Writer // gets malformed records; nil: none
}

// Detected is a signal with the record that completed it.
type Detected struct {
	File   string
	Record uint64 // index in File, from 0
	Signal model.Signal
	Lists  []intel.Provenance // that name what was met
}

// Report sums up a run.
type Report struct {
	Inputs  int
	Counts  source.Counts
	Signals int
	Alerts  int // signals of medium severity or above
	// Decisions counts what was decided, Undecided says what could not be and why.
	Decisions int
	Undecided []string
	Panics    map[string]uint64
	Sigma     *sigma.Report // what was loaded of a folder of Sigma rules
	Feeds     []FeedReport  // what was loaded of lists
}

// Types lists the formats that Detect takes.
func Types() []string { return append(builtin.Formats().Names(), AutoFormat) }

// Detect reads inputs one after the other through the detectors and hands out
// signals as they come; the memory of the detectors spans inputs. An input that
// cannot be read does not keep the others from being read: their errors are
// returned together, at the end. An error of found ends the run.
func Detect(ctx context.Context, q Request, found func(Detected) error) (rep Report, err error) {
	format, err := formatOf(q.Type, q.Format, q.Rules != "" || len(q.Intel) > 0)
	if err != nil {
		return rep, err
	}
	engine, loaded, err := engineOf(q)
	if err != nil {
		return rep, err
	}
	rep.Sigma = loaded
	files, remote, failed := q.expand(ctx)
	to := &sink{q: &q, rep: &rep, found: found}
	if q.Policy != nil {
		if to.decider, err = NewDecider(q.Policy, q.Own); err != nil {
			return rep, err
		}
		defer func() { rep.Undecided = to.decider.Errors() }()
	}
	var match *Matcher
	if len(q.Intel) > 0 {
		feeds, reports, err := LoadFeeds(q.Intel, q.Allow)
		if err != nil {
			return rep, err
		}
		rep.Feeds, match = reports, NewMatcher(feeds, to.say)
	}
	for _, name := range files {
		to.file = name
		in := q.open(name, format, remote[name])
		through := newPipe(func(b *observe.LogBatch) error {
			engine.Process(b, to.take)
			if match != nil {
				match.Process(b)
			}
			return to.stop
		})
		err := in.Run(ctx, through.emit)
		through.close()
		engine.Settle(to.take)
		rep.Inputs++
		rep.Counts.Add(in.Counts())
		switch {
		case to.stop != nil:
			return rep, to.stop
		case transport.Live(name) && errors.Is(err, context.Canceled):
			engine.Flush(to.take)
			rep.Panics = engine.Panics()
			return rep, to.stop // what listens is ended so
		case ctx.Err() != nil:
			return rep, ctx.Err()
		case err != nil:
			failed = append(failed, err)
		}
	}
	engine.Flush(to.take)
	if to.stop != nil {
		return rep, to.stop
	}
	rep.Panics = engine.Panics()
	if match != nil && match.Wrong() > 0 {
		rep.Panics["intel"] = match.Wrong()
	}
	if len(failed) > 0 {
		return rep, &UnreadError{failed}
	}
	return rep, nil
}

// sink takes what is concluded: counts it, hands it on, decides from it.
type sink struct {
	q       *Request
	rep     *Report
	found   func(Detected) error
	decider *Decider // nil: nothing is decided
	file    string
	stop    error // of found or Request.Decided
}

func (k *sink) take(record uint64, s model.Signal) { k.say(record, s, nil) }

func (k *sink) say(record uint64, s model.Signal, lists []intel.Provenance) {
	k.rep.Signals++
	if s.Severity >= model.Medium {
		k.rep.Alerts++
	}
	one := Detected{File: k.file, Record: record, Signal: s, Lists: lists}
	if k.stop == nil {
		k.stop = k.found(one)
	}
	if k.decider == nil {
		return
	}
	k.decider.Add(one, func(x Decision) {
		k.rep.Decisions++
		if k.stop == nil {
			k.stop = k.q.Decided(x)
		}
	})
}

// UnreadError says which inputs could not be read as a whole.
type UnreadError struct{ Inputs []error }

func (e *UnreadError) Error() string { return errors.Join(e.Inputs...).Error() }

// Unwrap gives access to the error of each input.
func (e *UnreadError) Unwrap() []error { return e.Inputs }

// Format makes a format by name.
func Format(name string, raw conf.Raw) (source.Format, error) { return formatOf(name, raw, false) }

// formatOf is Format; with objects, auto also takes JSON objects that it does not
// know, for those who look at every object.
func formatOf(name string, raw conf.Raw, objects bool) (source.Format, error) {
	table := builtin.Formats()
	if name != AutoFormat {
		if !table.Has(name) {
			return nil, fmt.Errorf("%w; or %s", table.Check(name, nil), AutoFormat)
		}
		return table.Build(name, raw)
	}
	var all []source.Named
	for _, n := range table.Names() {
		if n == "auth" || n == "json" {
			continue // another name of syslog; every object, also one that no detector understands
		}
		f, err := table.Build(n, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, source.Named{Name: n, Format: f})
	}
	auto := source.NewAuto(all)
	if objects {
		var err error
		if auto.Rest, err = table.Build("json", nil); err != nil {
			return nil, err
		}
	}
	return auto, nil
}

// engineOf makes the detectors for flows and logs.
func engineOf(q Request) (*detect.Records, *sigma.Report, error) {
	rules := q.Rules
	var bySigma *sigma.Detector
	var loaded *sigma.Report
	if rules != "" {
		if dir := os.DirFS(rules); sigma.IsRuleFolder(dir) {
			engine, report, err := sigma.Load(dir, sigma.Options{Placeholders: q.Expand})
			if err != nil {
				return nil, nil, fmt.Errorf("load Sigma rules of %s: %w", rules, err)
			}
			bySigma = engine.NewDetector(sigma.Limits{})
			loaded, rules = &report, ""
		}
	}
	all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{Families: q.Families, Rules: rules, Own: q.Own, Late: true})
	if err != nil {
		return nil, nil, err
	}
	if bySigma != nil {
		all.Documents = append(all.Documents, detect.NamedDocument{Name: "sigma", Detector: bySigma})
		all.Messages = append(all.Messages, detect.NamedMessage{Name: "sigma", Detector: bySigma})
		all.Events = append(all.Events, detect.Named{Name: "sigma", Detector: bySigma})
	}
	return detect.NewRecords(all), loaded, nil
}

// Trouble lists detectors that a record broke, for a warning; "" when none.
func (r Report) Trouble() string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(r.Panics)) {
		parts = append(parts, fmt.Sprintf("%s %d times", n, r.Panics[n]))
	}
	return strings.Join(parts, ", ")
}
