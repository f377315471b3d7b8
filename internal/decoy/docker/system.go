package docker

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
)

func (c *call) ping() error {
	w := httpd.Response{Status: 200, Type: "text/plain; charset=utf-8", Body: []byte("OK")}
	w.Headers = []observe.Field{{Name: "Builder-Version", Value: "2"}, {Name: "Cache-Control", Value: "no-cache, no-store, must-revalidate"}, {Name: "Pragma", Value: "no-cache"}, {Name: "Swarm", Value: "inactive"}}
	if c.r.Method == "HEAD" {
		w.Body = nil
	}
	return c.write(w)
}

type component struct {
	Name    string
	Version string
	Details map[string]string `json:",omitempty"`
}

type versionInfo struct {
	Platform      struct{ Name string }
	Components    []component
	Version       string
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string
	GitCommit     string
	GoVersion     string
	Os            string
	Arch          string
	KernelVersion string
	BuildTime     string
}

func (c *call) versions() error {
	p := c.s.Persona()
	d := p.Docker
	v := versionInfo{Version: d.Version, APIVersion: d.APIVersion, MinAPIVersion: d.MinAPIVersion, GitCommit: d.GitCommit, GoVersion: d.GoVersion,
		Os: "linux", Arch: "amd64", KernelVersion: p.Kernel.Release, BuildTime: d.BuildTime.Format("2006-01-02T15:04:05.000000000+00:00")}
	v.Platform.Name = "Docker Engine - Community"
	v.Components = []component{
		{"Engine", d.Version, map[string]string{"ApiVersion": d.APIVersion, "Arch": "amd64", "BuildTime": v.BuildTime, "Experimental": "false",
			"GitCommit": d.GitCommit, "GoVersion": d.GoVersion, "KernelVersion": p.Kernel.Release, "MinAPIVersion": d.MinAPIVersion, "Os": "linux"}},
		{"containerd", d.Containerd, map[string]string{"GitCommit": c.commit20("containerd")}},
		{"runc", d.Runc, map[string]string{"GitCommit": "v" + d.Runc + "-0-g" + c.commit20("runc")[:7]}},
		{"docker-init", "0.19.0", map[string]string{"GitCommit": "de40ad0"}},
	}
	return c.ok(v)
}

func (c *call) commit20(what string) string {
	return hexOf(c.s.Persona().Derive("docker commit "+what, 20))
}

type systemInfo struct {
	ID                                                                   string
	Containers, ContainersRunning, ContainersPaused, ContainersStopped   int
	Images                                                               int
	Driver                                                               string
	DriverStatus                                                         [][2]string
	SystemStatus                                                         []string
	Plugins                                                              plugins
	MemoryLimit, SwapLimit, CPUCfsPeriod, CPUCfsQuota, CPUShares, CPUSet bool
	PidsLimit, IPv4Forwarding, BridgeNfIptables                          bool
	BridgeNfIP6tables                                                    bool `json:"BridgeNfIp6tables"`
	Debug                                                                bool
	NFd                                                                  int
	OomKillDisable                                                       bool
	NGoroutines                                                          int
	SystemTime                                                           string
	LoggingDriver, CgroupDriver, CgroupVersion                           string
	NEventsListener                                                      int
	KernelVersion, OperatingSystem, OSVersion, OSType, Architecture      string
	IndexServerAddress                                                   string
	RegistryConfig                                                       registryConfig
	NCPU                                                                 int
	MemTotal                                                             int64
	GenericResources                                                     []string
	DockerRootDir, HTTPProxy, HTTPSProxy, NoProxy, Name                  string
	Labels                                                               []string
	ExperimentalBuild                                                    bool
	ServerVersion                                                        string
	Runtimes                                                             map[string]runtime
	DefaultRuntime                                                       string
	Swarm                                                                swarm
	LiveRestoreEnabled                                                   bool
	Isolation, InitBinary                                                string
	ContainerdCommit, RuncCommit, InitCommit                             commit
	SecurityOptions                                                      []string
	CDISpecDirs                                                          []string
	Warnings                                                             []string
}

type plugins struct {
	Volume, Network, Authorization, Log []string
}

type registryConfig struct {
	InsecureRegistryCIDRs []string
	IndexConfigs          map[string]index
	Mirrors               []string
}

type index struct {
	Name     string
	Mirrors  []string
	Secure   bool
	Official bool
}

type runtime struct {
	Path string `json:"path"`
}

type swarm struct {
	NodeID, NodeAddr, LocalNodeState string
	ControlAvailable                 bool
	Error                            string
	RemoteManagers                   []string
}

type commit struct{ ID, Expected string }

func (c *call) info() error {
	p := c.s.Persona()
	v := systemInfo{ID: p.Docker.ID, Driver: "overlay2", Plugins: plugins{Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null", "overlay"},
		Log: []string{"awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "splunk", "syslog"}},
		DriverStatus: [][2]string{{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}, {"Using metacopy", "false"}, {"Native Overlay Diff", "true"}, {"userxattr", "false"}},
		MemoryLimit:  true, SwapLimit: true, CPUCfsPeriod: true, CPUCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true, IPv4Forwarding: true,
		BridgeNfIptables: true, BridgeNfIP6tables: true, NFd: 36, NGoroutines: 58, SystemTime: c.s.Now().UTC().Format(time.RFC3339Nano),
		LoggingDriver: "json-file", CgroupDriver: "systemd", CgroupVersion: "2", KernelVersion: p.Kernel.Release, OperatingSystem: p.Distro.PrettyName,
		OSVersion: p.Distro.Version, OSType: "linux", Architecture: "x86_64", IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig: registryConfig{InsecureRegistryCIDRs: []string{"127.0.0.0/8"}, IndexConfigs: map[string]index{"docker.io": {Name: "docker.io", Mirrors: []string{}, Secure: true, Official: true}}, Mirrors: []string{}},
		NCPU:           p.Hardware.Cores, MemTotal: p.Hardware.MemKB << 10, DockerRootDir: "/var/lib/docker", Name: p.Hostname, Labels: []string{},
		ServerVersion: p.Docker.Version, Runtimes: map[string]runtime{"io.containerd.runc.v2": {"runc"}, "runc": {"runc"}}, DefaultRuntime: "runc",
		Swarm: swarm{LocalNodeState: "inactive"}, InitBinary: "docker-init", ContainerdCommit: commit{c.commit20("containerd"), c.commit20("containerd")},
		RuncCommit: commit{"v" + p.Docker.Runc + "-0-g" + c.commit20("runc")[:7], "v" + p.Docker.Runc + "-0-g" + c.commit20("runc")[:7]}, InitCommit: commit{"de40ad0", "de40ad0"},
		SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"}, CDISpecDirs: []string{},
		Warnings: []string{"WARNING: API is accessible on http://0.0.0.0:2375 without encryption.\n         Access to the remote API is equivalent to root access on the host. Refer\n         to the 'Docker daemon attack surface' section in the documentation for\n         more information: https://docs.docker.com/go/attack-surface/"},
	}
	c.engine.mu.Lock()
	for _, x := range c.engine.containers {
		v.Containers++
		switch x.state {
		case "running":
			v.ContainersRunning++
		case "paused":
			v.ContainersPaused++
		default:
			v.ContainersStopped++
		}
	}
	v.Images = len(c.engine.images)
	c.engine.mu.Unlock()
	return c.ok(v)
}

// auth is docker login: the credential is recorded and believed.
func (c *call) auth() error {
	var a struct{ Username, Password, ServerAddress, IdentityToken string }
	if json.Unmarshal(c.r.Body, &a) != nil {
		return c.fail(400, "invalid JSON: unexpected end of input")
	}
	if err := c.s.Auth(observe.AuthAttempt{Method: "password", User: a.Username, Password: a.Password}); err != nil {
		return err
	}
	server := a.ServerAddress
	if server == "" {
		server = "https://index.docker.io/v1/"
	}
	return c.fail(500, "login attempt to "+cut(strings.TrimSuffix(strings.Replace(server, "/v1/", "/v2/", 1), "/"), 256)+"/ failed with status: 401 Unauthorized")
}

// registryAuth records a credential that came with a pull or push.
func (c *call) registryAuth(header string) error {
	b, err := base64.URLEncoding.DecodeString(cut(header, 8<<10))
	if err != nil {
		return nil // not a credential; the header is in the evidence
	}
	var a struct{ Username, Password string }
	if json.Unmarshal(b, &a) != nil || a.Username == "" {
		return nil
	}
	return c.s.Auth(observe.AuthAttempt{Method: "token", User: a.Username, Password: a.Password})
}

func (c *call) unavailable() error { return c.fail(501, "not implemented") }

func (c *call) none() error { return c.ok([]string{}) }
func (c *call) done() error { return c.empty(200) }
func (c *call) gone() error { return c.empty(204) }

func (c *call) noSwarm() error {
	return c.fail(503, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
}

func (c *call) prune() error {
	return c.ok(struct {
		ContainersDeleted, ImagesDeleted []string
		SpaceReclaimed                   int64
	}{})
}

func (c *call) diskUsage() error {
	return c.ok(struct {
		LayersSize                              int64
		Images, Containers, Volumes, BuildCache []string
	}{1 << 30, []string{}, []string{}, []string{}, []string{}})
}

type volumeInfo struct {
	CreatedAt, Driver string
	Labels            map[string]string
	Mountpoint, Name  string
	Options           map[string]string
	Scope             string
}

func (c *call) volumeOf(name string) volumeInfo {
	return volumeInfo{CreatedAt: c.s.Persona().BootedAt.Add(90 * time.Second).Format(time.RFC3339), Driver: "local", Mountpoint: "/var/lib/docker/volumes/" + name + "/_data", Name: name, Scope: "local"}
}

func (c *call) volumeNames() []string {
	brand := strings.SplitN(c.s.Persona().Domain, ".", 2)[0]
	return []string{brand + "_data", brand + "_config"}
}

func (c *call) volumes() error {
	var v struct {
		Volumes  []volumeInfo
		Warnings []string
	}
	for _, n := range c.volumeNames() {
		v.Volumes = append(v.Volumes, c.volumeOf(n))
	}
	return c.ok(v)
}

func (c *call) volume() error {
	for _, n := range c.volumeNames() {
		if n == c.parts[1] {
			return c.ok(c.volumeOf(n))
		}
	}
	return c.fail(404, "get "+cut(c.parts[1], 256)+": no such volume")
}

func (c *call) volumeCreate() error {
	var v struct{ Name string }
	_ = json.Unmarshal(c.r.Body, &v) // an anonymous volume is what is left
	if v.Name == "" {
		v.Name = c.engine.newID()
	}
	x := c.volumeOf(cut(v.Name, 256))
	x.CreatedAt = c.s.Now().UTC().Format(time.RFC3339)
	return c.reply(201, x)
}

type networkInfo struct {
	Name, ID, Created, Scope, Driver          string
	EnableIPv6                                bool
	IPAM                                      ipam
	Internal, Attachable, Ingress, ConfigOnly bool
	Containers, Options, Labels               map[string]string
}

type ipam struct {
	Driver  string
	Options map[string]string
	Config  []subnet
}

type subnet struct {
	Subnet  string `json:",omitempty"`
	Gateway string `json:",omitempty"`
}

func (c *call) networkList() []networkInfo {
	var out []networkInfo
	for _, n := range [][2]string{{"bridge", "bridge"}, {"host", "host"}, {"none", "null"}} {
		x := networkInfo{Name: n[0], ID: hexOf(c.s.Persona().Derive("docker network "+n[0], 32)), Created: c.s.Persona().BootedAt.Add(20 * time.Second).Format(time.RFC3339Nano),
			Scope: "local", Driver: n[1], IPAM: ipam{Driver: "default", Config: []subnet{}}, Containers: map[string]string{}, Options: map[string]string{}, Labels: map[string]string{}}
		if n[0] == "bridge" {
			x.IPAM.Config = []subnet{{"172.17.0.0/16", "172.17.0.1"}}
			x.Options = map[string]string{"com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.enable_icc": "true",
				"com.docker.network.bridge.enable_ip_masquerade": "true", "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0", "com.docker.network.bridge.name": "docker0", "com.docker.network.driver.mtu": "1500"}
		}
		out = append(out, x)
	}
	return out
}

func (c *call) networks() error { return c.ok(c.networkList()) }

func (c *call) network() error {
	for _, n := range c.networkList() {
		if n.Name == c.parts[1] || strings.HasPrefix(n.ID, c.parts[1]) {
			return c.ok(n)
		}
	}
	return c.fail(404, "network "+cut(c.parts[1], 256)+" not found")
}

func (c *call) networkCreate() error {
	return c.reply(201, struct {
		ID      string `json:"Id"`
		Warning string
	}{c.engine.newID(), ""})
}

// events waits, because nothing happens while nobody does anything.
func (c *call) events() error {
	if _, err := c.stream("application/json"); err != nil {
		return err
	}
	c.r.KeepAlive = false
	return c.until(func() bool { return c.query.Get("until") != "" })
}
