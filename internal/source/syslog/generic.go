package syslog

import (
	"net/netip"
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/source/text"
)

// failures are what services say when a credential was wrong, in lower case.
var failures = [...]string{
	"authentication failed", "authentication failure", "authentication error", "auth failed", "auth fail",
	"login failed", "failed login", "login failure", "failed logon", "login incorrect", "incorrect authentication",
	"invalid password", "wrong password", "password mismatch", "bad password", "password authentication failed", "unknown user",
	"failed password", "authentication attempt failed", "user not found", "no such user", "access denied for user",
	"invalid credentials", "invalid login", "has been denied", "nt_status_wrong_password",
	"nt_status_no_such_user", "nt_status_logon_failure",
}

// marks stand before a client's address, most telling first.
var marks = [...]string{"rip=", "rhost=", "raddr=", "remote=", "client=", "ip=", "ipaddress=", "addr=", "address=", "src=", "from: ", "source: ", "ip = ", "from ip: ", "from ip ", "by ip: ", "from ", "client ", "ip: ", "ip:", "ipv4:", "ipv6:", "["}

// maxMessage is how much of a message is looked at.
const maxMessage = 2048

// generic reads a failed login of any service: words that say so, and one
// address. Messages of pam_unix about sshd are left to what sshd says itself.
func generic(m *message, s string, n int, at uint64, b *observe.LogBatch) {
	s = s[:min(len(s), maxMessage)]
	low := text.Lower(s)
	if !failed(low) || strings.Contains(low, "sshd:auth") {
		return
	}
	a, ok := client(s, low)
	if !ok {
		return
	}
	service := strings.ToLower(m.program)
	if i := strings.IndexAny(service, "/(-"); i > 0 {
		service = service[:i]
	}
	if service == "" {
		service = "login"
	}
	attempt(m, at, n, b, service[:min(len(service), 32)], netip.AddrPortFrom(a, 0),
		observe.AuthAttempt{Method: "password", User: user(s, low)})
}

// client finds the address of who tried: behind a telling mark, or the only one.
func client(s, low string) (netip.Addr, bool) {
	for _, mark := range marks {
		for i := 0; ; {
			k := strings.Index(low[i:], mark)
			if k < 0 {
				break
			}
			i += k + len(mark)
			if i > len(mark) && s[i-len(mark)-1] == '(' {
				continue // mail servers put there what a client says of itself
			}
			if a, ok := addrAt(s[i:]); ok {
				return a, true
			}
		}
	}
	var only netip.Addr
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,;()<>[]'\"=", r) }) {
		if a, ok := addrAt(w); ok {
			if only.IsValid() && only != a {
				return netip.Addr{}, false
			}
			only = a
		}
	}
	return only, only.IsValid()
}

// addrAt reads an address at the start of s, with or without a port.
func addrAt(s string) (netip.Addr, bool) {
	s = strings.TrimLeft(s, "['`\"<(")
	end := 0
	for end < len(s) && end < 46 && (hexDigit(s[end]) || s[end] == '.' || s[end] == ':') {
		end++
	}
	w := strings.TrimRight(s[:end], ".:")
	if strings.Count(w, ".") == 3 && strings.Count(w, ":") == 1 {
		w, _, _ = strings.Cut(w, ":")
	}
	if !strings.ContainsAny(w, ".:") {
		return netip.Addr{}, false
	}
	return text.Addr(w)
}

func hexDigit(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// user finds the name that was tried; "" when the message names none.
func user(s, low string) string {
	for _, mark := range [...]string{"sasl_username=", "user=", "user: ", "username=", "for username ", "for user ", "attempt for ", "login for ", "user ", "set_id="} {
		_, rest, ok := strings.Cut(low, mark)
		if !ok {
			continue
		}
		v := strings.TrimLeft(s[len(low)-len(rest):], "<'`\"[")
		if i := strings.IndexAny(v, " ,;>'`\"])"); i >= 0 {
			v = v[:i]
		}
		if v != "" {
			return clip(v)
		}
	}
	return ""
}

// packet reads a packet logged by netfilter's LOG target (iptables-extensions(8)):
// IN=eth0 OUT= SRC=192.0.2.1 DST=192.0.2.2 LEN=40 … PROTO=TCP SPT=1 DPT=22 … SYN …
func packet(m *message, s string, at uint64, b *observe.LogBatch) {
	i := strings.Index(s, "IN=")
	if i < 0 || !strings.Contains(s[i:], " SRC=") || !strings.Contains(s[i:], " DST=") {
		return
	}
	f := observe.Flow{Record: at, Start: m.time.Unix(), End: m.time.Unix(), Packets: 1}
	what := strings.ToUpper(s[:i])
	for _, w := range [...]string{"BLOCK", "DROP", "REJECT", "DENY", "DENIED"} {
		if strings.Contains(what, w) {
			f.Action = observe.FlowReject
		}
	}
	for w := range strings.FieldsSeq(s[i:]) {
		k, v, pair := strings.Cut(w, "=")
		if !pair {
			flag(&f, k)
			continue
		}
		number, _ := text.Int([]byte(v))
		switch k {
		case "SRC":
			a, _ := text.Addr(v)
			f.Src = observe.AddrOf(a)
		case "DST":
			a, _ := text.Addr(v)
			f.Dst = observe.AddrOf(a)
		case "LEN":
			if f.Bytes == 0 {
				f.Bytes = uint64(number)
			}
		case "PROTO":
			f.Proto = proto(v)
		case "SPT":
			f.SrcPort = uint16(number)
		case "DPT":
			f.DstPort = uint16(number)
		}
	}
	if f.Src.IsZero() || f.Dst.IsZero() {
		return
	}
	f.HasFlags = f.Proto == observe.ProtoTCP
	b.Flows = append(b.Flows, f)
}

func proto(v string) uint8 {
	switch v {
	case "TCP", "6":
		return observe.ProtoTCP
	case "UDP", "17":
		return observe.ProtoUDP
	case "ICMP", "1":
		return observe.ProtoICMP
	case "ICMPv6", "58":
		return observe.ProtoICMPv6
	}
	return 0
}

func flag(f *observe.Flow, w string) {
	switch w {
	case "SYN":
		f.Flags |= observe.FlagSYN
	case "ACK":
		f.Flags |= observe.FlagACK
	case "FIN":
		f.Flags |= observe.FlagFIN
	case "RST":
		f.Flags |= observe.FlagRST
	case "PSH":
		f.Flags |= observe.FlagPSH
	}
}
