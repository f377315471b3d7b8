package docker

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/decoy/shell"
)

// container is one container. Its fields are guarded by engine.mu, those
// of its files by house.
type container struct {
	engine   *engine
	id, name string
	spec     spec
	imageID  string
	ports    string // as docker ps prints them, of a resident
	resident bool   // the persona's own

	state    string // created, running, paused, exited, removed
	created  time.Time
	started  time.Time
	finished time.Time
	exit     int
	starts   int  // times it was started
	attached int  // visitors that want to give it input
	claimed  bool // somebody runs its command
	out      []frame
	outLen   int

	house sync.Mutex // held while something runs in it
	files *shell.Shell
	sink  *reporter
}

// frame is a piece of output.
type frame struct {
	stream byte // 1 is stdout, 2 is stderr
	data   []byte
	at     time.Time
}

// head is the header of a frame on the wire (Engine API, "attach": stream format).
func head(stream byte, n int) []byte {
	b := make([]byte, 8)
	b[0] = stream
	binary.BigEndian.PutUint32(b[4:], uint32(n))
	return b
}

func (c *container) running() bool { return c.state == "running" || c.state == "paused" }

// note keeps output, up to a cap.
func (c *container) note(stream byte, p []byte) {
	e := c.engine
	e.mu.Lock()
	p = p[:min(len(p), maxOutput-c.outLen)]
	c.outLen += len(p)
	if len(p) > 0 {
		c.out = append(c.out, frame{stream, append([]byte(nil), p...), time.Now()})
	}
	e.mu.Unlock()
	e.keep(len(p))
}

// stopped ends a container. e.mu is held.
func (c *container) stopped(code int, now time.Time) {
	if !c.running() {
		return
	}
	c.state, c.exit, c.finished = "exited", code, now
	if c.spec.HostConfig.AutoRemove {
		c.drop()
	}
}

// drop takes a container off the list. e.mu is held.
func (c *container) drop() {
	c.state = "removed"
	for i, x := range c.engine.containers {
		if x == c {
			c.engine.containers = append(c.engine.containers[:i:i], c.engine.containers[i+1:]...)
			return
		}
	}
}

// argv is the command line of the container.
func (c *container) argv() []string {
	a := append([]string(nil), c.spec.Entrypoint...)
	a = append(a, c.spec.Cmd...)
	if len(a) == 0 {
		return defaultCommand(c.spec.Image)
	}
	return a
}

// defaultCommand is what an image runs when nothing is said.
func defaultCommand(image string) []string {
	name, _, _ := strings.Cut(canonical(image), ":")
	name = name[strings.LastIndexByte(name, '/')+1:]
	switch name {
	case "alpine":
		return []string{"/bin/sh"}
	case "busybox":
		return []string{"sh"}
	case "ubuntu":
		return []string{"/bin/bash"}
	case "debian", "centos", "fedora", "rockylinux", "almalinux", "kalilinux", "archlinux":
		return []string{"bash"}
	case "nginx":
		return []string{"/docker-entrypoint.sh", "nginx", "-g", "daemon off;"}
	case "hello-world":
		return []string{"/hello"}
	}
	return []string{"/docker-entrypoint.sh", name}
}

// status is what docker ps says.
func (c *container) status(now time.Time) string {
	switch c.state {
	case "created":
		return "Created"
	case "running":
		return "Up " + human(now.Sub(c.started))
	case "paused":
		return "Up " + human(now.Sub(c.started)) + " (Paused)"
	}
	return fmt.Sprintf("Exited (%d) %s ago", c.exit, human(now.Sub(c.finished)))
}

// human is a duration as docker prints it (go-units HumanDuration).
func human(d time.Duration) string {
	s := int(d.Seconds())
	switch h := int(d.Hours() + 0.5); {
	case s < 1:
		return "Less than a second"
	case s == 1:
		return "1 second"
	case s < 60:
		return strconv.Itoa(s) + " seconds"
	case s < 120:
		return "About a minute"
	case s < 3600:
		return strconv.Itoa(s/60) + " minutes"
	case h == 1:
		return "About an hour"
	case h < 48:
		return strconv.Itoa(h) + " hours"
	case h < 24*7*2:
		return strconv.Itoa(h/24) + " days"
	case h < 24*30*2:
		return strconv.Itoa(h/24/7) + " weeks"
	case h < 24*365*2:
		return strconv.Itoa(h/24/30) + " months"
	default:
		return strconv.Itoa(h/24/365) + " years"
	}
}

// command is what docker ps shows of the command line.
func (c *container) command() string {
	argv := c.argv()
	for i, a := range argv {
		if strings.Contains(a, " ") {
			argv[i] = "'" + a + "'"
		}
	}
	return strings.Join(argv, " ")
}
