package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

func newFormat(t testing.TB) format {
	t.Helper()
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	ff, ok := f.(format)
	if !ok {
		t.Fatal("another type")
	}
	ff.now = func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }
	return ff
}

var foreign = []string{
	`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326`,
	"2 123456789010 eni-1 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
	`{"eventVersion":"1.05","eventSource":"s3.amazonaws.com","sourceIPAddress":"192.0.2.1"}`,
	"Dear Sir, please find attached",
}

var records = []string{
	"Feb 12 14:10:21 host sshd[16378]: Failed password for root from 192.0.2.1 port 53502 ssh2",
	"<38>Feb  2 14:10:21 host sshd[16378]: Failed password for invalid user a b from 192.0.2.1 port 53503 ssh2",
	`<34>1 2003-10-11T22:14:15.003Z host dovecot 77 ID47 [x@1 k="a\]b"] imap-login: Disconnected (auth failed, 1 attempts): user=<a@example.org>, method=PLAIN, rip=192.0.2.1, lip=10.0.0.1`,
	"2023-08-17T16:55:35.689651+02:00 host sshd-session[3]: Accepted publickey for root from 2001:db8::1 port 1 ssh2: ED25519 SHA256:x",
	`{"__REALTIME_TIMESTAMP":"1700000000000000","SYSLOG_IDENTIFIER":"sshd","MESSAGE":"Invalid user x from 192.0.2.9 port 4"}`,
	"Jun  8 14:34:33 host kernel: [5.0] [UFW BLOCK] IN=eth0 OUT= MAC=0 SRC=192.0.2.5 DST=192.0.2.6 LEN=40 TOS=0x00 TTL=245 ID=3 PROTO=TCP SPT=8080 DPT=8123 WINDOW=1024 RES=0x00 SYN URGP=0",
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: newFormat(t), Foreign: foreign, Records: records})
}

// attempts decodes lines of one log and writes down what they gave.
func attempts(t *testing.T, lines ...string) string {
	t.Helper()
	d := newFormat(t).Decoder()
	var b observe.LogBatch
	for i, l := range lines {
		if err := d.Decode([]byte(l), uint64(i), &b); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
	}
	var out []string
	for i := range b.Events {
		e := &b.Events[i]
		out = append(out, fmt.Sprintf("%d %s %s %s %q %v", e.Record, e.Service, e.Remote.Addr(), e.Auth.Method, e.Auth.User, e.Auth.Accepted))
	}
	return strings.Join(out, "\n")
}

func TestMessages(t *testing.T) {
	const p = "Feb 12 14:10:21 host "
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"a user name cannot choose the address", []string{p + "sshd[1]: Failed password for invalid user x from 198.51.100.1 port 1 from 192.0.2.1 port 2 ssh2"},
			`0 ssh 192.0.2.1 password "x from 198.51.100.1 port 1" false`},
		{"once although logged twice", []string{p + "sshd[1]: Invalid user x from 192.0.2.1 port 2", p + "sshd[1]: Failed password for invalid user x from 192.0.2.1 port 2 ssh2",
			p + "sshd[1]: Failed password for invalid user x from 192.0.2.1 port 2 ssh2", p + "sshd[1]: Connection closed by invalid user x 192.0.2.1 port 2 [preauth]"},
			"0 ssh 192.0.2.1 password \"x\" false\n2 ssh 192.0.2.1 password \"x\" false"},
		{"left before the password", []string{p + "sshd[1]: Disconnected from authenticating user root 192.0.2.1 port 2 [preauth]"}, `0 ssh 192.0.2.1 password "root" false`},
		{"repeated", []string{p + "sshd[1]: message repeated 2 times: [ Failed password for root from 192.0.2.1 port 2 ssh2]"},
			"0 ssh 192.0.2.1 password \"root\" false\n0 ssh 192.0.2.1 password \"root\" false"},
		{"none is no attempt", []string{p + "sshd[1]: Failed none for invalid user x from 192.0.2.1 port 2 ssh2"}, ""},
		{"pam", []string{p + "sshd[1]: error: PAM: Authentication failure for root from 192.0.2.1"}, `0 ssh 192.0.2.1 keyboard-interactive "root" false`},
		{"said by sshd itself", []string{p + "sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root"}, ""},
		{"dropbear", []string{p + "dropbear[1]: Bad password attempt for 'root' from 192.0.2.1:4711"}, `0 ssh 192.0.2.1 password "root" false`},
		{"postfix", []string{p + "postfix/smtpd[1]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=a@example.org"}, `0 postfix 192.0.2.1 password "a@example.org" false`},
		{"dovecot", []string{p + "dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<a>, method=PLAIN, rip=192.0.2.1, lip=10.0.0.1"}, `0 dovecot 192.0.2.1 password "a" false`},
		{"nothing", []string{p + "CRON[1]: pam_unix(cron:session): session opened for user root", p + "sshd[1]: Server listening on 0.0.0.0 port 22."}, ""},
	} {
		if got := attempts(t, c.lines...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestPacket(t *testing.T) {
	var b observe.LogBatch
	if err := newFormat(t).Decoder().Decode([]byte(records[5]), 9, &b); err != nil || len(b.Flows) != 1 {
		t.Fatalf("%v, %d flows", err, len(b.Flows))
	}
	f := b.Flows[0]
	if f.Record != 9 || f.Src.Netip().String() != "192.0.2.5" || f.DstPort != 8123 || f.SrcPort != 8080 || f.Action != observe.FlowReject ||
		!f.HasFlags || f.Flags != observe.FlagSYN || f.Proto != observe.ProtoTCP || f.Bytes != 40 {
		t.Errorf("%+v", f)
	}
}

// TestYear: times without a year go over New Year's Eve in both directions.
func TestYear(t *testing.T) {
	d := newFormat(t).Decoder()
	var b observe.LogBatch
	var got []int
	for _, day := range []string{"Dec 30", "Jan  2", "Dec 31", "Jan  3", "Feb 28"} {
		if err := d.Decode([]byte(day+" 10:00:00 h sshd[1]: Failed password for root from 192.0.2.1 port 2 ssh2"), 0, &b); err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Events[len(b.Events)-1].Time.Year())
	}
	if fmt.Sprint(got) != "[2025 2026 2025 2026 2026]" {
		t.Errorf("years %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range append(append([]string{}, records...), foreign...) {
		f.Add([]byte(s))
	}
	f.Add([]byte("Feb 12 14:10:21 h sshd[1]: message repeated 999999999 times: [ Failed password for root from 192.0.2.1 port 2 ssh2]"))
	f.Add([]byte("Feb 12 14:10:21 h x: İİİ login failed user=İ from 192.0.2.1"))
	format := newFormat(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		d := format.Decoder()
		var b observe.LogBatch
		if err := d.Decode(line, 3, &b); err != nil && err != source.ErrFormat {
			t.Fatal(err)
		}
		if b.Len() > maxRepeats+1 { // and the message itself
			t.Fatalf("%d observations of one line", b.Len())
		}
		for i := range b.Events {
			if e := &b.Events[i]; e.Auth == nil || !e.Remote.Addr().IsValid() || len(e.Auth.User) > 256 || len(e.Service) > 32 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
