package contact

import (
	"net/netip"
	"testing"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// visit is a connection to a port of a service, each a session of its own.
func visit(n int, service string, port uint16, after time.Duration) observe.Observation {
	id := model.NewULID(detecttest.Start)
	id[15] = byte(n)
	return detecttest.Observation(observe.Observation{Service: service, Session: id, Time: detecttest.Start.Add(after),
		Local: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), Interaction: &observe.Interaction{Ended: true}})
}

func kinds(d detect.Detector, os ...observe.Observation) map[string]int {
	n := map[string]int{}
	for i := range os {
		d.Detect(&os[i], func(s *model.Signal) { n[s.Kind]++ })
	}
	return n
}

func TestScans(t *testing.T) {
	ports := []observe.Observation{visit(1, "tcp", 8001, 0), visit(2, "tcp", 8002, time.Second), visit(3, "tcp", 8003, 2*time.Second)}
	if n := kinds(fresh(t)(), ports...); n["scan.ports"] != 1 || n["scan.services"] != 0 || n["contact.decoy"] != 3 {
		t.Errorf("three ports: %v", n)
	}
	if n := kinds(fresh(t)(), ports[0], ports[1], ports[1], ports[0]); n["scan.ports"] != 0 {
		t.Errorf("two ports: %v", n)
	}
	services := []observe.Observation{visit(1, "ssh", 22, 0), visit(2, "http", 80, 0), visit(3, "redis", 6379, 0)}
	if n := kinds(fresh(t)(), services...); n["scan.services"] != 1 || n["scan.ports"] != 1 {
		t.Errorf("three services: %v", n)
	}
	slow := []observe.Observation{visit(1, "tcp", 8001, 0), visit(2, "tcp", 8002, 2*time.Hour), visit(3, "tcp", 8003, 5*time.Hour)}
	if n := kinds(fresh(t)(), slow...); n["scan.slow"] != 1 || n["scan.ports"] != 0 {
		t.Errorf("three ports in five hours: %v", n)
	}
	slow[2].Time = slow[2].Time.Add(48 * time.Hour)
	if n := kinds(fresh(t)(), slow...); n["scan.slow"] != 0 {
		t.Errorf("three ports in three days: %v", n)
	}
	var hosts []observe.Observation
	for i := range 3 {
		o := visit(i, "ssh", 22, 0)
		o.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 22)
		hosts = append(hosts, o)
	}
	if n := kinds(fresh(t)(), hosts...); n["scan.hosts"] != 1 || n["scan.ports"] != 0 {
		t.Errorf("three hosts: %v", n)
	}
}

// TestForgedTouchesDoNotRipen: an attacker who forges the address of somebody
// else must not be able to make a scanner of him.
func TestForgedTouchesDoNotRipen(t *testing.T) {
	d := fresh(t)()
	for i := range 20 {
		o := visit(i, "tcp", uint16(9000+i), 0)
		o.Spoofable = true
		e := detect.NewEngine([]detect.Named{{Name: "contact", Detector: d}}, detect.Options{})
		e.Process([]observe.Observation{o}, func(s model.Signal) {
			if !s.Spoofable {
				t.Fatalf("proven signal from a forged packet: %+v", s)
			}
		})
	}
	if n := kinds(d, visit(99, "http", 80, time.Second)); n["scan.ports"] != 0 || n["contact.decoy"] != 1 {
		t.Errorf("one real visit after forged ones: %v", n)
	}
}

func TestOneVisitIsOneContact(t *testing.T) {
	a, b := visit(1, "ssh", 22, 0), visit(1, "ssh", 22, time.Minute)
	a.Interaction.Ended, b.Session = false, a.Session
	if n := kinds(fresh(t)(), a, b); n["contact.decoy"] != 1 {
		t.Errorf("%v", n)
	}
}

func TestPrintsAreRelated(t *testing.T) {
	o := visit(1, "ssh", 22, 0)
	o.Interaction.Client = "SSH-2.0-libssh_0.10"
	o.Interaction.Prints = observe.Fingerprints{HASSH: "92674389FA1E47A27DDD8D9B63ECD42B", JA4: "t13d1516h2_8daaf6152771_b186095e22b6", JA3: "nonsense"}
	want := map[string]int{"contact.decoy": 2, "probe.ssh-client": 2}
	d := fresh(t)()
	for range 2 { // the second time from memory
		d.Detect(&o, func(s *model.Signal) {
			if len(s.Related) == want[s.Kind] && s.Related[0].String() == "hassh:92674389fa1e47a27ddd8d9b63ecd42b" {
				delete(want, s.Kind)
			}
		})
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
}

func TestServiceNamesAreBounded(t *testing.T) {
	d := fresh(t)().(*detector)
	for i := range 1000 {
		o := visit(i, string(rune('a'+i%26))+time.Duration(i).String()+"\x1b", 22, 0)
		kinds(d, o)
	}
	if len(d.names) > maxNames {
		t.Errorf("%d names", len(d.names))
	}
}
