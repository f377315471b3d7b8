package auditd

import (
	"encoding/json"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

var records = []string{
	`type=SYSCALL msg=audit(1700000000.123:45): arch=c000003e syscall=59 success=yes exit=0 a0=55 a1=7f items=2 ppid=1 pid=2 auid=1000 uid=0 tty=pts0 ses=3 comm="base64" exe="/usr/bin/base64" key="exec"` + "\x1dARCH=x86_64 SYSCALL=execve AUID=\"eve\" UID=\"root\"",
	`type=EXECVE msg=audit(1700000000.123:45): argc=3 a0="sh" a1="-c" a2=726D202D7266202F746D702F78`,
	`node=web1 type=PATH msg=audit(1700000000.123:45): item=0 name=2F746D702F6120622E7368 inode=1 nametype=CREATE`,
	`type=PROCTITLE msg=audit(1700000000.123:45): proctitle=7368002D63002F62696E2F6964`,
	`type=USER_AUTH msg=audit(1700000001.000:46): pid=7 uid=0 auid=4294967295 msg='op=PAM:authentication grantors=? acct="root" exe="/usr/sbin/sshd" hostname=192.0.2.1 addr=192.0.2.1 terminal=ssh res=failed'`,
}

var foreign = []string{
	`type=SYSCALL msg=audit(x): a=b`, `Feb 12 14:10:21 h sshd[1]: hello`, `{"type":"SYSCALL"}`, `type=SYSCALL hello`, `type=A msg=audit(1.2:3): x`,
}

func newFormat(t testing.TB) source.Format {
	t.Helper()
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: newFormat(t), Records: records, Foreign: foreign})
}

func TestFields(t *testing.T) {
	want := []map[string]string{
		{"type": "SYSCALL", "audit.id": "1700000000.123:45", "audit.time": "2023-11-14T22:13:20.123Z", "a0": "55", "comm": "base64", "exe": "/usr/bin/base64", "key": "exec", "SYSCALL": "execve", "AUID": "eve"},
		{"type": "EXECVE", "a0": "sh", "a1": "-c", "a2": "rm -rf /tmp/x"},
		{"audit.node": "web1", "name": "/tmp/a b.sh", "nametype": "CREATE"},
		{"proctitle": "sh -c /bin/id"},
		{"acct": "root", "addr": "192.0.2.1", "res": "failed", "op": "PAM:authentication"},
	}
	for i, r := range records {
		var b observe.LogBatch
		if err := newFormat(t).Decoder().Decode([]byte(r), 9, &b); err != nil || len(b.Documents) != 1 {
			t.Fatalf("%s: %v", r, err)
		}
		var got map[string]string
		if err := json.Unmarshal(b.Documents[0].View().Text(), &got); err != nil {
			t.Fatal(err)
		}
		for k, v := range want[i] {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", r, k, got[k], v)
			}
		}
		if b.Documents[0].Service != "auditd" || (len(b.Events) == 1) != (i == 4) {
			t.Errorf("%s: service %s, %d events", r, b.Documents[0].Service, len(b.Events))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range append(append([]string{}, records...), foreign...) {
		f.Add([]byte(r))
	}
	format := newFormat(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		var b observe.LogBatch
		if err := format.Decoder().Decode(line, 3, &b); err == nil && (len(b.Documents) != 1 || b.Documents[0].Record != 3 || len(b.Events) > 1) {
			t.Fatalf("%d documents", len(b.Documents))
		}
	})
}
