package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"bartizan/internal/app"
	"bartizan/internal/conf"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/safe"
	"bartizan/internal/source/transport"

	"github.com/spf13/cobra"
)

func detectCmd(g *global) *cobra.Command {
	q := app.DetectRequest{}
	failOn, quarantine, options, tune := "", "", "", ""
	decisions, policy := false, ""
	cmd := &cobra.Command{
		Use: "detect FILE…|DIR|-|udp://HOST:PORT", Short: "Find attackers in flow logs and logs", Args: cobra.MinimumNArgs(1),
		Long: "Reads flow logs and logs (plain, gzip, zstd, bzip2; folders, - for standard input) through the detectors and prints one signal\n" +
			"per line. The clock is that of the records; their order does not matter much. Nothing is stored, decided or sent.\n\n" +
			"Types: " + strings.Join(app.DetectTypes(), ", ") + ". auto recognises every record by its content.\n\n" +
			"Exit codes: 0 no signal at or above --fail-on · 1 at least one · 2 wrong usage · 3 a whole input could not be read.\n" +
			"Malformed records are counted on standard error and do not change the exit code.",
		Example: "  bartizan detect --type vpcflow --format jsonl flow-logs/\n  zcat access.log.*.gz | bartizan detect --type access -",
		RunE: func(cmd *cobra.Command, args []string) error {
			least, err := model.ParseSeverity(failOn)
			if err != nil {
				return usage(fmt.Errorf("--fail-on: %w", err))
			}
			if q.Rules != "" {
				if st, err := os.Stat(q.Rules); err != nil || !st.IsDir() {
					return usage(fmt.Errorf("--rules %q is not a folder that can be read", q.Rules))
				}
			}
			if options != "" {
				if q.Format, err = formatOptions(options); err != nil {
					return usage(fmt.Errorf("--map: %w", err))
				}
				if q.Type == app.AutoFormat {
					q.Type = "json"
				}
			}
			if tune != "" {
				if q.Families, err = familyOptions(tune); err != nil {
					return usage(fmt.Errorf("--tune: %w", err))
				}
			}
			if decisions {
				if q.Policy, err = app.DecidePolicy(policy); err != nil {
					return usage(fmt.Errorf("--policy: %w", err))
				}
			} else if policy != "" {
				return usage(errors.New("--policy is for --decisions"))
			}
			q.Inputs, q.Stdin = args, g.env.Stdin
			if quarantine != "" {
				f, err := os.OpenFile(quarantine, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
				if err != nil {
					return usage(fmt.Errorf("--quarantine: %w", err))
				}
				defer f.Close()
				q.Quarantine = f
			}
			return runDetect(cmd, g, q, least)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Type, "type", app.AutoFormat, "format of the records")
	f.StringVar(&q.Rules, "rules", "", "folder with Sigma rules (SigmaHQ's layout), or with more rules of your own, <folder>/<group>/*.yaml")
	f.Var(&expandFlag{&q.Expand}, "expand", "NAME=VALUE for %NAME% in Sigma rules with the modifier expand (repeatable)")
	f.StringSliceVar(&q.Own, "own", nil, "prefixes of your own networks (default: the private ranges)")
	f.StringVar(&tune, "tune", "", "YAML file with thresholds, by detector family: what \"detect\" is in a node's configuration")
	f.StringVar(&options, "map", "", "YAML file with options of the format: for type json, where in a record what stands (fields)")
	f.StringArrayVar(&q.Intel, "intel", nil, "file with indicators (text, CSV, JSON, MISP, STIX 2.1; also gzip), repeatable; FILE@0.6 says how far it is believed (0.75)")
	f.StringArrayVar(&q.Allow, "allow", nil, "file with addresses, prefixes and domains that no list may hit, repeatable")
	f.BoolVar(&decisions, "decisions", false, "print what the policy makes of the signals instead of the signals")
	f.StringVar(&policy, "policy", "", "policy for --decisions (default: the shipped one)")
	f.StringVar(&failOn, "fail-on", "medium", "severity from which on a signal makes the exit code 1: info, low, medium, high, critical")
	f.StringVar(&quarantine, "quarantine", "", "file that samples of malformed records are appended to, with their line numbers")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(app.DetectTypes(), cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
	return cmd
}

// expandFlag collects values of placeholders.
type expandFlag struct{ to *map[string][]string }

func (e *expandFlag) String() string { return "" }
func (e *expandFlag) Type() string   { return "NAME=VALUE" }
func (e *expandFlag) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" || strings.Contains(name, "%") {
		return fmt.Errorf("%q is not NAME=VALUE", oneLine(s, 80))
	}
	if *e.to == nil {
		*e.to = map[string][]string{}
	}
	(*e.to)[name] = append((*e.to)[name], value)
	return nil
}

// maxOptions is how long a file of options may be, in bytes.
const maxOptions = 1 << 20

func formatOptions(name string) (conf.Raw, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(safe.CappedReader(f, maxOptions, "file of options"))
	if err != nil {
		return nil, err
	}
	return conf.Parse(name, data)
}

// familyOptions reads options of detector families, by name.
func familyOptions(name string) (out map[string]conf.Raw, err error) {
	raw, err := formatOptions(name)
	if err != nil {
		return nil, err
	}
	return out, raw.Into(&out)
}

// How much the heap of a run may grow before it is collected, in percent. Of
// flows it holds tables without pointers, large and quickly looked through; what
// is kept of logs takes time to look through.
const (
	collectFlows = 15
	collectLogs  = 30
)

func collectAt(format string) int {
	if format == "vpcflow" || format == "netflow" {
		return collectFlows
	}
	return collectLogs
}

func runDetect(cmd *cobra.Command, g *global, q app.DetectRequest, least model.Severity) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(collectAt(q.Type)))
	}
	out := bufio.NewWriter(g.env.Stdout)
	p := detectPrinter{format: g.format, out: out}
	worst := false
	start := time.Now()
	q.Decided = p.printDecision
	rep, err := app.Detect(cmd.Context(), q, func(d app.Detected) error {
		worst = worst || d.Signal.Severity >= least
		if q.Policy != nil {
			return nil
		}
		err := p.print(d)
		if err == nil && transport.Live(d.File) {
			err = out.Flush()
		}
		return err
	})
	if e := errors.Join(p.end(), out.Flush()); e != nil {
		err = &app.UnreadError{Inputs: []error{e}}
	}
	var unread *app.UnreadError
	if err != nil && !errors.As(err, &unread) {
		if cmd.Context().Err() == nil {
			return usage(err)
		}
		err = fmt.Errorf("stopped before the end of %s: what was printed is of the records until there", oneLine(strings.Join(q.Inputs, ", "), 200))
	}
	note := fmt.Sprintf("bartizan: %d records of %d inputs, %d observations, %d malformed; %d signals, %d of them alerts; %s", rep.Counts.Records, rep.Inputs,
		rep.Counts.Emitted, rep.Counts.Malformed, rep.Signals, rep.Alerts, time.Since(start).Round(time.Millisecond))
	if s := rep.Sigma; s != nil {
		note += fmt.Sprintf("; %d Sigma rules", s.Rules)
		if n := len(s.Problems); n > 0 {
			note += fmt.Sprintf(", %d not loaded (bartizan rules check %s says why)", n, oneLine(q.Rules, 80))
		}
	}
	if q.Policy != nil {
		note += fmt.Sprintf("; %d decisions", rep.Decisions)
		for _, why := range rep.Undecided {
			note += "; not decided: " + oneLine(why, 120)
		}
	}
	for _, f := range rep.Feeds {
		note += fmt.Sprintf("; %d indicators of %s", f.Indicators, oneLine(f.Name, 80))
		if f.Unusable > 0 {
			note += fmt.Sprintf(", %d unusable (%s)", f.Unusable, f.Problem)
		}
	}
	if t := rep.Trouble(); t != "" {
		note += "; records broke detectors (please report it): " + t
	}
	fmt.Fprintln(g.env.Stderr, note)
	switch {
	case err != nil:
		return blind(err)
	case worst:
		return &exitError{code: ExitFinding}
	}
	return nil
}

// detectLine is one signal as detect prints it.
type detectLine struct {
	ID         string         `json:"id"`
	Time       time.Time      `json:"time"`
	Kind       string         `json:"kind"`
	Class      model.Class    `json:"class"`
	Rule       string         `json:"rule"`
	Title      string         `json:"title"`
	Severity   string         `json:"severity"`
	Confidence float64        `json:"confidence"`
	Actor      model.Entity   `json:"actor"`
	Address    string         `json:"address,omitempty"`
	Target     detectTarget   `json:"target"`
	Techniques []string       `json:"techniques"`
	Count      int            `json:"count"`
	Spoofable  bool           `json:"spoofable,omitempty"`
	Related    []model.Entity `json:"related,omitempty"`
	Evidence   string         `json:"evidence,omitempty"`
	// Intel is what lists say about what was met, the surest first.
	Intel  []intel.Provenance `json:"intel,omitempty"`
	File   string             `json:"file"`
	Record uint64             `json:"record"`
}

type detectTarget struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

func lineOf(d app.Detected) detectLine {
	s := d.Signal
	l := detectLine{ID: s.ID.String(), Time: s.Time, Kind: s.Kind, Class: s.Class, Rule: s.Rule, Title: s.Title, Severity: s.Severity.String(),
		Confidence: s.Confidence, Actor: s.Actor, Address: s.Address, Target: detectTarget{s.Asset.Kind, s.Asset.Name},
		Techniques: s.Techniques, Count: s.Count, Spoofable: s.Spoofable, Related: s.Related, Intel: d.Lists, File: d.File, Record: d.Record}
	if l.Techniques == nil {
		l.Techniques = []string{}
	}
	if len(s.Evidence) > 0 {
		l.Evidence = s.Evidence[0].Excerpt
	}
	return l
}

// detectPrinter prints signals as they come; json is one array.
type detectPrinter struct {
	format string
	out    *bufio.Writer
	n      int
	text   []byte
}

func (p *detectPrinter) print(d app.Detected) error {
	if p.format == "json" || p.format == "jsonl" {
		text, err := appendLine(p.text[:0], &d)
		if err != nil {
			return err
		}
		p.text = text
		return p.write(text)
	}
	l := lineOf(d)
	_, err := fmt.Fprintf(p.out, "%s  %-8s  %-24s  %s  %s  (%s, record %d)\n", moment(l.Time), l.Severity, l.Rule,
		oneLine(l.Actor.Value(), 60), oneLine(l.Title, 120), oneLine(l.File, 120), l.Record)
	return err
}

// object prints a line of jsonl, or an element of the array of json.
func (p *detectPrinter) object(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.write(text)
}

func (p *detectPrinter) write(text []byte) error {
	p.n++
	before, after := "", "\n"
	if p.format == "json" {
		if before, after = ",\n ", ""; p.n == 1 {
			before = "[\n "
		}
	}
	_, _ = p.out.WriteString(before) // the error of a bufio.Writer stays
	_, _ = p.out.Write(text)
	_, err := p.out.WriteString(after)
	return err
}

// decisionLine is one decision as detect prints it.
type decisionLine struct {
	ID      string          `json:"id"`
	Time    time.Time       `json:"time"`
	Action  model.Action    `json:"action"`
	Target  model.Entity    `json:"target"`
	State   model.State     `json:"state"` // held, or active: what a node would enforce, or record where it only observes
	DryRun  bool            `json:"dry_run"`
	Policy  string          `json:"policy"`
	Reason  string          `json:"reason"`
	Held    string          `json:"held,omitempty"`
	Until   time.Time       `json:"until"`
	Because decisionBecause `json:"because"`
}

type decisionBecause struct {
	Confidence float64              `json:"confidence"`
	Classes    []model.Class        `json:"classes"`
	Seen       time.Time            `json:"seen,omitzero"`
	Signals    []app.DecisionReason `json:"signals"`
}

func (p *detectPrinter) printDecision(d app.Decided) error {
	l := decisionLine{ID: d.ID.String(), Time: d.From, Action: d.Action, Target: d.Target, State: d.State, DryRun: d.DryRun, Policy: d.Policy, Reason: d.Reason, Held: d.Held, Until: d.Until,
		Because: decisionBecause{Confidence: d.Because.Confidence, Classes: d.Because.Classes, Seen: d.Because.Seen, Signals: d.Reasons}}
	if p.format == "json" || p.format == "jsonl" {
		return p.object(l)
	}
	why := l.Reason
	if len(d.Reasons) > 0 {
		why = d.Reasons[0].Title
	}
	_, err := fmt.Fprintf(p.out, "%s  %-8s  %-8s  %s  %s  (%s)\n", moment(l.Time), l.Action, l.State, oneLine(l.Target.Value(), 60), oneLine(why, 140), l.Policy)
	return err
}

func (p *detectPrinter) end() error {
	if p.format != "json" {
		return nil
	}
	text := "\n]\n"
	if p.n == 0 {
		text = "[]\n"
	}
	_, err := p.out.WriteString(text)
	return err
}

// moment is the time of a record; some records have none.
func moment(t time.Time) string {
	if t.Unix() <= 0 {
		return "time unknown       "
	}
	return t.Local().Format(time.DateTime)
}
