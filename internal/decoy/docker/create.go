package docker

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// strslice is a command: a list, or one string (as older clients send it).
type strslice []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *strslice) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err == nil {
		*s = list
		return nil
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*s = []string{one}
	return nil
}

// spec is what of a container's configuration is understood.
type spec struct {
	Hostname     string
	User         string
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	Env          []string
	Cmd          strslice
	Entrypoint   strslice
	Image        string
	WorkingDir   string
	Labels       map[string]string
	Volumes      map[string]struct{}
	HostConfig   hostConfig
}

type hostConfig struct {
	Binds           []string
	NetworkMode     string
	AutoRemove      bool
	Privileged      bool
	PidMode         string
	IpcMode         string
	UsernsMode      string
	UTSMode         string
	CgroupnsMode    string
	CapAdd          strslice
	SecurityOpt     []string
	Mounts          []mount
	Devices         []device
	RestartPolicy   restartPolicy
	PublishAllPorts bool
	Runtime         string `json:",omitempty"`
}

type mount struct {
	Type, Source, Target string
	ReadOnly             bool `json:",omitempty"`
}

type device struct {
	PathOnHost, PathInContainer, CgroupPermissions string
}

type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// Caps on one container's configuration.
const (
	maxArgs  = 64
	maxArg   = 8 << 10
	maxBinds = 32
)

// clip bounds what is remembered of a configuration.
func (s *spec) clip() {
	list := func(l []string, n, each int) []string {
		l = slices.Clone(l[:min(len(l), n)])
		for i := range l {
			l[i] = strings.Clone(cut(l[i], each))
		}
		return l
	}
	s.Cmd, s.Entrypoint, s.Env = list(s.Cmd, maxArgs, maxArg), list(s.Entrypoint, maxArgs, maxArg), list(s.Env, maxArgs, 1024)
	s.Hostname, s.User, s.Image, s.WorkingDir = cut(s.Hostname, 64), cut(s.User, 64), cut(s.Image, 256), cut(s.WorkingDir, 512)
	h := &s.HostConfig
	h.Binds, h.CapAdd, h.SecurityOpt = list(h.Binds, maxBinds, 512), list(h.CapAdd, maxBinds, 64), list(h.SecurityOpt, maxBinds, 256)
	h.Mounts, h.Devices = h.Mounts[:min(len(h.Mounts), maxBinds)], h.Devices[:min(len(h.Devices), maxBinds)]
	if len(s.Labels) > 64 {
		s.Labels = nil
	}
	s.Volumes = nil
}

func (s *spec) size() int {
	n := 512
	for _, l := range [][]string{s.Cmd, s.Entrypoint, s.Env, s.HostConfig.Binds, s.HostConfig.SecurityOpt} {
		for _, x := range l {
			n += len(x) + 16
		}
	}
	for k, v := range s.Labels {
		n += len(k) + len(v)
	}
	return n + 256*len(s.HostConfig.Mounts)
}

// createArgs says what of a configuration matters, in the words that rules know.
func createArgs(body []byte) (args []string) {
	var s spec
	if json.Unmarshal(body, &s) != nil {
		return nil
	}
	s.clip()
	add := func(name, value string) {
		if value != "" {
			args = append(args, name+"="+value)
		}
	}
	h := &s.HostConfig
	add("image", s.Image)
	if h.Privileged {
		add("privileged", "true")
	}
	if len(s.Entrypoint) > 0 {
		add("entrypoint", join(s.Entrypoint))
	}
	if len(s.Cmd) > 0 {
		add("cmd", join(s.Cmd))
	}
	for _, b := range h.Binds {
		add("bind", b)
	}
	for _, m := range h.Mounts {
		add("bind", cut(m.Source, 512)+":"+cut(m.Target, 512))
	}
	if len(h.CapAdd) > 0 {
		args = append(args, "capadd:["+strings.Join(h.CapAdd, ",")+"]")
	}
	for _, m := range [][2]string{{"pidmode", h.PidMode}, {"networkmode", h.NetworkMode}, {"ipcmode", h.IpcMode}, {"usernsmode", h.UsernsMode}, {"cgroupnsmode", h.CgroupnsMode}} {
		if m[1] != "default" {
			add(m[0], cut(m[1], 64))
		}
	}
	for _, o := range h.SecurityOpt {
		add("securityopt", o)
	}
	for _, d := range h.Devices {
		add("device", cut(d.PathOnHost, 256))
	}
	add("user", s.User)
	add("workdir", s.WorkingDir)
	add("restart", cut(h.RestartPolicy.Name, 64))
	for _, e := range s.Env[:min(len(s.Env), 16)] {
		add("env", e)
	}
	return args
}

// join is a command line as a shell would take it.
func join(argv []string) string {
	var b strings.Builder
	for i, a := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a != "" && strings.IndexFunc(a, special) < 0 {
			b.WriteString(a)
		} else {
			b.WriteString("'" + strings.ReplaceAll(a, "'", `'\''`) + "'")
		}
	}
	return b.String()
}

func special(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=,@%+", r))
}

var (
	nameShape  = regexp.MustCompile(`^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
	imageShape = regexp.MustCompile(`^[a-z0-9]+([._:/@-]+[A-Za-z0-9]+)*$`)
)

// create makes a container of an image that was pulled before.
func (c *call) create() error {
	var s spec
	if c.r.Cut || json.Unmarshal(c.r.Body, &s) != nil {
		return c.fail(400, "invalid JSON: "+why(c.r.Body))
	}
	s.clip()
	name := c.query.Get("name")
	if name != "" && (len(name) > 128 || !nameShape.MatchString(name)) {
		return c.fail(400, "Invalid container name ("+cut(name, 128)+"), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
	}
	if s.Image == "" {
		return c.fail(400, "no command specified")
	}
	e := c.engine
	e.mu.Lock()
	img, have := e.image(s.Image)
	x := &container{engine: e, id: e.newID(), name: strings.TrimPrefix(name, "/"), spec: s, imageID: img.id, state: "created", created: c.s.Now()}
	for i := 0; x.name == "" || name == "" && i <= maxContainers && e.container(x.name) != nil; i++ {
		x.name = nameOf(x.id)
		if i > 0 {
			x.name += strconv.Itoa(i)
		}
	}
	taken := e.container(x.name)
	if have && taken == nil {
		e.room()
		e.containers = append(e.containers, x)
	}
	e.mu.Unlock()
	switch {
	case !have:
		return c.fail(404, "No such image: "+canonical(s.Image))
	case taken != nil:
		return c.fail(409, `Conflict. The container name "/`+x.name+`" is already in use by container "`+taken.id+`". You have to remove (or rename) that container to be able to reuse that name.`)
	}
	e.keep(s.size())
	return c.reply(201, struct {
		ID       string `json:"Id"`
		Warnings []string
	}{x.id, []string{}})
}

func why(b []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		return cut(err.Error(), 200)
	}
	return "unexpected EOF"
}

// room makes place for another container: the oldest the visitor made goes. e.mu is held.
func (e *engine) room() {
	made := 0
	var oldest *container
	for _, x := range e.containers {
		if !x.resident {
			if oldest == nil {
				oldest = x
			}
			made++
		}
	}
	if made >= maxContainers {
		oldest.drop()
	}
}

// nameOf invents a name as the engine does.
func nameOf(id string) string {
	left := [...]string{"admiring", "agitated", "bold", "brave", "clever", "dazzling", "eager", "elegant", "epic", "focused", "gifted", "happy", "jolly", "keen", "loving", "nifty", "optimistic", "quirky", "relaxed", "serene", "sharp", "stoic", "trusting", "vibrant", "wizardly", "zen"}
	right := [...]string{"albattani", "babbage", "bell", "bohr", "carson", "curie", "darwin", "edison", "einstein", "euler", "fermat", "galileo", "gauss", "hopper", "hypatia", "kepler", "lamarr", "lovelace", "mendel", "newton", "noether", "pasteur", "ritchie", "tesla", "turing", "wozniak"}
	var n int
	_, _ = fmt.Sscanf(id[:6], "%x", &n) // ids are ours
	return left[n%len(left)] + "_" + right[n/len(left)%len(right)]
}

type mountPoint struct {
	Type, Source, Destination, Mode string
	RW                              bool
	Propagation                     string
}

func (s *spec) mountPoints() []mountPoint {
	out := []mountPoint{}
	for _, b := range s.HostConfig.Binds {
		p := strings.SplitN(b, ":", 3)
		if len(p) < 2 {
			continue
		}
		m := mountPoint{Type: "bind", Source: p[0], Destination: p[1], RW: true, Propagation: "rprivate"}
		if len(p) == 3 {
			m.Mode = p[2]
			m.RW = !strings.Contains(p[2], "ro")
		}
		out = append(out, m)
	}
	for _, m := range s.HostConfig.Mounts {
		out = append(out, mountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Propagation: "rprivate"})
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
