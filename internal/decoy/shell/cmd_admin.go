package shell

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

func adminCommands() map[string]commandFunc {
	return map[string]commandFunc{
		"crontab": cmdCrontab, "passwd": cmdPasswd, "chpasswd": cmdChpasswd, "useradd": cmdUseradd, "adduser": cmdUseradd,
		"userdel": cmdUserdel, "deluser": cmdUserdel, "usermod": cmdUsermod, "groupadd": quiet, "sudo": cmdSudo, "su": cmdSu,
		"service": cmdService, "systemctl": cmdSystemctl, "init": quiet, "apt": cmdApt, "apt-get": cmdApt, "yum": cmdApt,
		"dpkg": cmdDpkg, "rpm": cmdRpm, "getent": cmdGetent, "reboot": cmdReboot, "shutdown": cmdReboot, "halt": cmdReboot, "poweroff": cmdReboot,
		"journalctl": cmdJournal, "chsh": quiet, "at": cmdAt, "snap": cmdSnap, "update-rc.d": quiet, "logger": quiet, "mail": quiet, "crond": quiet,
	}
}

func cmdCrontab(c *call) int {
	o := c.flags("lreu:i")
	user := c.sh.who.name
	if u := o.get("u"); u != "" {
		if c.sh.who.uid != 0 {
			fmt.Fprint(c.err, "must be privileged to use -u\n")
			return 1
		}
		user = path.Base(u)
	}
	p := "/var/spool/cron/crontabs/" + user
	as := func(do func() error) error { // the program is setgid crontab
		c.sh.fs.mu.Lock()
		uid := c.sh.fs.uid
		c.sh.fs.uid = 0
		c.sh.fs.mu.Unlock()
		err := do()
		c.sh.fs.mu.Lock()
		c.sh.fs.uid = uid
		c.sh.fs.mu.Unlock()
		return err
	}
	switch {
	case o.has("l"):
		var b []byte
		if as(func() (err error) { b, err = c.sh.fs.slurp(p); return err }) != nil {
			fmt.Fprintf(c.err, "no crontab for %s\n", user)
			return 1
		}
		c.print(string(b))
		return 0
	case o.has("r"):
		if as(func() error { return c.sh.fs.Remove(p) }) != nil {
			fmt.Fprintf(c.err, "no crontab for %s\n", user)
			return 1
		}
		return 0
	case o.has("e"):
		return 0
	}
	src := "-"
	if len(o.rest) > 0 {
		src = o.rest[0]
	}
	r, err := c.open(src)
	if err != nil {
		fmt.Fprintf(c.err, "%s: %s\n", src, err)
		return 1
	}
	text := c.readAll(r)
	if as(func() error { return c.sh.store(p, text, 0o600, "crontab") }) != nil {
		return 1
	}
	return 0
}

// replaceIn rewrites one line of a colon file; f returns the new line, empty
// to delete it.
func (c *call) replaceIn(p, key string, f func(fields []string) string) bool {
	b, err := c.sh.fs.slurp(p)
	if err != nil {
		return false
	}
	found := false
	var out []string
	for _, l := range strings.Split(strings.TrimSuffix(clip(string(b), 64<<10), "\n"), "\n") {
		if fields := strings.Split(l, ":"); fields[0] == key {
			found = true
			if l = f(fields); l == "" {
				continue
			}
		}
		out = append(out, l)
	}
	if !found {
		return false
	}
	return c.sh.store(p, []byte(strings.Join(out, "\n")+"\n"), 0o644, "account") == nil
}

// setPassword stores a value of the right shape; it is not a real hash.
func (c *call) setPassword(user string) bool {
	return c.replaceIn("/etc/shadow", user, func(f []string) string {
		f[1] = "$6$" + c.token(16) + "$" + c.token(86)
		return strings.Join(f, ":")
	})
}

func cmdPasswd(c *call) int {
	o := c.flags("ldueSn:x:", "stdin")
	user := c.sh.who.name
	if len(o.rest) > 0 {
		user = o.rest[0]
	}
	if _, ok := c.sh.account(user); !ok {
		return c.fail(1, "user '%s' does not exist", user)
	}
	if user != c.sh.who.name && c.sh.who.uid != 0 {
		return c.fail(1, "You may not view or modify password information for %s.", user)
	}
	if len(o.set) > 0 {
		c.printf("passwd: password expiry information changed.\n")
		return 0
	}
	fmt.Fprint(c.err, "New password: ")
	a, err1 := c.readSecret()
	fmt.Fprint(c.err, "\nRetype new password: ")
	b, err2 := c.readSecret()
	fmt.Fprint(c.err, "\n")
	if err1 != nil && a == "" || err2 != nil && b == "" {
		fmt.Fprint(c.err, "passwd: Authentication token manipulation error\npasswd: password unchanged\n")
		return 10
	}
	if a != b {
		fmt.Fprint(c.err, "Sorry, passwords do not match.\npasswd: Authentication token manipulation error\npasswd: password unchanged\n")
		return 10
	}
	c.sh.recordCommand("passwd " + user + " <<< " + shellQuote(a))
	c.setPassword(user)
	fmt.Fprint(c.err, "passwd: password updated successfully\n")
	return 0
}

func cmdChpasswd(c *call) int {
	if c.sh.who.uid != 0 {
		return c.fail(1, "Permission denied.")
	}
	st, n := 0, 0
	c.lines(c.in, func(l string, _ bool) bool {
		n++
		user, _, ok := strings.Cut(l, ":")
		c.sh.recordCommand("chpasswd <<< " + shellQuote(l))
		if !ok {
			st = c.fail(1, "line %d: missing new password", n)
		} else if !c.setPassword(user) {
			st = c.fail(1, "(user %s) pam_chauthtok() failed, error:\nAuthentication token manipulation error\nchpasswd: (line %d, user %s) password not changed", user, n, user)
		}
		return true
	})
	return st
}

func cmdUseradd(c *call) int {
	o := c.flags("mMrUNos:d:u:g:G:c:p:e:k:D", "shell=", "home=", "uid=", "ingroup=", "gecos=", "home-dir=", "groups=", "password=", "gid=")
	if len(o.rest) == 0 {
		fmt.Fprintf(c.err, "Usage: %s [options] LOGIN\n", c.name)
		return 2
	}
	if c.sh.who.uid != 0 {
		return c.fail(1, "Permission denied.\n%s: cannot lock /etc/passwd; try again later.", c.name)
	}
	name := o.rest[0]
	if !isName(strings.NewReplacer("-", "_", ".", "_", "$", "").Replace(name)) || len(name) > 32 {
		return c.fail(3, "invalid user name '%s': use --badname to ignore", name)
	}
	if _, ok := c.sh.account(name); ok {
		return c.fail(9, "user '%s' already exists", name)
	}
	uid := 1000
	for _, a := range c.sh.accounts() {
		if a.uid >= uid && a.uid < 60000 {
			uid = a.uid + 1
		}
	}
	gid := uid
	if u, err := strconv.Atoi(o.get("u", "uid")); err == nil && u >= 0 {
		uid = u
	}
	if g := o.get("g", "gid", "ingroup"); g != "" && c.sh.gid(g) >= 0 {
		gid = c.sh.gid(g)
	}
	a := account{name: name, uid: uid, gid: gid, home: "/home/" + name, shell: "/bin/sh", gecos: o.get("c", "gecos")}
	if c.name == "adduser" {
		a.shell = "/bin/bash"
	}
	if h := o.get("d", "home", "home-dir"); h != "" {
		a.home = h
	}
	if s := o.get("s", "shell"); s != "" {
		a.shell = s
	}
	home := a.home
	if !o.has("m", "create-home") && c.name == "useradd" {
		a.home = "/" + name + "/\x00" // no directory is made for an unlikely path
	}
	c.createAccount(a, home)
	if g := o.get("G", "groups"); g != "" {
		c.addToGroups(name, g)
	}
	if c.name == "adduser" {
		c.printf("Adding user `%s' ...\nAdding new group `%s' (%d) ...\nAdding new user `%s' (%d) with group `%s' ...\nCreating home directory `%s' ...\nCopying files from `/etc/skel' ...\n", name, name, gid, name, uid, name, home)
	}
	return 0
}

func (c *call) createAccount(a account, home string) {
	makeHome := !strings.HasSuffix(a.home, "\x00")
	a.home = home
	s := c.sh
	clean := func(t string) string {
		return strings.Map(func(r rune) rune {
			if r == ':' || r < 32 {
				return -1
			}
			return r
		}, clip(t, 128))
	}
	s.appendFile("/etc/passwd", a.name+":x:"+itoa(a.uid)+":"+itoa(a.gid)+":"+clean(a.gecos)+":"+clean(a.home)+":"+clean(a.shell)+"\n")
	s.appendFile("/etc/shadow", a.name+":!:"+itoa(int(s.now().Unix()/86400))+":0:99999:7:::\n")
	if a.gid == a.uid {
		s.appendFile("/etc/group", a.name+":x:"+itoa(a.gid)+":\n")
	}
	if !makeHome {
		return
	}
	c.locked(func(f *FS) error {
		p, err := f.add(a.home, &node{mode: modeDir | 0o755})
		if err == nil {
			n := f.own(p)
			n.uid, n.gid = a.uid, a.gid
		}
		return err
	})
}

func (c *call) addToGroups(user, groups string) {
	for _, g := range strings.Split(groups, ",") {
		c.replaceIn("/etc/group", g, func(f []string) string {
			if len(f) > 3 && f[3] != "" {
				f[3] += "," + user
			} else if len(f) > 3 {
				f[3] = user
			}
			return strings.Join(f, ":")
		})
	}
}

func cmdUserdel(c *call) int {
	o := c.flags("rf", "remove-home")
	st := 0
	for _, u := range o.rest {
		a, ok := c.sh.account(u)
		if !ok {
			st = c.fail(6, "user '%s' does not exist", u)
			continue
		}
		for _, p := range []string{"/etc/passwd", "/etc/shadow", "/etc/group"} {
			c.replaceIn(p, u, func([]string) string { return "" })
		}
		if o.has("r", "remove-home") && a.uid != 0 {
			c.locked(func(f *FS) error { return f.unlink(a.home) })
		}
	}
	return st
}

func cmdUsermod(c *call) int {
	o := c.flags("aG:s:d:L:U:u:g:p:l:o", "shell=", "append", "groups=")
	if len(o.rest) == 0 {
		return 2
	}
	u := o.rest[0]
	if _, ok := c.sh.account(u); !ok {
		return c.fail(6, "user '%s' does not exist", u)
	}
	if g := o.get("G", "groups"); g != "" {
		c.addToGroups(u, g)
	}
	c.replaceIn("/etc/passwd", u, func(f []string) string {
		if s := o.get("s", "shell"); s != "" && len(f) > 6 {
			f[6] = strings.ReplaceAll(s, ":", "")
		}
		if n := o.get("u"); n != "" && len(f) > 6 && strings.Trim(n, "0123456789") == "" {
			f[2] = n
		}
		return strings.Join(f, ":")
	})
	return 0
}

// as runs argv with another account's rights.
func (c *call) as(a account, argv []string) int {
	s := c.sh
	old := s.who
	s.who = a
	s.fs.mu.Lock()
	s.fs.uid, s.fs.gid = a.uid, a.gid
	s.fs.mu.Unlock()
	e := c.e.sub()
	e.setExport("USER", a.name)
	e.setExport("HOME", a.home)
	e.invoke(argv, 5)
	s.who = old
	s.fs.mu.Lock()
	s.fs.uid, s.fs.gid = old.uid, old.gid
	s.fs.mu.Unlock()
	return e.status
}

func cmdSudo(c *call) int {
	args := c.args
	target := "root"
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-u":
			if len(args) > 1 {
				target, args = args[1], args[1:]
			}
		case "-l":
			c.printf("User %s may run the following commands on %s:\n    (ALL : ALL) ALL\n", c.sh.who.name, c.sh.hostname())
			return 0
		case "-i", "-s":
			if len(args) == 1 {
				return cmdSu(&call{sh: c.sh, e: c.e, name: "su", in: c.in, out: c.out, err: c.err})
			}
		case "-V", "--version":
			c.print("Sudo version 1.9.13p3\n")
			return 0
		}
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprint(c.err, "usage: sudo -h | -K | -k | -V\nusage: sudo [-AbEHknPS] [-u user] [VAR=value] [-i|-s] [<command>]\n")
		return 1
	}
	a, ok := c.sh.account(target)
	if !ok {
		return c.fail(1, "unknown user %s", target)
	}
	if c.sh.who.uid != 0 {
		fmt.Fprintf(c.err, "[sudo] password for %s: ", c.sh.who.name)
		pw, err := c.readSecret()
		fmt.Fprint(c.err, "\n")
		if err != nil && pw == "" {
			return c.fail(1, "a password is required")
		}
		c.sh.recordCommand("sudo password: " + pw)
	}
	for len(args) > 1 && strings.Contains(args[0], "=") {
		args = args[1:]
	}
	return c.as(a, args)
}

func cmdSu(c *call) int {
	o := c.flags("lmps:c:", "command=", "shell=")
	name := "root"
	for _, r := range o.rest {
		if r != "-" {
			name = r
			break
		}
	}
	a, ok := c.sh.account(name)
	if !ok {
		return c.fail(1, "user %s does not exist or the user entry does not contain all the required fields", name)
	}
	if c.sh.who.uid != 0 {
		fmt.Fprint(c.err, "Password: ")
		pw, err := c.readSecret()
		fmt.Fprint(c.err, "\n")
		if err != nil && pw == "" {
			return c.fail(1, "Authentication failure")
		}
		c.sh.recordCommand("su password: " + pw)
	}
	if cmd := o.get("c", "command"); cmd != "" {
		return c.as(a, []string{"bash", "-c", cmd})
	}
	if strings.HasSuffix(a.shell, "nologin") {
		c.print("This account is currently not available.\n")
		return 1
	}
	if !c.tty() { // commands follow on standard input
		return c.as(a, []string{"bash"})
	}
	c.sh.become(a)
	return 0
}

func cmdService(c *call) int {
	if len(c.args) < 2 {
		if len(c.args) == 1 && c.args[0] == "--status-all" {
			c.printf(" [ + ]  cron\n [ + ]  docker\n [ + ]  %s\n [ + ]  redis-server\n [ + ]  ssh\n", c.sh.p.Web.Server)
			return 0
		}
		fmt.Fprint(c.err, "Usage: service < option > | --status-all | [ service_name [ command | --full-restart ] ]\n")
		return 1
	}
	if !c.serviceExists(c.args[0]) {
		fmt.Fprintf(c.err, "%s: unrecognized service\n", c.args[0])
		return 1
	}
	return 0
}

func (c *call) serviceExists(name string) bool {
	name = strings.TrimSuffix(name, ".service")
	switch name {
	case "ssh", "sshd", "cron", "docker", "redis", "redis-server", "mysql", "mariadb", "rsyslog", "ollama", "ufw", "systemd-journald", "systemd-networkd", c.sh.p.Web.Server:
		return true
	}
	_, err := c.sh.fs.Stat("/etc/systemd/system/" + path.Base(name) + ".service")
	return err == nil
}

func cmdSystemctl(c *call) int {
	o := c.flags("qlatn:p:", "type=", "state=", "now")
	if len(o.rest) == 0 || o.rest[0] == "list-units" {
		c.print("  UNIT                        LOAD   ACTIVE SUB     DESCRIPTION\n")
		for _, s := range []string{"cron", "docker", c.sh.p.Web.Server, "redis-server", "rsyslog", "ssh"} {
			c.printf("  %-27s loaded active running %s\n", s+".service", s)
		}
		return 0
	}
	verb, units := o.rest[0], o.rest[1:]
	for _, u := range units {
		if c.serviceExists(u) {
			u = strings.TrimSuffix(u, ".service")
			switch verb {
			case "status":
				c.printf("● %s.service - %s\n     Loaded: loaded (/lib/systemd/system/%s.service; enabled; preset: enabled)\n     Active: active (running) since %s; %d days ago\n", u, u, u, c.sh.p.BootedAt.Format("Mon 2006-01-02 15:04:05 MST"), int(c.sh.p.Uptime(c.sh.now()).Hours())/24)
			case "is-active":
				c.print("active\n")
			case "is-enabled":
				c.print("enabled\n")
			}
			continue
		}
		switch verb {
		case "is-active":
			c.print("inactive\n")
			return 3
		case "status":
			fmt.Fprintf(c.err, "Unit %s.service could not be found.\n", strings.TrimSuffix(u, ".service"))
			return 4
		case "enable", "disable":
			fmt.Fprintf(c.err, "Failed to %s unit: Unit file %s.service does not exist.\n", verb, strings.TrimSuffix(u, ".service"))
			return 1
		case "stop", "restart", "start":
			fmt.Fprintf(c.err, "Failed to %s %s.service: Unit %s.service not %s.\n", verb, strings.TrimSuffix(u, ".service"), strings.TrimSuffix(u, ".service"), map[bool]string{true: "loaded", false: "found"}[verb == "stop"])
			return 5
		}
	}
	return 0
}

func cmdApt(c *call) int {
	o := c.flags("yqfdt:o:", "no-install-recommends")
	if len(o.rest) == 0 {
		c.printf("apt 2.6.1 (amd64)\nUsage: apt [options] command\n")
		return 0
	}
	verb := o.rest[0]
	if c.sh.who.uid != 0 && verb != "list" && verb != "search" && verb != "show" {
		fmt.Fprint(c.err, "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?\n")
		return 100
	}
	mirror := map[string]string{"ubuntu": "archive.ubuntu.com", "debian": "deb.debian.org"}[c.sh.p.Distro.ID]
	switch verb {
	case "update":
		c.sh.sleep(3 * time.Second)
		fmt.Fprintf(c.err, "Err:1 http://%s/%s %s InRelease\n  Could not connect to %s:80, connection timed out\nReading package lists... Done\nW: Some index files failed to download. They have been ignored, or old ones used instead.\n", mirror, c.sh.p.Distro.ID, c.sh.p.Distro.Codename, mirror)
		return 0
	case "install":
		c.print("Reading package lists... Done\nBuilding dependency tree... Done\nReading state information... Done\n")
		for _, p := range o.rest[1:] {
			c.sh.recordDownload("apt://"+p, "apt")
			if v := c.packageVersion(p); v != "" {
				c.printf("%s is already the newest version (%s).\n", p, v)
				continue
			}
			c.sh.sleep(2 * time.Second)
			fmt.Fprintf(c.err, "E: Failed to fetch http://%s/%s/pool/main/%s/%s  Could not connect to %s:80, connection timed out\nE: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n", mirror, c.sh.p.Distro.ID, clip(p, 1), p, mirror)
			return 100
		}
		c.print("0 upgraded, 0 newly installed, 0 to remove and 14 not upgraded.\n")
	case "remove", "purge", "autoremove", "clean", "upgrade", "dist-upgrade":
		c.print("Reading package lists... Done\nBuilding dependency tree... Done\nReading state information... Done\n0 upgraded, 0 newly installed, 0 to remove and 14 not upgraded.\n")
	case "list":
		c.print("Listing... Done\n")
		for _, p := range c.sh.p.Packages {
			c.printf("%s/now %s %s [installed,local]\n", p.Name, p.Version, p.Arch)
		}
	default:
		fmt.Fprintf(c.err, "E: Invalid operation %s\n", verb)
		return 100
	}
	return 0
}

func (c *call) packageVersion(name string) string {
	for _, p := range c.sh.p.Packages {
		if p.Name == name {
			return p.Version
		}
	}
	return ""
}

func cmdDpkg(c *call) int {
	o := c.flags("lisLSrP", "print-architecture")
	switch {
	case o.has("print-architecture"):
		c.print("amd64\n")
	case o.has("l", "list"):
		c.print("Desired=Unknown/Install/Remove/Purge/Hold\n| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend\n|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)\n||/ Name                 Version                    Architecture Description\n+++-====================-==========================-============-=================================\n")
		for _, p := range c.sh.p.Packages {
			if len(o.rest) > 0 && !match(o.rest[0], p.Name) {
				continue
			}
			c.printf("ii  %-20s %-26s %-12s %s\n", p.Name, p.Version, p.Arch, p.Summary)
		}
	case o.has("s", "status") && len(o.rest) > 0:
		v := c.packageVersion(o.rest[0])
		if v == "" {
			fmt.Fprintf(c.err, "dpkg-query: package '%s' is not installed and no information is available\n", o.rest[0])
			return 1
		}
		c.printf("Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n", o.rest[0], v)
	case o.has("i", "install"):
		for _, f := range o.rest {
			if _, _, err := c.node(f, true); err != nil {
				fmt.Fprintf(c.err, "dpkg: error: cannot access archive '%s': %s\n", f, err)
				return 2
			}
		}
	}
	return 0
}

func cmdRpm(c *call) int {
	if c.flags("qaivhUe").has("q") {
		c.print("")
	}
	return 0
}

func cmdGetent(c *call) int {
	if len(c.args) == 0 {
		return 1
	}
	p := map[string]string{"passwd": "/etc/passwd", "group": "/etc/group", "shadow": "/etc/shadow", "hosts": "/etc/hosts"}[c.args[0]]
	b, err := c.sh.fs.slurp(p)
	if err != nil {
		fmt.Fprintf(c.err, "Unknown database: %s\n", c.args[0])
		return 1
	}
	st := 0
	if len(c.args) > 1 {
		st = 2
	}
	for _, l := range strings.Split(strings.TrimSpace(clip(string(b), 64<<10)), "\n") {
		if len(c.args) == 1 || strings.HasPrefix(l, c.args[1]+":") {
			c.printf("%s\n", l)
			st = 0
		}
	}
	return st
}

func cmdReboot(c *call) int {
	if c.sh.who.uid != 0 {
		fmt.Fprint(c.err, "Failed to set wall message, ignoring: Interactive authentication required.\nCall to Reboot failed: Interactive authentication required.\n")
		return 1
	}
	c.sh.ended = true
	c.e.ctl = ctlExit
	return 0
}

func cmdJournal(c *call) int {
	b, err := c.sh.fs.slurp("/var/log/syslog")
	if err != nil {
		c.print("No journal files were found.\n-- No entries --\n")
		return 1
	}
	c.print(string(b))
	return 0
}

func cmdAt(c *call) int {
	c.readAll(c.in)
	fmt.Fprintf(c.err, "warning: commands will be executed using /bin/sh\njob 1 at %s\n", c.sh.now().Add(time.Minute).UTC().Format("Mon Jan _2 15:04:00 2006"))
	return 0
}

func cmdSnap(c *call) int {
	c.print("No snaps are installed yet. Try 'snap install hello-world'.\n")
	return 0
}
