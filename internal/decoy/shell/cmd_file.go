package shell

import (
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
)

func fileCommands() map[string]commandFunc {
	return map[string]commandFunc{
		"ls": cmdLs, "dir": cmdLs, "mkdir": cmdMkdir, "rmdir": cmdRmdir, "rm": cmdRm, "unlink": cmdRm, "shred": cmdRm,
		"touch": cmdTouch, "cp": cmdCp, "mv": cmdMv, "install": cmdCp, "ln": cmdLn, "chmod": cmdChmod, "chown": cmdChown,
		"chgrp": cmdChown, "stat": cmdStat, "file": cmdFile, "find": cmdFind, "which": cmdWhich, "whereis": cmdWhereis,
		"readlink": cmdReadlink, "realpath": cmdReadlink, "basename": cmdBasename, "dirname": cmdBasename, "du": cmdDu,
		"chattr": cmdChattr, "lsattr": cmdLsattr, "mktemp": cmdMktemp, "dd": cmdDd, "tar": cmdTar, "gzip": cmdGzip,
		"gunzip": cmdGzip, "zcat": cmdGzip, "bzip2": cmdGzip, "xz": cmdGzip, "unzip": cmdUnzip, "zip": cmdUnzip,
		"truncate": cmdTruncate, "sync": func(*call) int { return 0 }, "pwd": biPwd, "test": biTest, "[": biTest,
		"echo": biEcho, "printf": biPrintf, "kill": biKill, "true": func(*call) int { return 0 }, "false": func(*call) int { return 1 },
	}
}

func modeString(m uint32) string {
	t := map[uint32]byte{modeDir: 'd', modeLink: 'l', modeChr: 'c', modeBlk: 'b'}[m&modeType]
	if t == 0 {
		t = '-'
	}
	b := []byte{t}
	for i := 8; i >= 0; i-- {
		ch := byte('-')
		if m>>i&1 == 1 {
			ch = "rwx"[(8-i)%3]
		}
		b = append(b, ch)
	}
	for _, sp := range []struct {
		bit uint32
		at  int
		ch  byte
	}{{0o4000, 3, 's'}, {0o2000, 6, 's'}, {0o1000, 9, 't'}} {
		if m&sp.bit != 0 {
			if b[sp.at] == '-' {
				b[sp.at] = sp.ch - 32
			} else {
				b[sp.at] = sp.ch
			}
		}
	}
	return string(b)
}

type lsEntry struct {
	name string
	n    node
}

func cmdLs(c *call) int {
	o := c.flags("laAhtrR1dSinFCsogGQLHxX", "color=", "sort=")
	if o.bad != "" {
		return c.fail(2, "invalid option -- '%s'\nTry 'ls --help' for more information.", o.bad)
	}
	if len(o.rest) == 0 {
		o.rest = []string{"."}
	}
	status := 0
	var files []lsEntry
	var dirs []string
	for _, a := range o.rest {
		n, _, err := c.node(a, !o.has("d", "l"))
		switch {
		case err != nil:
			status = c.fail(2, "cannot access '%s': %s", a, err)
		case n.isDir() && !o.has("d"):
			dirs = append(dirs, a)
		default:
			if t, _, err := c.node(a, true); err == nil && t.isDir() && n.isLink() && strings.HasSuffix(a, "/") {
				dirs = append(dirs, a)
				continue
			}
			files = append(files, lsEntry{a, n})
		}
	}
	c.lsPrint(files, o)
	for i, d := range dirs {
		if len(o.rest) > 1 || o.has("R") {
			if i > 0 || len(files) > 0 {
				c.print("\n")
			}
			c.printf("%s:\n", d)
		}
		status = max(status, c.lsDir(d, o, 0))
	}
	return status
}

func (c *call) lsDir(d string, o options, depth int) int {
	c.sh.fs.mu.Lock()
	n, _, err := c.sh.fs.walk(c.e.abs(d), true)
	if err == nil && !c.sh.fs.allowed(n, 4) {
		err = errAccess
	}
	var list []lsEntry
	if err == nil {
		if o.has("a") {
			list = append(list, lsEntry{".", *n})
			if up, _, err := c.sh.fs.walk(c.e.abs(d)+"/..", true); err == nil {
				list = append(list, lsEntry{"..", *up})
			}
		}
		for _, name := range c.sh.fs.children(n) {
			if strings.HasPrefix(name, ".") && !o.has("a", "A") {
				continue
			}
			list = append(list, lsEntry{name, *n.kids[name]})
		}
	}
	c.sh.fs.mu.Unlock()
	if err != nil {
		return c.fail(2, "cannot open directory '%s': %s", d, err)
	}
	if !c.sh.spend(1 + len(list)/2) {
		return 1
	}
	if o.has("l", "s", "n", "o", "g") {
		total := int64(0)
		for _, e := range list {
			total += (e.n.length() + 4095) / 4096 * 4
		}
		c.printf("total %d\n", total)
	}
	c.lsPrint(list, o)
	if !o.has("R") || depth > 12 {
		return 0
	}
	for _, e := range list {
		if e.n.isDir() && e.name != "." && e.name != ".." && !c.sh.dead() {
			sub := strings.TrimSuffix(d, "/") + "/" + e.name
			c.printf("\n%s:\n", sub)
			c.lsDir(sub, o, depth+1)
		}
	}
	return 0
}

func (c *call) lsPrint(list []lsEntry, o options) {
	if o.has("t") {
		sortBy(list, func(a, b lsEntry) bool { return a.n.mtime.After(b.n.mtime) })
	}
	if o.has("S") {
		sortBy(list, func(a, b lsEntry) bool { return a.n.length() > b.n.length() })
	}
	if o.has("r") {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	if o.has("l", "n", "o", "g") {
		c.lsLong(list, o)
		return
	}
	mark := func(e lsEntry) string {
		if !o.has("F") {
			return e.name
		}
		switch {
		case e.n.isDir():
			return e.name + "/"
		case e.n.isLink():
			return e.name + "@"
		case e.n.mode&0o111 != 0:
			return e.name + "*"
		}
		return e.name
	}
	var names []string
	for _, e := range list {
		names = append(names, mark(e))
	}
	if !c.outTTY() || o.has("1") {
		for _, n := range names {
			if !c.print(n + "\n") {
				return
			}
		}
		return
	}
	c.columns(names)
}

// columns prints names down columns of an 80-column terminal, as ls does.
func (c *call) columns(names []string) {
	if len(names) == 0 {
		return
	}
	for rows := 1; rows <= len(names); rows++ {
		var widths []int
		total := 0
		for i := 0; i < len(names); i += rows {
			w := 0
			for _, n := range names[i:min(i+rows, len(names))] {
				w = max(w, len(n))
			}
			widths = append(widths, w+2)
			total += w + 2
		}
		if total-2 > c.sh.width() && rows < len(names) {
			if !c.sh.spend(len(names) / 8) {
				return
			}
			continue
		}
		var b strings.Builder
		for r := range rows {
			for k := range widths {
				i := k*rows + r
				if i >= len(names) {
					continue
				}
				if i+rows >= len(names) {
					b.WriteString(names[i])
				} else {
					fmt.Fprintf(&b, "%-*s", widths[k], names[i])
				}
			}
			b.WriteByte('\n')
		}
		c.print(b.String())
		return
	}
}

func (c *call) lsLong(list []lsEntry, o options) {
	type row struct{ mode, links, user, group, size, date, name string }
	var rows []row
	wl, wu, wg, ws := 1, 1, 1, 1
	now := c.sh.now()
	users, groups := map[int]string{}, map[int]string{}
	for _, e := range list {
		if _, ok := users[e.n.uid]; !ok {
			users[e.n.uid] = c.sh.userName(e.n.uid)
		}
		if _, ok := groups[e.n.gid]; !ok {
			groups[e.n.gid] = c.sh.groupName(e.n.gid)
		}
		links := 1
		if e.n.isDir() {
			links = 2
			for _, k := range e.n.kids {
				links += int(b2i(k.isDir()))
			}
		}
		r := row{mode: modeString(e.n.mode), links: itoa(links), user: users[e.n.uid], group: groups[e.n.gid], size: strconv.FormatInt(e.n.length(), 10), name: e.name}
		if o.has("n") {
			r.user, r.group = itoa(e.n.uid), itoa(e.n.gid)
		}
		if o.has("h") {
			r.size = human(e.n.length())
		}
		if e.n.mode&modeType == modeChr || e.n.mode&modeType == modeBlk {
			r.size = "1,   3"
		}
		t := e.n.mtime.UTC()
		if e.n.gen != nil {
			t = now
		}
		r.date = t.Format("Jan _2 15:04")
		if now.Sub(t) > 182*24*time.Hour {
			r.date = t.Format("Jan _2  2006")
		}
		if e.n.isLink() {
			r.name += " -> " + e.n.target
		}
		wl, wu, wg, ws = max(wl, len(r.links)), max(wu, len(r.user)), max(wg, len(r.group)), max(ws, len(r.size))
		rows = append(rows, r)
	}
	for _, r := range rows {
		if !c.printf("%s %*s %-*s %-*s %*s %s %s\n", r.mode, wl, r.links, wu, r.user, wg, r.group, ws, r.size, r.date, r.name) {
			return
		}
	}
}

// human formats a size as ls -h does.
func human(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	f, unit := float64(n), ""
	for _, u := range []string{"K", "M", "G", "T"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f%s", f, unit)
	}
	return fmt.Sprintf("%.0f%s", f+0.49, unit)
}

func cmdMkdir(c *call) int {
	o := c.flags("pvm:")
	if len(o.rest) == 0 {
		return c.fail(1, "missing operand\nTry 'mkdir --help' for more information.")
	}
	status := 0
	for _, d := range o.rest {
		err := c.locked(func(f *FS) error {
			if !o.has("p") {
				_, err := f.add(c.e.abs(d), &node{mode: modeDir | 0o755})
				return err
			}
			cur := ""
			for _, part := range split(c.e.abs(d)) {
				cur += "/" + part
				n, _, err := f.walk(cur, true)
				if err == nil && n.isDir() {
					continue
				}
				if err == nil {
					return errExist
				}
				if _, err := f.add(cur, &node{mode: modeDir | 0o755}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			status = c.fail(1, "cannot create directory ‘%s’: %s", d, err)
		} else if o.has("v") {
			c.printf("mkdir: created directory '%s'\n", d)
		}
	}
	return status
}

func cmdRmdir(c *call) int {
	status := 0
	for _, d := range c.flags("pv").rest {
		if err := c.locked(func(f *FS) error { return f.remove(c.e.abs(d), true) }); err != nil {
			status = c.fail(1, "failed to remove '%s': %s", d, err)
		}
	}
	return status
}

func cmdRm(c *call) int {
	o := c.flags("rRfvidIuzn:")
	if len(o.rest) == 0 {
		if o.has("f") {
			return 0
		}
		return c.fail(1, "missing operand\nTry 'rm --help' for more information.")
	}
	status := 0
	for _, a := range o.rest {
		n, canonical, err := c.node(a, false)
		if err != nil {
			if !o.has("f") || err != errNoEnt && err != errNotDir {
				status = c.fail(1, "cannot remove '%s': %s", a, err)
			}
			continue
		}
		switch {
		case canonical == "/" && !o.has("no-preserve-root"):
			status = c.fail(1, "it is dangerous to operate recursively on '/'\nrm: use --no-preserve-root to override this failsafe")
			continue
		case canonical == "/":
			status = c.fail(1, "cannot remove '/': Device or resource busy")
			continue
		case n.isDir() && !o.has("r", "R"):
			status = c.fail(1, "cannot remove '%s': Is a directory", a)
			continue
		}
		if base := path.Base(a); base == "." || base == ".." {
			status = c.fail(1, "refusing to remove '.' or '..' directory: skipping '%s'", a)
			continue
		}
		if err := c.locked(func(f *FS) error { return f.unlink(c.e.abs(a)) }); err != nil {
			status = c.fail(1, "cannot remove '%s': %s", a, err)
		} else if o.has("v") {
			c.printf("removed '%s'\n", a)
		}
	}
	return status
}

func cmdTouch(c *call) int {
	o := c.flags("amcd:r:t:", "date=", "reference=")
	if len(o.rest) == 0 {
		return c.fail(1, "missing file operand\nTry 'touch --help' for more information.")
	}
	when := c.sh.now()
	if r := o.get("r", "reference"); r != "" {
		n, _, err := c.node(r, true)
		if err != nil {
			return c.fail(1, "failed to get attributes of '%s': %s", r, err)
		}
		when = n.mtime
	}
	if t := o.get("t"); t != "" {
		if p, err := time.Parse("200601021504", strings.SplitN(t, ".", 2)[0]); err == nil {
			when = p
		}
	}
	status := 0
	for _, p := range o.rest {
		if _, _, err := c.node(p, true); err != nil && o.has("c") {
			continue
		}
		err := c.locked(func(f *FS) error {
			n, _, err := f.create(c.e.abs(p), 0o644, false, false)
			if err == errIsDir {
				return nil
			}
			if err == nil && n.owner == f {
				n.mtime = when
			}
			return err
		})
		if err != nil {
			status = c.fail(1, "cannot touch '%s': %s", p, err)
		}
	}
	return status
}

func (c *call) operands(o options, what string) ([]string, string, bool) {
	if t := o.get("t"); t != "" {
		return o.rest, t, true
	}
	switch len(o.rest) {
	case 0:
		c.fail(1, "missing file operand\nTry '%s --help' for more information.", what)
		return nil, "", false
	case 1:
		c.fail(1, "missing destination file operand after '%s'\nTry '%s --help' for more information.", o.rest[0], what)
		return nil, "", false
	}
	srcs, dst := o.rest[:len(o.rest)-1], o.rest[len(o.rest)-1]
	if n, _, err := c.node(dst, true); len(srcs) > 1 && (err != nil || !n.isDir()) {
		c.fail(1, "target '%s' is not a directory", dst)
		return nil, "", false
	}
	return srcs, dst, true
}

func cmdCp(c *call) int {
	o := c.flags("rRafpvdiLnut:m:o:g:Ds")
	srcs, dst, ok := c.operands(o, c.name)
	if !ok {
		return 1
	}
	status := 0
	for _, s := range srcs {
		to := c.into(s, dst)
		status = max(status, c.copyTree(s, to, o.has("r", "R", "a"), 0))
		if o.has("v") && status == 0 {
			c.printf("'%s' -> '%s'\n", s, to)
		}
	}
	return status
}

func (c *call) copyTree(src, dst string, deep bool, depth int) int {
	n, from, err := c.node(src, !deep)
	if err != nil {
		return c.fail(1, "cannot stat '%s': %s", src, err)
	}
	if n.isDir() {
		if !deep {
			return c.fail(1, "-r not specified; omitting directory '%s'", src)
		}
		_, to, _ := c.node(dst, true)
		if depth > 24 || strings.HasPrefix(c.e.abs(dst)+"/", from+"/") || to != "" && strings.HasPrefix(to+"/", from+"/") {
			return c.fail(1, "cannot copy a directory, '%s', into itself, '%s'", src, dst)
		}
		err := c.locked(func(f *FS) error { _, err := f.add(c.e.abs(dst), &node{mode: n.mode}); return err })
		if err != nil && err != errExist {
			return c.fail(1, "cannot create directory '%s': %s", dst, err)
		}
		status := 0
		for name := range n.kids {
			if !c.sh.spend(2) {
				return 1
			}
			status = max(status, c.copyTree(src+"/"+name, dst+"/"+name, true, depth+1))
		}
		return status
	}
	if n.isLink() {
		err = c.locked(func(f *FS) error {
			_, err := f.add(c.e.abs(dst), &node{mode: n.mode, target: n.target})
			return err
		})
	} else {
		var b []byte
		if b, err = c.sh.fs.slurp(c.e.abs(src)); err == nil {
			err = c.sh.store(c.e.abs(dst), b, n.mode&0o777, "cp")
		} else {
			return c.fail(1, "cannot open '%s' for reading: %s", src, err)
		}
	}
	if err != nil {
		return c.fail(1, "cannot create regular file '%s': %s", dst, err)
	}
	if n.prog != "" { // a copy of a program still is that program
		c.locked(func(f *FS) error {
			return f.alter(c.e.abs(dst), func(d *node) { d.prog, d.size = n.prog, n.size; delete(f.dirty, d) })
		})
	}
	return 0
}

func cmdMv(c *call) int {
	o := c.flags("fvinut:")
	srcs, dst, ok := c.operands(o, "mv")
	if !ok {
		return 1
	}
	status := 0
	for _, s := range srcs {
		to := c.into(s, dst)
		if _, _, err := c.node(s, false); err != nil {
			status = c.fail(1, "cannot stat '%s': %s", s, err)
			continue
		}
		if err := c.locked(func(f *FS) error { return f.rename(c.e.abs(s), c.e.abs(to)) }); err != nil {
			status = c.fail(1, "cannot move '%s' to '%s': %s", s, to, err)
		} else if o.has("v") {
			c.printf("renamed '%s' -> '%s'\n", s, to)
		}
	}
	return status
}

func cmdLn(c *call) int {
	o := c.flags("sfnvr")
	if len(o.rest) == 0 {
		return c.fail(1, "missing file operand\nTry 'ln --help' for more information.")
	}
	src, dst := o.rest[0], path.Base(o.rest[0])
	if len(o.rest) > 1 {
		dst = o.rest[1]
	}
	to := c.into(src, dst)
	if o.has("f") {
		c.locked(func(f *FS) error { return f.remove(c.e.abs(to), false) })
	}
	if !o.has("s") {
		if st := c.copyTree(src, to, false, 0); st != 0 {
			return st
		}
		return 0
	}
	err := c.locked(func(f *FS) error {
		if len(src) > maxPath {
			return errNameLen
		}
		_, err := f.add(c.e.abs(to), &node{mode: modeLink | 0o777, target: src})
		return err
	})
	if err != nil {
		return c.fail(1, "failed to create symbolic link '%s': %s", to, err)
	}
	return 0
}

func cmdChmod(c *call) int {
	args := c.args
	recursive := false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "Rvfc") == "" {
		recursive = recursive || strings.Contains(args[0], "R")
		args = args[1:]
	}
	if len(args) < 2 {
		return c.fail(1, "missing operand\nTry 'chmod --help' for more information.")
	}
	spec, status := args[0], 0
	for _, p := range args[1:] {
		status = max(status, c.chmodTree(spec, p, recursive, 0))
	}
	return status
}

func (c *call) chmodTree(spec, p string, deep bool, depth int) int {
	n, _, err := c.node(p, true)
	if err != nil {
		return c.fail(1, "cannot access '%s': %s", p, err)
	}
	m, ok := parseMode(spec, n.mode)
	if !ok {
		return c.fail(1, "invalid mode: ‘%s’\nTry 'chmod --help' for more information.", spec)
	}
	if err := c.locked(func(f *FS) error { return f.setMode(c.e.abs(p), m) }); err != nil {
		return c.fail(1, "changing permissions of '%s': %s", p, err)
	}
	status := 0
	if deep && n.isDir() && depth < 24 {
		for name := range n.kids {
			if !c.sh.spend(2) {
				return 1
			}
			status = max(status, c.chmodTree(spec, p+"/"+name, true, depth+1))
		}
	}
	return status
}

// parseMode applies an octal or symbolic mode to old.
func parseMode(spec string, old uint32) (uint32, bool) {
	if v, err := strconv.ParseUint(spec, 8, 16); err == nil {
		return uint32(v) & 0o7777, v <= 0o7777
	}
	m := old & 0o7777
	for _, clause := range strings.Split(spec, ",") {
		i := strings.IndexAny(clause, "+-=")
		if i < 0 || strings.Trim(clause[:i], "ugoa") != "" {
			return 0, false
		}
		who := uint32(0)
		for _, w := range clause[:i] {
			who |= map[rune]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[w]
		}
		if who == 0 {
			who = 0o7777
		}
		bits := uint32(0)
		for _, w := range clause[i+1:] {
			b, ok := map[rune]uint32{'r': 0o444, 'w': 0o222, 'x': 0o111, 's': 0o6000, 't': 0o1000, 'X': 0o111}[w]
			if !ok {
				return 0, false
			}
			bits |= b
		}
		switch clause[i] {
		case '+':
			m |= bits & who
		case '-':
			m &^= bits & who
		default:
			m = m&^(who&0o777) | bits&who
		}
	}
	return m, true
}

func cmdChown(c *call) int {
	o := c.flags("Rvfhc", "reference=")
	if len(o.rest) < 2 {
		return c.fail(1, "missing operand\nTry '%s --help' for more information.", c.name)
	}
	user, group, _ := strings.Cut(strings.Replace(o.rest[0], ".", ":", 1), ":")
	if c.name == "chgrp" {
		user, group = "", user
	}
	uid, gid := -1, -1
	if user != "" {
		if a, ok := c.sh.account(user); ok {
			uid = a.uid
		} else if n, err := strconv.Atoi(user); err == nil {
			uid = n
		} else {
			return c.fail(1, "invalid user: ‘%s’", o.rest[0])
		}
	}
	if group != "" {
		gid = c.sh.gid(group)
		if gid < 0 {
			return c.fail(1, "invalid group: ‘%s’", o.rest[0])
		}
	}
	status := 0
	for _, p := range o.rest[1:] {
		if _, _, err := c.node(p, true); err != nil {
			status = c.fail(1, "cannot access '%s': %s", p, err)
			continue
		}
		err := c.locked(func(f *FS) error {
			if f.uid != 0 {
				return errPerm
			}
			return f.alter(c.e.abs(p), func(n *node) {
				if uid >= 0 {
					n.uid = uid
				}
				if gid >= 0 {
					n.gid = gid
				}
			})
		})
		if err != nil {
			status = c.fail(1, "changing ownership of '%s': %s", p, err)
		}
	}
	return status
}

func cmdTruncate(c *call) int {
	o := c.flags("s:c")
	n, err := strconv.Atoi(o.get("s"))
	if err != nil || n < 0 {
		return c.fail(1, "Invalid number: ‘%s’", o.get("s"))
	}
	for _, p := range o.rest {
		old, _ := c.sh.fs.slurp(c.e.abs(p)) // a missing file is created
		size := min(int64(n), c.sh.limits.FileBytes)
		b := make([]byte, 0, size)
		b = append(b, old[:min(int64(len(old)), size)]...)
		if err := c.sh.store(c.e.abs(p), b[:size], 0o644, "truncate"); err != nil {
			return c.fail(1, "cannot open '%s' for writing: %s", p, err)
		}
	}
	return 0
}

func cmdDd(c *call) int {
	arg := map[string]string{"bs": "512", "count": "-1", "skip": "0"}
	for _, a := range c.args {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			return c.fail(1, "unrecognized operand ‘%s’", a)
		}
		arg[k] = v
	}
	bs, count, skip := parseSize(arg["bs"]), parseSize(arg["count"]), parseSize(arg["skip"])
	if bs <= 0 {
		return c.fail(1, "invalid number: ‘%s’", arg["bs"])
	}
	var in io.Reader = c.in
	if p := arg["if"]; p != "" {
		var err error
		if in, err = c.open(p); err != nil {
			return c.fail(1, "failed to open '%s': %s", p, err)
		}
	}
	out := c.out
	if p := arg["of"]; p != "" {
		w, err := c.sh.openWrite(c.e.abs(p), false)
		if err != nil {
			return c.fail(1, "failed to open '%s': %s", p, err)
		}
		out = w
	}
	limit := c.sh.limits.FileBytes
	io.CopyN(io.Discard, in, min(skip*bs, limit)) // a short input just leaves nothing to copy
	want := limit
	if count >= 0 && count < limit/bs+1 {
		want = min(limit, count*bs)
	}
	buf := make([]byte, 32<<10)
	var n int64
	var werr error
	for n < want && !c.sh.dead() && werr == nil {
		k, err := in.Read(buf[:min(int64(len(buf)), want-n)])
		if k > 0 {
			_, werr = out.Write(buf[:k])
			n += int64(k)
		}
		if err != nil {
			break
		}
	}
	if werr == errNoSpace || werr == errTooBig {
		c.fail(1, "error writing '%s': %s", arg["of"], errNoSpace)
	}
	if arg["status"] == "none" {
		return 0
	}
	fmt.Fprintf(c.err, "%d+%d records in\n%d+%d records out\n%d bytes", n/bs, b2i(n%bs != 0), n/bs, b2i(n%bs != 0), n)
	if n >= 1000 {
		fmt.Fprintf(c.err, " (%s, %s)", strings.ToLower(siUnit(n, 1000)), siUnit(n, 1024))
	}
	fmt.Fprintf(c.err, " copied, %.6g s, %s/s\n", float64(n)/4e8+0.000021, "412 MB")
	return 0
}

func siUnit(n int64, base float64) string {
	f, u := float64(n), 0
	for f >= base && u < 3 {
		f, u = f/base, u+1
	}
	suffix := []string{"B", "kB", "MB", "GB"}[u]
	if base == 1024 {
		suffix = []string{"B", "KiB", "MiB", "GiB"}[u]
	}
	return fmt.Sprintf("%.2g %s", f, suffix)
}

// parseSize reads numbers such as 1M or 512k; -1 for anything else.
func parseSize(s string) int64 {
	mul := int64(1)
	s = strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i")
	if i := strings.IndexAny(s, "kKmMgGcw"); i > 0 && i == len(s)-1 {
		mul = map[byte]int64{'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 'c': 1, 'w': 2}[s[i]|32]
		s = s[:i]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<31 {
		return -1
	}
	return n * mul
}
