package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
)

func id(n int) (u model.ULID) {
	binary.BigEndian.PutUint64(u[8:], uint64(n)+1)
	return u
}

// others is a firewall that somebody else set up.
const others = `
table ip filter {
	chain input {
		type filter hook input priority filter; policy accept;
		ct state established accept
		tcp dport 22 accept
	}
}
table inet bartizan2 {
	set block4 {
		type ipv4_addr; flags interval,timeout
		elements = { 203.0.113.9, 10.0.0.0/8 }
	}
}
table inet fail2ban {
	set s {
		type ipv4_addr
		elements = { 203.0.113.9, 192.0.2.44 }
	}
	chain input {
		type filter hook input priority -1;
		ip saddr @s counter packets 0 bytes 0 drop
	}
}
`

func needNft(t testing.TB) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft command, to look at the kernel with other eyes")
	}
}

// holds asks the kernel through the nft command; a set that was exchanged has
// its other name.
func holds(t testing.TB, ns *enforcetest.Net, a netip.Addr) bool {
	t.Helper()
	set := "block4"
	if a.Is6() {
		set = "block6"
	}
	for _, name := range []string{set, set + "b"} {
		var out []byte
		err := ns.Do(func() (err error) {
			out, err = exec.Command("nft", "get", "element", "inet", "bartizan", name, "{ "+a.String()+" }").CombinedOutput()
			return err
		})
		if err == nil {
			return true
		}
		if !strings.Contains(string(out), "No such file") {
			t.Fatalf("nft get element: %v\n%s", err, out)
		}
	}
	return false
}

func openIn(t testing.TB, ns *enforcetest.Net, change func(*Config)) *Enforcer {
	t.Helper()
	c := Default()
	c.Netns = ns.Path
	if change != nil {
		change(&c)
	}
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func withoutOurs(t testing.TB, ns *enforcetest.Net) string {
	var keep []string
	for _, table := range strings.Split(ns.Run(t, "nft", "list", "ruleset"), "\ntable ") {
		if !strings.HasPrefix(strings.TrimPrefix(table, "table "), "inet bartizan {") {
			keep = append(keep, strings.TrimSpace(strings.TrimPrefix(table, "table ")))
		}
	}
	return strings.Join(keep, "\n")
}

func TestConformance(t *testing.T) {
	needNft(t)
	enforcetest.Run(t, func(t *testing.T) enforcetest.Device {
		ns := enforcetest.NewNet(t)
		load := func(rules string) {
			err := ns.Do(func() error {
				cmd := exec.Command("nft", "-f", "-")
				cmd.Stdin = strings.NewReader(rules)
				out, err := cmd.CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		load(others)
		return enforcetest.Device{
			Open: func(t testing.TB, never []netip.Prefix) enforce.Enforcer {
				return openIn(t, ns, func(c *Config) { c.Limits.Never = never })
			},
			Holds:   func(t testing.TB, a netip.Addr) bool { return holds(t, ns, a) },
			Foreign: func(t testing.TB) string { return withoutOurs(t, ns) },
			Huge:    3_000,
		}
	})
}
