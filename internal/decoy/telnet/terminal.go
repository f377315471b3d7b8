package telnet

import (
	"bytes"
	"strings"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// terminal is the visitor behind the protocol: bytes typed, bytes shown.
type terminal struct {
	s    *decoy.Session
	p    parser
	in   []byte // typed and not yet read
	room []byte // what in points into, kept between reads

	ours, theirs [256]bool // options in force on our and their side
	asked        [256]bool // DO sent and not answered
	owed         int       // subnegotiations asked for and not answered

	term    string
	user    string // from the client's environment
	columns int
	resize  func(columns int)
}

func newTerminal(s *decoy.Session) *terminal { return &terminal{s: s} }

// requests are what telnetd asks first; nmap knows it by them.
var requests = [...]byte{optTTYPE, optTSPEED, optXDISP, optENV}

func (t *terminal) start() {
	for _, o := range requests {
		t.asked[o] = true
		t.send(do, o)
	}
}

// offer announces that we echo, once the client has had its say.
func (t *terminal) offer() {
	t.ours[optSGA], t.ours[optEcho] = true, true
	t.asked[optNAWS] = true
	t.send(will, optSGA)
	t.send(do, optNAWS)
	t.send(will, optEcho)
}

// settled says that nothing is left to wait for.
func (t *terminal) settled() bool {
	if len(t.in) > 0 {
		return true
	}
	for _, o := range requests {
		if t.asked[o] {
			return false
		}
	}
	return t.owed == 0
}

func (t *terminal) send(bytes ...byte) { _, _ = t.s.Write(append([]byte{iac}, bytes...)) } // Flush reports

// say shows text as it is.
func (t *terminal) say(text string) { _, _ = t.s.WriteString(text) } // Flush reports

// fill waits for bytes from the visitor and takes them apart. What was said
// before goes out first.
func (t *terminal) fill() error {
	if err := t.s.Flush(); err != nil {
		return err
	}
	r, err := t.s.Reader()
	if err != nil {
		return err
	}
	if _, err := r.Peek(1); err != nil {
		return err
	}
	raw, err := r.Peek(r.Buffered())
	if err != nil {
		return err
	}
	t.room = t.p.feed(append(t.room[:0], t.in...), raw, t)
	t.in = t.room
	_, err = r.Discard(len(raw))
	return err
}

// key is the next byte typed.
func (t *terminal) key() (byte, error) {
	for len(t.in) == 0 {
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
	b := t.in[0]
	t.in = t.in[1:]
	return b, nil
}

// Read implements io.Reader for the shell.
func (t *terminal) Read(p []byte) (int, error) {
	for len(t.in) == 0 {
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.in)
	t.in = t.in[n:]
	return n, nil
}

// Write implements io.Writer for the shell. Whole lines go out at once, the
// echo of single keys when there is nothing more to read.
func (t *terminal) Write(p []byte) (int, error) {
	if _, err := t.s.Write(bytes.ReplaceAll(p, []byte{iac}, []byte{iac, iac})); err != nil {
		return 0, err
	}
	if bytes.IndexByte(p, '\n') >= 0 {
		if err := t.s.Flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// option implements events. It answers only what changes something, which is
// what keeps two sides from answering each other for ever (RFC 1143).
func (t *terminal) option(verb, opt byte) {
	switch verb {
	case will:
		wanted := t.asked[opt]
		t.asked[opt] = false
		switch {
		case wanted || t.theirs[opt]:
			if !t.theirs[opt] {
				t.theirs[opt] = true
				t.ask(opt)
			}
		case opt == optNAWS || opt == optLINE:
			// Without a mode from us, line mode changes nothing; but tools that are
			// refused it guess at when to send the next letter.
			t.theirs[opt] = true
			t.send(do, opt)
		default:
			t.send(dont, opt)
		}
	case wont:
		t.asked[opt] = false
		if t.theirs[opt] {
			t.theirs[opt] = false
			t.send(dont, opt)
		}
	case do:
		switch {
		case t.ours[opt]:
		case opt == optSGA || opt == optEcho:
			t.ours[opt] = true
			t.send(will, opt)
		case opt == optTM:
			t.send(will, opt)
		default:
			t.send(wont, opt)
		}
	case dont:
		if t.ours[opt] && opt != optEcho && opt != optSGA {
			t.ours[opt] = false
			t.send(wont, opt)
		}
	}
}

// ask sends the subnegotiation that gets the value of an option.
func (t *terminal) ask(opt byte) {
	const give = 1
	switch opt {
	case optTTYPE, optENV:
		t.owed++
		t.send(sb, opt, give, iac, se)
	case optTSPEED, optXDISP:
		t.send(sb, opt, give, iac, se)
	}
}

// sub implements events.
func (t *terminal) sub(body []byte) {
	if len(body) < 2 {
		return
	}
	const is, info = 0, 2
	switch opt, what := body[0], body[1]; {
	case opt == optTTYPE && what == is:
		t.owed = max(0, t.owed-1)
		if t.term == "" {
			t.term = word(string(body[2:]))
			t.s.Identify("telnet "+t.term, observe.Fingerprints{})
		}
	case opt == optENV && (what == is || what == info):
		t.owed = max(0, t.owed-1)
		if u := envUser(body[2:]); u != "" && t.user == "" {
			t.user = u
		}
	case opt == optNAWS && len(body) >= 5:
		t.columns = int(body[1])<<8 | int(body[2])
		if t.resize != nil && t.columns > 0 {
			t.resize(t.columns)
		}
	}
}

// command implements events.
func (t *terminal) command(c byte) {
	if c == ayt {
		t.say("\r\n[" + t.s.Persona().Hostname + " : yes]\r\n")
	}
}

// word makes the name of a terminal out of what a stranger sent.
func word(s string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s[:min(len(s), 40)]))
}
