package docker

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/observe"
)

type port struct {
	IP          string `json:",omitempty"`
	PrivatePort int
	PublicPort  int `json:",omitempty"`
	Type        string
}

// portsOf reads "127.0.0.1:6380->6379/tcp", the persona's way to say it.
func portsOf(s string) []port {
	out := []port{}
	from, to, ok := strings.Cut(s, "->")
	if !ok {
		return out
	}
	ip, public, _ := strings.Cut(from, ":")
	private, proto, _ := strings.Cut(to, "/")
	a, _ := strconv.Atoi(private) // the persona's own
	b, _ := strconv.Atoi(public)
	return append(out, port{ip, a, b, proto})
}

type endpoint struct {
	NetworkID, EndpointID, Gateway, IPAddress, MacAddress string
	IPPrefixLen                                           int
}

type networkSettings struct {
	Networks map[string]endpoint
}

type summary struct {
	ID              string `json:"Id"`
	Names           []string
	Image, ImageID  string
	Command         string
	Created         int64
	Ports           []port
	Labels          map[string]string
	State, Status   string
	HostConfig      struct{ NetworkMode string }
	NetworkSettings networkSettings
	Mounts          []mountPoint
}

func (x *container) network() string {
	switch n := x.spec.HostConfig.NetworkMode; n {
	case "", "default":
		return "bridge"
	default:
		return cut(n, 64)
	}
}

func (x *container) settings() networkSettings {
	e := endpoint{NetworkID: x.imageID[7:], EndpointID: x.id, Gateway: "172.17.0.1", IPPrefixLen: 16}
	if x.running() {
		n, _ := strconv.ParseUint(x.id[:4], 16, 16) // ids are ours
		e.IPAddress = "172.17.0." + strconv.Itoa(2+int(n)%250)
		e.MacAddress = "02:42:ac:11:00:" + x.id[:2]
	}
	return networkSettings{map[string]endpoint{x.network(): e}}
}

func (c *call) list() error {
	var filter map[string]json.RawMessage
	_ = json.Unmarshal([]byte(c.query.Get("filters")), &filter) // without one, all are listed
	_, byStatus := filter["status"]
	all := c.flag("all") || byStatus
	now := c.s.Now()
	out := []summary{}
	c.engine.mu.Lock()
	for _, x := range slices.Backward(c.engine.containers) {
		if !all && !x.running() || !matches(filter, x) {
			continue
		}
		v := summary{ID: x.id, Names: []string{"/" + x.name}, Image: x.spec.Image, ImageID: x.imageID, Command: x.command(), Created: x.created.Unix(),
			Ports: portsOf(x.ports), Labels: x.spec.Labels, State: x.state, Status: x.status(now), NetworkSettings: x.settings(), Mounts: x.spec.mountPoints()}
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.HostConfig.NetworkMode = x.network()
		out = append(out, v)
	}
	c.engine.mu.Unlock()
	if n, err := strconv.Atoi(c.query.Get("limit")); err == nil && n > 0 && n < len(out) {
		out = out[:n]
	}
	return c.ok(out)
}

// matches applies the filters that matter: status, id, name, ancestor.
func matches(filter map[string]json.RawMessage, x *container) bool {
	for k, raw := range filter {
		want := filterValues(raw)
		ok := func(test func(string) bool) bool { return len(want) == 0 || slices.ContainsFunc(want, test) }
		switch k {
		case "status":
			if !ok(func(s string) bool { return s == x.state }) {
				return false
			}
		case "id":
			if !ok(func(s string) bool { return strings.HasPrefix(x.id, s) }) {
				return false
			}
		case "name":
			if !ok(func(s string) bool { return strings.Contains(x.name, strings.TrimPrefix(s, "/")) }) {
				return false
			}
		case "ancestor":
			if !ok(func(s string) bool { return canonical(s) == canonical(x.spec.Image) }) {
				return false
			}
		}
	}
	return true
}

// filterValues reads {"a":true} or ["a"].
func filterValues(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var set map[string]bool
	_ = json.Unmarshal(raw, &set) // neither form: no values
	for k := range set {
		list = append(list, k)
	}
	return list
}

// with finds the container a request names, or answers that there is none.
func (c *call) with(do func(x *container) error) error {
	c.engine.mu.Lock()
	x := c.engine.container(c.parts[1])
	c.engine.mu.Unlock()
	if x == nil {
		return c.fail(404, "No such container: "+cut(c.parts[1], 256))
	}
	return do(x)
}

type stateInfo struct {
	Status                                       string
	Running, Paused, Restarting, OOMKilled, Dead bool
	Pid, ExitCode                                int
	Error, StartedAt, FinishedAt                 string
}

type containerInfo struct {
	ID              string `json:"Id"`
	Created         string
	Path            string
	Args            []string
	State           stateInfo
	Image           string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      hostConfig
	Mounts          []mountPoint
	Config          spec
	NetworkSettings networkSettings
}

func (x *container) pid() int {
	n, _ := strconv.ParseUint(x.id[4:8], 16, 16) // ids are ours
	return 1000 + int(n)%30000
}

func (c *call) inspect() error {
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		argv := x.argv()
		dir := "/var/lib/docker/containers/" + x.id + "/"
		v := containerInfo{ID: x.id, Created: stamp(x.created), Path: argv[0], Args: argv[1:], Image: x.imageID, ResolvConfPath: dir + "resolv.conf", HostnamePath: dir + "hostname",
			HostsPath: dir + "hosts", LogPath: dir + x.id + "-json.log", Name: "/" + x.name, Driver: "overlay2", Platform: "linux", AppArmorProfile: "docker-default",
			HostConfig: x.spec.HostConfig, Mounts: x.spec.mountPoints(), Config: x.spec, NetworkSettings: x.settings()}
		v.HostConfig.NetworkMode = x.network()
		v.Config.Hostname = x.hostname()
		v.State = stateInfo{Status: x.state, Running: x.running(), Paused: x.state == "paused", ExitCode: x.exit, StartedAt: stamp(x.started), FinishedAt: stamp(x.finished)}
		if x.running() {
			v.State.Pid = x.pid()
		}
		c.engine.mu.Unlock()
		return c.ok(v)
	})
}

func (x *container) hostname() string {
	if x.spec.Hostname != "" {
		return x.spec.Hostname
	}
	return x.id[:12]
}

func (c *call) top() error {
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		run, cmd, pid, at := x.running(), x.command(), strconv.Itoa(x.pid()), x.started
		c.engine.mu.Unlock()
		if !run {
			return c.fail(409, "container "+x.id+" is not running")
		}
		return c.ok(struct {
			Titles    []string
			Processes [][]string
		}{
			[]string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"},
			[][]string{{"root", pid, strconv.Itoa(x.pid() - 21), "0", at.Format("15:04"), "?", "00:00:00", cmd}}})
	})
}

func (c *call) stats() error {
	return c.with(func(x *container) error {
		return c.ok(struct {
			Read string `json:"read"`
			ID   string `json:"id"`
			Name string `json:"name"`
		}{stamp(c.s.Now()), x.id, "/" + x.name})
	})
}

func (c *call) export() error {
	return c.with(func(*container) error { return c.fail(500, "error exporting container: permission denied") })
}

func (c *call) archive() error {
	return c.with(func(x *container) error {
		return c.fail(404, "Could not find the file "+cut(c.query.Get("path"), 256)+" in container "+cut(c.parts[1], 64))
	})
}

// unpack is docker cp into a container: the archive is kept as a file.
func (c *call) unpack() error {
	return c.with(func(x *container) error {
		f := observe.FileEvent{Path: path.Join("/", cut(c.query.Get("path"), 512)) + "/", How: "docker", Size: c.r.BodyLen, Capped: c.r.Cut}
		if err := c.s.File(f, c.r.Body); err != nil {
			return err
		}
		return c.empty(200)
	})
}

func (c *call) stop() error {
	return c.end(137)
}

func (c *call) end(code int) error {
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		was := x.running()
		x.stopped(code, c.s.Now())
		c.engine.mu.Unlock()
		if !was {
			return c.empty(304)
		}
		return c.empty(204)
	})
}

func (c *call) kill() error {
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		was := x.running()
		switch strings.TrimPrefix(strings.ToUpper(c.query.Get("signal")), "SIG") {
		case "", "KILL", "9", "TERM", "15", "INT", "2", "QUIT", "3":
			x.stopped(137, c.s.Now())
		}
		c.engine.mu.Unlock()
		if !was {
			return c.fail(409, "cannot kill container: "+cut(c.parts[1], 64)+": container "+x.id+" is not running")
		}
		return c.empty(204)
	})
}

func (c *call) pause() error {
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		if x.running() {
			x.state = "running"
			if c.parts[2] == "pause" {
				x.state = "paused"
			}
		}
		c.engine.mu.Unlock()
		return c.empty(204)
	})
}

func (c *call) resize() error {
	return c.with(func(*container) error { return c.empty(200) })
}

func (c *call) rename() error {
	name := c.query.Get("name")
	if len(name) > 128 || !nameShape.MatchString(name) {
		return c.fail(400, "Invalid container name ("+cut(name, 128)+"), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
	}
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		x.name = strings.TrimPrefix(name, "/")
		c.engine.mu.Unlock()
		return c.empty(204)
	})
}

func (c *call) update() error {
	return c.with(func(*container) error {
		return c.ok(struct{ Warnings []string }{})
	})
}

func (c *call) remove() error {
	return c.with(func(x *container) error {
		c.engine.mu.Lock()
		busy := x.running() && !c.flag("force")
		if !busy {
			x.finished = c.s.Now()
			x.drop()
		}
		c.engine.mu.Unlock()
		if busy {
			return c.fail(409, `cannot remove container "/`+x.name+`": container is running: stop the container before removing or force remove`)
		}
		return c.empty(204)
	})
}

// pulse is how often a waiting request looks whether what it waits for has happened.
func pulse(waited time.Duration) time.Duration {
	switch {
	case waited < time.Second:
		return 15 * time.Millisecond
	case waited < 10*time.Second:
		return 100 * time.Millisecond
	}
	return 500 * time.Millisecond
}
