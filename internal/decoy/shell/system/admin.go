package system

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

func AdminCommands() map[string]interp.CommandFunc {
	return map[string]interp.CommandFunc{
		"crontab": cmdCrontab, "passwd": cmdPasswd, "chpasswd": cmdChpasswd, "useradd": cmdUseradd, "adduser": cmdUseradd,
		"userdel": cmdUserdel, "deluser": cmdUserdel, "usermod": cmdUsermod, "groupadd": quiet, "sudo": cmdSudo, "su": cmdSu,
		"service": cmdService, "systemctl": cmdSystemctl, "init": quiet, "apt": cmdApt, "apt-get": cmdApt, "yum": cmdApt,
		"dpkg": cmdDpkg, "rpm": cmdRpm, "getent": cmdGetent, "reboot": cmdReboot, "shutdown": cmdReboot, "halt": cmdReboot, "poweroff": cmdReboot,
		"journalctl": cmdJournal, "chsh": quiet, "at": cmdAt, "snap": cmdSnap, "update-rc.d": quiet, "logger": quiet, "mail": quiet, "crond": quiet,
	}
}

func cmdCrontab(c *interp.Call) int {
	o := c.Flags("lreu:i")
	user := c.Sh.Who.Name
	if u := o.Get("u"); u != "" {
		if c.Sh.Who.Uid != 0 {
			fmt.Fprint(c.Err, "must be privileged to use -u\n")
			return 1
		}
		user = path.Base(u)
	}
	p := "/var/spool/cron/crontabs/" + user
	as := func(do func() error) error { // the program is setgid crontab
		c.Sh.Fs.Mu.Lock()
		uid := c.Sh.Fs.Uid
		c.Sh.Fs.Uid = 0
		c.Sh.Fs.Mu.Unlock()
		err := do()
		c.Sh.Fs.Mu.Lock()
		c.Sh.Fs.Uid = uid
		c.Sh.Fs.Mu.Unlock()
		return err
	}
	switch {
	case o.Has("l"):
		var b []byte
		if as(func() (err error) { b, err = c.Sh.Fs.Slurp(p); return err }) != nil {
			fmt.Fprintf(c.Err, "no crontab for %s\n", user)
			return 1
		}
		c.Print(string(b))
		return 0
	case o.Has("r"):
		if as(func() error { return c.Sh.Fs.Remove(p) }) != nil {
			fmt.Fprintf(c.Err, "no crontab for %s\n", user)
			return 1
		}
		return 0
	case o.Has("e"):
		return 0
	}
	src := "-"
	if len(o.Rest) > 0 {
		src = o.Rest[0]
	}
	r, err := c.Open(src)
	if err != nil {
		fmt.Fprintf(c.Err, "%s: %s\n", src, err)
		return 1
	}
	text := c.ReadAll(r)
	if as(func() error { return c.Sh.Store(p, text, 0o600, "crontab") }) != nil {
		return 1
	}
	return 0
}

// replaceIn rewrites one line of a colon file; f returns the new line, empty
// to delete it.
func replaceIn(c *interp.Call, p, key string, f func(fields []string) string) bool {
	b, err := c.Sh.Fs.Slurp(p)
	if err != nil {
		return false
	}
	found := false
	var out []string
	for _, l := range strings.Split(strings.TrimSuffix(interp.Clip(string(b), 64<<10), "\n"), "\n") {
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
	return c.Sh.Store(p, []byte(strings.Join(out, "\n")+"\n"), 0o644, "account") == nil
}

// setPassword stores a value of the right shape; it is not a real hash.
func setPassword(c *interp.Call, user string) bool {
	return replaceIn(c, "/etc/shadow", user, func(f []string) string {
		f[1] = "$6$" + c.Token(16) + "$" + c.Token(86)
		return strings.Join(f, ":")
	})
}

func cmdPasswd(c *interp.Call) int {
	o := c.Flags("ldueSn:x:", "stdin")
	user := c.Sh.Who.Name
	if len(o.Rest) > 0 {
		user = o.Rest[0]
	}
	if _, ok := c.Sh.Account(user); !ok {
		return c.Fail(1, "user '%s' does not exist", user)
	}
	if user != c.Sh.Who.Name && c.Sh.Who.Uid != 0 {
		return c.Fail(1, "You may not view or modify password information for %s.", user)
	}
	if len(o.Set) > 0 {
		c.Printf("passwd: password expiry information changed.\n")
		return 0
	}
	fmt.Fprint(c.Err, "New password: ")
	a, err1 := c.ReadSecret()
	fmt.Fprint(c.Err, "\nRetype new password: ")
	b, err2 := c.ReadSecret()
	fmt.Fprint(c.Err, "\n")
	if err1 != nil && a == "" || err2 != nil && b == "" {
		fmt.Fprint(c.Err, "passwd: Authentication token manipulation error\npasswd: password unchanged\n")
		return 10
	}
	if a != b {
		fmt.Fprint(c.Err, "Sorry, passwords do not match.\npasswd: Authentication token manipulation error\npasswd: password unchanged\n")
		return 10
	}
	c.Sh.RecordCommand("passwd " + user + " <<< " + interp.ShellQuote(a))
	setPassword(c, user)
	fmt.Fprint(c.Err, "passwd: password updated successfully\n")
	return 0
}

func cmdChpasswd(c *interp.Call) int {
	if c.Sh.Who.Uid != 0 {
		return c.Fail(1, "Permission denied.")
	}
	st, n := 0, 0
	c.Lines(c.In, func(l string, _ bool) bool {
		n++
		user, _, ok := strings.Cut(l, ":")
		c.Sh.RecordCommand("chpasswd <<< " + interp.ShellQuote(l))
		if !ok {
			st = c.Fail(1, "line %d: missing new password", n)
		} else if !setPassword(c, user) {
			st = c.Fail(1, "(user %s) pam_chauthtok() failed, error:\nAuthentication token manipulation error\nchpasswd: (line %d, user %s) password not changed", user, n, user)
		}
		return true
	})
	return st
}

func cmdUseradd(c *interp.Call) int {
	o := c.Flags("mMrUNos:d:u:g:G:c:p:e:k:D", "shell=", "home=", "uid=", "ingroup=", "gecos=", "home-dir=", "groups=", "password=", "gid=")
	if len(o.Rest) == 0 {
		fmt.Fprintf(c.Err, "Usage: %s [options] LOGIN\n", c.Name)
		return 2
	}
	if c.Sh.Who.Uid != 0 {
		return c.Fail(1, "Permission denied.\n%s: cannot lock /etc/passwd; try again later.", c.Name)
	}
	name := o.Rest[0]
	if !syntax.IsName(strings.NewReplacer("-", "_", ".", "_", "$", "").Replace(name)) || len(name) > 32 {
		return c.Fail(3, "invalid user name '%s': use --badname to ignore", name)
	}
	if _, ok := c.Sh.Account(name); ok {
		return c.Fail(9, "user '%s' already exists", name)
	}
	uid := 1000
	for _, a := range c.Sh.Accounts() {
		if a.Uid >= uid && a.Uid < 60000 {
			uid = a.Uid + 1
		}
	}
	gid := uid
	if u, err := strconv.Atoi(o.Get("u", "uid")); err == nil && u >= 0 {
		uid = u
	}
	if g := o.Get("g", "gid", "ingroup"); g != "" && c.Sh.Gid(g) >= 0 {
		gid = c.Sh.Gid(g)
	}
	a := interp.Account{Name: name, Uid: uid, Gid: gid, Home: "/home/" + name, Shell: "/bin/sh", Gecos: o.Get("c", "gecos")}
	if c.Name == "adduser" {
		a.Shell = "/bin/bash"
	}
	if h := o.Get("d", "home", "home-dir"); h != "" {
		a.Home = h
	}
	if s := o.Get("s", "shell"); s != "" {
		a.Shell = s
	}
	home := a.Home
	if !o.Has("m", "create-home") && c.Name == "useradd" {
		a.Home = "/" + name + "/\x00" // no directory is made for an unlikely path
	}
	createAccount(c, a, home)
	if g := o.Get("G", "groups"); g != "" {
		addToGroups(c, name, g)
	}
	if c.Name == "adduser" {
		c.Printf("Adding user `%s' ...\nAdding new group `%s' (%d) ...\nAdding new user `%s' (%d) with group `%s' ...\nCreating home directory `%s' ...\nCopying files from `/etc/skel' ...\n", name, name, gid, name, uid, name, home)
	}
	return 0
}

func createAccount(c *interp.Call, a interp.Account, home string) {
	makeHome := !strings.HasSuffix(a.Home, "\x00")
	a.Home = home
	s := c.Sh
	clean := func(t string) string {
		return strings.Map(func(r rune) rune {
			if r == ':' || r < 32 {
				return -1
			}
			return r
		}, interp.Clip(t, 128))
	}
	s.AppendFile("/etc/passwd", a.Name+":x:"+interp.Itoa(a.Uid)+":"+interp.Itoa(a.Gid)+":"+clean(a.Gecos)+":"+clean(a.Home)+":"+clean(a.Shell)+"\n")
	s.AppendFile("/etc/shadow", a.Name+":!:"+interp.Itoa(int(s.Now().Unix()/86400))+":0:99999:7:::\n")
	if a.Gid == a.Uid {
		s.AppendFile("/etc/group", a.Name+":x:"+interp.Itoa(a.Gid)+":\n")
	}
	if !makeHome {
		return
	}
	c.Locked(func(f *vfs.FS) error {
		p, err := f.Add(a.Home, &vfs.Node{Mode: vfs.ModeDir | 0o755})
		if err == nil {
			n := f.Own(p)
			n.Uid, n.Gid = a.Uid, a.Gid
		}
		return err
	})
}

func addToGroups(c *interp.Call, user, groups string) {
	for _, g := range strings.Split(groups, ",") {
		replaceIn(c, "/etc/group", g, func(f []string) string {
			if len(f) > 3 && f[3] != "" {
				f[3] += "," + user
			} else if len(f) > 3 {
				f[3] = user
			}
			return strings.Join(f, ":")
		})
	}
}

func cmdUserdel(c *interp.Call) int {
	o := c.Flags("rf", "remove-home")
	st := 0
	for _, u := range o.Rest {
		a, ok := c.Sh.Account(u)
		if !ok {
			st = c.Fail(6, "user '%s' does not exist", u)
			continue
		}
		for _, p := range []string{"/etc/passwd", "/etc/shadow", "/etc/group"} {
			replaceIn(c, p, u, func([]string) string { return "" })
		}
		if o.Has("r", "remove-home") && a.Uid != 0 {
			c.Locked(func(f *vfs.FS) error { return f.Unlink(a.Home) })
		}
	}
	return st
}

func cmdUsermod(c *interp.Call) int {
	o := c.Flags("aG:s:d:L:U:u:g:p:l:o", "shell=", "append", "groups=")
	if len(o.Rest) == 0 {
		return 2
	}
	u := o.Rest[0]
	if _, ok := c.Sh.Account(u); !ok {
		return c.Fail(6, "user '%s' does not exist", u)
	}
	if g := o.Get("G", "groups"); g != "" {
		addToGroups(c, u, g)
	}
	replaceIn(c, "/etc/passwd", u, func(f []string) string {
		if s := o.Get("s", "shell"); s != "" && len(f) > 6 {
			f[6] = strings.ReplaceAll(s, ":", "")
		}
		if n := o.Get("u"); n != "" && len(f) > 6 && strings.Trim(n, "0123456789") == "" {
			f[2] = n
		}
		return strings.Join(f, ":")
	})
	return 0
}

// as runs argv with another account's rights.
func as(c *interp.Call, a interp.Account, argv []string) int {
	s := c.Sh
	old := s.Who
	s.Who = a
	s.Fs.Mu.Lock()
	s.Fs.Uid, s.Fs.Gid = a.Uid, a.Gid
	s.Fs.Mu.Unlock()
	e := c.E.Sub()
	e.SetExport("USER", a.Name)
	e.SetExport("HOME", a.Home)
	e.Invoke(argv, 5)
	s.Who = old
	s.Fs.Mu.Lock()
	s.Fs.Uid, s.Fs.Gid = old.Uid, old.Gid
	s.Fs.Mu.Unlock()
	return e.Status
}

func cmdSudo(c *interp.Call) int {
	args := c.Args
	target := "root"
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-u":
			if len(args) > 1 {
				target, args = args[1], args[1:]
			}
		case "-l":
			c.Printf("User %s may run the following commands on %s:\n    (ALL : ALL) ALL\n", c.Sh.Who.Name, c.Sh.Hostname())
			return 0
		case "-i", "-s":
			if len(args) == 1 {
				return cmdSu(&interp.Call{Sh: c.Sh, E: c.E, Name: "su", In: c.In, Out: c.Out, Err: c.Err})
			}
		case "-V", "--version":
			c.Print("Sudo version 1.9.13p3\n")
			return 0
		}
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprint(c.Err, "usage: sudo -h | -K | -k | -V\nusage: sudo [-AbEHknPS] [-u user] [VAR=value] [-i|-s] [<command>]\n")
		return 1
	}
	a, ok := c.Sh.Account(target)
	if !ok {
		return c.Fail(1, "unknown user %s", target)
	}
	if c.Sh.Who.Uid != 0 {
		fmt.Fprintf(c.Err, "[sudo] password for %s: ", c.Sh.Who.Name)
		pw, err := c.ReadSecret()
		fmt.Fprint(c.Err, "\n")
		if err != nil && pw == "" {
			return c.Fail(1, "a password is required")
		}
		c.Sh.RecordCommand("sudo password: " + pw)
	}
	for len(args) > 1 && strings.Contains(args[0], "=") {
		args = args[1:]
	}
	return as(c, a, args)
}

func cmdSu(c *interp.Call) int {
	o := c.Flags("lmps:c:", "command=", "shell=")
	name := "root"
	for _, r := range o.Rest {
		if r != "-" {
			name = r
			break
		}
	}
	a, ok := c.Sh.Account(name)
	if !ok {
		return c.Fail(1, "user %s does not exist or the user entry does not contain all the required fields", name)
	}
	if c.Sh.Who.Uid != 0 {
		fmt.Fprint(c.Err, "Password: ")
		pw, err := c.ReadSecret()
		fmt.Fprint(c.Err, "\n")
		if err != nil && pw == "" {
			return c.Fail(1, "Authentication failure")
		}
		c.Sh.RecordCommand("su password: " + pw)
	}
	if cmd := o.Get("c", "command"); cmd != "" {
		return as(c, a, []string{"bash", "-c", cmd})
	}
	if strings.HasSuffix(a.Shell, "nologin") {
		c.Print("This account is currently not available.\n")
		return 1
	}
	if !c.Tty() { // commands follow on standard input
		return as(c, a, []string{"bash"})
	}
	c.Sh.Become(a)
	return 0
}
