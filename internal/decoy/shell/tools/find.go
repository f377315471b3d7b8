package tools

import (
	"bytes"
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

func SortBy[T any](list []T, less func(a, b T) bool) {
	sort.SliceStable(list, func(i, j int) bool { return less(list[i], list[j]) })
}

func cmdStat(c *interp.Call) int {
	o := c.Flags("c:fLt", "format=")
	status := 0
	for _, p := range o.Rest {
		n, _, err := c.Node(p, o.Has("L"))
		if err != nil {
			status = c.Fail(1, "cannot statx '%s': %s", p, err)
			continue
		}
		perm := fmt.Sprintf("%04o", n.Mode&0o7777)
		if f := o.Get("c", "format"); f != "" {
			c.Print(strings.NewReplacer("%n", p, "%s", strconv.FormatInt(n.Length(), 10), "%a", strings.TrimLeft(perm, "0"), "%A", modeString(n.Mode), "%U", c.Sh.UserName(n.Uid), "%G", c.Sh.GroupName(n.Gid), "%u", interp.Itoa(n.Uid), "%g", interp.Itoa(n.Gid), "%F", kindName(n), "%Y", strconv.FormatInt(n.Mtime.Unix(), 10), "%y", n.Mtime.Format("2006-01-02 15:04:05.000000000 -0700")).Replace(f) + "\n")
			continue
		}
		name := p
		if n.IsLink() {
			name += " -> " + n.Target
		}
		t := n.Mtime.UTC().Format("2006-01-02 15:04:05.000000000 +0000")
		d := c.Sh.P.Derive("inode "+p, 2)
		c.Printf("  File: %s\n  Size: %-10d\tBlocks: %-10d IO Block: 4096   %s\nDevice: fe01h/65025d\tInode: %-11d Links: 1\nAccess: (%s/%s)  Uid: (%5d/%8s)   Gid: (%5d/%8s)\nAccess: %s\nModify: %s\nChange: %s\n Birth: -\n",
			name, n.Length(), (n.Length()+4095)/4096*8, kindName(n), 131072+int(d[0])*256+int(d[1]), perm, modeString(n.Mode), n.Uid, c.Sh.UserName(n.Uid), n.Gid, c.Sh.GroupName(n.Gid), t, t, t)
	}
	return status
}

func kindName(n vfs.Node) string {
	switch {
	case n.IsDir():
		return "directory"
	case n.IsLink():
		return "symbolic link"
	case n.Mode&vfs.ModeType == vfs.ModeChr:
		return "character special file"
	case n.Mode&vfs.ModeType == vfs.ModeBlk:
		return "block special file"
	case n.Length() == 0:
		return "regular empty file"
	}
	return "regular file"
}

func cmdFile(c *interp.Call) int {
	o := c.Flags("biLz")
	for _, p := range o.Rest {
		n, _, err := c.Node(p, o.Has("L"))
		kind := ""
		switch {
		case err != nil:
			kind = "cannot open `" + p + "' (" + err.Error() + ")"
		case n.IsDir():
			kind = "directory"
		case n.IsLink():
			kind = "symbolic link to " + n.Target
		case n.Mode&vfs.ModeType == vfs.ModeChr:
			kind = "character special (1/3)"
		default:
			b, _ := c.Sh.Fs.Slurp(c.E.Abs(p)) // unreadable looks empty
			kind = magic(b, n.Prog != "")
		}
		if !o.Has("b") {
			c.Printf("%s: ", p)
		}
		c.Printf("%s\n", kind)
	}
	return 0
}

func magic(b []byte, system bool) string {
	switch {
	case len(b) == 0:
		return "empty"
	case system:
		return "ELF 64-bit LSB pie executable, x86-64, version 1 (SYSV), dynamically linked, interpreter /lib64/ld-linux-x86-64.so.2, for GNU/Linux 3.2.0, stripped"
	case bytes.HasPrefix(b, []byte("\x7fELF")) && len(b) > 19:
		bits := map[byte]string{1: "32-bit", 2: "64-bit"}[b[4]]
		arch := map[byte]string{3: "Intel 80386", 8: "MIPS, MIPS-I", 40: "ARM, EABI5", 62: "x86-64", 183: "ARM aarch64", 20: "PowerPC", 2: "SPARC"}[b[18]|b[19]]
		return "ELF " + bits + " LSB executable, " + arch + ", version 1 (SYSV), statically linked, stripped"
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		return "gzip compressed data"
	case bytes.HasPrefix(b, []byte("PK")):
		return "Zip archive data, at least v2.0 to extract"
	case bytes.HasPrefix(b, []byte("#!")):
		line, _, _ := bytes.Cut(b, []byte("\n"))
		return strings.TrimSpace(string(line[2:min(len(line), 80)])) + " script, ASCII text executable"
	case bytes.IndexByte(b[:min(len(b), 4096)], 0) >= 0:
		return "data"
	}
	return "ASCII text"
}

func cmdWhich(c *interp.Call) int {
	status := 0
	for _, n := range c.Flags("as").Rest {
		p := c.E.Find(n)
		if strings.Contains(n, "/") {
			p = n
		}
		if p == "" {
			status = 1
			continue
		}
		c.Printf("%s\n", p)
	}
	return status
}

func cmdWhereis(c *interp.Call) int {
	for _, n := range c.Flags("bmsu").Rest {
		c.Printf("%s:", n)
		if p := c.E.Find(n); p != "" {
			c.Printf(" %s /usr/share/man/man1/%s.1.gz", p, n)
		}
		c.Print("\n")
	}
	return 0
}

func cmdReadlink(c *interp.Call) int {
	o := c.Flags("femnqs")
	status := 0
	for _, p := range o.Rest {
		if c.Name == "readlink" && !o.Has("f", "e", "m") {
			t, err := c.Sh.Fs.Readlink(c.E.Abs(p))
			if err != nil {
				status = 1
				continue
			}
			c.Printf("%s\n", t)
			continue
		}
		c.Printf("%s\n", c.Sh.Fs.RealPath(c.E.Abs(p)))
	}
	return status
}

func cmdBasename(c *interp.Call) int {
	if len(c.Args) == 0 {
		return c.Fail(1, "missing operand\nTry '%s --help' for more information.", c.Name)
	}
	if c.Name == "dirname" {
		for _, a := range c.Args {
			c.Printf("%s\n", path.Dir(strings.TrimRight(a, "/")))
		}
		return 0
	}
	b := path.Base(c.Args[0])
	if len(c.Args) > 1 && b != c.Args[1] {
		b = strings.TrimSuffix(b, c.Args[1])
	}
	c.Printf("%s\n", b)
	return 0
}

func cmdDu(c *interp.Call) int {
	o := c.Flags("shakmcd:x", "max-depth=")
	if len(o.Rest) == 0 {
		o.Rest = []string{"."}
	}
	most := 1 << 20
	if m := o.Get("d", "max-depth"); m != "" {
		most, _ = strconv.Atoi(m) // not a number: only the top
	}
	if o.Has("s") {
		most = 0
	}
	status := 0
	for _, a := range o.Rest {
		var lines []string
		err := c.Locked(func(f *vfs.FS) error {
			n, _, err := f.Walk(c.E.Abs(a), true)
			if err != nil {
				return err
			}
			var size func(name string, n *vfs.Node, depth int) int64
			size = func(name string, n *vfs.Node, depth int) int64 {
				total := (n.Length() + 4095) / 4096 * 4
				if !c.Sh.Spend(2) || depth > 40 {
					return total
				}
				for _, k := range f.Children(n) {
					total += size(strings.TrimSuffix(name, "/")+"/"+k, n.Kids[k], depth+1)
				}
				if depth <= most && (n.IsDir() || o.Has("a") || depth == 0) {
					show := strconv.FormatInt(total, 10)
					if o.Has("h") {
						show = Human(total << 10)
					}
					lines = append(lines, show+"\t"+name)
				}
				return total
			}
			size(a, n, 0)
			return nil
		})
		if err != nil {
			status = c.Fail(1, "cannot access '%s': %s", a, err)
		}
		for _, l := range lines {
			if !c.Print(l + "\n") {
				break
			}
		}
	}
	return status
}

// finding is one parsed find expression; only conjunctions are offered.
type finding struct {
	tests  []func(name string, n *vfs.Node) bool
	min    int
	max    int
	exec   []string
	batch  bool
	delete bool
	print0 bool
}

func cmdFind(c *interp.Call) int {
	var roots []string
	args := c.Args
	for len(args) > 0 && (args[0] == "" || args[0][0] != '-' && args[0] != "(" && args[0] != "!") {
		roots, args = append(roots, args[0]), args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	f, bad := findExpr(c, args)
	if bad != "" {
		return c.Fail(1, "%s", bad)
	}
	status := 0
	var hits []string
	for _, r := range roots {
		err := c.Locked(func(fsys *vfs.FS) error {
			n, _, err := fsys.Walk(c.E.Abs(r), false)
			if err != nil {
				return err
			}
			c.Visit(r, n, 0, func(name string, n *vfs.Node, depth int) bool {
				hit := depth >= f.min && depth <= f.max
				for _, t := range f.tests {
					hit = hit && t(name, n)
				}
				if hit && len(hits) < c.Sh.Limits.Words*4 {
					hits = append(hits, name)
				}
				return depth < f.max && fsys.Allowed(n, 4)
			})
			return nil
		})
		if err != nil {
			status = c.Fail(1, "‘%s’: %s", r, err)
		}
	}
	return max(status, findAct(c, f, hits))
}

func findAct(c *interp.Call, f finding, hits []string) int {
	if f.batch && len(f.exec) > 0 && len(hits) > 0 {
		c.E.Invoke(append(append([]string{}, f.exec...), hits...), 5)
		return 0
	}
	for _, h := range hits {
		switch {
		case f.delete:
			c.Locked(func(fsys *vfs.FS) error { return fsys.Unlink(c.E.Abs(h)) })
		case len(f.exec) > 0:
			argv := make([]string, len(f.exec))
			for i, a := range f.exec {
				argv[i] = strings.ReplaceAll(a, "{}", h)
			}
			if !c.Sh.Spend(10) {
				return 1
			}
			c.E.Invoke(argv, 5)
		case f.print0:
			c.Print(h + "\x00")
		default:
			if !c.Print(h + "\n") {
				return 1
			}
		}
	}
	return 0
}

func findExpr(c *interp.Call, args []string) (f finding, bad string) {
	f.max = 64
	not := false
	add := func(t func(string, *vfs.Node) bool) {
		if not {
			inner := t
			t = func(s string, n *vfs.Node) bool { return !inner(s, n) }
			not = false
		}
		f.tests = append(f.tests, t)
	}
	for i := 0; i < len(args); i++ {
		op := args[i]
		switch op {
		case "-a", "-and", "(", ")", "-print", "-xdev", "-mount", "-depth", "-follow", "-ls":
			continue
		case "-o", "-or": // alternatives of a test list: keep the first half
			return f, ""
		case "!", "-not":
			not = true
			continue
		case "-delete":
			f.delete = true
			continue
		case "-print0":
			f.print0 = true
			continue
		case "-empty":
			add(func(_ string, n *vfs.Node) bool { return n.IsDir() && len(n.Kids) == 0 || n.IsReg() && n.Length() == 0 })
			continue
		case "-executable":
			add(func(_ string, n *vfs.Node) bool { return n.Mode&0o111 != 0 })
			continue
		case "-writable":
			add(func(_ string, n *vfs.Node) bool { return c.Sh.Fs.Allowed(n, 2) })
			continue
		case "-readable":
			add(func(_ string, n *vfs.Node) bool { return c.Sh.Fs.Allowed(n, 4) })
			continue
		case "-exec", "-execdir", "-ok":
			for i++; i < len(args) && args[i] != ";" && args[i] != "+"; i++ {
				f.exec = append(f.exec, args[i])
			}
			if i >= len(args) {
				return f, "missing argument to `-exec'"
			}
			if f.batch = args[i] == "+"; f.batch && len(f.exec) > 0 && f.exec[len(f.exec)-1] == "{}" {
				f.exec = f.exec[:len(f.exec)-1]
			}
			continue
		}
		if i++; i >= len(args) {
			return f, "missing argument to `" + op + "'"
		}
		t, ok := findTest(c, op, args[i], &f)
		if !ok {
			return f, "unknown predicate `" + op + "'"
		}
		if t != nil {
			add(t)
		}
	}
	return f, ""
}

func findTest(c *interp.Call, op, arg string, f *finding) (func(string, *vfs.Node) bool, bool) {
	num, _ := strconv.Atoi(strings.TrimLeft(strings.TrimRight(arg, "ckMGbw"), "+-")) // not a number counts as zero
	cmp := func(v int64, want int64) bool {
		switch {
		case strings.HasPrefix(arg, "+"):
			return v > want
		case strings.HasPrefix(arg, "-"):
			return v < want
		}
		return v == want
	}
	switch op {
	case "-name":
		return func(s string, _ *vfs.Node) bool { return syntax.Match(arg, path.Base(s)) }, true
	case "-iname":
		return func(s string, _ *vfs.Node) bool {
			return syntax.Match(strings.ToLower(arg), strings.ToLower(path.Base(s)))
		}, true
	case "-path", "-wholename":
		return func(s string, _ *vfs.Node) bool { return syntax.Match(arg, s) }, true
	case "-type":
		kind := map[string]uint32{"f": vfs.ModeReg, "d": vfs.ModeDir, "l": vfs.ModeLink, "c": vfs.ModeChr, "b": vfs.ModeBlk}[arg]
		return func(_ string, n *vfs.Node) bool { return n.Mode&vfs.ModeType == kind }, true
	case "-maxdepth":
		f.max = num
		return nil, true
	case "-mindepth":
		f.min = num
		return nil, true
	case "-perm":
		bits, err := strconv.ParseUint(strings.TrimLeft(arg, "-/+"), 8, 16)
		if err != nil {
			m, _ := parseMode(strings.TrimLeft(arg, "-/+"), 0)
			bits = uint64(m)
		}
		return func(_ string, n *vfs.Node) bool {
			m := uint64(n.Mode & 0o7777)
			switch arg[:min(1, len(arg))] {
			case "-":
				return m&bits == bits
			case "/", "+":
				return m&bits != 0
			}
			return m == bits
		}, true
	case "-size":
		unit := int64(512)
		if arg != "" {
			if u, ok := map[byte]int64{'c': 1, 'k': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}[arg[len(arg)-1]]; ok {
				unit = u
			}
		}
		return func(_ string, n *vfs.Node) bool { return cmp((n.Length()+unit-1)/unit, int64(num)) }, true
	case "-mtime", "-ctime", "-atime", "-mmin", "-cmin":
		unit := 24 * time.Hour
		if strings.HasSuffix(op, "min") {
			unit = time.Minute
		}
		now := c.Sh.Now()
		return func(_ string, n *vfs.Node) bool { return cmp(int64(now.Sub(n.Mtime)/unit), int64(num)) }, true
	case "-user", "-uid":
		a, _ := accountLocked(c, arg)
		return func(_ string, n *vfs.Node) bool { return n.Uid == a }, true
	case "-newer", "-group", "-gid", "-regex", "-fstype", "-printf":
		return nil, true
	}
	return nil, false
}

func accountLocked(c *interp.Call, name string) (int, bool) {
	if a, ok := c.Sh.Account(name); ok {
		return a.Uid, true
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		n = -1
	}
	return n, err == nil
}
