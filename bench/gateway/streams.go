package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var words = strings.Fields("the office opens at eight in the morning and closes at four in the afternoon bring the papers of the boat and a photograph")

// discard reads a request's body.
func discard(r *http.Request) io.Writer {
	_, _ = io.Copy(io.Discard, r.Body)
	return io.Discard
}

// processes are what was started.
type processes struct{ all []*exec.Cmd }

// start runs a program whose first line is the address it serves.
func (p *processes) start(name string, args ...string) (addr string, pid int, err error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	p.all = append(p.all, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", 0, fmt.Errorf("%s did not start: %w", name, err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid, nil
}

// gateway starts the guard with everything but the classifier. key is the provider's; "" for none.
func (p *processes) gateway(bin, dir, up, name, key string) (t target, err error) {
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return t, err
	}
	if key != "" {
		up += "\n      credential: " + key
	}
	off := "[size, secret, pii, link, exfil, hidden, language, pattern, condition]"
	conf := fmt.Sprintf("gateway:\n  listen: 127.0.0.1:0\n  routes:\n    openai:\n      upstream: %s\n      request: {inspectors: %s}\n      tool_result: {inspectors: %s}\n"+
		"      options: {secret: {canaries: [zq7-canary-4411], system_prompt: \"You help visitors of the harbour office with forms and opening hours\"}}\n", up, off, off)
	file := filepath.Join(dir, "guard.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return t, err
	}
	own, err := exec.Command(bin, "guard", "key", "create", "bench", "--config", file, "--data", dir).Output()
	if err != nil {
		return t, fmt.Errorf("make a key: %w", err)
	}
	line, pid, err := p.start(bin, "guard", "serve", "--config", file, "--data", dir)
	if err != nil {
		return t, err
	}
	at, _, ok := strings.Cut(strings.TrimPrefix(line, "gateway on "), ",")
	if !ok {
		return t, fmt.Errorf("the gateway said %q", line)
	}
	return target{name, at, "/openai", strings.TrimSpace(string(own)), pid}, nil
}

func (p *processes) end() {
	for _, c := range p.all {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// open begins a stream of n events.
func open(t target, n int) (*http.Response, error) {
	body := `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"when is the office open?"}]}`
	req, err := http.NewRequest(http.MethodPost, t.url+t.path+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+t.key)
	req.Header.Set("X-Events", strconv.Itoa(n))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		resp.Body.Close()
		return nil, fmt.Errorf("%s: status %d: %s", t.name, resp.StatusCode, text)
	}
	return resp, nil
}

// delays compares when the events of one stream arrive through both: the same event of
// the same upstream clock, so what is compared is how late after the first each comes.
func delays(targets []target, rounds int) error {
	lag := [2][]float64{}
	const events = 300
	for range rounds {
		for i, t := range targets {
			resp, err := open(t, events)
			if err != nil {
				return err
			}
			r := bufio.NewReader(resp.Body)
			var start time.Time
			for n := 0; n < events; {
				line, err := r.ReadString('\n')
				if err != nil {
					resp.Body.Close()
					return fmt.Errorf("%s: a stream ended after %d events: %w", t.name, n, err)
				}
				if !strings.HasPrefix(line, "data: ") {
					continue
				}
				if now := time.Now(); n == 0 {
					start = now
				} else {
					lag[i] = append(lag[i], float64((now.Sub(start) - time.Duration(n)*10*time.Millisecond).Microseconds()))
				}
				n++
			}
			resp.Body.Close()
		}
	}
	return errors.Join(report(lag), roundTrips(targets, rounds))
}

func report(lag [2][]float64) error {
	fmt.Printf("events of a stream after their time (from the first event): bare p50 %.0f µs, gateway p50 %.0f µs (n=%d each)\n", median(lag[0]), median(lag[1]), len(lag[0]))
	return nil
}

// roundTrips measures the time from the request to the first event, less the 10 ms that the upstream waits.
func roundTrips(targets []target, rounds int) error {
	first := [2][]float64{}
	for range 30 * rounds {
		for i, t := range targets {
			begin := time.Now()
			resp, err := open(t, 1)
			if err != nil {
				return err
			}
			_, err = bufio.NewReader(resp.Body).ReadString('\n')
			first[i] = append(first[i], float64(time.Since(begin).Microseconds()))
			resp.Body.Close()
			if err != nil {
				return err
			}
		}
	}
	fmt.Printf("first event of a stream: gateway %.0f µs later than bare, p50 (n=%d; the request is inspected before)\n", median(first[1])-median(first[0]), len(first[0]))
	return nil
}

// memory opens many streams and reads the gateway's resident memory while they run.
func memory(t target, n int) error {
	before, err := resident(t.pid)
	if err != nil {
		return err
	}
	client := &http.Transport{MaxIdleConnsPerHost: 1, MaxConnsPerHost: 0}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened, bad := 0, 0
	for range n {
		wg.Go(func() {
			resp, err := open(t, 1500)
			mu.Lock()
			if err != nil {
				bad++
				mu.Unlock()
				return
			}
			opened++
			mu.Unlock()
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		})
	}
	worst := 0.0
	for range 40 {
		time.Sleep(500 * time.Millisecond)
		now, err := resident(t.pid)
		if err != nil {
			return err
		}
		worst = max(worst, now)
	}
	wg.Wait()
	fmt.Printf("%d streams at once: %s's resident memory %.0f MB at most (goal 300), %.0f MB before; %d opened, %d failed\n", n, t.name, worst, before, opened, bad)
	if bad > 0 {
		return fmt.Errorf("%d streams failed", bad)
	}
	return nil
}

// resident memory of a process, in MB.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1000, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// used is the processor time of a process so far, in µs: less than a time by the clock
// it depends on what else runs on the machine.
func used(pid int) (micros float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // from the third field on
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	for _, s := range f[11:13] { // of the program and of the kernel for it, in ticks of 10 ms
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, err
		}
		micros += n * 10_000
	}
	return micros, nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
