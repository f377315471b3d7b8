package decoytest

import (
	"bytes"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// talk runs the dialogues of testdata/*.txtar: each file of an archive is one
// visit. Its lines:
//
//	> text        sends text and CR LF
//	>= "text"     sends a Go string as it is
//	< text        the next output contains text, after what was matched before
//	<= "text"     the same with a Go string
//	<~ pattern    the same with a regular expression
//	.             half-closes
//	eof           the decoy hangs up without another word
//	? pattern     an observation matches, as JSON
//	! pattern     no observation does
//
// {HOST}, {FQDN}, {REDIS}, {KERNEL}, {WEB}, {DOCKER}, {OLLAMA}, {REDISPASS} stand for the
// persona's. Empty lines and lines that begin with # are skipped.
func (s *suite) talk() {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range a.Files {
			n++
			s.t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar")+"/"+f.Name, func(t *testing.T) {
				s.dialogue(t, replacer(s.persona).Replace(string(f.Data)))
			})
		}
	}
	if n < s.dialogues {
		s.t.Errorf("%d dialogues in testdata, at least %d expected", n, s.dialogues)
	}
}

func replacer(p *persona.Persona) *strings.Replacer {
	return strings.NewReplacer("{HOST}", p.Hostname, "{FQDN}", p.FQDN(), "{REDIS}", p.Versions.Redis, "{KERNEL}", p.Kernel.Release,
		"{WEB}", p.Web.Header, "{DOCKER}", p.Docker.Version, "{OLLAMA}", p.Ollama.Version, "{REDISPASS}", p.Secrets.RedisPassword)
}

func (s *suite) dialogue(t *testing.T, script string) {
	r := s.start(t, nil)
	v := &visitor{t: t, conn: r.Dial()}
	defer v.conn.Close()
	var after []string
	for i, line := range strings.Split(script, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		op, rest, _ := strings.Cut(line, " ")
		v.line = i + 1
		switch op {
		case "?", "!":
			after = append(after, line)
		case ">":
			v.send(rest + "\r\n")
		case ">=":
			v.send(v.unquote(rest))
		case "<":
			v.literal(rest)
		case "<=":
			v.literal(v.unquote(rest))
		case "<~":
			v.pattern(rest)
		case ".":
			_ = v.conn.CloseWrite() // what follows finds out
		case "eof":
			v.end()
		default:
			t.Fatalf("line %d: unknown word %q", v.line, op)
		}
	}
	v.conn.Close()
	all := r.Quiet(1)
	for _, line := range after {
		observed(t, all, line)
	}
	s.sound(t, r)
}

func observed(t *testing.T, all []observe.Observation, line string) {
	t.Helper()
	p, err := regexp.Compile(line[2:])
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for i := range all {
		if b := Brief(&all[i]); p.MatchString(b) {
			found = b
		}
	}
	switch {
	case found == "" && line[0] == '?':
		for i := range all {
			t.Logf("seen: %s", Brief(&all[i]))
		}
		t.Errorf("no observation matches %s", line[2:])
	case found != "" && line[0] == '!':
		t.Errorf("an observation matches %s: %s", line[2:], found)
	}
}

// visitor plays one side of a dialogue.
type visitor struct {
	t    *testing.T
	conn *net.TCPConn
	got  []byte
	line int
}

func (v *visitor) unquote(text string) string {
	out, err := strconv.Unquote(text)
	if err != nil {
		v.t.Fatalf("line %d: %s is no Go string", v.line, text)
	}
	return out
}

func (v *visitor) send(text string) {
	if _, err := v.conn.Write([]byte(text)); err != nil {
		v.t.Fatalf("line %d: %v", v.line, err)
	}
}

func (v *visitor) pattern(text string) {
	p, err := regexp.Compile(text)
	if err != nil {
		v.t.Fatalf("line %d: %v", v.line, err)
	}
	v.want(text, func() int {
		if at := p.FindIndex(v.got); at != nil {
			return at[1]
		}
		return -1
	})
}

func (v *visitor) literal(text string) {
	v.want(strconv.Quote(text), func() int {
		if i := bytes.Index(v.got, []byte(text)); i >= 0 {
			return i + len(text)
		}
		return -1
	})
}

// want reads until find says where what was wanted ends.
func (v *visitor) want(what string, find func() int) {
	_ = v.conn.SetReadDeadline(time.Now().Add(Patience / 3))
	for {
		if n := find(); n >= 0 {
			v.got = v.got[n:]
			return
		}
		if !v.more() {
			v.t.Fatalf("line %d: wanted %s, got %q", v.line, what, v.got)
		}
	}
}

func (v *visitor) more() bool {
	b := make([]byte, 16<<10)
	n, err := v.conn.Read(b)
	v.got = append(v.got, b[:n]...)
	return err == nil
}

func (v *visitor) end() {
	_ = v.conn.SetReadDeadline(time.Now().Add(Patience))
	begin := time.Now()
	for v.more() {
	}
	if rest := bytes.TrimSpace(v.got); len(rest) > 0 {
		v.t.Errorf("line %d: wanted the end, got %q", v.line, rest)
	}
	if time.Since(begin) >= Patience {
		v.t.Errorf("line %d: the decoy did not hang up", v.line)
	}
}
