package shell

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/persona"
)

func systemCommands() map[string]commandFunc {
	return map[string]commandFunc{
		"uname": cmdUname, "arch": cmdUname, "hostname": cmdHostname, "hostnamectl": cmdHostnamectl, "whoami": cmdWhoami, "id": cmdID, "groups": cmdID,
		"w": cmdW, "who": cmdW, "users": cmdW, "last": cmdLast, "lastlog": cmdLast, "lastb": cmdLast, "uptime": cmdUptime, "date": cmdDate,
		"ps": cmdPs, "top": cmdTop, "htop": cmdTop, "free": cmdFree, "df": cmdDf, "mount": cmdMount, "umount": cmdUmount,
		"lscpu": cmdLscpu, "nproc": cmdNproc, "lsb_release": cmdLsb, "dmesg": cmdDmesg, "lspci": cmdLspci, "lsblk": cmdLsblk,
		"fdisk": cmdLsblk, "blkid": cmdLsblk, "nvidia-smi": cmdNvidia, "lsmod": cmdLsmod, "modprobe": quiet, "insmod": quiet,
		"env": cmdEnv, "printenv": cmdEnv, "tty": cmdTTY, "stty": quiet, "clear": cmdClear, "reset": cmdClear, "pgrep": cmdPkill, "pkill": cmdPkill,
		"killall": cmdPkill, "pidof": cmdPkill, "vmstat": cmdVmstat, "iostat": cmdVmstat, "lsof": cmdLsof, "sysctl": cmdSysctl, "cal": cmdDate,
		"nice": cmdNice, "ionice": cmdNice, "setsid": cmdNice, "stdbuf": cmdNice, "nohup": cmdNice, "watch": cmdNice, "taskset": cmdNice,
		"locale": cmdLocale, "getconf": cmdGetconf, "dmidecode": cmdDmidecode, "swapon": quiet, "swapoff": quiet, "loginctl": cmdW,
	}
}

func quiet(*call) int { return 0 }

func cmdUname(c *call) int {
	k := c.sh.p.Kernel
	if c.name == "arch" {
		c.printf("%s\n", k.Machine)
		return 0
	}
	o := c.flags("asnrvmpio")
	if o.bad != "" || len(o.rest) > 0 {
		if o.bad != "" {
			return c.fail(1, "invalid option -- '%s'\nTry 'uname --help' for more information.", o.bad)
		}
		return c.fail(1, "extra operand ‘%s’\nTry 'uname --help' for more information.", o.rest[0])
	}
	all := o.has("a", "all")
	var out []string
	ubuntu := c.sh.p.Distro.ID == "ubuntu"
	for _, f := range []struct{ flag, long, val string }{{"s", "kernel-name", "Linux"}, {"n", "nodename", c.sh.hostname()}, {"r", "kernel-release", k.Release}, {"v", "kernel-version", k.Version}, {"m", "machine", k.Machine}, {"p", "processor", k.Machine}, {"i", "hardware-platform", k.Machine}, {"o", "operating-system", "GNU/Linux"}} {
		unknown := (f.flag == "p" || f.flag == "i") && !ubuntu // Debian's uname does not know these
		if o.has(f.flag, f.long) || all && !unknown || len(o.set) == 0 && f.flag == "s" {
			if unknown {
				f.val = "unknown"
			}
			out = append(out, f.val)
		}
	}
	c.printf("%s\n", strings.Join(out, " "))
	return 0
}

func cmdHostname(c *call) int {
	o := c.flags("fisIdAyF:")
	switch {
	case o.has("I"):
		for _, i := range c.sh.p.Interfaces {
			c.printf("%s ", i.Addr.Addr())
		}
		c.print("\n")
	case o.has("i"):
		c.print("127.0.1.1\n")
	case o.has("f", "fqdn"):
		c.printf("%s.%s\n", c.sh.hostname(), c.sh.p.Domain)
	case o.has("d"):
		c.printf("%s\n", c.sh.p.Domain)
	case len(o.rest) > 0:
		if c.sh.who.uid != 0 {
			return c.fail(1, "you must be root to change the host name")
		}
		if err := c.sh.store("/etc/hostname", []byte(clip(o.rest[0], 64)+"\n"), 0o644, "hostname"); err != nil {
			return c.fail(1, "%s", err)
		}
	default:
		c.printf("%s\n", c.sh.hostname())
	}
	return 0
}

func cmdHostnamectl(c *call) int {
	p := c.sh.p
	c.printf(" Static hostname: %s\n       Icon name: computer-vm\n         Chassis: vm\n      Machine ID: %s\n  Virtualization: kvm\nOperating System: %s\n          Kernel: Linux %s\n    Architecture: x86-64\n", c.sh.hostname(), p.MachineID, p.Distro.PrettyName, p.Kernel.Release)
	return 0
}

func cmdWhoami(c *call) int { c.printf("%s\n", c.sh.who.name); return 0 }

func cmdID(c *call) int {
	o := c.flags("unGgr")
	a := c.sh.who
	if len(o.rest) > 0 {
		var ok bool
		if a, ok = c.sh.account(o.rest[0]); !ok {
			return c.fail(1, "‘%s’: no such user", o.rest[0])
		}
	}
	groups := c.sh.groupsOf(a)
	var names []string
	for _, g := range groups {
		names = append(names, c.sh.groupName(g))
	}
	switch {
	case c.name == "groups" && len(o.rest) > 0:
		c.printf("%s : %s\n", a.name, strings.Join(names, " "))
	case c.name == "groups", o.has("G") && o.has("n"):
		c.printf("%s\n", strings.Join(names, " "))
	case o.has("u") && o.has("n"):
		c.printf("%s\n", a.name)
	case o.has("u"):
		c.printf("%d\n", a.uid)
	case o.has("g") && o.has("n"):
		c.printf("%s\n", names[0])
	case o.has("g"):
		c.printf("%d\n", a.gid)
	case o.has("G"):
		c.printf("%s\n", strings.Trim(fmt.Sprint(groups), "[]"))
	default:
		var g []string
		for i, n := range names {
			g = append(g, fmt.Sprintf("%d(%s)", groups[i], n))
		}
		c.printf("uid=%d(%s) gid=%d(%s) groups=%s\n", a.uid, a.name, a.gid, names[0], strings.Join(g, ","))
	}
	return 0
}

func (s *Shell) uptimeLine() string {
	up := s.p.Uptime(s.now())
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
	l := load(s.p, s.now())
	return fmt.Sprintf(" %s up %s%s,  1 user,  load average: %.2f, %.2f, %.2f", s.now().UTC().Format("15:04:05"), d, t, l[0], l[1], l[2])
}

func cmdUptime(c *call) int {
	o := c.flags("ps")
	up := c.sh.p.Uptime(c.sh.now())
	switch {
	case o.has("s"):
		c.printf("%s\n", c.sh.p.BootedAt.Format("2006-01-02 15:04:05"))
	case o.has("p"):
		c.printf("up %d days, %d hours, %d minutes\n", int(up.Hours())/24, int(up.Hours())%24, int(up.Minutes())%60)
	default:
		c.printf("%s\n", c.sh.uptimeLine())
	}
	return 0
}

func (s *Shell) remote() string {
	if s.from == "" {
		return s.p.Gateway.String()
	}
	return s.from
}

func cmdW(c *call) int {
	s := c.sh
	at := s.begun.UTC()
	switch c.name {
	case "users":
		c.printf("%s\n", s.who.name)
	case "who":
		c.printf("%-8s %-12s %s (%s)\n", s.who.name, s.tty, at.Format("2006-01-02 15:04"), s.remote())
	case "loginctl":
		c.printf("SESSION UID USER SEAT TTY\n      1 %3d %s      %s\n\n1 sessions listed.\n", s.who.uid, s.who.name, s.tty)
	default:
		c.printf("%s\nUSER     TTY      FROM             LOGIN@   IDLE   JCPU   PCPU WHAT\n%-8s %-8s %-16s %s    0.00s  0.02s  0.00s w\n", s.uptimeLine(), s.who.name, s.tty, clip(s.remote(), 16), at.Format("15:04"))
	}
	return 0
}

func cmdLast(c *call) int {
	s := c.sh
	if c.name == "lastlog" {
		c.print("Username         Port     From             Latest\n")
		for _, a := range s.accounts() {
			c.printf("%-16s                            **Never logged in**\n", a.name)
		}
		return 0
	}
	if c.name == "lastb" {
		c.printf("\nbtmp begins %s\n", s.p.BootedAt.Format("Mon Jan _2 15:04:05 2006"))
		return 0
	}
	c.countFlag()
	n := 1 << 20
	if v := c.flags("n:aiFwx").get("n"); v != "" {
		n, _ = strconv.Atoi(v) // not a number shows nothing
	}
	rows := []string{fmt.Sprintf("%-8s %-12s %-16s %s   still logged in", s.who.name, s.tty, clip(s.remote(), 16), s.begun.UTC().Format("Mon Jan _2 15:04"))}
	for _, l := range s.p.Logins {
		rows = append(rows, fmt.Sprintf("%-8s %-12s %-16s %s - %s  (%02d:%02d)", clip(l.User, 8), l.TTY, l.From, l.At.Format("Mon Jan _2 15:04"), l.At.Add(l.For).Format("15:04"), int(l.For.Hours()), int(l.For.Minutes())%60))
	}
	rows = append(rows, fmt.Sprintf("%-8s %-12s %-16s %s   still running", "reboot", "system boot", clip(s.p.Kernel.Release, 16), s.p.BootedAt.Format("Mon Jan _2 15:04")))
	for _, r := range rows[:max(0, min(n, len(rows)))] {
		c.printf("%s\n", r)
	}
	c.printf("\nwtmp begins %s\n", s.p.InstalledAt.Format("Mon Jan _2 15:04:05 2006"))
	return 0
}

func cmdDate(c *call) int {
	o := c.flags("ud:s:RIr:", "date=", "utc=")
	t := c.sh.now().UTC()
	if d := o.get("d", "date"); strings.HasPrefix(d, "@") {
		if n, err := strconv.ParseInt(d[1:], 10, 40); err == nil {
			t = time.Unix(n, 0).UTC()
		}
	}
	if len(o.rest) > 0 && strings.HasPrefix(o.rest[0], "+") {
		c.printf("%s\n", strftime(clip(o.rest[0][1:], 1024), t))
		return 0
	}
	switch {
	case o.has("R"):
		c.printf("%s\n", t.Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	case o.has("I"):
		c.printf("%s\n", t.Format("2006-01-02"))
	default:
		c.printf("%s\n", t.Format("Mon Jan _2 03:04:05 PM MST 2006"))
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
			b.WriteString(itoa(int(t.Weekday())))
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
func (c *call) processes() []persona.Process {
	s := c.sh
	mem := float64(s.p.Hardware.MemKB)
	own := func(pid, ppid int, user, cmd string, vsz, rss int, tty string) persona.Process {
		return persona.Process{PID: pid, PPID: ppid, User: user, TTY: tty, State: "Ss", VSZ: vsz, RSS: rss, Mem: float64(rss) * 100 / mem, Command: cmd}
	}
	var out []persona.Process
	for _, p := range s.p.Processes {
		if !s.killed[p.PID] {
			out = append(out, p)
		}
	}
	out = append(out, own(s.pid-4, 1, "root", "sshd: "+s.who.name+" [priv]", 17176, 10900, "?"), own(s.pid-1, s.pid-4, s.who.name, "sshd: "+s.who.name+"@"+s.tty, 17432, 6500, "?"), own(s.pid, s.pid-1, s.who.name, "-bash", 8736, 5500, s.tty))
	for _, j := range s.jobs {
		out = append(out, own(j.pid, s.pid, s.who.name, "-bash", 8736, 2800, s.tty))
	}
	ps := own(s.nextPID+1, s.pid, s.who.name, strings.Join(append([]string{c.name}, c.args...), " "), 10068, 3300, s.tty)
	ps.State = "R+"
	out = append(out, ps)
	sort.SliceStable(out, func(i, j int) bool { return out[i].PID < out[j].PID })
	return out
}

func cmdPs(c *call) int {
	flags := strings.Join(c.args, "")
	all := strings.ContainsAny(flags, "aAexd")
	start := c.sh.p.BootedAt
	day := func(pid int) string {
		if pid >= c.sh.pid-4 {
			return c.sh.begun.UTC().Format("15:04")
		}
		return start.Format("Jan02")
	}
	cpu := func(p persona.Process) string {
		return fmt.Sprintf("%d:%02d", p.RSS/9000, p.RSS/31%60)
	}
	wide := strings.Contains(flags, "u") && !strings.HasPrefix(flags, "-u")
	switch {
	case wide:
		c.print("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n")
	case strings.Contains(flags, "f"):
		c.print("UID          PID    PPID  C STIME TTY          TIME CMD\n")
	case strings.Contains(flags, "x"):
		c.print("    PID TTY      STAT   TIME COMMAND\n")
	default:
		c.print("    PID TTY          TIME CMD\n")
	}
	for _, p := range c.processes() {
		if !all && p.TTY != c.sh.tty {
			continue
		}
		ok := true
		switch {
		case wide:
			ok = c.printf("%-8s %7d %4.1f %4.1f %6d %5d %-8s %-4s %-5s %6s %s\n", clip(p.User, 8), p.PID, p.CPU, p.Mem, p.VSZ, p.RSS, p.TTY, p.State, day(p.PID), cpu(p), p.Command)
		case strings.Contains(flags, "f"):
			ok = c.printf("%-8s %7d %7d  0 %-5s %-8s 00:%02d:%02d %s\n", clip(p.User, 8), p.PID, p.PPID, day(p.PID), p.TTY, p.RSS/9000, p.RSS/31%60, p.Command)
		case strings.Contains(flags, "x"):
			ok = c.printf("%7d %-8s %-4s %6s %s\n", p.PID, p.TTY, p.State, cpu(p), p.Command)
		default:
			name := strings.Trim(strings.Fields(p.Command)[0], "-[]:")
			ok = c.printf("%7d %-8s 00:%02d:%02d %s\n", p.PID, p.TTY, p.RSS/9000, p.RSS/31%60, name[strings.LastIndexByte(name, '/')+1:])
		}
		if !ok {
			break
		}
	}
	return 0
}

func cmdTop(c *call) int {
	list := c.processes()
	sortBy(list, func(a, b persona.Process) bool { return a.RSS > b.RSS })
	m := memory(c.sh.p, c.sh.now())
	c.printf("top -%s\nTasks: %d total,   1 running, %d sleeping,   0 stopped,   0 zombie\n%%Cpu(s):  1.3 us,  0.7 sy,  0.0 ni, 97.7 id,  0.2 wa,  0.0 hi,  0.1 si,  0.0 st\nMiB Mem : %8.1f total, %8.1f free, %8.1f used, %8.1f buff/cache\nMiB Swap: %8.1f total, %8.1f free,      0.0 used. %8.1f avail Mem\n\n    PID USER      PR  NI    VIRT    RES    SHR S  %%CPU  %%MEM     TIME+ COMMAND\n",
		c.sh.uptimeLine(), len(list), len(list)-1, float64(m[0])/1024, float64(m[2])/1024, float64(m[1])/1024, float64(m[4])/1024, float64(c.sh.p.Hardware.SwapKB)/1024, float64(c.sh.p.Hardware.SwapKB)/1024, float64(m[5])/1024)
	for _, p := range list[:min(len(list), 18)] {
		name := strings.Trim(strings.Fields(p.Command)[0], "-[]:")
		c.printf("%7d %-8s  20   0 %7d %6d %6d S   0.0 %5.1f   0:%02d.%02d %s\n", p.PID, clip(p.User, 8), p.VSZ, p.RSS, p.RSS/2, p.Mem, p.RSS/31%60, p.PID%100, name[strings.LastIndexByte(name, '/')+1:])
	}
	return 0
}

func cmdPkill(c *call) int {
	o := c.flags("9fnoxu:s:lasqewvcLP:", "signal=")
	found := 1
	var pids []string
	for _, p := range c.processes() {
		name := strings.Trim(strings.Fields(p.Command)[0], "-[]:")
		name = name[strings.LastIndexByte(name, '/')+1:]
		for _, want := range o.rest {
			hit := name == want
			if c.name == "pkill" || c.name == "pgrep" {
				re, err := compileRegex(clip(want, 200), true, false)
				hit = err == nil && (re.MatchString(name) || o.has("f") && re.MatchString(p.Command))
			}
			if !hit || p.PID > c.sh.nextPID {
				continue
			}
			found = 0
			if c.name == "pgrep" || c.name == "pidof" {
				pids = append(pids, itoa(p.PID))
			} else {
				c.sh.killPID(p.PID)
			}
		}
	}
	if found == 1 && c.name == "killall" && len(o.rest) > 0 && !o.has("q") {
		fmt.Fprintf(c.err, "%s: no process found\n", o.rest[0])
	}
	if len(pids) > 0 {
		c.print(strings.Join(pids, map[bool]string{true: " ", false: "\n"}[c.name == "pidof"]) + "\n")
	}
	return found
}
