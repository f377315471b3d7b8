// Package command concludes what a visitor wants from what he does on an
// emulated machine: commands by intent (rules in content/rules/command),
// downloads he asks for, and files he brings.
package command

import (
	"strings"

	"bartizan/content"
	"bartizan/internal/detect"
	"bartizan/internal/detect/rule"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Config of the family.
type Config struct {
	rule.Source
}

// Default configuration.
func Default() Config { return Config{} }

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	set, err := c.Load(content.Rules(), rule.Command)
	if err != nil {
		return nil, err
	}
	return &detector{set: set}, nil
}

type detector struct {
	set *rule.Set
	sc  rule.Scratch
	sig model.Signal
	rel []model.Entity
}

const maxURLs = 8

var (
	techFetch = []string{"T1105"}
	techFile  = []string{"T1105", "T1608.001"}
)

// Detect implements detect.Detector.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	switch {
	case o.Command != nil:
		d.command(o.Command.Line, o, emit)
	case o.Fetch != nil:
		d.fetch(o.Fetch, emit)
	case o.File != nil:
		d.file(o.File, emit)
	}
}

func (d *detector) command(line string, o *observe.Observation, emit detect.Emit) {
	texts := rule.Command.Texts(o, &d.sc)
	if len(texts) == 0 {
		return
	}
	d.rel = detect.AppendURLs(d.rel[:0], line, maxURLs)
	d.rel = detect.KeyIDs(d.rel, line)
	d.set.Match(texts, &d.sc, func(r *rule.Rule, excerpt string) {
		r.Signal(&d.sig)
		d.sig.Related = append(d.sig.Related, d.rel...)
		if len(line) > model.MaxExcerpt {
			d.sig.Evidence = append(d.sig.Evidence, model.Evidence{Excerpt: excerpt})
		}
		emit(&d.sig)
	})
}

func (d *detector) fetch(f *observe.Fetch, emit detect.Emit) {
	d.rel = detect.AppendURL(d.rel[:0], f.URL)
	d.sig = model.Signal{
		Kind: "file.download-url", Class: model.ClassFile, Rule: "file.download-url",
		Title: "told the machine to download a file", Confidence: 0.96, Severity: model.High,
		Techniques: techFetch, Count: 1, Related: d.rel,
	}
	emit(&d.sig)
}

func (d *detector) file(f *observe.FileEvent, emit detect.Emit) {
	d.rel = d.rel[:0]
	if e, err := model.ParseEntity(model.TypeSHA256, f.SHA256); err == nil {
		d.rel = append(d.rel, e)
	}
	kind, title, confidence, sev := "file.dropped", "brought a file", 0.90, model.Medium
	switch f.Type {
	case "elf", "pe", "macho", "apk":
		kind, title, confidence, sev = "file.dropped-executable", "brought an executable", 0.97, model.High
	case "script":
		kind, title, confidence, sev = "file.dropped-script", "brought a script", 0.95, model.High
	}
	d.sig = model.Signal{
		Kind: kind, Class: model.ClassFile, Rule: kind, Title: title,
		Confidence: confidence, Severity: sev, Techniques: techFile, Count: 1, Related: d.rel,
	}
	emit(&d.sig)
	if place := persistent(f.Path); place != "" {
		d.sig = model.Signal{
			Kind: "persistence.file", Class: model.ClassPersistence, Rule: place,
			Title: "wrote a file that makes an intruder stay", Confidence: 0.965, Severity: model.High,
			Techniques: persistence[place], Count: 1, Related: d.rel,
		}
		emit(&d.sig)
	}
}

// persistent names the mechanism that a written path belongs to.
func persistent(path string) string {
	p := strings.ToLower(path)
	switch {
	case strings.Contains(p, ".ssh/authorized_keys"):
		return "persistence.file.ssh-key"
	case strings.Contains(p, "/cron") || strings.Contains(p, "/spool/cron"):
		return "persistence.file.cron"
	case strings.Contains(p, "/systemd/system/") || strings.Contains(p, "/init.d/") || strings.HasSuffix(p, "/rc.local"):
		return "persistence.file.service"
	case strings.HasSuffix(p, "/ld.so.preload"):
		return "persistence.file.preload"
	case strings.HasSuffix(p, "/.bashrc") || strings.HasSuffix(p, "/.profile") || strings.HasSuffix(p, "/.bash_profile") || strings.Contains(p, "/profile.d/"):
		return "persistence.file.profile"
	}
	return ""
}

var persistence = map[string][]string{
	"persistence.file.ssh-key": {"T1098.004"},
	"persistence.file.cron":    {"T1053.003"},
	"persistence.file.service": {"T1543.002"},
	"persistence.file.preload": {"T1574.006"},
	"persistence.file.profile": {"T1546.004"},
}
