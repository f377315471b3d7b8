package system

import (
	"fmt"
	"path"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

func cmdService(c *interp.Call) int {
	if len(c.Args) < 2 {
		if len(c.Args) == 1 && c.Args[0] == "--status-all" {
			c.Printf(" [ + ]  cron\n [ + ]  docker\n [ + ]  %s\n [ + ]  redis-server\n [ + ]  ssh\n", c.Sh.P.Web.Server)
			return 0
		}
		fmt.Fprint(c.Err, "Usage: service < option > | --status-all | [ service_name [ command | --full-restart ] ]\n")
		return 1
	}
	if !serviceExists(c, c.Args[0]) {
		fmt.Fprintf(c.Err, "%s: unrecognized service\n", c.Args[0])
		return 1
	}
	return 0
}

func serviceExists(c *interp.Call, name string) bool {
	name = strings.TrimSuffix(name, ".service")
	switch name {
	case "ssh", "sshd", "cron", "docker", "redis", "redis-server", "mysql", "mariadb", "rsyslog", "ollama", "ufw", "systemd-journald", "systemd-networkd", c.Sh.P.Web.Server:
		return true
	}
	_, err := c.Sh.Fs.Stat("/etc/systemd/system/" + path.Base(name) + ".service")
	return err == nil
}

func cmdSystemctl(c *interp.Call) int {
	o := c.Flags("qlatn:p:", "type=", "state=", "now")
	if len(o.Rest) == 0 || o.Rest[0] == "list-units" {
		c.Print("  UNIT                        LOAD   ACTIVE SUB     DESCRIPTION\n")
		for _, s := range []string{"cron", "docker", c.Sh.P.Web.Server, "redis-server", "rsyslog", "ssh"} {
			c.Printf("  %-27s loaded active running %s\n", s+".service", s)
		}
		return 0
	}
	verb, units := o.Rest[0], o.Rest[1:]
	for _, u := range units {
		if serviceExists(c, u) {
			u = strings.TrimSuffix(u, ".service")
			switch verb {
			case "status":
				c.Printf("● %s.service - %s\n     Loaded: loaded (/lib/systemd/system/%s.service; enabled; preset: enabled)\n     Active: active (running) since %s; %d days ago\n", u, u, u, c.Sh.P.BootedAt.Format("Mon 2006-01-02 15:04:05 MST"), int(c.Sh.P.Uptime(c.Sh.Now()).Hours())/24)
			case "is-active":
				c.Print("active\n")
			case "is-enabled":
				c.Print("enabled\n")
			}
			continue
		}
		switch verb {
		case "is-active":
			c.Print("inactive\n")
			return 3
		case "status":
			fmt.Fprintf(c.Err, "Unit %s.service could not be found.\n", strings.TrimSuffix(u, ".service"))
			return 4
		case "enable", "disable":
			fmt.Fprintf(c.Err, "Failed to %s unit: Unit file %s.service does not exist.\n", verb, strings.TrimSuffix(u, ".service"))
			return 1
		case "stop", "restart", "start":
			fmt.Fprintf(c.Err, "Failed to %s %s.service: Unit %s.service not %s.\n", verb, strings.TrimSuffix(u, ".service"), strings.TrimSuffix(u, ".service"), map[bool]string{true: "loaded", false: "found"}[verb == "stop"])
			return 5
		}
	}
	return 0
}

func cmdApt(c *interp.Call) int {
	o := c.Flags("yqfdt:o:", "no-install-recommends")
	if len(o.Rest) == 0 {
		c.Printf("apt 2.6.1 (amd64)\nUsage: apt [options] command\n")
		return 0
	}
	verb := o.Rest[0]
	if c.Sh.Who.Uid != 0 && verb != "list" && verb != "search" && verb != "show" {
		fmt.Fprint(c.Err, "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?\n")
		return 100
	}
	mirror := map[string]string{"ubuntu": "archive.ubuntu.com", "debian": "deb.debian.org"}[c.Sh.P.Distro.ID]
	switch verb {
	case "update":
		c.Sh.Sleep(3 * time.Second)
		fmt.Fprintf(c.Err, "Err:1 http://%s/%s %s InRelease\n  Could not connect to %s:80, connection timed out\nReading package lists... Done\nW: Some index files failed to download. They have been ignored, or old ones used instead.\n", mirror, c.Sh.P.Distro.ID, c.Sh.P.Distro.Codename, mirror)
		return 0
	case "install":
		c.Print("Reading package lists... Done\nBuilding dependency tree... Done\nReading state information... Done\n")
		for _, p := range o.Rest[1:] {
			c.Sh.RecordDownload("apt://"+p, "apt")
			if v := packageVersion(c, p); v != "" {
				c.Printf("%s is already the newest version (%s).\n", p, v)
				continue
			}
			c.Sh.Sleep(2 * time.Second)
			fmt.Fprintf(c.Err, "E: Failed to fetch http://%s/%s/pool/main/%s/%s  Could not connect to %s:80, connection timed out\nE: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n", mirror, c.Sh.P.Distro.ID, interp.Clip(p, 1), p, mirror)
			return 100
		}
		c.Print("0 upgraded, 0 newly installed, 0 to remove and 14 not upgraded.\n")
	case "remove", "purge", "autoremove", "clean", "upgrade", "dist-upgrade":
		c.Print("Reading package lists... Done\nBuilding dependency tree... Done\nReading state information... Done\n0 upgraded, 0 newly installed, 0 to remove and 14 not upgraded.\n")
	case "list":
		c.Print("Listing... Done\n")
		for _, p := range c.Sh.P.Packages {
			c.Printf("%s/now %s %s [installed,local]\n", p.Name, p.Version, p.Arch)
		}
	default:
		fmt.Fprintf(c.Err, "E: Invalid operation %s\n", verb)
		return 100
	}
	return 0
}

func packageVersion(c *interp.Call, name string) string {
	for _, p := range c.Sh.P.Packages {
		if p.Name == name {
			return p.Version
		}
	}
	return ""
}

func cmdDpkg(c *interp.Call) int {
	o := c.Flags("lisLSrP", "print-architecture")
	switch {
	case o.Has("print-architecture"):
		c.Print("amd64\n")
	case o.Has("l", "list"):
		c.Print("Desired=Unknown/Install/Remove/Purge/Hold\n| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend\n|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)\n||/ Name                 Version                    Architecture Description\n+++-====================-==========================-============-=================================\n")
		for _, p := range c.Sh.P.Packages {
			if len(o.Rest) > 0 && !syntax.Match(o.Rest[0], p.Name) {
				continue
			}
			c.Printf("ii  %-20s %-26s %-12s %s\n", p.Name, p.Version, p.Arch, p.Summary)
		}
	case o.Has("s", "status") && len(o.Rest) > 0:
		v := packageVersion(c, o.Rest[0])
		if v == "" {
			fmt.Fprintf(c.Err, "dpkg-query: package '%s' is not installed and no information is available\n", o.Rest[0])
			return 1
		}
		c.Printf("Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n", o.Rest[0], v)
	case o.Has("i", "install"):
		for _, f := range o.Rest {
			if _, _, err := c.Node(f, true); err != nil {
				fmt.Fprintf(c.Err, "dpkg: error: cannot access archive '%s': %s\n", f, err)
				return 2
			}
		}
	}
	return 0
}

func cmdRpm(c *interp.Call) int {
	if c.Flags("qaivhUe").Has("q") {
		c.Print("")
	}
	return 0
}

func cmdGetent(c *interp.Call) int {
	if len(c.Args) == 0 {
		return 1
	}
	p := map[string]string{"passwd": "/etc/passwd", "group": "/etc/group", "shadow": "/etc/shadow", "hosts": "/etc/hosts"}[c.Args[0]]
	b, err := c.Sh.Fs.Slurp(p)
	if err != nil {
		fmt.Fprintf(c.Err, "Unknown database: %s\n", c.Args[0])
		return 1
	}
	st := 0
	if len(c.Args) > 1 {
		st = 2
	}
	for _, l := range strings.Split(strings.TrimSpace(interp.Clip(string(b), 64<<10)), "\n") {
		if len(c.Args) == 1 || strings.HasPrefix(l, c.Args[1]+":") {
			c.Printf("%s\n", l)
			st = 0
		}
	}
	return st
}

func cmdReboot(c *interp.Call) int {
	if c.Sh.Who.Uid != 0 {
		fmt.Fprint(c.Err, "Failed to set wall message, ignoring: Interactive authentication required.\nCall to Reboot failed: Interactive authentication required.\n")
		return 1
	}
	c.Sh.Ended = true
	c.E.Ctl = interp.CtlExit
	return 0
}

func cmdJournal(c *interp.Call) int {
	b, err := c.Sh.Fs.Slurp("/var/log/syslog")
	if err != nil {
		c.Print("No journal files were found.\n-- No entries --\n")
		return 1
	}
	c.Print(string(b))
	return 0
}

func cmdAt(c *interp.Call) int {
	c.ReadAll(c.In)
	fmt.Fprintf(c.Err, "warning: commands will be executed using /bin/sh\njob 1 at %s\n", c.Sh.Now().Add(time.Minute).UTC().Format("Mon Jan _2 15:04:00 2006"))
	return 0
}

func cmdSnap(c *interp.Call) int {
	c.Print("No snaps are installed yet. Try 'snap install hello-world'.\n")
	return 0
}
