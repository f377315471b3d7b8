package e2e

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// visit is one attacker with one tool against a node that observes.
type visit struct {
	name  string
	tools []string
	play  func(t *testing.T, n *node, a *attacker)
}

func visits() []visit {
	return []visit{
		{"nmap versions", []string{"nmap", "curl"}, nmapVersions},
		{"nmap syn", []string{"nmap"}, nmapSYN},
		{"nmap connect", []string{"nmap"}, nmapConnect},
		{"ssh exec and terminal", []string{"ssh", "sshpass", "script"}, sshSession},
		{"scp and sftp", []string{"scp", "sftp", "sshpass"}, sshUploads},
		{"ssh forward", []string{"ssh", "sshpass", "curl"}, sshForward},
		{"hydra ssh", []string{"hydra"}, hydraSSH},
		{"hydra telnet", []string{"hydra"}, hydraTelnet},
		{"medusa ssh", []string{"medusa"}, medusaSSH},
		{"medusa telnet", []string{"medusa"}, medusaTelnet},
		{"redis-cli", []string{"redis-cli"}, redisCLI},
		{"docker", []string{"docker"}, dockerCLI},
		{"curl http", []string{"curl"}, curlHTTP},
		{"curl https", []string{"curl"}, curlHTTPS},
		{"curl ipv6", []string{"curl"}, curlIPv6},
		{"wget", []string{"wget"}, wgetHTTP},
		{"ollama by curl", []string{"curl"}, curlOllama},
		{"openai", []string{"node"}, openAI},
	}
}

// TestRealTools attacks one observing node with programs that nobody here
// wrote, each from an address of its own.
func TestRealTools(t *testing.T) {
	l := newLab(t)
	n := l.up(t)
	if st := n.status(t); st.Mode != "observe" || len(st.Decoys.Listening) < 12 {
		t.Fatalf("a node with no settings: mode %s, %d decoys", st.Mode, len(st.Decoys.Listening))
	}
	if len(visits()) < 18 {
		t.Fatal("visits were lost")
	}
	t.Run("visits", func(t *testing.T) {
		for _, v := range visits() {
			t.Run(v.name, func(t *testing.T) {
				need(t, v.tools...)
				a := l.attacker(t)
				t.Parallel()
				v.play(t, n, a)
			})
		}
	})
	t.Run("nothing was enforced", func(t *testing.T) { observedOnly(t, n) })
	t.Run("metrics", func(t *testing.T) { metricsAgree(t, n) })
	n.stop(t)
}

// observedOnly: every decision about the visitors is a dry run or held, and
// the kernel's sets are empty.
func observedOnly(t *testing.T, n *node) {
	list := cliJSON[[]api.Decision](t, n, "decisions", "list", "--all")
	if len(list) < 5 {
		t.Errorf("only %d decisions after all these attacks", len(list))
	}
	held := 0
	for _, d := range list {
		if d.State == model.StateActive && !d.DryRun {
			t.Errorf("an observing node enforces %s on %s", d.Action, d.Target)
		}
		if d.State == model.StateHeld && slices.ContainsFunc(d.Guardrails, func(g model.Guarded) bool {
			return g.Guardrail == "reserved" && g.Verdict == model.GuardNever
		}) {
			held++
		}
	}
	if held < 3 {
		t.Errorf("%d decisions are held by the guardrail of reserved ranges, want at least 3", held)
	}
	if k := n.lab.kernel(t); len(k) != 0 {
		t.Errorf("the kernel holds %v", k)
	}
}

func metricsAgree(t *testing.T, n *node) {
	r := n.lab.node.run(t, 5*time.Second, "curl", "-sS", "http://127.0.0.1:9611/metrics")
	if r.code != 0 {
		t.Fatalf("GET /metrics: %s", r)
	}
	if c := strings.Count(r.out, "\nbartizan_"); c < 20 {
		t.Errorf("%d samples of ours, want at least 20", c)
	}
	for _, s := range []string{"198.18.", "2001:db8"} {
		if strings.Contains(r.out, s) {
			t.Errorf("an attacker's address %s… is a metric's label", s)
		}
	}
	b, err := n.api.Metrics(t.Context())
	if err != nil || !strings.Contains(string(b), "bartizan_") {
		t.Errorf("metrics through the administration socket: %v", err)
	}
	if r := n.lab.node.run(t, 5*time.Second, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:9611/health"); r.out != "200" {
		t.Errorf("GET /health: %s", r)
	}
}

// nmapRun is what nmap writes with -oX, as far as it is looked at.
type nmapRun struct {
	Ports []struct {
		ID    int `xml:"portid,attr"`
		State struct {
			State string `xml:"state,attr"`
		} `xml:"state"`
		Service struct {
			Name    string `xml:"name,attr"`
			Product string `xml:"product,attr"`
			Version string `xml:"version,attr"`
			Tunnel  string `xml:"tunnel,attr"`
			Method  string `xml:"method,attr"`
		} `xml:"service"`
	} `xml:"host>ports>port"`
}

func nmap(t *testing.T, a *attacker, args ...string) (run nmapRun) {
	t.Helper()
	r := a.run(t, 4*time.Minute, "nmap", append([]string{"-Pn", "-n", "-oX", "-"}, append(args, node4)...)...)
	if r.code != 0 {
		t.Fatalf("nmap %v: %s", args, r)
	}
	if err := xml.Unmarshal([]byte(r.out), &run); err != nil {
		t.Fatalf("nmap %v: %v\n%s", args, err, r)
	}
	return run
}

// nmapVersions: what nmap takes the decoys for is what they claim to be.
func nmapVersions(t *testing.T, n *node, a *attacker) {
	banner := a.run(t, 10*time.Second, "curl", "-sSI", "http://"+node4+"/")
	server := header(banner.out, "Server")
	names, ports := n.decoyPorts(t)
	if testing.Short() { // for ports that only listen nmap tries every probe it has
		ports = slices.DeleteFunc(ports, func(p string) bool { i, _ := strconv.Atoi(p); return strings.HasPrefix(names[i], "tcp-") })
	}
	run := nmap(t, a, "-sV", "-p", strings.Join(ports, ","))
	want := map[string]string{"ssh": "OpenSSH", "redis": "Redis key-value store", "docker": "Docker", "http": "nginx|Apache httpd", "https": "nginx|Apache httpd"}
	seen := 0
	for _, p := range run.Ports {
		name := names[p.ID]
		if p.State.State != "open" {
			t.Errorf("port %d (%s) is %s", p.ID, name, p.State.State)
		}
		w, ok := want[name]
		if !ok {
			continue
		}
		seen++
		if p.Service.Method != "probed" || !slices.Contains(strings.Split(w, "|"), p.Service.Product) {
			t.Errorf("nmap takes %s for %q %q (%s), want %s", name, p.Service.Product, p.Service.Version, p.Service.Name, w)
		}
		if p.Service.Version == "" {
			t.Errorf("nmap finds no version of %s", name)
		}
		if strings.HasPrefix(name, "http") && !strings.Contains(server, p.Service.Version) {
			t.Errorf("nmap finds version %s of %s, the server says %q", p.Service.Version, name, server)
		}
		if name == "https" && p.Service.Tunnel != "ssl" {
			t.Errorf("https without TLS: %+v", p)
		}
	}
	if seen != len(want) {
		t.Errorf("nmap reported %d of %d services", seen, len(want))
	}
	n.awaitSignals(t, a.ip, "scan.ports|scan.services", "probe.nmap", "contact.decoy")
}

// decoyPorts lists where decoys listen, with the instances' names.
func (n *node) decoyPorts(t *testing.T) (names map[int]string, ports []string) {
	t.Helper()
	names = map[int]string{}
	for _, l := range n.status(t).Decoys.Listening {
		p := int(netip.MustParseAddrPort(l.Address).Port())
		names[p] = l.Instance
		ports = append(ports, strconv.Itoa(p))
	}
	return names, ports
}

func header(response, name string) string {
	for line := range strings.Lines(response) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// nmapSYN: a scan that completes no handshake proves no address, so whatever
// it is taken for is marked as spoofable and no decision rests on it.
func nmapSYN(t *testing.T, n *node, a *attacker) {
	nmap(t, a, "-sS", "-p-", "--min-rate", "15000", "--max-retries", "1")
	_, ports := n.decoyPorts(t)
	open := 0
	for _, p := range nmap(t, a, "-sS", "-p", strings.Join(ports, ",")).Ports {
		if p.State.State == "open" {
			open++
		}
	}
	if open != len(ports) || open < 12 {
		t.Errorf("the scan found %d open ports of %d decoys", open, len(ports))
	}
	for _, s := range n.signals(t, a.ip) {
		if !s.Spoofable {
			t.Errorf("a SYN without handshake made a signal that counts: %s by %s", s.Kind, s.Rule)
		}
	}
	if list := n.decisions(t, a.ip); len(list) != 0 {
		t.Errorf("%d decisions rest on SYNs alone", len(list))
	}
}

func nmapConnect(t *testing.T, n *node, a *attacker) {
	nmap(t, a, "-sT", "-p-", "--min-rate", "5000", "--max-retries", "2")
	list := n.awaitSignals(t, a.ip, "scan.ports", "contact.decoy")
	for _, s := range list {
		if s.Kind == "scan.ports" && !slices.ContainsFunc(s.Techniques, func(x string) bool { return strings.HasPrefix(x, "T1046") || strings.HasPrefix(x, "T1595") }) {
			t.Errorf("a port scan has the techniques %v", s.Techniques)
		}
	}
	for _, d := range n.decisions(t, a.ip) {
		if d.Action == model.Block {
			t.Errorf("scanning alone is no reason to block: %s", d.Reason)
		}
	}
}

// related collects what came with signals, by type.
func related(list []model.Signal, kind model.EntityType) (out []string) {
	for _, s := range list {
		for _, e := range s.Related {
			if e.Type() == kind {
				out = append(out, e.Value())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// awaitRelated waits for an entity that came with a visitor's signals.
func (n *node) awaitRelated(t *testing.T, addr string, kind model.EntityType) (out []string) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("a %s of %s", kind, addr), func() error {
		list := n.signals(t, addr)
		if out = related(list, kind); len(out) == 0 {
			return fmt.Errorf("none among %d signals %v", len(list), kindsOf(list))
		}
		return nil
	})
	return out
}

// contains fails unless text holds every word.
func contains(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, tail(text))
		}
	}
}
