package records

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSigmaOnSystemLogs: rules for the services of linux meet messages of their
// programs and no others, in all three ways messages are written, and placeholders
// have the values that were given.
func TestSigmaOnSystemLogs(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules")
	if err := os.Mkdir(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	linux := func(service, detection string) string {
		return "title: t\nlevel: high\nlogsource: {product: linux, service: " + service + "}\ndetection: " + detection
	}
	for name, text := range map[string]string{
		"sshd":     linux("sshd", "{k: ['Failed to generate curve25519 keys'], condition: k}"),
		"auth":     linux("auth", "{k: {'|all': [pkexec, 'suspicious content']}, condition: k}"),
		"sudo":     linux("sudo", "{s: {USER: ['#-*']}, condition: s}"),
		"command":  linux("sudo", "{s: {'COMMAND|contains': '; USER=root'}, condition: s}"),
		"cron":     linux("cron", "{k: [REPLACE], condition: k}"),
		"syslog":   linux("syslog", "{k: ['dropping source port zero packet'], condition: k}"),
		"expand":   linux("syslog", "{s: {'message|contains|expand': 'user %admins%'}, condition: s}"),
		"cisco":    "title: t\nlevel: high\nlogsource: {product: cisco, service: aaa}\ndetection: {k: ['show running-config'], condition: k}",
		"mnemonic": "title: t\nlevel: high\nlogsource: {product: cisco, service: syslog}\ndetection: {k: ['%SYS-5-CONFIG_I'], condition: k}",
		"program":  linux("syslog", "{s: {program: named, hostname: h2}, condition: s}"),
		"process":  "title: t\nlogsource: {product: linux, category: process_creation}\ndetection: {k: [e], condition: k}",
		"windows":  "title: t\nlogsource: {product: windows}\ndetection: {k: [e], condition: k}",
		"unfilled": linux("syslog", "{s: {'message|expand': '%nobody%'}, condition: s}"),
	} {
		if err := os.WriteFile(filepath.Join(rules, name+".yml"), []byte("id: "+name+"\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "messages")
	text := strings.Join([]string{
		"2026-03-01T10:00:00+00:00 h1 sshd[1]: error: failed to generate Curve25519 keys",
		"2026-03-01T10:00:01+00:00 h1 pkexec[2]: u: The value for environment variable XAUTHORITY contains suspicious content [USER=root] [TTY=/dev/pts/0]",
		"2026-03-01T10:00:02+00:00 h1 sudo:    u : TTY=pts/0 ; PWD=/ ; USER=#-1 ; COMMAND=/bin/bash",
		"2026-03-01T10:00:02+00:00 h1 sudo:    u : TTY=pts/0 ; PWD=/ ; USER=u ; COMMAND=/bin/echo ; USER=root",
		"<78>1 2026-03-01T10:00:03Z h1 crontab 3 - - (root) REPLACE (root)",
		`{"__REALTIME_TIMESTAMP":"1772359204000000","_HOSTNAME":"h2","SYSLOG_IDENTIFIER":"named","MESSAGE":"client: dropping source port zero packet"}`,
		"2026-03-01T10:00:05+00:00 h1 app[4]: session for user alice",
		"<189>45: *Mar  1 10:00:07.483: %PARSER-5-CFGLOG_LOGGEDCMD: User:eve  logged command:show running-config",
		"2026-03-01T10:00:08+00:00 gw1 46: %SYS-5-CONFIG_I: Configured from console by eve on vty0 (192.0.2.1)",
		"2026-03-01T10:00:09+00:00 h1 app[4]: 100% of show running-config is no-5-device: at all",
		"2026-03-01T10:00:06+00:00 h1 app[4]: REPLACE, pkexec, curve25519: none of them is mine; session for user bob",
	}, "\n") + "\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	rep, err := Detect(context.Background(), Request{Inputs: []string{log}, Type: "syslog", Rules: rules, Expand: map[string][]string{"admins": {"root", "alice"}}}, func(d Detected) error {
		if strings.HasPrefix(d.Signal.Kind, "sigma") {
			got = append(got, d.Signal.Rule+" "+d.Signal.Actor.Value()+" "+d.Signal.Time.Format("05"))
		}
		return nil
	})
	if err != nil || rep.Sigma == nil || rep.Sigma.Rules != 12 || len(rep.Sigma.Problems) != 1 || len(rep.Panics) > 0 {
		t.Fatal(err, rep.Sigma, rep.Panics)
	}
	slices.Sort(got)
	want := []string{"auth h1 01", "cisco unknown 07", "command h1 02", "cron h1 03", "expand h1 05", "mnemonic gw1 08", "program h2 04", "sshd h1 00", "sudo h1 02", "syslog h2 04"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
