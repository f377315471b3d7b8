// Package interp runs shell sessions: expansion, control flow, redirections,
// builtins, the terminal, and what a command needs to pretend. Work is paid
// for in steps, so every line ends.
package interp

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
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
	P      *persona.Persona
	Img    *Image
	Fs     *vfs.FS
	Limits Limits
	sink   Sink
	Clock  func() time.Time
	skew   time.Duration // pretended sleep
	Begun  time.Time

	Top     *env
	history []string
	aliases map[string]string
	Jobs    []job
	NextPID int
	Pid     int
	Login   bool // interactive session
	Tty     string
	Who     Account
	From    string // address the login came from, for w and who
	Killed  map[int]bool

	ctx      context.Context
	run      int
	Steps    int
	stepMax  int
	forks    int
	out      int64
	session  int64
	slept    time.Duration
	stop     bool   // the Run's budget is used up
	stopWhy  string // printed once when it is
	Ended    bool
	deadline time.Time
	events   [3]int
	depth    int
	lastBG   int
	columns  atomic.Int32
	input    *Stream   // buffered standard input, kept between Runs
	inputOf  io.Reader // what it reads
	rng      uint64
	echo     func(on bool) // switches the terminal echo of an interactive session
}

type job struct {
	id, Pid int
	line    string
}

// Start begins a session of user on an image.
func Start(p *persona.Persona, img *Image, user string, limits Limits, sink Sink, clock func() time.Time) *Shell {
	s := &Shell{P: p, Img: img, Limits: limits.withDefaults(), sink: sink, Clock: clock, Begun: clock(), Tty: "pts/0"}
	s.Fs = vfs.NewFS(img.Root, vfs.Quota{FSBytes: s.Limits.FSBytes, FileBytes: s.Limits.FileBytes, Files: s.Limits.Files}, s.Now)
	s.Fs.Report = func(path string, content []byte, how string) {
		if s.event(2) {
			sink.File(path, content, how)
		}
	}
	s.NextPID = 2000 + int(p.Uptime(s.Begun).Minutes())%28000
	s.Pid = s.newPID()
	s.aliases = map[string]string{}
	if p.Distro.ID == "ubuntu" {
		s.aliases["ll"], s.aliases["la"], s.aliases["l"] = "ls -alF", "ls -A", "ls -CF"
	}
	s.Top = newEnv(s)
	s.Become(s.loginAccount(user))
	return s
}

// SetRemote names the address and terminal that w, who and $SSH_CLIENT show.
func (s *Shell) SetRemote(addr string, port int, term string) {
	s.From = addr
	if term != "" {
		s.Top.SetExport("TERM", term[:min(len(term), 32)])
	}
	if addr != "" {
		s.Top.SetExport("SSH_CLIENT", addr+" "+Itoa(port)+" 22")
	}
}

// Setenv sets an environment variable as an SSH "env" request does.
func (s *Shell) Setenv(name, value string) {
	if syntax.IsName(name) && len(value) <= 4096 {
		s.Top.SetExport(name, value)
	}
}

// FS is the session's file system, for SFTP and SCP.
func (s *Shell) FS() *vfs.FS { return s.Fs }

// Close reports files that were written and not reported yet.
func (s *Shell) Close() {
	s.Fs.Mu.Lock()
	defer s.Fs.Mu.Unlock()
	s.Fs.FlushSettled(-1)
}

func (s *Shell) Now() time.Time { return s.Clock().Add(s.skew) }

func (s *Shell) newPID() int {
	s.NextPID += 1 + int(s.P.Derive("pid", 8)[s.NextPID%8])%7
	if s.NextPID > 32768 {
		s.NextPID = 1200
	}
	return s.NextPID
}

func (s *Shell) event(kind int) bool {
	s.events[kind]++
	return s.sink != nil && s.events[kind] <= s.Limits.Events
}

func (s *Shell) RecordCommand(line string) {
	if line = strings.TrimSpace(line); line != "" && s.event(0) {
		s.sink.Command(Clip(line, s.Limits.EventBytes))
	}
}

func (s *Shell) RecordDownload(url, tool string) {
	if url != "" && s.event(1) {
		s.sink.Download(Clip(url, s.Limits.EventBytes), tool)
	}
}

func Clip(s string, n int) string { return s[:min(len(s), n)] }

// Spend charges work to the running line; false means that it must stop.
func (s *Shell) Spend(n int) bool {
	if s.stop {
		return false
	}
	before := s.Steps
	s.Steps += n
	if s.Steps > s.stepMax {
		s.Abort("Killed")
	} else if before>>9 != s.Steps>>9 && s.ctx != nil && (s.ctx.Err() != nil || time.Now().After(s.deadline)) {
		s.Abort("Killed")
	}
	return !s.stop
}

func (s *Shell) Abort(why string) {
	if !s.stop {
		s.stop, s.stopWhy = true, why
	}
}

func (s *Shell) Dead() bool { return s.stop }

// fork charges one subshell.
func (s *Shell) fork(e *env) bool {
	if s.forks++; s.forks > s.Limits.Forks {
		if !s.stop {
			e.complain("fork: retry: Resource temporarily unavailable")
		}
		s.Abort("fork: Resource temporarily unavailable")
		return false
	}
	return s.Spend(10 + len(e.Vars)/4)
}

// Run executes one line or script, as typed or as sent in an exec request.
// exit is its status; ended says that the visitor left the shell. Output
// beyond the limits is cut; a line that exhausts its budget is "Killed".
func (s *Shell) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (exit int, ended bool) {
	if s.Ended {
		return s.Top.Status, true
	}
	s.ctx = ctx
	s.deadline = time.Now().Add(s.Limits.Time)
	s.Steps, s.stepMax, s.forks, s.out, s.slept, s.depth = 0, s.Limits.Steps, 0, 0, 0, 0
	s.stop, s.stopWhy = false, ""
	s.run++
	e := s.Top
	e.Ctl = ctlNone
	e.Fds[0] = s.stdin(stdin)
	e.Fds[1] = &Stream{W: &outWriter{s, stdout}}
	e.Fds[2] = &Stream{W: &outWriter{s, stderr}}
	s.RecordCommand(line)
	if len(line) > s.Limits.LineBytes {
		e.complain("Argument list too long")
		e.Status = 126
		return e.Status, false
	}
	s.remember(line)
	e.script(line, false)
	if s.stop {
		if s.stopWhy != "" {
			s.stop = false
			e.errorf("%s\n", s.stopWhy)
			s.stop = true
		}
		e.Status = 137
		e.Ctl = ctlNone
	}
	s.Fs.Mu.Lock()
	s.Fs.FlushSettled(s.run)
	s.Fs.Mu.Unlock()
	if e.Ctl == CtlExit {
		s.Ended = true
	}
	e.Ctl = ctlNone
	e.Fds[0], e.Fds[1], e.Fds[2] = nil, nil, nil
	return e.Status & 255, s.Ended
}

// stdin wraps the visitor's input. The same reader keeps its buffer from one
// Run to the next, or type-ahead would be lost.
func (s *Shell) stdin(r io.Reader) *Stream {
	if s.input != nil && s.inputOf == r && r != nil {
		return s.input
	}
	in := NewInput(nil)
	if b, ok := r.(*bufio.Reader); ok {
		in = &Stream{r: b}
	} else if r != nil {
		_, tty := r.(*cookedReader)
		in = &Stream{r: bufio.NewReaderSize(&patientReader{s, r}, 1024), tty: tty}
	}
	s.input, s.inputOf = in, r
	return in
}

func (s *Shell) remember(line string) {
	line = strings.TrimRight(line, "\r\n")
	if strings.TrimSpace(line) == "" || !s.Login {
		return
	}
	if len(s.history) >= s.Limits.History {
		s.history = append(s.history[:0], s.history[len(s.history)-s.Limits.History/2:]...)
	}
	s.history = append(s.history, Clip(line, 4096))
}

// Prompt is what an interactive shell shows before a command.
func (s *Shell) Prompt() string {
	mark := "$"
	if s.Who.Uid == 0 {
		mark = "#"
	}
	dir := s.Top.Cwd
	if dir == s.Who.Home {
		dir = "~"
	} else if strings.HasPrefix(dir, s.Who.Home+"/") {
		dir = "~" + dir[len(s.Who.Home):]
	}
	return s.Who.Name + "@" + s.Hostname() + ":" + dir + mark + " "
}

func (s *Shell) Hostname() string {
	if b, err := s.Fs.Slurp("/etc/hostname"); err == nil {
		if name := strings.TrimSpace(string(b)); name != "" {
			return Clip(name, 64)
		}
	}
	return s.P.Hostname
}
