// Package system holds the commands that show or seem to change the machine:
// processes, users, services, network, packages, containers. Downloads are
// recorded and never made.
package system

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/tools"
)

func SystemCommands() map[string]interp.CommandFunc {
	return map[string]interp.CommandFunc{
		"uname": cmdUname, "arch": cmdUname, "hostname": cmdHostname, "hostnamectl": cmdHostnamectl, "whoami": cmdWhoami, "id": cmdID, "groups": cmdID,
		"w": cmdW, "who": cmdW, "users": cmdW, "last": cmdLast, "lastlog": cmdLast, "lastb": cmdLast, "uptime": cmdUptime, "date": cmdDate,
		"ps": cmdPs, "top": cmdTop, "htop": cmdTop, "free": cmdFree, "df": cmdDf, "mount": cmdMount, "umount": cmdUmount,
		"lscpu": cmdLscpu, "nproc": cmdNproc, "lsb_release": cmdLsb, "dmesg": cmdDmesg, "lspci": cmdLspci, "lsblk": cmdLsblk,
		"fdisk": cmdLsblk, "blkid": cmdLsblk, "nvidia-smi": cmdNvidia, "lsmod": cmdLsmod, "modprobe": quiet, "insmod": quiet,
		"env": cmdEnv, "printenv": cmdEnv, "tty": cmdTTY, "stty": quiet, "clear": cmdClear, "reset": cmdClear, "pgrep": cmdPkill, "pkill": cmdPkill,
		"killall": cmdPkill, "pidof": cmdPkill, "vmstat": cmdVmstat, "iostat": cmdVmstat, "lsof": cmdLsof, "sysctl": cmdSysctl, "cal": cmdDate,
		"nice": cmdNice, "ionice": cmdNice, "setsid": cmdNice, "stdbuf": cmdNice, "nohup": cmdNice, "watch": cmdNice, "taskset": cmdNice, "chroot": cmdChroot, "nsenter": cmdNsenter,
		"locale": cmdLocale, "getconf": cmdGetconf, "dmidecode": cmdDmidecode, "swapon": quiet, "swapoff": quiet, "loginctl": cmdW,
	}
}

func quiet(*interp.Call) int { return 0 }

func cmdUname(c *interp.Call) int {
	k := c.Sh.P.Kernel
	if c.Name == "arch" {
		c.Printf("%s\n", k.Machine)
		return 0
	}
	o := c.Flags("asnrvmpio")
	if o.Bad != "" || len(o.Rest) > 0 {
		if o.Bad != "" {
			return c.Fail(1, "invalid option -- '%s'\nTry 'uname --help' for more information.", o.Bad)
		}
		return c.Fail(1, "extra operand ‘%s’\nTry 'uname --help' for more information.", o.Rest[0])
	}
	all := o.Has("a", "all")
	var out []string
	ubuntu := c.Sh.P.Distro.ID == "ubuntu"
	for _, f := range []struct{ flag, long, val string }{{"s", "kernel-name", "Linux"}, {"n", "nodename", c.Sh.Hostname()}, {"r", "kernel-release", k.Release}, {"v", "kernel-version", k.Version}, {"m", "machine", k.Machine}, {"p", "processor", k.Machine}, {"i", "hardware-platform", k.Machine}, {"o", "operating-system", "GNU/Linux"}} {
		unknown := (f.flag == "p" || f.flag == "i") && !ubuntu // Debian's uname does not know these
		if o.Has(f.flag, f.long) || all && !unknown || len(o.Set) == 0 && f.flag == "s" {
			if unknown {
				f.val = "unknown"
			}
			out = append(out, f.val)
		}
	}
	c.Printf("%s\n", strings.Join(out, " "))
	return 0
}

func cmdHostname(c *interp.Call) int {
	o := c.Flags("fisIdAyF:")
	switch {
	case o.Has("I"):
		for _, i := range c.Sh.P.Interfaces {
			c.Printf("%s ", i.Addr.Addr())
		}
		c.Print("\n")
	case o.Has("i"):
		c.Print("127.0.1.1\n")
	case o.Has("f", "fqdn"):
		c.Printf("%s.%s\n", c.Sh.Hostname(), c.Sh.P.Domain)
	case o.Has("d"):
		c.Printf("%s\n", c.Sh.P.Domain)
	case len(o.Rest) > 0:
		if c.Sh.Who.Uid != 0 {
			return c.Fail(1, "you must be root to change the host name")
		}
		if err := c.Sh.Store("/etc/hostname", []byte(interp.Clip(o.Rest[0], 64)+"\n"), 0o644, "hostname"); err != nil {
			return c.Fail(1, "%s", err)
		}
	default:
		c.Printf("%s\n", c.Sh.Hostname())
	}
	return 0
}

func cmdHostnamectl(c *interp.Call) int {
	p := c.Sh.P
	c.Printf(" Static hostname: %s\n       Icon name: computer-vm\n         Chassis: vm\n      Machine ID: %s\n  Virtualization: kvm\nOperating System: %s\n          Kernel: Linux %s\n    Architecture: x86-64\n", c.Sh.Hostname(), p.MachineID, p.Distro.PrettyName, p.Kernel.Release)
	return 0
}

func cmdWhoami(c *interp.Call) int { c.Printf("%s\n", c.Sh.Who.Name); return 0 }

func cmdID(c *interp.Call) int {
	o := c.Flags("unGgr")
	a := c.Sh.Who
	if len(o.Rest) > 0 {
		var ok bool
		if a, ok = c.Sh.Account(o.Rest[0]); !ok {
			return c.Fail(1, "‘%s’: no such user", o.Rest[0])
		}
	}
	groups := c.Sh.GroupsOf(a)
	var names []string
	for _, g := range groups {
		names = append(names, c.Sh.GroupName(g))
	}
	switch {
	case c.Name == "groups" && len(o.Rest) > 0:
		c.Printf("%s : %s\n", a.Name, strings.Join(names, " "))
	case c.Name == "groups", o.Has("G") && o.Has("n"):
		c.Printf("%s\n", strings.Join(names, " "))
	case o.Has("u") && o.Has("n"):
		c.Printf("%s\n", a.Name)
	case o.Has("u"):
		c.Printf("%d\n", a.Uid)
	case o.Has("g") && o.Has("n"):
		c.Printf("%s\n", names[0])
	case o.Has("g"):
		c.Printf("%d\n", a.Gid)
	case o.Has("G"):
		c.Printf("%s\n", strings.Trim(fmt.Sprint(groups), "[]"))
	default:
		var g []string
		for i, n := range names {
			g = append(g, fmt.Sprintf("%d(%s)", groups[i], n))
		}
		c.Printf("uid=%d(%s) gid=%d(%s) groups=%s\n", a.Uid, a.Name, a.Gid, names[0], strings.Join(g, ","))
	}
	return 0
}

func uptimeLine(s *interp.Shell) string {
	up := s.P.Uptime(s.Now())
	days, h, m := int(up.Hours())/24, int(up.Hours())%24, int(up.Minutes())%60
	d := fmt.Sprintf("%d days, ", days)
	if days == 1 {
		d = "1 day, "
	} else if days == 0 {
		d = ""
	}
	t := fmt.Sprintf("%2d:%02d", h, m)
	if h == 0 {
		t = fmt.Sprintf("%d min", m)
	}
	l := Load(s.P, s.Now())
	return fmt.Sprintf(" %s up %s%s,  1 user,  load average: %.2f, %.2f, %.2f", s.Now().UTC().Format("15:04:05"), d, t, l[0], l[1], l[2])
}

func cmdUptime(c *interp.Call) int {
	o := c.Flags("ps")
	up := c.Sh.P.Uptime(c.Sh.Now())
	switch {
	case o.Has("s"):
		c.Printf("%s\n", c.Sh.P.BootedAt.Format("2006-01-02 15:04:05"))
	case o.Has("p"):
		c.Printf("up %d days, %d hours, %d minutes\n", int(up.Hours())/24, int(up.Hours())%24, int(up.Minutes())%60)
	default:
		c.Printf("%s\n", uptimeLine(c.Sh))
	}
	return 0
}

func remote(s *interp.Shell) string {
	if s.From == "" {
		return s.P.Gateway.String()
	}
	return s.From
}

func cmdW(c *interp.Call) int {
	s := c.Sh
	at := s.Begun.UTC()
	switch c.Name {
	case "users":
		c.Printf("%s\n", s.Who.Name)
	case "who":
		c.Printf("%-8s %-12s %s (%s)\n", s.Who.Name, s.Tty, at.Format("2006-01-02 15:04"), remote(s))
	case "loginctl":
		c.Printf("SESSION UID USER SEAT TTY\n      1 %3d %s      %s\n\n1 sessions listed.\n", s.Who.Uid, s.Who.Name, s.Tty)
	default:
		c.Printf("%s\nUSER     TTY      FROM             LOGIN@   IDLE   JCPU   PCPU WHAT\n%-8s %-8s %-16s %s    0.00s  0.02s  0.00s w\n", uptimeLine(s), s.Who.Name, s.Tty, interp.Clip(remote(s), 16), at.Format("15:04"))
	}
	return 0
}

func cmdLast(c *interp.Call) int {
	s := c.Sh
	if c.Name == "lastlog" {
		c.Print("Username         Port     From             Latest\n")
		for _, a := range s.Accounts() {
			c.Printf("%-16s                            **Never logged in**\n", a.Name)
		}
		return 0
	}
	if c.Name == "lastb" {
		c.Printf("\nbtmp begins %s\n", s.P.BootedAt.Format("Mon Jan _2 15:04:05 2006"))
		return 0
	}
	tools.CountFlag(c)
	n := 1 << 20
	if v := c.Flags("n:aiFwx").Get("n"); v != "" {
		n, _ = strconv.Atoi(v) // not a number shows nothing
	}
	rows := []string{fmt.Sprintf("%-8s %-12s %-16s %s   still logged in", s.Who.Name, s.Tty, interp.Clip(remote(s), 16), s.Begun.UTC().Format("Mon Jan _2 15:04"))}
	for _, l := range s.P.Logins {
		rows = append(rows, fmt.Sprintf("%-8s %-12s %-16s %s - %s  (%02d:%02d)", interp.Clip(l.User, 8), l.TTY, l.From, l.At.Format("Mon Jan _2 15:04"), l.At.Add(l.For).Format("15:04"), int(l.For.Hours()), int(l.For.Minutes())%60))
	}
	rows = append(rows, fmt.Sprintf("%-8s %-12s %-16s %s   still running", "reboot", "system boot", interp.Clip(s.P.Kernel.Release, 16), s.P.BootedAt.Format("Mon Jan _2 15:04")))
	for _, r := range rows[:max(0, min(n, len(rows)))] {
		c.Printf("%s\n", r)
	}
	c.Printf("\nwtmp begins %s\n", s.P.InstalledAt.Format("Mon Jan _2 15:04:05 2006"))
	return 0
}

func cmdDate(c *interp.Call) int {
	o := c.Flags("ud:s:RIr:", "date=", "utc=")
	t := c.Sh.Now().UTC()
	if d := o.Get("d", "date"); strings.HasPrefix(d, "@") {
		if n, err := strconv.ParseInt(d[1:], 10, 40); err == nil {
			t = time.Unix(n, 0).UTC()
		}
	}
	if len(o.Rest) > 0 && strings.HasPrefix(o.Rest[0], "+") {
		c.Printf("%s\n", strftime(interp.Clip(o.Rest[0][1:], 1024), t))
		return 0
	}
	switch {
	case o.Has("R"):
		c.Printf("%s\n", t.Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	case o.Has("I"):
		c.Printf("%s\n", t.Format("2006-01-02"))
	default:
		c.Printf("%s\n", t.Format("Mon Jan _2 03:04:05 PM MST 2006"))
	}
	return 0
}

func strftime(f string, t time.Time) string {
	var b strings.Builder
	layouts := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'F': "2006-01-02", 'T': "15:04:05", 'y': "06", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'Z': "MST", 'z': "-0700", 'e': "_2", 'I': "03", 'p': "PM", 'D': "01/02/06", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006", 'N': "000000000", 'h': "Jan", 'x': "01/02/06", 'X': "15:04:05"}
	for i := 0; i < len(f); i++ {
		if f[i] != '%' || i+1 == len(f) {
			b.WriteByte(f[i])
			continue
		}
		i++
		switch ch := f[i]; {
		case ch == 's':
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		case ch == 'N':
			fmt.Fprintf(&b, "%09d", t.Nanosecond())
		case ch == 'j':
			fmt.Fprintf(&b, "%03d", t.YearDay())
		case ch == 'u', ch == 'w':
			b.WriteString(interp.Itoa(int(t.Weekday())))
		case ch == '%':
			b.WriteByte('%')
		case layouts[ch] != "":
			b.WriteString(t.Format(layouts[ch]))
		default:
			b.WriteString(f[i-1 : i+1])
		}
	}
	return b.String()
}

// processes lists what ps shows: the persona's plus this session's.
func processes(c *interp.Call) []persona.Process {
	s := c.Sh
	mem := float64(s.P.Hardware.MemKB)
	own := func(pid, ppid int, user, cmd string, vsz, rss int, tty string) persona.Process {
		return persona.Process{PID: pid, PPID: ppid, User: user, TTY: tty, State: "Ss", VSZ: vsz, RSS: rss, Mem: float64(rss) * 100 / mem, Command: cmd}
	}
	var out []persona.Process
	for _, p := range s.P.Processes {
		if !s.Killed[p.PID] {
			out = append(out, p)
		}
	}
	out = append(out, own(s.Pid-4, 1, "root", "sshd: "+s.Who.Name+" [priv]", 17176, 10900, "?"), own(s.Pid-1, s.Pid-4, s.Who.Name, "sshd: "+s.Who.Name+"@"+s.Tty, 17432, 6500, "?"), own(s.Pid, s.Pid-1, s.Who.Name, "-bash", 8736, 5500, s.Tty))
	for _, j := range s.Jobs {
		out = append(out, own(j.Pid, s.Pid, s.Who.Name, "-bash", 8736, 2800, s.Tty))
	}
	ps := own(s.NextPID+1, s.Pid, s.Who.Name, strings.Join(append([]string{c.Name}, c.Args...), " "), 10068, 3300, s.Tty)
	ps.State = "R+"
	out = append(out, ps)
	sort.SliceStable(out, func(i, j int) bool { return out[i].PID < out[j].PID })
	return out
}

func cmdPs(c *interp.Call) int {
	flags := strings.Join(c.Args, "")
	all := strings.ContainsAny(flags, "aAexd")
	start := c.Sh.P.BootedAt
	day := func(pid int) string {
		if pid >= c.Sh.Pid-4 {
			return c.Sh.Begun.UTC().Format("15:04")
		}
		return start.Format("Jan02")
	}
	cpu := func(p persona.Process) string {
		return fmt.Sprintf("%d:%02d", p.RSS/9000, p.RSS/31%60)
	}
	wide := strings.Contains(flags, "u") && !strings.HasPrefix(flags, "-u")
	switch {
	case wide:
		c.Print("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n")
	case strings.Contains(flags, "f"):
		c.Print("UID          PID    PPID  C STIME TTY          TIME CMD\n")
	case strings.Contains(flags, "x"):
		c.Print("    PID TTY      STAT   TIME COMMAND\n")
	default:
		c.Print("    PID TTY          TIME CMD\n")
	}
	for _, p := range processes(c) {
		if !all && p.TTY != c.Sh.Tty {
			continue
		}
		var ok bool
		switch {
		case wide:
			ok = c.Printf("%-8s %7d %4.1f %4.1f %6d %5d %-8s %-4s %-5s %6s %s\n", interp.Clip(p.User, 8), p.PID, p.CPU, p.Mem, p.VSZ, p.RSS, p.TTY, p.State, day(p.PID), cpu(p), p.Command)
		case strings.Contains(flags, "f"):
			ok = c.Printf("%-8s %7d %7d  0 %-5s %-8s 00:%02d:%02d %s\n", interp.Clip(p.User, 8), p.PID, p.PPID, day(p.PID), p.TTY, p.RSS/9000, p.RSS/31%60, p.Command)
		case strings.Contains(flags, "x"):
			ok = c.Printf("%7d %-8s %-4s %6s %s\n", p.PID, p.TTY, p.State, cpu(p), p.Command)
		default:
			name := strings.Trim(strings.Fields(p.Command)[0], "-[]:")
			ok = c.Printf("%7d %-8s 00:%02d:%02d %s\n", p.PID, p.TTY, p.RSS/9000, p.RSS/31%60, name[strings.LastIndexByte(name, '/')+1:])
		}
		if !ok {
			break
		}
	}
	return 0
}

func cmdTop(c *interp.Call) int {
	list := processes(c)
	tools.SortBy(list, func(a, b persona.Process) bool { return a.RSS > b.RSS })
	m := memory(c.Sh.P, c.Sh.Now())
	c.Printf("top -%s\nTasks: %d total,   1 running, %d sleeping,   0 stopped,   0 zombie\n%%Cpu(s):  1.3 us,  0.7 sy,  0.0 ni, 97.7 id,  0.2 wa,  0.0 hi,  0.1 si,  0.0 st\nMiB Mem : %8.1f total, %8.1f free, %8.1f used, %8.1f buff/cache\nMiB Swap: %8.1f total, %8.1f free,      0.0 used. %8.1f avail Mem\n\n    PID USER      PR  NI    VIRT    RES    SHR S  %%CPU  %%MEM     TIME+ COMMAND\n",
		uptimeLine(c.Sh), len(list), len(list)-1, float64(m[0])/1024, float64(m[2])/1024, float64(m[1])/1024, float64(m[4])/1024, float64(c.Sh.P.Hardware.SwapKB)/1024, float64(c.Sh.P.Hardware.SwapKB)/1024, float64(m[5])/1024)
	for _, p := range list[:min(len(list), 18)] {
		name := strings.Trim(strings.Fields(p.Command)[0], "-[]:")
		c.Printf("%7d %-8s  20   0 %7d %6d %6d S   0.0 %5.1f   0:%02d.%02d %s\n", p.PID, interp.Clip(p.User, 8), p.VSZ, p.RSS, p.RSS/2, p.Mem, p.RSS/31%60, p.PID%100, name[strings.LastIndexByte(name, '/')+1:])
	}
	return 0
}

func cmdPkill(c *interp.Call) int {
	o := c.Flags("9fnoxu:s:lasqewvcLP:", "signal=")
	found := 1
	var pids []string
	for _, p := range processes(c) {
		name := strings.Trim(strings.Fields(p.Command)[0], "-[]:")
		name = name[strings.LastIndexByte(name, '/')+1:]
		for _, want := range o.Rest {
			hit := name == want
			if c.Name == "pkill" || c.Name == "pgrep" {
				re, err := interp.CompileRegex(interp.Clip(want, 200), true, false)
				hit = err == nil && (re.MatchString(name) || o.Has("f") && re.MatchString(p.Command))
			}
			if !hit || p.PID > c.Sh.NextPID {
				continue
			}
			found = 0
			if c.Name == "pgrep" || c.Name == "pidof" {
				pids = append(pids, interp.Itoa(p.PID))
			} else {
				c.Sh.KillPID(p.PID)
			}
		}
	}
	if found == 1 && c.Name == "killall" && len(o.Rest) > 0 && !o.Has("q") {
		fmt.Fprintf(c.Err, "%s: no process found\n", o.Rest[0])
	}
	if len(pids) > 0 {
		c.Print(strings.Join(pids, map[bool]string{true: " ", false: "\n"}[c.Name == "pidof"]) + "\n")
	}
	return found
}
