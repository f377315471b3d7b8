package persona

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

func (p *Persona) pickSecrets(s *source) {
	brand := strings.NewReplacer("-", "_").Replace(strings.SplitN(p.Domain, ".", 2)[0])
	p.Secrets = Secrets{
		AWSAccessKeyID:     "AKIA" + s.text(base32ab, 16),
		AWSSecretAccessKey: s.text(base64ab, 40),
		AWSAccount:         s.text("123456789", 1) + s.text(digits, 11),
		DBName:             brand + pick(s, []string{"_prod", "", "_app", "_db"}),
		DBUser:             pick(s, []string{"app", brand, "dbadmin", "webapp"}),
		DBPassword:         s.text(alphaNum, 18),
		RedisPassword:      s.text(alphaNum, 24),
		AppKey:             "base64:" + base64.StdEncoding.EncodeToString(s.bytes(32)),
		JWTSecret:          s.hex(32),
		GitHubToken:        "ghp_" + s.text(alphaNum, 36),
		OpenAIKey:          "sk-proj-" + s.text(alphaNum, 48),
		SMTPPassword:       s.text(alphaNum, 16),
		StripeKey:          "sk_live_" + s.text(alphaNum, 24),
		BackupPassword:     s.text(alphaNum, 20),
	}
}

func (p *Persona) pickWeb(s *source) {
	r := releaseOf(p.Distro)
	w := Web{Server: "nginx", Version: r.nginx, Header: "nginx/" + r.nginx}
	if r.distro.ID == "ubuntu" {
		w.Header += " (Ubuntu)"
	}
	if s.chance(45) {
		w = Web{Server: "apache2", Version: pick(s, r.apache)}
		w.Header = "Apache/" + w.Version + " (" + title(r.distro.ID) + ")"
	}
	apps := [][2]string{{"WordPress", "6.4.3"}, {"WordPress", "6.5.2"}, {"WordPress", "6.6.1"}, {"Laravel", "9.52.16"}, {"Laravel", "10.48.4"}, {"Drupal", "10.2.4"}, {"Nextcloud", "28.0.4"}, {"GLPI", "10.0.14"}, {"Moodle", "4.3.3"}}
	a := pick(s, apps)
	w.App, w.AppVer = a[0], a[1]
	if s.chance(70) {
		w.PHP = "PHP/" + r.versions.PHP
	}
	p.Web = w
}

func (p *Persona) pickEngines(s *source) {
	engines := []Docker{
		{Version: "24.0.7", APIVersion: "1.43", GitCommit: "311b9ff", GoVersion: "go1.20.10", Containerd: "1.6.26", Runc: "1.1.10", BuildTime: time.Date(2023, 10, 26, 9, 8, 17, 0, time.UTC)},
		{Version: "25.0.5", APIVersion: "1.44", GitCommit: "e63daec", GoVersion: "go1.21.8", Containerd: "1.6.28", Runc: "1.1.12", BuildTime: time.Date(2024, 3, 19, 15, 5, 27, 0, time.UTC)},
		{Version: "26.1.4", APIVersion: "1.45", GitCommit: "de5c9cf", GoVersion: "go1.21.11", Containerd: "1.6.33", Runc: "1.1.12", BuildTime: time.Date(2024, 6, 5, 11, 29, 12, 0, time.UTC)},
		{Version: "27.3.1", APIVersion: "1.47", GitCommit: "41ca978", GoVersion: "go1.22.7", Containerd: "1.7.22", Runc: "1.1.14", BuildTime: time.Date(2024, 9, 20, 11, 41, 11, 0, time.UTC)},
		{Version: "27.5.1", APIVersion: "1.47", GitCommit: "4c9b3b0", GoVersion: "go1.22.11", Containerd: "1.7.25", Runc: "1.2.4", BuildTime: time.Date(2025, 1, 22, 13, 41, 17, 0, time.UTC)},
		{Version: "28.0.4", APIVersion: "1.48", GitCommit: "6430e49", GoVersion: "go1.23.7", Containerd: "1.7.26", Runc: "1.2.5", BuildTime: time.Date(2025, 3, 25, 15, 7, 22, 0, time.UTC)},
	}
	p.Docker = pick(s, engines)
	p.Docker.MinAPIVersion = "1.24"
	if p.Docker.Version < "25" {
		p.Docker.MinAPIVersion = "1.12"
	}
	p.Docker.ID = s.uuid()
	p.Ollama = Ollama{Version: pick(s, []string{"0.3.14", "0.4.7", "0.5.7", "0.5.13", "0.6.5", "0.6.8"})}
	models := []Model{
		{Name: "llama3.1:8b", Size: 4920753328, Family: "llama", ParameterSize: "8.0B", Quantization: "Q4_K_M"},
		{Name: "llama3.2:3b", Size: 2019393189, Family: "llama", ParameterSize: "3.2B", Quantization: "Q4_K_M"},
		{Name: "mistral:7b", Size: 4113301824, Family: "llama", ParameterSize: "7.2B", Quantization: "Q4_0"},
		{Name: "qwen2.5:7b", Size: 4683087332, Family: "qwen2", ParameterSize: "7.6B", Quantization: "Q4_K_M"},
		{Name: "qwen2.5-coder:14b", Size: 8988124069, Family: "qwen2", ParameterSize: "14.8B", Quantization: "Q4_K_M"},
		{Name: "deepseek-r1:7b", Size: 4683075271, Family: "qwen2", ParameterSize: "7.6B", Quantization: "Q4_K_M"},
		{Name: "deepseek-r1:14b", Size: 8988112040, Family: "qwen2", ParameterSize: "14.8B", Quantization: "Q4_K_M"},
		{Name: "gemma2:9b", Size: 5443152417, Family: "gemma2", ParameterSize: "9.2B", Quantization: "Q4_0"},
		{Name: "phi3:mini", Size: 2176178913, Family: "phi3", ParameterSize: "3.8B", Quantization: "Q4_0"},
		{Name: "nomic-embed-text:latest", Size: 274302450, Family: "nomic-bert", ParameterSize: "137M", Quantization: "F16"},
	}
	for range s.between(2, 4) {
		i := s.intn(len(models))
		m := models[i]
		models = append(models[:i:i], models[i+1:]...)
		m.Digest = s.hex(32)
		m.ModifiedAt = p.before(s, p.BornAt, 60)
		p.Ollama.Models = append(p.Ollama.Models, m)
	}
	images := [][4]string{
		{"redis:7-alpine", "docker-entrypoint.s…", "127.0.0.1:6380->6379/tcp", "cache"},
		{"postgres:15", "docker-entrypoint.s…", "127.0.0.1:5432->5432/tcp", "db"},
		{"grafana/grafana:10.4.2", "/run.sh", "127.0.0.1:3000->3000/tcp", "grafana"},
		{"portainer/portainer-ce:2.19.4", "/portainer", "127.0.0.1:9443->9443/tcp", "portainer"},
		{"node:20-alpine", "docker-entrypoint.s…", "127.0.0.1:3001->3000/tcp", "frontend"},
		{"n8nio/n8n:1.45.1", "tini -- /docker-ent…", "127.0.0.1:5678->5678/tcp", "n8n"},
	}
	brand := strings.SplitN(p.Domain, ".", 2)[0]
	for range s.between(1, 3) {
		i := s.intn(len(images))
		m := images[i]
		images = append(images[:i:i], images[i+1:]...)
		p.Containers = append(p.Containers, Container{ID: s.hex(32), ImageID: "sha256:" + s.hex(32), Image: m[0], Command: m[1], Ports: m[2], Name: brand + "-" + m[3] + "-1", Created: p.BootedAt.Add(time.Duration(s.between(60, 7200)) * time.Second)})
	}
}

// before returns a moment up to days before t.
func (p *Persona) before(s *source, t time.Time, days int) time.Time {
	return t.Add(-time.Duration(s.between(3600, days*86400)) * time.Second)
}

// pickPackages lists what dpkg -l shows; versions come from the release so
// that they agree with banners and --version outputs.
func (p *Persona) pickPackages() {
	v := p.Versions
	rev := "-1"
	if p.Distro.ID == "ubuntu" {
		rev = "-1ubuntu1"
	}
	add := func(name, version, summary string) {
		p.Packages = append(p.Packages, Package{Name: name, Version: version, Arch: "amd64", Summary: summary})
	}
	for _, l := range [][3]string{
		{"adduser", "3.134", "add and remove users and groups"}, {"apt", "2.6.1", "commandline package manager"},
		{"base-files", p.Distro.Version + ".4", "base system miscellaneous files"}, {"bash", v.Bash + rev, "GNU Bourne Again SHell"},
		{"bsdutils", "1:2.38.1-5", "basic utilities from 4.4BSD-Lite"}, {"busybox", "1:" + v.Busybox + rev, "Tiny utilities for small and embedded systems"},
		{"ca-certificates", "20230311", "Common CA certificates"}, {"coreutils", v.Coreutils + rev, "GNU core utilities"},
		{"cron", "3.0pl1-162", "process scheduling daemon"}, {"curl", v.Curl + rev, "command line tool for transferring data with URL syntax"},
		{"dash", "0.5.12-2", "POSIX-compliant shell"}, {"docker-ce", "5:" + p.Docker.Version + "-1~" + p.Distro.ID + "." + p.Distro.Version + "~" + p.Distro.Codename, "Docker: the open-source application container engine"},
		{"findutils", "4.9.0-4", "utilities for finding files--find, xargs"}, {"gcc", "4:" + v.GCC + rev, "GNU C compiler"},
		{"git", "1:" + v.Git + rev, "fast, scalable, distributed revision control system"}, {"grep", "3.8-5", "GNU grep, egrep and fgrep"},
		{"gzip", "1.12-1", "GNU compression utilities"}, {"iproute2", "6.1.0-3", "networking and traffic control tools"},
		{"iptables", "1.8.9-2", "administration tools for packet filtering and NAT"}, {"libc6", v.Glibc + rev, "GNU C Library: Shared libraries"},
		{"linux-image-" + p.Kernel.Release, strings.SplitN(p.Kernel.Release, "-", 2)[0] + rev, "Linux kernel image"}, {"login", "1:4.13+dfsg1-1", "system login tools"},
		{"make", "4.3-4.1", "utility for directing compilation"}, {"net-tools", "2.10-0.1", "NET-3 networking toolkit"},
		{p.Web.Server, p.Web.Version + rev, "web server"}, {"openssh-server", p.SSH.Package, "secure shell (SSH) server, for secure access from remote machines"},
		{"openssl", v.OpenSSL + rev, "Secure Sockets Layer toolkit - cryptographic utility"}, {"passwd", "1:4.13+dfsg1-1", "change and administer password and group data"},
		{"perl", v.Perl + rev, "Larry Wall's Practical Extraction and Report Language"}, {"php-fpm", v.PHP + rev, "server-side, HTML-embedded scripting language (FPM-CGI binary)"},
		{"procps", "2:4.0.2-3", "/proc file system utilities"}, {"python3", v.Python + rev, "interactive high-level object-oriented language"},
		{"redis-server", "5:" + v.Redis + rev, "Persistent key-value database with network interface"}, {"rsyslog", "8.2302.0-1", "reliable system and kernel logging daemon"},
		{"sed", "4.9-1", "GNU stream editor for filtering/transforming text"}, {"sudo", "1.9.13p3-1", "Provide limited super user privileges to specific users"},
		{"systemd", v.Systemd + rev, "system and service manager"}, {"tar", "1.34+dfsg-1", "GNU version of the tar archiving utility"},
		{"ufw", "0.36.2-1", "program for managing a Netfilter firewall"}, {"util-linux", "2.38.1-5", "miscellaneous system utilities"},
		{"vim-tiny", "2:9.0.1378-2", "Vi IMproved - enhanced vi editor - compact version"}, {"wget", v.Wget + rev, "retrieves files from the web"},
	} {
		add(l[0], l[1], l[2])
	}
}

func (p *Persona) pickLife(s *source) {
	site := "/var/www/" + p.Domain
	p.Crons = []Cron{
		{"root", fmt.Sprintf("%d %d * * *", s.intn(60), s.between(1, 5)), "/usr/local/bin/backup.sh > /var/log/backup.log 2>&1"},
		{"root", fmt.Sprintf("%d %d * * %d", s.intn(60), s.intn(24), s.intn(7)), "certbot renew --quiet"},
		{"www-data", pick(s, []string{"*/5 * * * *", "*/10 * * * *", "* * * * *"}), "php " + site + "/cron.php"},
	}
	pid := s.between(300, 380)
	next := func() int { pid += s.between(1, 17); return pid }
	add := func(pid, ppid int, user, cmd string, vsz, rss int) {
		p.Processes = append(p.Processes, Process{PID: pid, PPID: ppid, User: user, TTY: "?", State: "Ss", VSZ: vsz, RSS: rss, Mem: float64(rss) * 100 / float64(p.Hardware.MemKB), Command: cmd})
	}
	listen := func(proto, addr string, pid int, prog, user string) {
		p.Sockets = append(p.Sockets, Socket{Proto: proto, Addr: addr, PID: pid, Program: prog, User: user})
	}
	add(1, 0, "root", "/sbin/init", 167740, 12672)
	for i, k := range []string{"kthreadd", "rcu_gp", "rcu_par_gp", "kworker/0:0H-events_highpri", "mm_percpu_wq", "ksoftirqd/0", "rcu_sched", "migration/0", "kdevtmpfs", "kswapd0", "jbd2/" + p.rootPart() + "-8"} {
		add([]int{2, 3, 4, 6, 9, 10, 11, 12, 20, 61, 213}[i], min(i, 1)*2, "root", "["+k+"]", 0, 0)
	}
	add(next(), 1, "root", "/lib/systemd/systemd-journald", 64840, 21400+s.intn(9000))
	add(next(), 1, "root", "/lib/systemd/systemd-udevd", 24300, 6200)
	add(next(), 1, "systemd-network", "/lib/systemd/systemd-networkd", 16240, 7900)
	add(next(), 1, "root", "/usr/sbin/cron -f", 6616, 2748)
	add(next(), 1, "messagebus", "/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only", 8292, 4636)
	add(next(), 1, "root", "/usr/sbin/rsyslogd -n -iNONE", 222400, 6200)
	sshd := next()
	add(sshd, 1, "root", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", 15432, 9300)
	listen("tcp", "0.0.0.0:22", sshd, "sshd", "root")
	listen("tcp6", "[::]:22", sshd, "sshd", "root")
	cd, dk := next(), next()
	add(cd, 1, "root", "/usr/bin/containerd", 1356480, 48200+s.intn(9000))
	add(dk, 1, "root", "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock", 1500360, 81200+s.intn(9000))
	web := next()
	if p.Web.Server == "nginx" {
		add(web, 1, "root", "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", 55240, 1700)
		for range 2 {
			add(next(), web, "www-data", "nginx: worker process", 55940, 6100)
		}
	} else {
		add(web, 1, "root", "/usr/sbin/apache2 -k start", 202640, 22400)
		for range 3 {
			add(next(), web, "www-data", "/usr/sbin/apache2 -k start", 203200, 13900)
		}
	}
	listen("tcp", "0.0.0.0:80", web, p.Web.Server, "root")
	listen("tcp", "0.0.0.0:443", web, p.Web.Server, "root")
	my, rd, ol := next(), next(), next()
	add(my, 1, "mysql", "/usr/sbin/mysqld", 1795300, 384000+s.intn(90000))
	listen("tcp", "127.0.0.1:3306", my, "mysqld", "mysql")
	add(rd, 1, "redis", "/usr/bin/redis-server 0.0.0.0:6379", 66960, 7900)
	listen("tcp", "0.0.0.0:6379", rd, "redis-server", "redis")
	add(ol, 1, "root", "/usr/local/bin/ollama serve", 2211320, 61800)
	listen("tcp6", "[::]:11434", ol, "ollama", "root")
	add(next(), 1, "root", "/sbin/agetty -o -p -- \\u --noclear tty1 linux", 5868, 1048)
	p.pickLogins(s)
}

func (p *Persona) rootPart() string {
	if strings.HasPrefix(p.Hardware.DiskDevice, "nvme") {
		return p.Hardware.DiskDevice + "p1"
	}
	return p.Hardware.DiskDevice + "1"
}

// RootPartition is the device name of the root file system without /dev/.
func (p *Persona) RootPartition() string { return p.rootPart() }

func (p *Persona) pickLogins(s *source) {
	at := p.BornAt
	for range s.between(4, 9) {
		at = at.Add(-time.Duration(s.between(4*3600, 9*86400)) * time.Second)
		u := pick(s, p.Users)
		from := fmt.Sprintf("10.%d.%d.%d", s.between(1, 250), s.intn(250), s.between(2, 250))
		p.Logins = append(p.Logins, Login{User: u.Name, TTY: "pts/" + s.text("0012", 1), From: from, At: at, For: time.Duration(s.between(40, 9000)) * time.Second})
	}
}
