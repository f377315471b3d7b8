package drill

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// logConfig lets a throw-away node read the logs that the drill writes.
const logConfig = `sources:
  drill-flows: {format: vpcflow, options: {files: [%[1]q], every: 100ms}}
  drill-dns: {format: zeek, options: {files: [%[2]q], every: 100ms}}
`

// LogControlNames are the controls that come from logs instead of the network,
// in the order they are printed.
func LogControlNames() []string { return []string{"flow-scan", "beacon", "dns-tunnel"} }

func logFiles(dir string) (flows, dns string) {
	return filepath.Join(dir, "flows.log"), filepath.Join(dir, "dns.log")
}

// The networks of the attacks in logs: hosts inside, and addresses that nobody has.
func inside(n byte) netip.Addr  { return netip.AddrFrom4([4]byte{10, 77, 0, n}) }
func outside(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, n}) }

// logAttack is one attack as exporters write it down.
type logAttack struct {
	name  string
	actor netip.Addr
	kinds []string // of signals; any of them proves it
	text  string
	file  string
}

// logAttacks happened during the hours before now.
func logAttacks(dir string, now time.Time) []logAttack {
	flows, dns := logFiles(dir)
	from := now.Add(-8 * time.Hour)
	const head = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
	flow := func(src, dst netip.Addr, sport, dport int, packets, octets int, at time.Time, span int, action string) string {
		return fmt.Sprintf("2 123456789012 eni-0d %s %s %d %d 6 %d %d %d %d %s OK\n", src, dst, sport, dport, packets, octets, at.Unix(), at.Unix()+int64(span), action)
	}
	var scan, beacon, tunnel strings.Builder
	for i := range 200 { // one port on many hosts, turned away
		scan.WriteString(flow(outside(7), netip.AddrFrom4([4]byte{10, 77, 1, byte(i)}), 40000+i, 22, 1, 40, from.Add(time.Duration(i)*300*time.Millisecond), 0, "REJECT"))
	}
	late := []int{0, 2, -3, 1, 4, -1, -4, 3, -2, 0, 1} // a little jitter, as real ones have
	for i := range 240 {                               // the same few bytes every two minutes
		at := from.Add(time.Duration(i)*2*time.Minute + time.Duration(late[i%len(late)])*time.Second)
		beacon.WriteString(flow(inside(20), outside(30), 41000+i, 443, 9, 1480+i%3, at, 2, "ACCEPT"))
		beacon.WriteString(flow(outside(30), inside(20), 443, 41000+i, 8, 3920+i%2, at, 2, "ACCEPT"))
	}
	for i := range 300 { // a file, thirty bytes a question
		var part [30]byte
		_, _ = rand.Read(part[:]) // never fails
		at := from.Add(time.Duration(i) * time.Second)
		fmt.Fprintf(&tunnel, `{"ts":%d.5,"uid":"CDrill%d","id.orig_h":%q,"id.orig_p":%d,"id.resp_h":"10.77.0.2","id.resp_p":53,"proto":"udp","trans_id":%d,"query":"%s.t.drill.example","qtype_name":"TXT","rcode_name":"NOERROR","rcode":0,"answers":["TXT 12 %s"],"TTLs":[0.0]}`+"\n",
			at.Unix(), i, inside(40).String(), 20000+i, i, hex.EncodeToString(part[:]), hex.EncodeToString(part[:6]))
	}
	return []logAttack{
		{"flow-scan", outside(7), []string{"scan.horizontal", "scan.network", "scan.large"}, head + scan.String(), flows},
		{"beacon", inside(20), []string{"beacon.flow"}, beacon.String(), flows},
		{"dns-tunnel", inside(40), []string{"dns.tunnel"}, tunnel.String(), dns},
	}
}

// logWait is how long a signal may take: sources are read within a second, and
// detectors that wait for more conclude every ten.
const logWait = 30 * time.Second

// logs writes the attacks and waits until the node has said what each of them is.
func (d *drill) logs(ctx context.Context, dir string) ([]outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	all := logAttacks(dir, time.Now())
	for _, a := range all {
		f, err := os.OpenFile(a.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("write the log of %s: %w", a.name, err)
		}
		if _, err := f.WriteString(a.text); err != nil {
			f.Close()
			return nil, fmt.Errorf("write the log of %s: %w", a.name, err)
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("write the log of %s: %w", a.name, err)
		}
	}
	began := time.Now()
	var out []outcome
	for _, a := range all {
		out = append(out, d.concluded(ctx, a, began))
	}
	return out, nil
}

// concluded waits for a signal about an attack's actor, of one of its kinds.
func (d *drill) concluded(ctx context.Context, a logAttack, began time.Time) outcome {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := d.Node.Signals(ctx, api.SignalQuery{Actor: model.AddrEntity(a.actor).Value(), Limit: 100})
		for i := range list {
			for _, kind := range a.kinds {
				if list[i].Kind == kind {
					o := outcome{name: a.name, ok: true, verified: true, detail: fmt.Sprintf("%s: %s, %s (source %s)", a.actor, list[i].Title, list[i].Severity, list[i].Sensor)}
					o.steps.Signal = ms(time.Since(began))
					return o
				}
			}
		}
		select {
		case <-ctx.Done():
			seen := "nothing"
			if len(list) > 0 {
				seen = list[len(list)-1].Kind
			}
			return fail(a.name, "no signal of %s about %s within %v; %s was said (%v)", strings.Join(a.kinds, " or "), a.actor, logWait, seen, err)
		case <-tick.C:
		}
	}
}
