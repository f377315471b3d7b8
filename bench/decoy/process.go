package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// process is one of ours: it tells reports on stdout, and takes each byte on
// stdin as a request for one. It ends when stdin is closed.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func spawn(extra []*os.File, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, args...)}
	p.cmd.Stderr, p.cmd.ExtraFiles = os.Stderr, extra
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	return p, p.cmd.Start()
}

func (p *process) next() (r report, err error) {
	if err = p.out.Decode(&r); err != nil {
		err = fmt.Errorf("read report: %w", err)
	}
	return r, err
}

func (p *process) ask() (report, error) {
	if _, err := p.in.Write([]byte{'?'}); err != nil {
		return report{}, fmt.Errorf("ask for report: %w", err)
	}
	return p.next()
}

func (p *process) end() error {
	p.in.Close()
	return p.cmd.Wait()
}

// pair is a server with the reader behind it; the minimal one has none.
type pair struct {
	server, reader *process
	addr           string
}

func startPair(o options, name string, extra ...string) (*pair, error) {
	p := &pair{}
	args := append([]string{"-role", name, "-path", o.path}, extra...)
	if o.cpu != "" {
		args = append(args, "-cpuprofile", o.cpu)
	}
	var files []*os.File
	if name != "minimal" {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		defer w.Close()
		readerArgs := []string{"-role", "reader"}
		if o.cpu != "" {
			readerArgs = append(readerArgs, "-cpuprofile", o.cpu+"-"+name)
		}
		if p.reader, err = spawn([]*os.File{r}, readerArgs...); err != nil {
			return nil, err
		}
		if _, err := p.reader.next(); err != nil { // ready
			return nil, err
		}
		files = []*os.File{w}
	}
	var err error
	if p.server, err = spawn(files, args...); err != nil {
		return nil, err
	}
	ready, err := p.server.next()
	p.addr = ready.Addr
	return p, err
}

// end stops both and returns their last words.
func (p *pair) end() (server, reader report, err error) {
	p.server.in.Close()
	if server, err = p.server.next(); err != nil {
		return server, reader, err
	}
	if err = p.server.cmd.Wait(); err != nil {
		return server, reader, err
	}
	if p.reader != nil {
		if reader, err = p.reader.next(); err != nil { // the pipe has ended
			return server, reader, err
		}
		err = p.reader.end()
	}
	return server, reader, err
}

// turn is one server's part of a round.
type turn struct {
	served               int
	serverCPU, readerCPU time.Duration
	wall                 time.Duration
	seen                 report
}

// rate is connections per CPU-second of all server-side processes.
func (t turn) rate() float64 { return float64(t.served) / (t.serverCPU + t.readerCPU).Seconds() }

func takeTurn(o options, name string) (turn, error) {
	p, err := startPair(o, name)
	if err != nil {
		return turn{}, err
	}
	c, err := spawn(nil, "-role", "client", "-addr", p.addr, "-conns", strconv.Itoa(o.conns), "-workers", strconv.Itoa(o.workers), "-path", o.path)
	if err != nil {
		return turn{}, err
	}
	met, err := c.next()
	if err != nil {
		return turn{}, err
	}
	if err := c.end(); err != nil {
		return turn{}, err
	}
	server, seen, err := p.end()
	if err != nil {
		return turn{}, err
	}
	if met.Served != o.conns {
		return turn{}, fmt.Errorf("%d of %d connections were answered", met.Served, o.conns)
	}
	return turn{served: met.Served, serverCPU: server.CPU, readerCPU: seen.CPU, wall: met.Wall, seen: seen}, nil
}

// idleMemory is the resident memory per connection in KB.
func idleMemory(o options, name, said string) (float64, error) {
	p, err := startPair(o, name)
	if err != nil {
		return 0, err
	}
	before, err := p.server.ask()
	if err != nil {
		return 0, err
	}
	c, err := spawn(nil, "-role", "client", "-addr", p.addr, "-conns", strconv.Itoa(o.idle), "-hold", "-path", said)
	if err != nil {
		return 0, err
	}
	met, err := c.next()
	if err != nil {
		return 0, err
	}
	if met.Served != o.idle {
		return 0, fmt.Errorf("%d of %d connections are held", met.Served, o.idle)
	}
	// Visits are announced after a moment; what that costs counts too.
	time.Sleep(1500 * time.Millisecond)
	during, err := p.server.ask()
	if err != nil {
		return 0, err
	}
	if during.Accepted-during.Shed < int64(o.idle) {
		return 0, fmt.Errorf("the server has accepted %d of %d", during.Accepted, o.idle)
	}
	if err := c.end(); err != nil {
		return 0, err
	}
	_, _, err = p.end()
	return float64(during.RSS-before.RSS) / float64(o.idle), err
}

// overload offers twice the visitors a decoy may have, at once, and counts.
func overload(o options, judge func(bool, string, ...any)) error {
	const places, offered = 2000, 4000
	for _, name := range servers[1:] {
		p, err := startPair(o, name, "-workers", strconv.Itoa(places))
		if err != nil {
			return err
		}
		c, err := spawn(nil, "-role", "client", "-addr", p.addr, "-conns", strconv.Itoa(offered), "-hold", "-path", "")
		if err != nil {
			return err
		}
		met, err := c.next()
		if err != nil {
			return err
		}
		if err := c.end(); err != nil {
			return err
		}
		server, seen, err := p.end()
		if err != nil {
			return err
		}
		exact := server.Accepted == offered && int(server.Shed) == seen.ToldShed && seen.Ended+seen.ToldShed == offered && met.Served+met.Reset == offered
		judge(exact, "%s decoy: %d offered at once with %d places = %d visits reported + %d shed reported (counter: %d; client: %d let in, %d refused)",
			name, offered, places, seen.Ended, seen.ToldShed, server.Shed, met.Served, met.Reset)
	}
	return nil
}
