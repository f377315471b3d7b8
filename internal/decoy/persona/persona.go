// Package persona invents the machine that a node's decoys pretend to be: its
// name, distribution, versions, accounts, hardware, keys and bait secrets.
//
// A persona is a pure function of a 32-byte seed and the moment the install
// was born, so it never changes over restarts, and two installs never look
// alike. Nothing in here is a policy (which passwords a decoy accepts) and
// nothing talks to the network or the file system; the caller stores State.
package persona

import (
	"net/netip"
	"sync"
	"time"
)

// Persona is one imaginary Linux server. It is immutable after New or
// FromState and safe for concurrent use; callers must not modify its slices.
type Persona struct {
	BornAt   time.Time // first start of the install, UTC
	Hostname string    // short host name, RFC 1123 label
	Domain   string    // DNS domain the host claims to live in
	SiteName string    // title of the web site the host serves

	Distro   Distro
	Kernel   Kernel
	Versions Versions
	SSH      SSH
	Web      Web
	Docker   Docker
	Ollama   Ollama

	Hardware   Hardware
	Interfaces []Interface // [0] is the one with the default route
	Gateway    netip.Addr
	Resolvers  []netip.Addr

	Users    []User // root first, then people; system accounts are in SystemUsers
	Timezone string

	InstalledAt time.Time // when the operating system claims to have been installed
	BootedAt    time.Time // before BornAt, so uptime grows with real time
	MachineID   string    // 32 hex digits, as in /etc/machine-id

	Secrets    Secrets
	Crons      []Cron
	Packages   []Package
	Processes  []Process
	Sockets    []Socket
	Logins     []Login // newest first, all before BornAt
	Containers []Container

	keys *keyring // nil unless made by FromState

	seed   [32]byte
	mu     sync.Mutex
	shared map[string]any
}

// Distro identifies the distribution as /etc/os-release spells it.
type Distro struct {
	ID         string // "debian" or "ubuntu"
	Name       string // "Debian GNU/Linux" or "Ubuntu"
	Version    string // VERSION_ID: "12", "22.04"
	Point      string // point release: "12.8", "22.04.5"
	Codename   string // "bookworm", "jammy"
	PrettyName string
}

// Kernel holds what uname prints.
type Kernel struct {
	Release  string // uname -r
	Version  string // uname -v
	Machine  string // uname -m
	Compiler string // the parenthesised part of /proc/version
	Builder  string // builder address in /proc/version
}

// Versions are upstream versions of software packaged by the distribution.
type Versions struct {
	Redis, Python, Perl, Bash, OpenSSL, GCC, Glibc, Coreutils, Curl, Wget, Git, Systemd, PHP, MySQL, Busybox string
}

// SSH holds the identification of the SSH server.
type SSH struct {
	Banner  string // RFC 4253 identification string without CR LF
	Package string // Debian package version, e.g. "1:9.2p1-2+deb12u3"
	OpenSSL string // as ssh -V prints it
}

// Web is the web server the host claims to run.
type Web struct {
	Server  string // "nginx" or "apache2"
	Version string // upstream version
	Header  string // value of the Server header
	PHP     string // value of X-Powered-By, empty when PHP is not exposed
	App     string // application name: "WordPress", "Laravel", ...
	AppVer  string
}

// Docker is the engine the host claims to run.
type Docker struct {
	Version, APIVersion, MinAPIVersion, GitCommit, GoVersion, Containerd, Runc string
	BuildTime                                                                  time.Time
	ID                                                                         string // engine id, a UUID
}

// Container is one running container of the persona.
type Container struct {
	ID      string // 64 hex digits
	Name    string
	Image   string
	ImageID string // "sha256:..."
	Command string
	Ports   string // as docker ps prints them
	Created time.Time
}

// Ollama is the model server the host claims to run.
type Ollama struct {
	Version string
	Models  []Model
}

// Model is one locally pulled model.
type Model struct {
	Name          string // "llama3.1:8b"
	Digest        string // 64 hex digits
	Size          int64  // bytes on disk
	Family        string
	ParameterSize string // "8.0B"
	Quantization  string // "Q4_K_M"
	ModifiedAt    time.Time
}

// Hardware describes the virtual machine.
type Hardware struct {
	Cores       int
	CPUVendor   string
	CPUModel    string
	CPUFamily   int
	CPUModelNo  int
	CPUStepping int
	CPUMHz      float64
	CacheKB     int
	CPUFlags    string
	Bogomips    float64
	MemKB       int64
	SwapKB      int64
	DiskGB      int
	DiskUsed    int    // percent
	DiskDevice  string // "vda", "sda", "nvme0n1"
	Vendor      string // DMI system vendor
	Product     string // DMI product name
	GPU         string // empty when there is none
	GPUMemMB    int
	GPUDriver   string
	RootUUID    string
}

// Interface is one network interface.
type Interface struct {
	Name string
	MAC  string
	Addr netip.Prefix // address with its prefix length
	V6   netip.Addr   // link-local address
}

// User is one line of the password database.
type User struct {
	Name         string
	UID, GID     int
	Gecos        string
	Home         string
	Shell        string
	Sudo         bool
	PasswordHash string // crypt(3) SHA-512 shape; bait, no password produces it
}

// Secrets are bait: unique per install, valid in format, so that a later use
// anywhere identifies the install it leaked from.
type Secrets struct {
	AWSAccessKeyID     string // AKIA + 16 base32 characters
	AWSSecretAccessKey string
	AWSAccount         string // 12 digits
	DBName             string
	DBUser             string
	DBPassword         string
	RedisPassword      string
	AppKey             string // Laravel style "base64:..."
	JWTSecret          string
	GitHubToken        string // ghp_ + 36
	OpenAIKey          string // sk-proj-...
	SMTPPassword       string
	StripeKey          string // sk_live_...
	BackupPassword     string
}

// Cron is one line of a crontab.
type Cron struct {
	User, Schedule, Command string
}

// Package is one installed Debian package.
type Package struct {
	Name, Version, Arch, Summary string
}

// Process is one long-running process.
type Process struct {
	PID, PPID int
	User      string
	TTY       string
	State     string
	VSZ, RSS  int // KiB
	CPU, Mem  float64
	Command   string
}

// Socket is one listening socket.
type Socket struct {
	Proto   string // "tcp", "tcp6", "udp"
	Addr    string // "0.0.0.0:22", "[::]:22"
	PID     int
	Program string
	User    string
}

// Login is one finished session, as last prints it.
type Login struct {
	User, TTY, From string
	At              time.Time
	For             time.Duration
}

// New invents the persona of a seed. It is deterministic and has no host
// keys; use FromState for a persona that can serve SSH and TLS.
func New(seed [32]byte, bornAt time.Time) *Persona {
	p := &Persona{BornAt: bornAt.UTC().Truncate(time.Second), seed: seed}
	p.pickSystem(p.source("system"))
	p.pickIdentity(p.source("identity"))
	p.pickHardware(p.source("hardware"))
	p.pickNetwork(p.source("network"))
	p.pickUsers(p.source("users"))
	p.pickSecrets(p.source("secrets"))
	p.pickWeb(p.source("web"))
	p.pickEngines(p.source("engines"))
	p.pickPackages()
	p.pickLife(p.source("life"))
	return p
}

// FQDN is the full host name.
func (p *Persona) FQDN() string { return p.Hostname + "." + p.Domain }

// Uptime is how long the machine claims to run at now; it only grows while
// now grows.
func (p *Persona) Uptime(now time.Time) time.Duration {
	return max(now.Sub(p.BootedAt), time.Minute)
}

// Location is the zone of the persona; all personas keep their clock in UTC
// or a fixed zone so that no time zone database is needed.
func (p *Persona) Location() *time.Location { return time.UTC }

// UnameAll is what uname -a prints.
func (p *Persona) UnameAll() string {
	return "Linux " + p.Hostname + " " + p.Kernel.Release + " " + p.Kernel.Version + " " + p.Kernel.Machine + " GNU/Linux"
}

// ProcVersion is the content of /proc/version without the line end.
func (p *Persona) ProcVersion() string {
	return "Linux version " + p.Kernel.Release + " (" + p.Kernel.Builder + ") (" + p.Kernel.Compiler + ") " + p.Kernel.Version
}

// Lookup finds an account among people and system accounts.
func (p *Persona) Lookup(name string) (User, bool) {
	for _, list := range [][]User{p.Users, SystemUsers()} {
		for _, u := range list {
			if u.Name == name {
				return u, true
			}
		}
	}
	return User{}, false
}

// Shared returns a value derived from the persona once and kept with it, such
// as the file tree all shell sessions start from. build must be a pure
// function of the persona and its result must not be modified.
func (p *Persona) Shared(key string, build func() any) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.shared[key]; ok {
		return v
	}
	if p.shared == nil {
		p.shared = make(map[string]any)
	}
	v := build()
	p.shared[key] = v
	return v
}
