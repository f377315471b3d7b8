package interp

import (
	"strings"
	"time"

	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

// redirect applies redirections to e.fds; the caller restores them.
func (e *env) redirect(list []syntax.Redir) bool {
	for _, r := range list {
		if !e.redirectOne(r) {
			return false
		}
	}
	return true
}

func (e *env) redirectOne(r syntax.Redir) bool {
	fd := r.Fd
	if fd < 0 {
		fd = int(syntax.B2i(r.Op[0] != '<'))
	}
	if r.Here != nil {
		text := e.single(r.Here.Body)
		e.Fds[fd] = NewInput(strings.NewReader(text))
		return true
	}
	target := e.single(r.To)
	if r.Op != "<<<" && len(r.To) == 1 && r.To[0].Kind != syntax.PartQuoted {
		// bash expands patterns in targets when exactly one file matches
		if list, err := e.words([]syntax.Word{r.To}); err == nil && len(list) != 1 {
			e.complain(Clip(target, 200) + ": ambiguous redirect")
			return false
		} else if err == nil {
			target = list[0]
		}
	}
	if strings.HasPrefix(target, "/dev/tcp/") || strings.HasPrefix(target, "/dev/udp/") {
		parts := strings.SplitN(target[5:], "/", 3)
		if len(parts) == 3 {
			e.sh.RecordDownload(parts[0]+"://"+parts[1]+":"+parts[2], "bash")
		}
		e.complain("connect: Connection timed out")
		e.complain(Clip(target, 200) + ": Connection timed out")
		return false
	}
	switch r.Op {
	case "<<<":
		e.Fds[fd] = NewInput(strings.NewReader(target + "\n"))
		return true
	case "<", "<>":
		rd, err := e.sh.openRead(e.Abs(target))
		if err != nil {
			return e.redirectError(target, err)
		}
		e.Fds[fd] = NewInput(rd)
		return true
	case ">&", "<&":
		if target == "-" {
			e.Fds[fd] = nil
			return true
		}
		if len(target) == 1 && syntax.IsDigit(target[0]) {
			src := e.Fds[target[0]-'0']
			if src == nil {
				e.complain(target + ": Bad file descriptor")
				return false
			}
			e.Fds[fd] = src
			return true
		}
		return e.openOut(target, false, 1, 2)
	case "&>", "&>>":
		return e.openOut(target, r.Op == "&>>", 1, 2)
	}
	return e.openOut(target, r.Op == ">>", fd)
}

func (e *env) openOut(target string, appending bool, fds ...int) bool {
	if target == "" {
		e.complain(": No such file or directory")
		return false
	}
	w, err := e.sh.OpenWrite(e.Abs(target), appending)
	if err != nil {
		return e.redirectError(target, err)
	}
	if target == "/dev/stdout" || target == "/dev/stderr" || target == "/dev/tty" {
		n := 1 + syntax.B2i(target == "/dev/stderr")
		if e.Fds[n] != nil {
			w = e.Fds[n].W
		}
	}
	st := &Stream{W: w}
	for _, fd := range fds {
		e.Fds[fd] = st
	}
	return true
}

func (e *env) redirectError(target string, err error) bool {
	if e.style == StyleDash {
		verb := "open"
		if err != vfs.ErrNoEnt {
			verb = "create"
		}
		e.complain("cannot " + verb + " " + Clip(target, 400) + ": " + strings.TrimSuffix(err.Error(), " or directory"))
		return false
	}
	e.complain(Clip(target, 400) + ": " + err.Error())
	return false
}

// Abs makes a path absolute.
func (e *env) Abs(p string) string {
	switch {
	case p == "":
		return ""
	case p[0] == '/':
		return p
	}
	return strings.TrimSuffix(e.Cwd, "/") + "/" + p
}

// Sleep pretends to sleep; only a part of it is real time.
func (s *Shell) Sleep(d time.Duration) {
	d = max(0, min(d, 24*time.Hour))
	wait := min(d, max(0, s.Limits.Sleep-s.slept))
	s.slept += wait
	s.skew = min(s.skew+d-wait, 7*24*time.Hour)
	if wait == 0 || s.ctx == nil {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
		s.Abort("")
	}
}
