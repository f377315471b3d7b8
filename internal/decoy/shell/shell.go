// Package shell emulates a POSIX shell with a virtual file system for decoys
// that give a visitor a prompt (SSH, telnet).
//
// Nothing a visitor types touches the machine: there is no process, no socket
// and no real file behind it, and the package imports nothing that could make
// one. It is not a sandbox for running programs; it is an interpreter of its
// own whose commands only pretend. Everything a visitor can make grow has a
// limit in Limits.
package shell

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"bartizan/internal/decoy/persona"
)

// Sink receives what a visitor does. Calls come from the goroutine that calls
// the Shell or the FS, must not block for long, must not call back into the
// Shell or FS, and must not keep content without copying it. All arguments
// are the visitor's bytes: hostile, only capped.
type Sink interface {
	Command(line string)                          // a command line or a line of a script
	Download(url, tool string)                    // a URL, host or address the visitor wanted to reach
	File(path string, content []byte, how string) // a file the visitor finished writing
}

// Limits bound a session. The zero value of a field means its default.
type Limits struct {
	FSBytes       int64         // bytes of files the session may hold
	FileBytes     int64         // bytes of one file
	Files         int           // files and directories the session may create
	LineBytes     int           // length of one command line or script
	Output        int64         // bytes one Run may print
	SessionOutput int64         // bytes the session may print
	PipeBytes     int           // bytes between two commands of a pipeline
	Steps         int           // work units of one Run
	Depth         int           // nesting of functions, scripts, substitutions
	Forks         int           // subshells of one Run
	Vars          int           // variables, functions and aliases, each
	VarBytes      int           // bytes of one variable or command substitution
	History       int           // remembered command lines
	Pipeline      int           // commands in one pipeline
	Glob          int           // results of one pattern
	Words         int           // arguments of one command
	Time          time.Duration // wall time of one Run
	Sleep         time.Duration // real time one Run may sleep; the rest is only pretended
	Events        int           // calls of each Sink method per session
	EventBytes    int           // bytes of one Command or Download string
}

// DefaultLimits suit a decoy that serves hundreds of sessions at once.
func DefaultLimits() Limits {
	return Limits{
		FSBytes: 16 << 20, FileBytes: 8 << 20, Files: 1000, LineBytes: 64 << 10,
		Output: 1 << 20, SessionOutput: 16 << 20, PipeBytes: 256 << 10, Steps: 200_000,
		Depth: 40, Forks: 256, Vars: 512, VarBytes: 64 << 10, History: 500, Pipeline: 32,
		Glob: 1000, Words: 4096, Time: 10 * time.Second, Sleep: 3 * time.Second,
		Events: 2000, EventBytes: 8 << 10,
	}
}

func or[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	or(&l.FSBytes, d.FSBytes)
	or(&l.FileBytes, d.FileBytes)
	or(&l.Files, d.Files)
	or(&l.LineBytes, d.LineBytes)
	or(&l.Output, d.Output)
	or(&l.SessionOutput, d.SessionOutput)
	or(&l.PipeBytes, d.PipeBytes)
	or(&l.Steps, d.Steps)
	or(&l.Depth, d.Depth)
	or(&l.Forks, d.Forks)
	or(&l.Vars, d.Vars)
	or(&l.VarBytes, d.VarBytes)
	or(&l.History, d.History)
	or(&l.Pipeline, d.Pipeline)
	or(&l.Glob, d.Glob)
	or(&l.Words, d.Words)
	or(&l.Time, d.Time)
	or(&l.Sleep, d.Sleep)
	or(&l.Events, d.Events)
	or(&l.EventBytes, d.EventBytes)
	return l
}

// Shell is one login session. It is not safe for concurrent use; FS is.
type Shell struct {
	p      *persona.Persona
	img    *image
	fs     *FS
	limits Limits
	sink   Sink
	clock  func() time.Time
	skew   time.Duration // pretended sleep
	begun  time.Time

	top     *env
	history []string
	aliases map[string]string
	jobs    []job
	nextPID int
	pid     int
	login   bool // interactive session
	tty     string
	who     account
	from    string // address the login came from, for w and who
	crontab map[string][]byte
	killed  map[int]bool

	ctx      context.Context
	run      int
	steps    int
	stepMax  int
	forks    int
	out      int64
	session  int64
	slept    time.Duration
	stop     bool   // the Run's budget is used up
	stopWhy  string // printed once when it is
	ended    bool
	deadline time.Time
	events   [3]int
	depth    int
	lastBG   int
	columns  atomic.Int32
	input    *stream   // buffered standard input, kept between Runs
	inputOf  io.Reader // what it reads
	rng      uint64
	echo     func(on bool) // switches the terminal echo of an interactive session
}

type job struct {
	id, pid int
	line    string
}

// start begins a session of user on an image.
func start(p *persona.Persona, img *image, user string, limits Limits, sink Sink, clock func() time.Time) *Shell {
	s := &Shell{p: p, img: img, limits: limits.withDefaults(), sink: sink, clock: clock, begun: clock(), tty: "pts/0"}
	s.fs = newFS(img.root, Quota{FSBytes: s.limits.FSBytes, FileBytes: s.limits.FileBytes, Files: s.limits.Files}, s.now)
	s.fs.report = func(path string, content []byte, how string) {
		if s.event(2) {
			sink.File(path, content, how)
		}
	}
	s.nextPID = 2000 + int(p.Uptime(s.begun).Minutes())%28000
	s.pid = s.newPID()
	s.aliases = map[string]string{}
	if p.Distro.ID == "ubuntu" {
		s.aliases["ll"], s.aliases["la"], s.aliases["l"] = "ls -alF", "ls -A", "ls -CF"
	}
	s.top = newEnv(s)
	s.become(s.loginAccount(user))
	return s
}

// SetRemote names the address and terminal that w, who and $SSH_CLIENT show.
func (s *Shell) SetRemote(addr string, port int, term string) {
	s.from = addr
	if term != "" {
		s.top.setExport("TERM", term[:min(len(term), 32)])
	}
	if addr != "" {
		s.top.setExport("SSH_CLIENT", addr+" "+itoa(port)+" 22")
	}
}

// Setenv sets an environment variable as an SSH "env" request does.
func (s *Shell) Setenv(name, value string) {
	if isName(name) && len(value) <= 4096 {
		s.top.setExport(name, value)
	}
}

// FS is the session's file system, for SFTP and SCP.
func (s *Shell) FS() *FS { return s.fs }

// Close reports files that were written and not reported yet.
func (s *Shell) Close() {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	s.fs.flushSettled(-1)
}

func (s *Shell) now() time.Time { return s.clock().Add(s.skew) }

func (s *Shell) newPID() int {
	s.nextPID += 1 + int(s.p.Derive("pid", 8)[s.nextPID%8])%7
	if s.nextPID > 32768 {
		s.nextPID = 1200
	}
	return s.nextPID
}

func (s *Shell) event(kind int) bool {
	s.events[kind]++
	return s.sink != nil && s.events[kind] <= s.limits.Events
}

func (s *Shell) recordCommand(line string) {
	if line = strings.TrimSpace(line); line != "" && s.event(0) {
		s.sink.Command(clip(line, s.limits.EventBytes))
	}
}

func (s *Shell) recordDownload(url, tool string) {
	if url != "" && s.event(1) {
		s.sink.Download(clip(url, s.limits.EventBytes), tool)
	}
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

// spend charges work to the running line; false means that it must stop.
func (s *Shell) spend(n int) bool {
	if s.stop {
		return false
	}
	before := s.steps
	s.steps += n
	if s.steps > s.stepMax {
		s.abort("Killed")
	} else if before>>9 != s.steps>>9 && s.ctx != nil && (s.ctx.Err() != nil || time.Now().After(s.deadline)) {
		s.abort("Killed")
	}
	return !s.stop
}

func (s *Shell) abort(why string) {
	if !s.stop {
		s.stop, s.stopWhy = true, why
	}
}

func (s *Shell) dead() bool { return s.stop }

// fork charges one subshell.
func (s *Shell) fork(e *env) bool {
	if s.forks++; s.forks > s.limits.Forks {
		if !s.stop {
			e.complain("fork: retry: Resource temporarily unavailable")
		}
		s.abort("fork: Resource temporarily unavailable")
		return false
	}
	return s.spend(10 + len(e.vars)/4)
}

// Run executes one line or script, as typed or as sent in an exec request.
// exit is its status; ended says that the visitor left the shell. Output
// beyond the limits is cut; a line that exhausts its budget is "Killed".
func (s *Shell) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (exit int, ended bool) {
	if s.ended {
		return s.top.status, true
	}
	s.ctx = ctx
	s.deadline = time.Now().Add(s.limits.Time)
	s.steps, s.stepMax, s.forks, s.out, s.slept, s.depth = 0, s.limits.Steps, 0, 0, 0, 0
	s.stop, s.stopWhy = false, ""
	s.run++
	e := s.top
	e.ctl = ctlNone
	e.fds[0] = s.stdin(stdin)
	e.fds[1] = &stream{w: &outWriter{s, stdout}}
	e.fds[2] = &stream{w: &outWriter{s, stderr}}
	s.recordCommand(line)
	if len(line) > s.limits.LineBytes {
		e.complain("Argument list too long")
		e.status = 126
		return e.status, false
	}
	s.remember(line)
	e.script(line, false)
	if s.stop {
		if s.stopWhy != "" {
			s.stop = false
			e.errorf("%s\n", s.stopWhy)
			s.stop = true
		}
		e.status = 137
		e.ctl = ctlNone
	}
	s.fs.mu.Lock()
	s.fs.flushSettled(s.run)
	s.fs.mu.Unlock()
	if e.ctl == ctlExit {
		s.ended = true
	}
	e.ctl = ctlNone
	e.fds[0], e.fds[1], e.fds[2] = nil, nil, nil
	return e.status & 255, s.ended
}

// stdin wraps the visitor's input. The same reader keeps its buffer from one
// Run to the next, or type-ahead would be lost.
func (s *Shell) stdin(r io.Reader) *stream {
	if s.input != nil && s.inputOf == r && r != nil {
		return s.input
	}
	in := newInput(nil)
	if b, ok := r.(*bufio.Reader); ok {
		in = &stream{r: b}
	} else if r != nil {
		_, tty := r.(*cookedReader)
		in = &stream{r: bufio.NewReaderSize(&patientReader{s, r}, 1024), tty: tty}
	}
	s.input, s.inputOf = in, r
	return in
}

func (s *Shell) remember(line string) {
	line = strings.TrimRight(line, "\r\n")
	if strings.TrimSpace(line) == "" || !s.login {
		return
	}
	if len(s.history) >= s.limits.History {
		s.history = append(s.history[:0], s.history[len(s.history)-s.limits.History/2:]...)
	}
	s.history = append(s.history, clip(line, 4096))
}

// Prompt is what an interactive shell shows before a command.
func (s *Shell) Prompt() string {
	mark := "$"
	if s.who.uid == 0 {
		mark = "#"
	}
	dir := s.top.cwd
	if dir == s.who.home {
		dir = "~"
	} else if strings.HasPrefix(dir, s.who.home+"/") {
		dir = "~" + dir[len(s.who.home):]
	}
	return s.who.name + "@" + s.hostname() + ":" + dir + mark + " "
}

func (s *Shell) hostname() string {
	if b, err := s.fs.slurp("/etc/hostname"); err == nil {
		if name := strings.TrimSpace(string(b)); name != "" {
			return clip(name, 64)
		}
	}
	return s.p.Hostname
}
