package drill

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is the outcome of a drill.
type Report struct {
	Controls []Control `json:"controls"`
	Summary  Summary   `json:"summary"`
}

// Control is one thing the node must be able to do, over all runs.
type Control struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`       // every run worked
	Verified bool   `json:"verified"` // seen from the attacker's side and read from the kernel, in every run
	Detail   string `json:"detail"`
	Runs     int    `json:"runs"`
	Failed   int    `json:"failed"`
	MS       Steps  `json:"ms"` // medians over the runs
}

// Steps are times in milliseconds. Signal, Indicator, Decision and Enforced
// count from the attacker's last evidence byte, Released from the end of the
// decision. A step that did not happen is null.
type Steps struct {
	Signal    *float64 `json:"signal"`
	Indicator *float64 `json:"indicator"`
	Decision  *float64 `json:"decision"`
	Enforced  *float64 `json:"enforced"`
	Dropped   *float64 `json:"dropped"` // first refused connection, attacker's side
	Released  *float64 `json:"released"`
	// Refused is, at a gateway, from the cause (the attacker's last evidence byte, the
	// leaked word, the changed tool) to the first refusal, as the attacker sees it.
	Refused *float64 `json:"refused"`
}

// Summary counts and sums up.
type Summary struct {
	Controls     int       `json:"controls"`
	OK           int       `json:"ok"`
	Verified     int       `json:"verified"`
	Runs         int       `json:"runs"`
	SensorToDrop Quantiles `json:"sensor_to_drop_ms"`
	Release      Quantiles `json:"release_ms"`
	Seconds      float64   `json:"longest_run_s"`
}

// Quantiles of a sample, in milliseconds; null without samples.
type Quantiles struct {
	N   int      `json:"n"`
	P50 *float64 `json:"p50"`
	P99 *float64 `json:"p99"`
	Max *float64 `json:"max"`
}

// outcome is one control in one run.
type outcome struct {
	name         string
	ok, verified bool
	detail       string
	steps        Steps
}

// Unproven is the report of a drill that could not be held: no control is ok,
// and each says why nothing is known about it.
func Unproven(why string, self bool) Report {
	r := Report{}
	names := ControlNames()
	if self { // a node of one's own was not asked whether it runs a gateway
		names = append(names, GatewayControlNames()...)
	}
	for _, name := range names {
		r.Controls = append(r.Controls, Control{Name: name, Detail: "not proven: " + why})
	}
	r.Summary.Controls = len(r.Controls)
	return r
}

func fail(name, format string, args ...any) outcome {
	return outcome{name: name, detail: fmt.Sprintf(format, args...)}
}

// ControlNames are all controls, in the order they are printed.
func ControlNames() []string {
	return []string{"ssh-brute", "ssh-session", "telnet", "http-exploit", "http-secret-probe", "redis", "docker-api", "llm-abuse",
		"port-scan", "nft-v4", "nft-v6", "release", "guardrail-refuses", "never-list"}
}

func summarise(all [][]outcome, longest time.Duration, names []string) Report {
	r := Report{Controls: []Control{}}
	byName := map[string][]outcome{}
	var drops, releases []float64
	for _, run := range all {
		for _, o := range run {
			byName[o.name] = append(byName[o.name], o)
			if o.steps.Dropped != nil {
				drops = append(drops, *o.steps.Dropped)
			}
			if o.steps.Released != nil && o.name != "release" {
				releases = append(releases, *o.steps.Released)
			}
		}
	}
	for _, name := range names {
		list := byName[name]
		c := Control{Name: name, Runs: len(list), OK: len(list) > 0, Verified: len(list) > 0, Detail: "did not run"}
		for i, o := range list {
			if i == 0 || !o.ok && c.OK {
				c.Detail = o.detail
			}
			if !o.ok {
				c.Failed++
			}
			c.OK, c.Verified = c.OK && o.ok, c.Verified && o.verified
		}
		c.MS = medians(list)
		r.Controls = append(r.Controls, c)
		r.Summary.OK += one(c.OK)
		r.Summary.Verified += one(c.Verified)
	}
	r.Summary.Controls, r.Summary.Runs = len(r.Controls), len(all)
	r.Summary.SensorToDrop, r.Summary.Release = quantiles(drops), quantiles(releases)
	r.Summary.Seconds = math.Round(longest.Seconds()*1000) / 1000
	return r
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func medians(list []outcome) (s Steps) {
	for _, f := range []func(*Steps) **float64{
		func(s *Steps) **float64 { return &s.Signal }, func(s *Steps) **float64 { return &s.Indicator },
		func(s *Steps) **float64 { return &s.Decision }, func(s *Steps) **float64 { return &s.Enforced },
		func(s *Steps) **float64 { return &s.Dropped }, func(s *Steps) **float64 { return &s.Released },
		func(s *Steps) **float64 { return &s.Refused },
	} {
		var v []float64
		for i := range list {
			if x := *f(&list[i].steps); x != nil {
				v = append(v, *x)
			}
		}
		*f(&s) = quantile(v, 0.5)
	}
	return s
}

func quantiles(v []float64) Quantiles {
	return Quantiles{N: len(v), P50: quantile(v, 0.5), P99: quantile(v, 0.99), Max: quantile(v, 1)}
}

// quantile is the nearest-rank quantile; nil for no sample.
func quantile(v []float64, q float64) *float64 {
	if len(v) == 0 {
		return nil
	}
	v = slices.Clone(v)
	slices.SortFunc(v, cmp.Compare)
	i := max(0, int(math.Ceil(q*float64(len(v))))-1)
	return &v[i]
}

// ms is a time span in milliseconds with three decimals.
func ms(d time.Duration) *float64 {
	v := math.Round(float64(d)/1e3) / 1e3
	return &v
}

// Print writes the report for people.
func (r Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CONTROL\tRESULT\tVERIFIED\tSIGNAL\tINDICATOR\tDECISION\tENFORCED\tDROPPED\tREFUSED\tRELEASED\tDETAIL")
	for _, c := range r.Controls {
		result := "ok"
		if !c.OK {
			result = fmt.Sprintf("FAILED %d/%d", c.Failed, c.Runs)
			if c.Runs == 0 {
				result = "NOT RUN"
			}
		}
		verified := "yes"
		if !c.Verified {
			verified = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, result, verified, show(c.MS.Signal), show(c.MS.Indicator),
			show(c.MS.Decision), show(c.MS.Enforced), show(c.MS.Dropped), show(c.MS.Refused), show(c.MS.Released), c.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s := r.Summary
	_, err := fmt.Fprintf(out, "\n%d of %d controls ok, %d verified, %d runs, longest %.1f s\nsensor to drop: p50 %s p99 %s (n=%d, milliseconds from the attacker's last evidence byte to its first refused connection)\nrelease: p50 %s p99 %s (n=%d, from the end of the decision to the first accepted connection)\n",
		s.OK, s.Controls, s.Verified, s.Runs, s.Seconds, show(s.SensorToDrop.P50), show(s.SensorToDrop.P99), s.SensorToDrop.N,
		show(s.Release.P50), show(s.Release.P99), s.Release.N)
	return err
}

func show(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f", *v)
}
