package shell

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"
)

func sortBy[T any](list []T, less func(a, b T) bool) {
	sort.SliceStable(list, func(i, j int) bool { return less(list[i], list[j]) })
}

func cmdStat(c *call) int {
	o := c.flags("c:fLt", "format=")
	status := 0
	for _, p := range o.rest {
		n, _, err := c.node(p, o.has("L"))
		if err != nil {
			status = c.fail(1, "cannot statx '%s': %s", p, err)
			continue
		}
		perm := fmt.Sprintf("%04o", n.mode&0o7777)
		if f := o.get("c", "format"); f != "" {
			c.print(strings.NewReplacer("%n", p, "%s", strconv.FormatInt(n.length(), 10), "%a", strings.TrimLeft(perm, "0"), "%A", modeString(n.mode), "%U", c.sh.userName(n.uid), "%G", c.sh.groupName(n.gid), "%u", itoa(n.uid), "%g", itoa(n.gid), "%F", kindName(n), "%Y", strconv.FormatInt(n.mtime.Unix(), 10), "%y", n.mtime.Format("2006-01-02 15:04:05.000000000 -0700")).Replace(f) + "\n")
			continue
		}
		name := p
		if n.isLink() {
			name += " -> " + n.target
		}
		t := n.mtime.UTC().Format("2006-01-02 15:04:05.000000000 +0000")
		d := c.sh.p.Derive("inode "+p, 2)
		c.printf("  File: %s\n  Size: %-10d\tBlocks: %-10d IO Block: 4096   %s\nDevice: fe01h/65025d\tInode: %-11d Links: 1\nAccess: (%s/%s)  Uid: (%5d/%8s)   Gid: (%5d/%8s)\nAccess: %s\nModify: %s\nChange: %s\n Birth: -\n",
			name, n.length(), (n.length()+4095)/4096*8, kindName(n), 131072+int(d[0])*256+int(d[1]), perm, modeString(n.mode), n.uid, c.sh.userName(n.uid), n.gid, c.sh.groupName(n.gid), t, t, t)
	}
	return status
}

func kindName(n node) string {
	switch {
	case n.isDir():
		return "directory"
	case n.isLink():
		return "symbolic link"
	case n.mode&modeType == modeChr:
		return "character special file"
	case n.mode&modeType == modeBlk:
		return "block special file"
	case n.length() == 0:
		return "regular empty file"
	}
	return "regular file"
}

func cmdFile(c *call) int {
	o := c.flags("biLz")
	for _, p := range o.rest {
		n, _, err := c.node(p, o.has("L"))
		kind := ""
		switch {
		case err != nil:
			kind = "cannot open `" + p + "' (" + err.Error() + ")"
		case n.isDir():
			kind = "directory"
		case n.isLink():
			kind = "symbolic link to " + n.target
		case n.mode&modeType == modeChr:
			kind = "character special (1/3)"
		default:
			b, _ := c.sh.fs.slurp(c.e.abs(p)) // unreadable looks empty
			kind = magic(b, n.prog != "")
		}
		if !o.has("b") {
			c.printf("%s: ", p)
		}
		c.printf("%s\n", kind)
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

func cmdWhich(c *call) int {
	status := 0
	for _, n := range c.flags("as").rest {
		p := c.e.find(n)
		if strings.Contains(n, "/") {
			p = n
		}
		if p == "" {
			status = 1
			continue
		}
		c.printf("%s\n", p)
	}
	return status
}

func cmdWhereis(c *call) int {
	for _, n := range c.flags("bmsu").rest {
		c.printf("%s:", n)
		if p := c.e.find(n); p != "" {
			c.printf(" %s /usr/share/man/man1/%s.1.gz", p, n)
		}
		c.print("\n")
	}
	return 0
}

func cmdReadlink(c *call) int {
	o := c.flags("femnqs")
	status := 0
	for _, p := range o.rest {
		if c.name == "readlink" && !o.has("f", "e", "m") {
			t, err := c.sh.fs.Readlink(c.e.abs(p))
			if err != nil {
				status = 1
				continue
			}
			c.printf("%s\n", t)
			continue
		}
		c.printf("%s\n", c.sh.fs.RealPath(c.e.abs(p)))
	}
	return status
}

func cmdBasename(c *call) int {
	if len(c.args) == 0 {
		return c.fail(1, "missing operand\nTry '%s --help' for more information.", c.name)
	}
	if c.name == "dirname" {
		for _, a := range c.args {
			c.printf("%s\n", path.Dir(strings.TrimRight(a, "/")))
		}
		return 0
	}
	b := path.Base(c.args[0])
	if len(c.args) > 1 && b != c.args[1] {
		b = strings.TrimSuffix(b, c.args[1])
	}
	c.printf("%s\n", b)
	return 0
}

func cmdDu(c *call) int {
	o := c.flags("shakmcd:x", "max-depth=")
	if len(o.rest) == 0 {
		o.rest = []string{"."}
	}
	most := 1 << 20
	if m := o.get("d", "max-depth"); m != "" {
		most, _ = strconv.Atoi(m) // not a number: only the top
	}
	if o.has("s") {
		most = 0
	}
	status := 0
	for _, a := range o.rest {
		var lines []string
		err := c.locked(func(f *FS) error {
			n, _, err := f.walk(c.e.abs(a), true)
			if err != nil {
				return err
			}
			var size func(name string, n *node, depth int) int64
			size = func(name string, n *node, depth int) int64 {
				total := (n.length() + 4095) / 4096 * 4
				if !c.sh.spend(2) || depth > 40 {
					return total
				}
				for _, k := range f.children(n) {
					total += size(strings.TrimSuffix(name, "/")+"/"+k, n.kids[k], depth+1)
				}
				if depth <= most && (n.isDir() || o.has("a") || depth == 0) {
					show := strconv.FormatInt(total, 10)
					if o.has("h") {
						show = human(total << 10)
					}
					lines = append(lines, show+"\t"+name)
				}
				return total
			}
			size(a, n, 0)
			return nil
		})
		if err != nil {
			status = c.fail(1, "cannot access '%s': %s", a, err)
		}
		for _, l := range lines {
			if !c.print(l + "\n") {
				break
			}
		}
	}
	return status
}

// finding is one parsed find expression; only conjunctions are offered.
type finding struct {
	tests  []func(name string, n *node) bool
	min    int
	max    int
	exec   []string
	batch  bool
	delete bool
	print0 bool
}

func cmdFind(c *call) int {
	var roots []string
	args := c.args
	for len(args) > 0 && (args[0] == "" || args[0][0] != '-' && args[0] != "(" && args[0] != "!") {
		roots, args = append(roots, args[0]), args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	f, bad := c.findExpr(args)
	if bad != "" {
		return c.fail(1, "%s", bad)
	}
	status := 0
	var hits []string
	for _, r := range roots {
		err := c.locked(func(fsys *FS) error {
			n, _, err := fsys.walk(c.e.abs(r), false)
			if err != nil {
				return err
			}
			c.visit(r, n, 0, func(name string, n *node, depth int) bool {
				hit := depth >= f.min && depth <= f.max
				for _, t := range f.tests {
					hit = hit && t(name, n)
				}
				if hit && len(hits) < c.sh.limits.Words*4 {
					hits = append(hits, name)
				}
				return depth < f.max && fsys.allowed(n, 4)
			})
			return nil
		})
		if err != nil {
			status = c.fail(1, "‘%s’: %s", r, err)
		}
	}
	return max(status, c.findAct(f, hits))
}

func (c *call) findAct(f finding, hits []string) int {
	if f.batch && len(f.exec) > 0 && len(hits) > 0 {
		c.e.invoke(append(append([]string{}, f.exec...), hits...), 5)
		return 0
	}
	for _, h := range hits {
		switch {
		case f.delete:
			c.locked(func(fsys *FS) error { return fsys.unlink(c.e.abs(h)) })
		case len(f.exec) > 0:
			argv := make([]string, len(f.exec))
			for i, a := range f.exec {
				argv[i] = strings.ReplaceAll(a, "{}", h)
			}
			if !c.sh.spend(10) {
				return 1
			}
			c.e.invoke(argv, 5)
		case f.print0:
			c.print(h + "\x00")
		default:
			if !c.print(h + "\n") {
				return 1
			}
		}
	}
	return 0
}

func (c *call) findExpr(args []string) (f finding, bad string) {
	f.max = 64
	not := false
	add := func(t func(string, *node) bool) {
		if not {
			inner := t
			t = func(s string, n *node) bool { return !inner(s, n) }
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
			add(func(_ string, n *node) bool { return n.isDir() && len(n.kids) == 0 || n.isReg() && n.length() == 0 })
			continue
		case "-executable":
			add(func(_ string, n *node) bool { return n.mode&0o111 != 0 })
			continue
		case "-writable":
			add(func(_ string, n *node) bool { return c.sh.fs.allowed(n, 2) })
			continue
		case "-readable":
			add(func(_ string, n *node) bool { return c.sh.fs.allowed(n, 4) })
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
		t, ok := c.findTest(op, args[i], &f)
		if !ok {
			return f, "unknown predicate `" + op + "'"
		}
		if t != nil {
			add(t)
		}
	}
	return f, ""
}

func (c *call) findTest(op, arg string, f *finding) (func(string, *node) bool, bool) {
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
		return func(s string, _ *node) bool { return match(arg, path.Base(s)) }, true
	case "-iname":
		return func(s string, _ *node) bool { return match(strings.ToLower(arg), strings.ToLower(path.Base(s))) }, true
	case "-path", "-wholename":
		return func(s string, _ *node) bool { return match(arg, s) }, true
	case "-type":
		kind := map[string]uint32{"f": modeReg, "d": modeDir, "l": modeLink, "c": modeChr, "b": modeBlk}[arg]
		return func(_ string, n *node) bool { return n.mode&modeType == kind }, true
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
		return func(_ string, n *node) bool {
			m := uint64(n.mode & 0o7777)
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
		return func(_ string, n *node) bool { return cmp((n.length()+unit-1)/unit, int64(num)) }, true
	case "-mtime", "-ctime", "-atime", "-mmin", "-cmin":
		unit := 24 * time.Hour
		if strings.HasSuffix(op, "min") {
			unit = time.Minute
		}
		now := c.sh.now()
		return func(_ string, n *node) bool { return cmp(int64(now.Sub(n.mtime)/unit), int64(num)) }, true
	case "-user", "-uid":
		a, _ := c.accountLocked(arg)
		return func(_ string, n *node) bool { return n.uid == a }, true
	case "-newer", "-group", "-gid", "-regex", "-fstype", "-printf":
		return nil, true
	}
	return nil, false
}

func (c *call) accountLocked(name string) (int, bool) {
	if a, ok := c.sh.account(name); ok {
		return a.uid, true
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		n = -1
	}
	return n, err == nil
}

func cmdChattr(c *call) int {
	status := 0
	mode := ""
	for _, a := range c.args {
		if len(a) > 1 && (a[0] == '+' || a[0] == '-' || a[0] == '=') && a != "-R" {
			mode += a
			continue
		}
		if strings.HasPrefix(a, "-") {
			continue
		}
		err := c.locked(func(f *FS) error {
			_, canonical, err := f.walk(c.e.abs(a), true)
			if err != nil {
				return err
			}
			if f.uid != 0 || readOnly(canonical) {
				return errPerm
			}
			if strings.Contains(mode, "i") {
				f.own(canonical).immut = strings.HasPrefix(mode, "+")
			}
			return nil
		})
		if err == errPerm {
			status = c.fail(1, "Operation not permitted while setting flags on %s", a)
		} else if err != nil {
			status = c.fail(1, "%s while trying to stat %s", err, a)
		}
	}
	return status
}

func cmdLsattr(c *call) int {
	for _, a := range c.flags("adR").rest {
		n, _, err := c.node(a, true)
		if err != nil {
			return c.fail(1, "%s while trying to stat %s", err, a)
		}
		flags := "--------------e-------"
		if n.immut {
			flags = "----i---------e-------"
		}
		c.printf("%s %s\n", flags, a)
	}
	return 0
}

func cmdMktemp(c *call) int {
	o := c.flags("dqup:t", "tmpdir=")
	name := "tmp." + c.token(10)
	if len(o.rest) > 0 {
		t := o.rest[0]
		x := len(t) - len(strings.TrimRight(t, "X"))
		name = t[:len(t)-x] + c.token(min(x, 32))
	}
	p := name
	if len(o.rest) == 0 || o.has("p", "t", "tmpdir") {
		dir := "/tmp"
		if d := o.get("p", "tmpdir"); d != "" {
			dir = d
		}
		p = dir + "/" + name
	}
	var err error
	if o.has("d") {
		err = c.locked(func(f *FS) error { _, err := f.add(c.e.abs(p), &node{mode: modeDir | 0o700}); return err })
	} else {
		err = c.sh.store(c.e.abs(p), nil, 0o600, "mktemp")
	}
	if err != nil {
		return c.fail(1, "failed to create file via template ‘%s’: %s", name, err)
	}
	c.printf("%s\n", p)
	return 0
}

// cmdGzip really compresses with gzip within the limits; bzip2 and xz only
// say that the file is not theirs.
func cmdGzip(c *call) int {
	o := c.flags("cdfkvq123456789tlnz")
	unpack := o.has("d") || c.name == "gunzip" || c.name == "zcat"
	if c.name == "bzip2" || c.name == "xz" {
		for _, f := range o.rest {
			if _, _, err := c.node(f, true); err != nil {
				return c.fail(1, "%s: %s", f, err)
			}
			return c.fail(1, "%s: File format not recognized", f)
		}
		return 0
	}
	toOut := o.has("c") || c.name == "zcat" || len(o.rest) == 0
	status := 0
	c.inputs(o.rest, func(name string, r io.Reader) {
		raw := c.readAll(r)
		var buf bytes.Buffer
		if unpack {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if err == nil {
				_, err = io.Copy(&buf, io.LimitReader(&chargedReader{c.sh, z}, c.sh.limits.FileBytes))
			}
			if err != nil {
				status = c.fail(1, "%s: not in gzip format", strings.Replace(name, "-", "stdin", 1))
				return
			}
		} else {
			z := gzip.NewWriter(&buf)
			z.Write(raw) // a bytes.Buffer does not fail
			z.Close()
		}
		if toOut {
			c.out.Write(buf.Bytes())
			return
		}
		dst := name + ".gz"
		if unpack {
			dst = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".tgz")
		}
		if err := c.sh.store(c.e.abs(dst), buf.Bytes(), 0o644, "gzip"); err != nil {
			status = c.fail(1, "%s: %s", dst, err)
			return
		}
		if !o.has("k") && dst != name {
			c.locked(func(f *FS) error { return f.unlink(c.e.abs(name)) })
		}
	})
	return status
}

func cmdUnzip(c *call) int {
	for _, f := range c.flags("od:qlrP:p").rest {
		if _, _, err := c.node(f, true); err != nil {
			if c.name == "zip" {
				return c.fail(12, "error: Nothing to do! (%s)", f)
			}
			fmt.Fprintf(c.err, "unzip:  cannot find or open %s, %s.zip or %s.ZIP.\n", f, f, f)
			return 9
		}
		if c.name == "unzip" {
			fmt.Fprintf(c.err, "Archive:  %s\n  End-of-central-directory signature not found.  Either this file is not\n  a zipfile, or it constitutes one disk of a multi-part archive.\n", f)
			return 9
		}
	}
	return 0
}
