package app

import (
	"fmt"
	"net/netip"

	"bartizan/internal/app/gate"
	"bartizan/internal/app/intake"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
)

// The effective configuration as it is printed: Config with the options of
// plugins decoded over their defaults. A new key of Config belongs here too;
// TestDumpReadsBack fails without it.
type dumped struct {
	Name    string                  `yaml:"name"`
	Data    string                  `yaml:"data"`
	Log     LogConfig               `yaml:"log"`
	Decoys  dumpedDecoys            `yaml:"decoys"`
	Rules   string                  `yaml:"rules"`
	Detect  map[string]any          `yaml:"detect"`
	Policy  string                  `yaml:"policy"`
	Protect ProtectConfig           `yaml:"protect"`
	Enforce map[string]any          `yaml:"enforce"`
	Export  map[string]dumpedExport `yaml:"export"`
	Metrics string                  `yaml:"metrics"`
	API     APIConfig               `yaml:"api"`
	Sources map[string]dumpedSource `yaml:"sources"`
	Sigma   string                  `yaml:"sigma"`
	Expand  map[string][]string     `yaml:"expand"`
	Gateway any                     `yaml:"gateway"`
	Bus     BusConfig               `yaml:"bus"`
	Lake    LakeConfig              `yaml:"lake"`
}

type dumpedExport struct {
	Kind    string   `yaml:"kind"`
	Classes []string `yaml:"classes"`
	Options any      `yaml:"options"`
}

type dumpedSource struct {
	From          string `yaml:"from"`
	Options       any    `yaml:"options"`
	Format        string `yaml:"format"`
	FormatOptions any    `yaml:"format_options"`
	Keep          bool   `yaml:"keep"`
}

type dumpedDecoys struct {
	Listen    string                    `yaml:"listen"`
	Addresses []netip.Addr              `yaml:"addresses"`
	User      int                       `yaml:"uid"`
	Require   bool                      `yaml:"require_jail"`
	Memory    conf.Bytes                `yaml:"memory"`
	Instances map[string]dumpedInstance `yaml:"instances"`
}

type dumpedInstance struct {
	Service   string         `yaml:"service"`
	Port      uint16         `yaml:"port"`
	Fallback  uint16         `yaml:"fallback"`
	Disabled  bool           `yaml:"disabled"`
	ProxyFrom []netip.Prefix `yaml:"proxy_from"`
	Limits    LimitsConfig   `yaml:"limits"`
	Options   any            `yaml:"options"`
}

// DumpConfig prints the complete effective configuration; secrets are hidden.
func DumpConfig(c Config) ([]byte, error) {
	out := dumped{Name: c.Name, Data: c.Data, Log: c.Log, Rules: c.Rules, Policy: c.Policy, Protect: c.Protect, Metrics: c.Metrics, API: c.API, Bus: c.Bus, Lake: c.Lake, Sigma: c.Sigma, Expand: c.Expand, Sources: map[string]dumpedSource{},
		Detect: map[string]any{}, Enforce: map[string]any{}, Export: map[string]dumpedExport{},
		Decoys: dumpedDecoys{Listen: c.Decoys.Listen, Addresses: c.Decoys.Addresses, User: c.Decoys.User, Require: c.Decoys.Require, Memory: c.Decoys.Memory,
			Instances: map[string]dumpedInstance{}}}
	decoys, detectors, enforcers, sinks := builtin.Decoys(), builtin.Detectors(), builtin.Enforcers(), builtin.Sinks()
	for name, in := range c.Decoys.Instances {
		options, err := decoys.Effective(in.Service, in.Options)
		if err != nil {
			return nil, fmt.Errorf("decoys.instances.%s: %w", name, err)
		}
		l := in.Limits.limits()
		out.Decoys.Instances[name] = dumpedInstance{Service: in.Service, Port: in.Port, Fallback: in.Fallback, Disabled: in.Disabled, ProxyFrom: in.ProxyFrom, Options: options,
			Limits: LimitsConfig{Connections: l.Connections, PerSource: l.PerSource, Idle: conf.Duration(l.Idle), Total: conf.Duration(l.Total),
				Transcript: conf.Bytes(l.Transcript), File: conf.Bytes(l.File), Events: l.Events}}
	}
	for name, raw := range c.Detect {
		effective := detectors.Effective
		if !detectors.Has(name) {
			effective = builtin.RecordFamilyOptions
		}
		options, err := effective(name, raw)
		if err != nil {
			return nil, fmt.Errorf("detect.%s: %w", name, err)
		}
		out.Detect[name] = options
	}
	for name, raw := range c.Enforce {
		options, err := enforcers.Effective(name, raw)
		if err != nil {
			return nil, fmt.Errorf("enforce.%s: %w", name, err)
		}
		out.Enforce[name] = options
	}
	for name, x := range c.Export {
		options, err := sinks.Effective(x.Kind, x.Options)
		if err != nil {
			return nil, fmt.Errorf("export.%s: %w", name, err)
		}
		out.Export[name] = dumpedExport{Kind: x.Kind, Classes: x.Classes, Options: options}
	}
	if err := dumpSources(c.Sources, out.Sources); err != nil {
		return nil, err
	}
	var err error
	if out.Gateway, err = gate.Effective(c.Gateway); err != nil {
		return nil, err
	}
	return conf.Dump(out)
}

func dumpSources(from map[string]intake.Config, to map[string]dumpedSource) (err error) {
	feeds, formats := builtin.Transports(), builtin.Formats()
	for name, s := range from {
		d := dumpedSource{From: s.From, Format: s.Format, Keep: s.Kept()}
		if d.Options, err = feeds.Effective(s.From, s.Options); err != nil {
			return fmt.Errorf("sources.%s: %w", name, err)
		}
		if s.Format != AutoFormat {
			if d.FormatOptions, err = formats.Effective(s.Format, s.FormatOptions); err != nil {
				return fmt.Errorf("sources.%s: %w", name, err)
			}
		}
		to[name] = d
	}
	return nil
}
