// Command decoy measures what a decoy costs next to the least a Go program can
// do with a connection: accept, read, log a line of JSON, reply, close.
//
//	go run ./bench/decoy
//
// Everything runs on loopback in processes of its own: the client, the server
// under test, and for decoys the reader behind the pipe that decodes batches
// and runs all detectors over them. Servers take turns, so that a busy machine
// hurts them alike; what is compared is connections per CPU-second of all
// server-side processes together, as getrusage counts them. After that the
// memory of idle visitors is measured, and an overload counted out.
//
// It exits with 1 when a goal is missed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// options of a run.
type options struct {
	rounds  int
	conns   int
	workers int
	idle    int
	path    string
	cpu     string // profile of the server is written here
	role    string
	addr    string
	hold    bool
}

// Goals of the design.
const (
	goalRatio = 0.7  // of the minimal loop's connections per CPU-second
	goalIdle  = 10.0 // KB of resident memory per idle connection
)

func main() {
	o := options{}
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, at least 3")
	flag.IntVar(&o.conns, "conns", 30000, "connections per server and round")
	flag.IntVar(&o.workers, "workers", 32, "visitors at once")
	flag.IntVar(&o.idle, "idle", 15000, "idle connections; 0 skips that part")
	flag.StringVar(&o.path, "path", "/.env", "what visitors ask for")
	flag.StringVar(&o.cpu, "cpuprofile", "", "write a CPU profile of the servers to this prefix")
	flag.StringVar(&o.role, "role", "", "internal: what this process is")
	flag.StringVar(&o.addr, "addr", "", "internal: where the server listens")
	flag.BoolVar(&o.hold, "hold", false, "internal: the client holds its connections")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/decoy:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	switch o.role {
	case "":
		return orchestrate(o)
	case "client":
		return client(o)
	case "reader":
		return reader(o)
	}
	return server(o)
}

// servers in the order they take turns.
var servers = [...]string{"minimal", "tcp", "web"}

func orchestrate(o options) error {
	if o.rounds < 3 {
		return fmt.Errorf("%d rounds say nothing, use at least 3", o.rounds)
	}
	rates := map[string][]float64{}
	var last map[string]turn
	for round := range o.rounds {
		last = map[string]turn{}
		for _, name := range servers {
			t, err := takeTurn(o, name)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, name, err)
			}
			rates[name] = append(rates[name], t.rate())
			last[name] = t
			fmt.Printf("round %d  %-8s %7.0f conn/CPU-s  server %5.1f us  reader %5.1f us  wall %6.0f conn/s\n",
				round+1, name, t.rate(), t.serverCPU.Seconds()*1e6/float64(t.served), t.readerCPU.Seconds()*1e6/float64(t.served), float64(t.served)/t.wall.Seconds())
		}
	}
	missed := 0
	judge := func(ok bool, format string, args ...any) {
		word := "ok    "
		if !ok {
			word = "MISSED"
			missed++
		}
		fmt.Printf(word+"  "+format+"\n", args...)
	}
	fmt.Printf("\n%s, %d rounds of %d connections, medians:\n", time.Now().UTC().Format(time.DateOnly), o.rounds, o.conns)
	base := median(rates["minimal"])
	fmt.Printf("        minimal loop: %.0f connections per CPU-second\n", base)
	for _, name := range servers[1:] {
		ratio := median(rates[name]) / base
		t := last[name]
		judge(ratio >= goalRatio, "%s decoy: %.0f connections per CPU-second, %.2f of the minimal loop (goal %.2f); %d observations, %d signals in the last round",
			name, median(rates[name]), ratio, goalRatio, t.seen.Observations, t.seen.Signals)
		if t.seen.Ended != t.served {
			judge(false, "%s decoy: %d of %d visits were reported", name, t.seen.Ended, t.served)
		}
	}
	o.cpu = "" // the profiles are about the turns
	if o.idle > 0 {
		if err := memory(o, judge); err != nil {
			return err
		}
	}
	if err := overload(o, judge); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d goals missed", missed)
	}
	return nil
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// memory prints what idle visitors occupy: before they said anything, and in
// the middle of a request.
func memory(o options, judge func(bool, string, ...any)) error {
	for _, name := range servers[1:] {
		for _, said := range []string{"", "GET /index.html HTT"} {
			if name == "tcp" && said != "" {
				continue // it hangs up on who pauses
			}
			kb, err := idleMemory(o, name, said)
			if err != nil {
				return fmt.Errorf("idle visitors of %s: %w", name, err)
			}
			what := "silent"
			if said != "" {
				what = "in mid-request"
			}
			judge(kb <= goalIdle, "%s decoy: %.1f KB of resident memory for each of %d %s visitors (goal %.0f)", name, kb, o.idle, what, goalIdle)
		}
	}
	return nil
}

// report is what a process tells the orchestrator, one JSON value per line.
type report struct {
	Addr   string        `json:"addr,omitempty"`
	CPU    time.Duration `json:"cpu,omitempty"`
	RSS    int           `json:"rss_kb,omitempty"`
	Served int           `json:"served,omitempty"`
	Reset  int           `json:"reset,omitempty"`
	Wall   time.Duration `json:"wall,omitempty"`

	Accepted int64 `json:"accepted,omitempty"`
	Shed     int64 `json:"shed,omitempty"`

	Observations int `json:"observations,omitempty"`
	Signals      int `json:"signals,omitempty"`
	Ended        int `json:"ended,omitempty"`
	ToldShed     int `json:"told_shed,omitempty"`
}

func tell(r report) error { return json.NewEncoder(os.Stdout).Encode(r) }
