package app

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"bartizan/internal/app/intake"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/gateway"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/obs"
)

// Config is the whole configuration of a node. Every key has a default, so an
// empty file, or none, is a node that observes with all decoys on.
type Config struct {
	Name    string                   `yaml:"name"` // of this node, as it appears in signals; default: the host name
	Data    string                   `yaml:"data"` // the one folder everything is kept in
	Log     LogConfig                `yaml:"log"`
	Decoys  DecoysConfig             `yaml:"decoys"`
	Rules   string                   `yaml:"rules"`   // folder with detection rules of your own, <folder>/<group>/*.yaml
	Detect  map[string]conf.Raw      `yaml:"detect"`  // detector family → its options, instead of the shipped ones
	Policy  string                   `yaml:"policy"`  // file; empty: the built-in policy, which observes
	Protect ProtectConfig            `yaml:"protect"` // what must never be blocked
	Enforce map[string]conf.Raw      `yaml:"enforce"` // enforcer name → its options
	Export  map[string]ExportConfig  `yaml:"export"`  // name → where events are sent to as they happen
	Metrics string                   `yaml:"metrics"` // address of /metrics, /health and the console page; empty: none
	API     APIConfig                `yaml:"api"`
	Sources map[string]intake.Config `yaml:"sources"` // name → flows or logs of real services that are read as they come
	Sigma   string                   `yaml:"sigma"`   // folder with Sigma rules for what sources bring
	Expand  map[string][]string      `yaml:"expand"`  // values of %name% in Sigma rules with the modifier expand
	Gateway gateway.Config           `yaml:"gateway"` // in front of language models; without routes: none
	Bus     BusConfig                `yaml:"bus"`
	Lake    LakeConfig               `yaml:"lake"`

	tree conf.Raw // of the file, for the lines of mistakes
}

// LogConfig says how the node talks to its operator.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// BusConfig bounds the streams.
type BusConfig struct {
	SignalBytes   conf.Bytes    `yaml:"signal_bytes"`
	SignalAge     conf.Duration `yaml:"signal_age"`
	EvidenceBytes conf.Bytes    `yaml:"evidence_bytes"`
	EvidenceAge   conf.Duration `yaml:"evidence_age"`
	LedgerAge     conf.Duration `yaml:"ledger_age"`
}

// ProtectConfig names what the guardrails cannot find out by themselves.
type ProtectConfig struct {
	Never     []netip.Prefix `yaml:"never"`     // prefixes no decision may touch
	Own       []netip.Prefix `yaml:"own"`       // this organisation's prefixes
	Balancers []netip.Prefix `yaml:"balancers"` // load balancers and proxies in front of this node
	AdminPort []uint16       `yaml:"admin_ports"`
	Benign    []string       `yaml:"benign"` // files with a prefix per line
}

// DecoysConfig says which decoys listen where.
type DecoysConfig struct {
	Listen    string                    `yaml:"listen"`    // fallback, or strict: a taken port is an error
	Addresses []netip.Addr              `yaml:"addresses"` // to listen on; empty: every address
	User      int                       `yaml:"uid"`       // of the decoys' process; 0: chosen
	Require   bool                      `yaml:"require_jail"`
	Memory    conf.Bytes                `yaml:"memory"`
	Instances map[string]InstanceConfig `yaml:"instances"`
}

// InstanceConfig is one decoy.
type InstanceConfig struct {
	Service   string         `yaml:"service"` // registry name; default: the instance's name
	Port      uint16         `yaml:"port"`
	Fallback  uint16         `yaml:"fallback"` // used when Port is taken; 0: port+10000
	Disabled  bool           `yaml:"disabled"`
	ProxyFrom []netip.Prefix `yaml:"proxy_from"` // peers whose PROXY protocol header is believed
	Limits    LimitsConfig   `yaml:"limits"`
	Options   conf.Raw       `yaml:"options"` // the service's own
}

// LimitsConfig overrides decoy.DefaultLimits; zero keeps the default.
type LimitsConfig struct {
	Connections int           `yaml:"connections"`
	PerSource   int           `yaml:"per_source"`
	Idle        conf.Duration `yaml:"idle"`
	Total       conf.Duration `yaml:"total"`
	Transcript  conf.Bytes    `yaml:"transcript"`
	File        conf.Bytes    `yaml:"file"`
	Events      int           `yaml:"events"`
}

func (l LimitsConfig) limits() decoy.Limits {
	d := decoy.DefaultLimits()
	over := func(to *int, v int) {
		if v > 0 {
			*to = v
		}
	}
	over(&d.Connections, l.Connections)
	over(&d.PerSource, l.PerSource)
	over(&d.Transcript, int(l.Transcript))
	over(&d.File, min(int(l.File), maxFile))
	over(&d.Events, l.Events)
	if l.Idle > 0 {
		d.Idle = l.Idle.D()
	}
	if l.Total > 0 {
		d.Total = l.Total.D()
	}
	return d
}

// DefaultConfig is a node on one host: every decoy, observing.
func DefaultConfig() Config {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	tcp := func(port uint16) InstanceConfig { return InstanceConfig{Service: "tcp", Port: port} }
	return Config{
		Name: host,
		Data: defaultData(),
		Log:  LogConfig{Level: "info", Format: "text"},
		Decoys: DecoysConfig{
			Listen: "fallback", Memory: 512 << 20,
			Instances: map[string]InstanceConfig{
				"ssh":      {Service: "ssh", Port: 22, Fallback: 2222},
				"telnet":   {Service: "telnet", Port: 23, Fallback: 2323},
				"http":     {Service: "http", Port: 80, Fallback: 8080},
				"https":    {Service: "https", Port: 443, Fallback: 8443},
				"redis":    {Service: "redis", Port: 6379},
				"docker":   {Service: "docker", Port: 2375},
				"llm":      {Service: "llm", Port: 11434},
				"tcp-1433": tcp(1433), "tcp-3389": tcp(3389), "tcp-5555": tcp(5555), "tcp-5900": tcp(5900), "tcp-9200": tcp(9200),
			},
		},
		Enforce: map[string]conf.Raw{"nft": nil},
		Metrics: "127.0.0.1:9611",
		API:     APIConfig{Listen: defaultAPI, TLS: "on"},
		Gateway: gateway.DefaultConfig(),
		Bus: BusConfig{
			SignalBytes: 512 << 20, SignalAge: conf.Duration(30 * day), EvidenceBytes: 1 << 30,
			EvidenceAge: conf.Duration(30 * day), LedgerAge: conf.Duration(365 * day),
		},
		Lake: LakeConfig{Enabled: true, Age: conf.Duration(90 * day), Bytes: 10 << 30, Cap: 64 << 10, Traffic: TrafficConfig{Age: conf.Duration(7 * day), Bytes: 1 << 30},
			Bucket: bucket.Config{Keep: conf.Duration(7 * day), KeepBytes: 2 << 30, Cache: 4 << 30}},
	}
}

// defaultData is the state folder of the platform: /var/lib/bartizan for root,
// the user's state folder otherwise.
func defaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/bartizan"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "bartizan")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "bartizan-data"
	}
	return filepath.Join(home, ".local", "state", "bartizan")
}

// LoadConfig reads a file over the defaults; no file name means the defaults.
// A file that names decoy instances or enforcers names all of them; an entry
// with the name of a default one starts from its values.
func LoadConfig(file string) (Config, error) {
	c := DefaultConfig()
	if file == "" {
		return c, c.check()
	}
	c, tree, err := conf.LoadTree(file, c)
	if err != nil {
		return c, err
	}
	c.tree = tree
	return c, c.check()
}

func (c *Config) detectors(lures []string) builtin.DetectorOptions {
	families := maps.Clone(c.Detect)
	maps.DeleteFunc(families, func(name string, _ conf.Raw) bool { return !builtin.Detectors().Has(name) })
	return builtin.DetectorOptions{Families: families, Rules: c.Rules, Lures: lures}
}

var instanceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// wrong says what is wrong with the value at a path of keys, with file and line
// when the configuration came from a file.
func (c *Config) wrong(err error, path ...string) error {
	var placed *conf.Error
	if errors.As(err, &placed) && placed.Line > 0 {
		return err
	}
	return c.tree.At(path...).Errorf("%s: %w", strings.Join(path, "."), err)
}

// check finds what types alone cannot: names, ports, and options of plugins.
// All mistakes are reported, not only the first.
func (c *Config) check() error {
	var errs []error
	bad := func(path []string, format string, args ...any) {
		errs = append(errs, c.wrong(fmt.Errorf(format, args...), path...))
	}
	choice(bad, []string{"decoys", "listen"}, c.Decoys.Listen, "fallback", "strict")
	choice(bad, []string{"log", "level"}, c.Log.Level, "debug", "info", "warn", "error")
	choice(bad, []string{"log", "format"}, c.Log.Format, "text", "json")
	if c.Name == "" || len(c.Name) > 64 || strings.ContainsFunc(c.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		bad([]string{"name"}, "must have 1 to 64 printable characters")
	}
	if c.Metrics != "" {
		if _, port, err := net.SplitHostPort(c.Metrics); err != nil || port == "" {
			bad([]string{"metrics"}, "%q is not an address and port, such as 127.0.0.1:9611 (empty: none)", obs.Quote([]byte(c.Metrics), 60))
		}
	}
	c.checkBounds(bad)
	errs = append(errs, c.checkAPI()...)
	errs = append(errs, c.checkLake())
	errs = append(errs, c.checkDecoys()...)
	if c.Rules != "" {
		if st, err := os.Stat(c.Rules); err != nil || !st.IsDir() {
			bad([]string{"rules"}, "%q is not a folder that can be read", c.Rules)
		}
	}
	enforcers, detectors := builtin.Enforcers(), builtin.Detectors()
	for _, name := range slices.Sorted(maps.Keys(c.Enforce)) {
		if err := enforcers.Check(name, c.Enforce[name]); err != nil {
			errs = append(errs, c.wrong(err, "enforce", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Detect)) {
		if !detectors.Has(name) && !builtin.IsRecordFamily(name) { // their options are checked with their rules, when they are built
			errs = append(errs, c.wrong(detectors.Check(name, nil), "detect", name))
		}
	}
	errs = append(errs, c.checkExport()...)
	errs = append(errs, c.checkSources()...)
	errs = append(errs, c.checkGateway()...)
	return errors.Join(errs...)
}

// choice reports a word that is none of those that are allowed.
func choice(bad func(path []string, format string, args ...any), path []string, word string, allowed ...string) {
	if slices.Contains(allowed, word) {
		return
	}
	hint := ""
	if near, ok := conf.Nearest(word, allowed); ok {
		hint = fmt.Sprintf(" (nearest: %q)", near)
	}
	bad(path, "%q is none of %s%s", obs.Quote([]byte(word), 60), strings.Join(allowed, ", "), hint)
}

// maxFile is the largest file a decoy can capture: what one frame from the
// decoys' process holds.
const maxFile = 12 << 20

// checkBounds checks the numbers. A bound that bounds nothing, or that would be
// corrected in silence, is a mistake.
func (c *Config) checkBounds(bad func(path []string, format string, args ...any)) {
	if c.Decoys.User < 0 {
		bad([]string{"decoys", "uid"}, "%d is no user id (0: chosen)", c.Decoys.User)
	}
	if c.Decoys.Memory < 64<<20 {
		bad([]string{"decoys", "memory"}, "%s is too little: at least 64MiB", c.Decoys.Memory)
	}
	for key, size := range map[string]conf.Bytes{"signal_bytes": c.Bus.SignalBytes, "evidence_bytes": c.Bus.EvidenceBytes} {
		if size < 16<<20 {
			bad([]string{"bus", key}, "%s is too little: at least 16MiB", size)
		}
	}
	for key, age := range map[string]conf.Duration{"signal_age": c.Bus.SignalAge, "evidence_age": c.Bus.EvidenceAge, "ledger_age": c.Bus.LedgerAge} {
		if age.D() < time.Hour {
			bad([]string{"bus", key}, "%s is too short: at least 1h", age)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Decoys.Instances)) {
		l := c.Decoys.Instances[name].Limits
		at := func(key string) []string { return []string{"decoys", "instances", name, "limits", key} }
		for key, n := range map[string]int{"connections": l.Connections, "per_source": l.PerSource, "events": l.Events} {
			if n < 0 {
				bad(at(key), "%d is no limit: above 0, or leave it out for the default", n)
			}
		}
		if l.File > maxFile {
			bad(at("file"), "%s is too much: at most %s", l.File, conf.Bytes(maxFile))
		}
	}
}

// checkDecoys checks every instance that is on, and completes what it leaves out.
func (c *Config) checkDecoys() (errs []error) {
	decoys := builtin.Decoys()
	ports := map[uint16]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Decoys.Instances)) {
		in := c.Decoys.Instances[name]
		if in.Service == "" {
			in.Service = name
		}
		if in.Fallback == 0 && in.Port > 0 && in.Port < 55536 {
			in.Fallback = in.Port + 10000
		}
		c.Decoys.Instances[name] = in
		if in.Disabled {
			continue
		}
		at := func(key string) []string { return []string{"decoys", "instances", name, key} }
		if !instanceName.MatchString(name) {
			errs = append(errs, c.wrong(fmt.Errorf("the name does not match %s", instanceName), "decoys", "instances", name))
			continue
		}
		other, taken := ports[in.Port]
		switch {
		case in.Port == 0:
			errs = append(errs, c.wrong(errors.New("is missing"), at("port")...))
		case taken:
			errs = append(errs, c.wrong(fmt.Errorf("port %d is already that of %s", in.Port, other), at("port")...))
		}
		ports[in.Port] = name
		if err := decoys.Check(in.Service, in.Options); err != nil {
			errs = append(errs, c.wrong(err, at("service")...))
		}
	}
	return errs
}
