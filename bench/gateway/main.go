// Command gateway measures what the gateway adds to a reverse proxy: the same
// requests through httputil.ReverseProxy and through "bartizan guard serve" with
// the deterministic inspectors on, to the same upstream on the same machine, in turns.
// wrk sends them (it must be installed); streams are measured by a client of this
// program.
//
//	go run ./bench/gateway [-bin bin/bartizan] [-rounds 3] [-time 5s] [-streams 1000] [-keeper]
//
// Requests are a conversation with a system prompt of 1 KB. In the runs named "again"
// every request is the same, as with wrk's defaults; in those named "new" each has a
// text that was never seen. The upstream answers at once, so that all that is measured
// is proxies.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	bin := flag.String("bin", "bin/bartizan", "the program")
	rounds := flag.Int("rounds", 3, "how often each is measured")
	span := flag.Duration("time", 5*time.Second, "of one measurement")
	streams := flag.Int("streams", 1000, "open streams whose memory is measured")
	keys := flag.Bool("keeper", false, "measure a second gateway too, with a provider's key, which is in a process of its own")
	role := flag.String("role", "", "upstream or bare: what this process is for another one")
	to := flag.String("to", "", "upstream of bare")
	flag.Parse()
	var err error
	switch *role {
	case "upstream":
		err = upstream()
	case "bare":
		err = bare(*to)
	default:
		err = measure(*bin, *rounds, *span, *streams, *keys)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/gateway:", err)
		os.Exit(1)
	}
}

const (
	answer = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"The office opens at eight in the morning and closes at four in the afternoon, and on Fridays at one. Bring the papers of the boat, a photograph, and the receipt of last year's fee; the form can be had at the counter. If the boat is longer than seven metres the harbour master has to see it first."},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":80,"total_tokens":380}}`
	chunk  = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}` + "\n\n"
	finish = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
)

// upstream answers at once; a request with "stream" true gets an event every 10 ms, each
// with the time it was sent at, for as long as the header X-Events says.
func upstream() error {
	return serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.Header.Get("X-Events"))
		if n == 0 {
			_, _ = fmt.Fprint(discard(r), "")
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
			_, _ = w.Write([]byte(answer))
			return
		}
		discard(r)
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := range n {
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
			_, _ = fmt.Fprintf(w, chunk, words[i%len(words)]+" ")
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = fmt.Fprint(w, finish)
	}))
}

func bare(to string) error {
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	p := httputil.NewSingleHostReverseProxy(u)
	p.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 1024, DisableCompression: true}
	p.FlushInterval = -1
	p.ErrorLog = log.New(io.Discard, "", 0) // wrk leaves in the middle when its time is over
	return serve(p)
}

// serve listens somewhere and says where.
func serve(h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	return (&http.Server{Handler: h, ReadHeaderTimeout: time.Minute}).Serve(l)
}

// target is one proxy that is measured.
type target struct {
	name, url, path, key string
	pid                  int
}

func measure(bin string, rounds int, span time.Duration, streams int, keys bool) (err error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return errors.New("could not look: wrk is not installed (apt-get install wrk)")
	}
	dir, err := os.MkdirTemp("", "bartizan-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var procs processes
	defer procs.end()
	up, _, err := procs.start(self, "-role", "upstream")
	if err != nil {
		return err
	}
	plain, pid, err := procs.start(self, "-role", "bare", "-to", up)
	if err != nil {
		return err
	}
	gate, err := procs.gateway(bin, dir, up, "gateway", "")
	if err != nil {
		return err
	}
	targets := []target{{"bare", plain, "", "none", pid}, gate}
	if keys {
		file := filepath.Join(dir, "provider.key")
		if err := os.WriteFile(file, []byte("sk-of-the-bench"), 0o600); err != nil {
			return err
		}
		apart, err := procs.gateway(bin, dir, up, "keeper", "file:"+file)
		if err != nil {
			return err
		}
		targets = append(targets, apart)
	}
	for _, connections := range []int{1, 16} {
		for _, fresh := range []bool{false, true} {
			if err := compare(dir, targets, connections, fresh, rounds, span); err != nil {
				return err
			}
		}
	}
	if err := delays(targets[:2], rounds); err != nil {
		return err
	}
	for _, t := range targets[1:] {
		if err := memory(t, streams); err != nil {
			return err
		}
	}
	return nil
}

// script is what wrk runs.
func script(dir string, t target, fresh bool) (string, error) {
	text := "how do I register a small sailing boat, and which papers does the office need from me before the season starts?"
	body := fmt.Sprintf(`{"model":"gpt-4o-mini","messages":[{"role":"system","content":%q},{"role":"user","content":"%%s"}]}`, strings.Repeat("You help visitors of the harbour office with forms and opening hours. ", 15))
	lua := fmt.Sprintf("wrk.method=\"POST\"\nwrk.headers[\"Content-Type\"]=\"application/json\"\nwrk.headers[\"Authorization\"]=\"Bearer %s\"\n", t.key)
	if fresh {
		lua += fmt.Sprintf("local n=0\nlocal seed=os.time()\nfunction request()\n n=n+1\n return wrk.format(nil,nil,nil,string.format(%s,%q..seed..\" \"..n))\nend\n", luaQuote(body), text+" My number is ")
	} else {
		lua += "wrk.body=" + luaQuote(fmt.Sprintf(body, text)) + "\n"
	}
	lua += `function done(s, l, r)
 io.write(string.format("RESULT %d %d %d %d %d\n", l:percentile(50), l:percentile(99), s.requests, s.duration, s.errors.status+s.errors.connect+s.errors.read+s.errors.write+s.errors.timeout))
end
`
	file := filepath.Join(dir, t.name+".lua")
	return file, os.WriteFile(file, []byte(lua), 0o600)
}

func luaQuote(s string) string { return "[==[" + s + "]==]" }

type figure struct{ p50, p99, rate, cpu float64 }

func run(dir string, t target, connections int, fresh bool, span time.Duration) (f figure, err error) {
	file, err := script(dir, t, fresh)
	if err != nil {
		return f, err
	}
	before, err := used(t.pid)
	if err != nil {
		return f, err
	}
	out, err := exec.Command("wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(int(span.Seconds()))+"s", "-s", file, t.url+t.path+"/v1/chat/completions").Output()
	if err != nil {
		return f, fmt.Errorf("wrk: %w", err)
	}
	var p50, p99, n, micros, bad float64
	at := strings.Index(string(out), "RESULT")
	if at < 0 {
		return f, fmt.Errorf("wrk said nothing: %s", out)
	}
	if _, err := fmt.Sscanf(string(out[at:]), "RESULT %f %f %f %f %f", &p50, &p99, &n, &micros, &bad); err != nil {
		return f, fmt.Errorf("wrk: %w: %s", err, out[at:])
	}
	if bad > 0 || n == 0 {
		return f, fmt.Errorf("%s: %.0f of %.0f requests failed", t.name, bad, n)
	}
	after, err := used(t.pid)
	return figure{p50, p99, n / micros * 1e6, (after - before) / n}, err
}

// compare measures all in turns and prints the medians of the ratios to the first.
func compare(dir string, targets []target, connections int, fresh bool, rounds int, span time.Duration) error {
	var base, own []float64
	p50, p99, rate, cpu := make([][]float64, len(targets)), make([][]float64, len(targets)), make([][]float64, len(targets)), make([][]float64, len(targets))
	for range rounds {
		a, err := run(dir, targets[0], connections, fresh, span)
		if err != nil {
			return err
		}
		base, own = append(base, a.p50), append(own, a.cpu)
		for i, t := range targets[1:] {
			b, err := run(dir, t, connections, fresh, span)
			if err != nil {
				return err
			}
			p50[i], p99[i], rate[i] = append(p50[i], b.p50/a.p50), append(p99[i], b.p99/a.p99), append(rate[i], b.rate/a.rate)
			cpu[i] = append(cpu[i], b.cpu/a.cpu)
		}
	}
	kind := "again"
	if fresh {
		kind = "new"
	}
	for i, t := range targets[1:] {
		fmt.Printf("%s, %2d connections, %-5s: p50 %.2f× (goal 1.25), p99 %.2f× (goal 1.5), requests/s %.2f× (goal 0.8); bare p50 %.0f µs; processor time %.2f×, bare %.0f µs a request (n=%d)\n",
			t.name, connections, kind, median(p50[i]), median(p99[i]), median(rate[i]), median(base), median(cpu[i]), median(own), rounds)
	}
	return nil
}
