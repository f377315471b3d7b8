package persona

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// golden is what seed 7 must give for ever.
const golden = "cache29-talvel talvel-media.cloud SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u5 AKIAP7DBAZDKWSWNPKNB"

var born = time.Date(2026, 11, 1, 8, 30, 15, 0, time.UTC)

func seed(i int) (s [32]byte) {
	binary.LittleEndian.PutUint64(s[:], uint64(i))
	return s
}

// public lists the exported fields of a persona.
func public(p *Persona) map[string]any {
	v := reflect.ValueOf(p).Elem()
	out := map[string]any{}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			out[f.Name] = v.Field(i).Interface()
		}
	}
	return out
}

func TestSameSeedSamePersona(t *testing.T) {
	for i := range 50 {
		a, b := public(New(seed(i), born)), public(New(seed(i), born))
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d gives two personas", i)
		}
	}
	// A golden value: personas of existing installs must survive updates.
	p := New(seed(7), born)
	if got := p.Hostname + " " + p.Domain + " " + p.SSH.Banner + " " + p.Secrets.AWSAccessKeyID; got != golden {
		t.Errorf("seed 7 became\n%s\nbut was\n%s", got, golden)
	}
}

func TestThousandSeedsDiffer(t *testing.T) {
	const n = 1000
	together, secrets := map[string]int{}, map[string]int{}
	figures := map[string]map[string]int{}
	count := func(what, val string) {
		if figures[what] == nil {
			figures[what] = map[string]int{}
		}
		figures[what][val]++
	}
	for i := range n {
		p := New(seed(i), born)
		var users []string
		for _, u := range p.Users {
			users = append(users, u.Name)
		}
		id := p.Hostname + "|" + p.Domain + "|" + strings.Join(users, ",")
		if old, dup := together[id]; dup {
			t.Errorf("seeds %d and %d are both %s", old, i, id)
		}
		together[id] = i
		for _, s := range []string{p.Secrets.AWSAccessKeyID, p.Secrets.AWSSecretAccessKey, p.Secrets.DBPassword, p.Secrets.GitHubToken, p.Secrets.OpenAIKey, p.Secrets.AppKey, p.Interfaces[0].MAC, p.MachineID, p.Docker.ID, string(p.Derive("host key ed25519", 32)), p.Users[0].PasswordHash} {
			if old, dup := secrets[s]; dup {
				t.Errorf("seeds %d and %d share %q", old, i, s)
			}
			secrets[s] = i
		}
		count("hostname", p.Hostname)
		count("domain", p.Domain)
		count("users", strings.Join(users, ","))
		count("distro", p.Distro.PrettyName)
		count("kernel", p.Kernel.Release)
		count("banner", p.SSH.Banner)
		count("web", p.Web.Header)
		count("cpu", p.Hardware.CPUModel)
		count("docker", p.Docker.Version)
		count("boot", p.BootedAt.String())
	}
	for what, least := range map[string]float64{"hostname": 9.5, "domain": 9.8, "users": 9, "distro": 2.2, "kernel": 4.5, "banner": 4, "web": 2, "cpu": 2.5, "docker": 2.4, "boot": 9.8} {
		if e := entropy(figures[what], n); e < least {
			t.Errorf("%s has %.2f bits over %d seeds, want at least %.2f", what, e, n, least)
		} else {
			t.Logf("%-9s %5.2f bits, %d values", what, e, len(figures[what]))
		}
	}
}

func entropy(counts map[string]int, n int) (bits float64) {
	for _, c := range counts {
		p := float64(c) / float64(n)
		bits -= p * math.Log2(p)
	}
	return bits
}

var (
	label   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	domain  = regexp.MustCompile(`^[a-z0-9-]+\.[a-z]+$`)
	banner  = regexp.MustCompile(`^SSH-2\.0-OpenSSH_([0-9.]+p[0-9]) (Debian-[0-9]+\+deb1[12]u[0-9]+|Ubuntu-[0-9]+ubuntu[0-9.]+)$`) // as nmap's ssh probe reads it
	keyID   = regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`)
	secret  = regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`)
	macAddr = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)
	account = regexp.MustCompile(`^[a-z][a-z0-9.-]*$`)
)

func TestConsistency(t *testing.T) {
	kernels := map[string]string{"bullseye": "5.10.0-", "bookworm": "6.1.0-", "focal": "5.4.0-", "jammy": "5.15.0-", "noble": "6.8.0-"}
	redis := map[string]string{"bullseye": "6.0.16", "bookworm": "7.0.15", "focal": "5.0.7", "jammy": "6.0.16", "noble": "7.0.15"}
	openssh := map[string]string{"bullseye": "8.4p1", "bookworm": "9.2p1", "focal": "8.2p1", "jammy": "8.9p1", "noble": "9.6p1"}
	distros := map[string]int{}
	for i := range 500 {
		p := New(seed(i), born)
		code := p.Distro.Codename
		distros[code]++
		bad := func(what string, v any) { t.Errorf("seed %d (%s): %s: %v", i, code, what, v) }
		if !label.MatchString(p.Hostname) {
			bad("hostname", p.Hostname)
		}
		if !domain.MatchString(p.Domain) {
			bad("domain", p.Domain)
		}
		if !strings.HasPrefix(p.Kernel.Release, kernels[code]) {
			bad("kernel", p.Kernel.Release)
		}
		if ubuntu := strings.Contains(p.Kernel.Version, "Ubuntu"); ubuntu != (p.Distro.ID == "ubuntu") {
			bad("kernel version", p.Kernel.Version)
		}
		m := banner.FindStringSubmatch(p.SSH.Banner)
		if m == nil || m[1] != openssh[code] || strings.HasPrefix(m[2], "Ubuntu") != (p.Distro.ID == "ubuntu") {
			bad("banner", p.SSH.Banner)
		}
		if p.Versions.Redis != redis[code] {
			bad("redis", p.Versions.Redis)
		}
		if !strings.Contains(p.Web.Header, p.Web.Version) || strings.Contains(p.Web.Header, "Ubuntu") && p.Distro.ID != "ubuntu" {
			bad("web", p.Web)
		}
		if !keyID.MatchString(p.Secrets.AWSAccessKeyID) || !secret.MatchString(p.Secrets.AWSSecretAccessKey) {
			bad("aws key", p.Secrets.AWSAccessKeyID)
		}
		if !macAddr.MatchString(p.Interfaces[0].MAC) || !p.Interfaces[0].Addr.Contains(p.Gateway) || !p.Interfaces[0].Addr.Addr().IsPrivate() {
			bad("interface", p.Interfaces[0])
		}
		if !p.InstalledAt.Before(p.BootedAt) || !p.BootedAt.Before(p.BornAt) || p.BornAt != born {
			bad("times", []time.Time{p.InstalledAt, p.BootedAt, p.BornAt})
		}
		users(t, p, bad)
		sockets(p, bad)
		if p.Docker.APIVersion < "1.43" || p.Docker.Version == "" || len(p.Containers) == 0 || len(p.Ollama.Models) < 2 {
			bad("engines", p.Docker)
		}
		if h := p.Hardware; h.Cores < 2 || h.MemKB < 1<<20 || h.DiskGB < 40 {
			bad("hardware", h)
		}
	}
	if len(distros) != 5 {
		t.Errorf("distributions %v, want all five", distros)
	}
}

func users(t *testing.T, p *Persona, bad func(string, any)) {
	t.Helper()
	if len(p.Users) < 3 || len(p.Users) > 6 || p.Users[0].Name != "root" || p.Users[0].UID != 0 {
		bad("users", p.Users)
	}
	seen := map[string]bool{}
	ids := map[int]bool{}
	for _, u := range append(append([]User{}, p.Users...), SystemUsers()...) {
		if seen[u.Name] || ids[u.UID] || !account.MatchString(u.Name) || u.Home == "" || u.Shell == "" {
			bad("user", u)
		}
		seen[u.Name], ids[u.UID] = true, true
	}
	if _, ok := p.Lookup("www-data"); !ok {
		bad("lookup", "www-data")
	}
}

func sockets(p *Persona, bad func(string, any)) {
	pids := map[int]string{}
	for _, pr := range p.Processes {
		if pids[pr.PID] != "" {
			bad("process id twice", pr)
		}
		pids[pr.PID] = pr.Command
	}
	for _, pr := range p.Processes {
		if pr.PPID != 0 && pids[pr.PPID] == "" {
			bad("process without parent", pr)
		}
	}
	for _, s := range p.Sockets {
		if pids[s.PID] == "" {
			bad("socket without process", s)
		}
	}
	for _, l := range p.Logins {
		if _, ok := p.Lookup(l.User); !ok || !l.At.Before(p.BornAt) {
			bad("login", l)
		}
	}
}

func TestUptimeGrows(t *testing.T) {
	p := New(seed(3), born)
	last := time.Duration(0)
	for i := range 100 {
		up := p.Uptime(born.Add(time.Duration(i) * 7 * time.Hour))
		if up <= last {
			t.Fatalf("uptime %s after %s", up, last)
		}
		last = up
	}
	if again := New(seed(3), born); again.Uptime(born) != p.Uptime(born) {
		t.Error("uptime changed over a restart")
	}
	if p.Uptime(born.AddDate(-5, 0, 0)) <= 0 {
		t.Error("a clock that runs backwards gives a negative uptime")
	}
}

func TestStateRoundTrip(t *testing.T) {
	st, err := Create(born)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	a, err := FromState(st)
	if err != nil {
		t.Fatal(err)
	}
	b, err := FromState(back)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(public(a), public(b)) || !reflect.DeepEqual(public(a), public(New([32]byte(st.Seed), born))) {
		t.Error("the persona changed over a restart")
	}
	kinds := []crypto.PublicKey{ed25519.PublicKey(nil), (*ecdsa.PublicKey)(nil), (*rsa.PublicKey)(nil)}
	if len(a.HostKeys()) != len(kinds) {
		t.Fatalf("%d host keys", len(a.HostKeys()))
	}
	for i, k := range a.HostKeys() {
		if reflect.TypeOf(k.Public()) != reflect.TypeOf(kinds[i]) {
			t.Errorf("host key %d is %T", i, k.Public())
		}
		signer, err := ssh.NewSignerFromSigner(k)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ssh.NewSignerFromSigner(b.HostKeys()[i])
		if err != nil || string(other.PublicKey().Marshal()) != string(signer.PublicKey().Marshal()) {
			t.Errorf("host key %d changed over a restart (%v)", i, err)
		}
	}
	if size := a.HostKeys()[2].Public().(*rsa.PublicKey).N.BitLen(); size != 3072 {
		t.Errorf("rsa key of %d bits", size)
	}
	checkCertificate(t, a)
	second, err := Create(born)
	if err != nil || string(second.Seed) == string(st.Seed) || second.Keys.RSA == st.Keys.RSA {
		t.Errorf("two installs share their state (%v)", err)
	}
}

func checkCertificate(t *testing.T, p *Persona) {
	t.Helper()
	cert, err := x509.ParseCertificate(p.Certificate().Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.VerifyHostname(p.Domain); err != nil {
		t.Error(err)
	}
	if cert.NotBefore.After(born) || cert.NotAfter.Before(born.AddDate(1, 0, 0)) {
		t.Errorf("valid from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		t.Error(err)
	}
}

func TestDamagedState(t *testing.T) {
	st, err := Create(born)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(*State){
		"version":     func(s *State) { s.Version = 9 },
		"seed":        func(s *State) { s.Seed = s.Seed[:5] },
		"birth":       func(s *State) { s.BornAt = time.Time{} },
		"no key":      func(s *State) { s.Keys.RSA = "" },
		"broken key":  func(s *State) { s.Keys.ECDSA = strings.Replace(s.Keys.ECDSA, "M", "!", 1) },
		"wrong kind":  func(s *State) { s.Keys.Ed25519 = s.Keys.TLSCert },
		"certificate": func(s *State) { s.Keys.TLSCert = "" },
	} {
		bad := st
		damage(&bad)
		if _, err := FromState(bad); err == nil || !strings.Contains(err.Error(), "persona") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestNewHasNoKeys(t *testing.T) {
	p := New(seed(1), born)
	if p.HostKeys() != nil || len(p.Certificate().Certificate) != 0 {
		t.Error("a persona without state has keys")
	}
}
