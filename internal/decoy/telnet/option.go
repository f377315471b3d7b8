package telnet

import "bytes"

// Commands and options of the telnet protocol (RFC 854 and its options).
const (
	iac  = 255
	dont = 254
	do   = 253
	wont = 252
	will = 251
	sb   = 250
	el   = 248
	ec   = 247
	ayt  = 246
	ip   = 244
	brk  = 243
	se   = 240
	eof  = 236

	optEcho   = 1
	optSGA    = 3  // RFC 858
	optTM     = 6  // RFC 860
	optTTYPE  = 24 // RFC 1091
	optNAWS   = 31 // RFC 1073
	optTSPEED = 32 // RFC 1079
	optLINE   = 34 // RFC 1184
	optXDISP  = 35 // RFC 1096
	optENV    = 39 // RFC 1572
)

// maxSub is the longest subnegotiation that is kept.
const maxSub = 512

// state is where the parser is in the stream.
type state uint8

const (
	inData state = iota
	afterCR
	afterIAC
	inOption // the option of WILL, WONT, DO, DONT
	inSub
	inSubIAC
)

// events is what the parser tells; each may be nil-free no-ops in tests.
type events interface {
	option(verb, opt byte)
	sub(body []byte)
	command(c byte)
}

// parser takes telnet's own language out of the stream. CR LF, CR NUL and CR
// become one CR, so that what reads lines need not know.
type parser struct {
	at   state
	verb byte
	buf  []byte
}

// feed appends the visitor's data in p to out and tells ev about the rest.
func (t *parser) feed(out, p []byte, ev events) []byte {
	for _, b := range p {
		switch t.at {
		case afterCR:
			t.at = inData
			if b == '\n' || b == 0 {
				continue
			}
			out = t.data(out, b)
		case inData:
			out = t.data(out, b)
		case afterIAC:
			out = t.control(out, b, ev)
		case inOption:
			t.at = inData
			ev.option(t.verb, b)
		case inSub:
			if b == iac {
				t.at = inSubIAC
			} else {
				t.keep(b)
			}
		case inSubIAC:
			switch b {
			case iac:
				t.at = inSub
				t.keep(b)
			case se:
				t.at = inData
				ev.sub(t.buf)
				t.buf = nil
			default: // lost the end: what follows is a command again
				t.buf = nil
				out = t.control(out, b, ev)
			}
		}
	}
	return out
}

func (t *parser) data(out []byte, b byte) []byte {
	switch b {
	case iac:
		t.at = afterIAC
		return out
	case '\r':
		t.at = afterCR
	}
	return append(out, b)
}

func (t *parser) control(out []byte, b byte, ev events) []byte {
	t.at = inData
	switch b {
	case iac:
		return append(out, iac)
	case will, wont, do, dont:
		t.at, t.verb = inOption, b
	case sb:
		t.at = inSub
	case ip, brk:
		return append(out, 3)
	case eof:
		return append(out, 4)
	case ec:
		return append(out, 127)
	case el:
		return append(out, 21)
	default:
		ev.command(b)
	}
	return out
}

func (t *parser) keep(b byte) {
	if len(t.buf) < maxSub {
		t.buf = append(t.buf, b)
	}
}

// envUser finds the USER variable in the body of NEW-ENVIRON IS or INFO
// (RFC 1572).
func envUser(body []byte) string {
	const variable, value, escape, userVar = 0, 1, 2, 3
	var name, text []byte
	into, found := &name, ""
	flush := func() {
		if bytes.Equal(name, []byte("USER")) && len(text) > 0 {
			found = string(text)
		}
		name, text = nil, nil
	}
	for i := 0; i < len(body); i++ {
		switch b := body[i]; b {
		case variable, userVar:
			flush()
			into = &name
		case value:
			into = &text
		case escape:
			if i++; i < len(body) {
				*into = append(*into, body[i])
			}
		default:
			*into = append(*into, b)
		}
	}
	flush()
	return found
}
