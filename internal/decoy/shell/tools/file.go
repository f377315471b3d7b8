// Package tools holds the commands that work on text and files: ls, cp, find,
// grep, sed, awk, tar and their kin.
package tools

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/vfs"
)

func FileCommands() map[string]interp.CommandFunc {
	return map[string]interp.CommandFunc{
		"ls": cmdLs, "dir": cmdLs, "mkdir": cmdMkdir, "rmdir": cmdRmdir, "rm": cmdRm, "unlink": cmdRm, "shred": cmdRm,
		"touch": cmdTouch, "cp": CmdCp, "mv": cmdMv, "install": CmdCp, "ln": cmdLn, "chmod": cmdChmod, "chown": cmdChown,
		"chgrp": cmdChown, "stat": cmdStat, "file": cmdFile, "find": cmdFind, "which": cmdWhich, "whereis": cmdWhereis,
		"readlink": cmdReadlink, "realpath": cmdReadlink, "basename": cmdBasename, "dirname": cmdBasename, "du": cmdDu,
		"chattr": cmdChattr, "lsattr": cmdLsattr, "mktemp": cmdMktemp, "dd": cmdDd, "tar": cmdTar, "gzip": cmdGzip,
		"gunzip": cmdGzip, "zcat": cmdGzip, "bzip2": cmdGzip, "xz": cmdGzip, "unzip": cmdUnzip, "zip": cmdUnzip,
		"truncate": cmdTruncate, "sync": func(*interp.Call) int { return 0 }, "pwd": interp.BiPwd, "test": interp.BiTest, "[": interp.BiTest,
		"echo": interp.BiEcho, "printf": interp.BiPrintf, "kill": interp.BiKill, "true": func(*interp.Call) int { return 0 }, "false": func(*interp.Call) int { return 1 },
	}
}

func modeString(m uint32) string {
	t := map[uint32]byte{vfs.ModeDir: 'd', vfs.ModeLink: 'l', vfs.ModeChr: 'c', vfs.ModeBlk: 'b'}[m&vfs.ModeType]
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
	n    vfs.Node
}

func cmdLs(c *interp.Call) int {
	o := c.Flags("laAhtrR1dSinFCsogGQLHxX", "color=", "sort=")
	if o.Bad != "" {
		return c.Fail(2, "invalid option -- '%s'\nTry 'ls --help' for more information.", o.Bad)
	}
	if len(o.Rest) == 0 {
		o.Rest = []string{"."}
	}
	status := 0
	var files []lsEntry
	var dirs []string
	for _, a := range o.Rest {
		n, _, err := c.Node(a, !o.Has("d", "l"))
		switch {
		case err != nil:
			status = c.Fail(2, "cannot access '%s': %s", a, err)
		case n.IsDir() && !o.Has("d"):
			dirs = append(dirs, a)
		default:
			if t, _, err := c.Node(a, true); err == nil && t.IsDir() && n.IsLink() && strings.HasSuffix(a, "/") {
				dirs = append(dirs, a)
				continue
			}
			files = append(files, lsEntry{a, n})
		}
	}
	lsPrint(c, files, o)
	for i, d := range dirs {
		if len(o.Rest) > 1 || o.Has("R") {
			if i > 0 || len(files) > 0 {
				c.Print("\n")
			}
			c.Printf("%s:\n", d)
		}
		status = max(status, lsDir(c, d, o, 0))
	}
	return status
}

func lsDir(c *interp.Call, d string, o interp.Options, depth int) int {
	c.Sh.Fs.Mu.Lock()
	n, _, err := c.Sh.Fs.Walk(c.E.Abs(d), true)
	if err == nil && !c.Sh.Fs.Allowed(n, 4) {
		err = vfs.ErrAccess
	}
	var list []lsEntry
	if err == nil {
		if o.Has("a") {
			list = append(list, lsEntry{".", n.Snapshot()})
			if up, _, err := c.Sh.Fs.Walk(c.E.Abs(d)+"/..", true); err == nil {
				list = append(list, lsEntry{"..", up.Snapshot()})
			}
		}
		for _, name := range c.Sh.Fs.Children(n) {
			if strings.HasPrefix(name, ".") && !o.Has("a", "A") {
				continue
			}
			list = append(list, lsEntry{name, n.Kids[name].Snapshot()})
		}
	}
	c.Sh.Fs.Mu.Unlock()
	if err != nil {
		return c.Fail(2, "cannot open directory '%s': %s", d, err)
	}
	if !c.Sh.Spend(1 + len(list)/2) {
		return 1
	}
	if o.Has("l", "s", "n", "o", "g") {
		total := int64(0)
		for _, e := range list {
			total += (e.n.Length() + 4095) / 4096 * 4
		}
		c.Printf("total %d\n", total)
	}
	lsPrint(c, list, o)
	if !o.Has("R") || depth > 12 {
		return 0
	}
	for _, e := range list {
		if e.n.IsDir() && e.name != "." && e.name != ".." && !c.Sh.Dead() {
			sub := strings.TrimSuffix(d, "/") + "/" + e.name
			c.Printf("\n%s:\n", sub)
			lsDir(c, sub, o, depth+1)
		}
	}
	return 0
}

func lsPrint(c *interp.Call, list []lsEntry, o interp.Options) {
	if o.Has("t") {
		SortBy(list, func(a, b lsEntry) bool { return a.n.Mtime.After(b.n.Mtime) })
	}
	if o.Has("S") {
		SortBy(list, func(a, b lsEntry) bool { return a.n.Length() > b.n.Length() })
	}
	if o.Has("r") {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	if o.Has("l", "n", "o", "g") {
		lsLong(c, list, o)
		return
	}
	mark := func(e lsEntry) string {
		if !o.Has("F") {
			return e.name
		}
		switch {
		case e.n.IsDir():
			return e.name + "/"
		case e.n.IsLink():
			return e.name + "@"
		case e.n.Mode&0o111 != 0:
			return e.name + "*"
		}
		return e.name
	}
	var names []string
	for _, e := range list {
		names = append(names, mark(e))
	}
	if !c.OutTTY() || o.Has("1") {
		for _, n := range names {
			if !c.Print(n + "\n") {
				return
			}
		}
		return
	}
	columns(c, names)
}

// columns prints names down columns of an 80-column terminal, as ls does.
func columns(c *interp.Call, names []string) {
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
		if total-2 > c.Sh.Width() && rows < len(names) {
			if !c.Sh.Spend(len(names) / 8) {
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
		c.Print(b.String())
		return
	}
}

func lsLong(c *interp.Call, list []lsEntry, o interp.Options) {
	type row struct{ mode, links, user, group, size, date, name string }
	var rows []row
	wl, wu, wg, ws := 1, 1, 1, 1
	now := c.Sh.Now()
	users, groups := map[int]string{}, map[int]string{}
	for _, e := range list {
		if _, ok := users[e.n.Uid]; !ok {
			users[e.n.Uid] = c.Sh.UserName(e.n.Uid)
		}
		if _, ok := groups[e.n.Gid]; !ok {
			groups[e.n.Gid] = c.Sh.GroupName(e.n.Gid)
		}
		links := 1
		if e.n.IsDir() {
			links = 2 + e.n.Subdirs
		}
		r := row{mode: modeString(e.n.Mode), links: interp.Itoa(links), user: users[e.n.Uid], group: groups[e.n.Gid], size: strconv.FormatInt(e.n.Length(), 10), name: e.name}
		if o.Has("n") {
			r.user, r.group = interp.Itoa(e.n.Uid), interp.Itoa(e.n.Gid)
		}
		if o.Has("h") {
			r.size = Human(e.n.Length())
		}
		if e.n.Mode&vfs.ModeType == vfs.ModeChr || e.n.Mode&vfs.ModeType == vfs.ModeBlk {
			r.size = "1,   3"
		}
		t := e.n.Mtime.UTC()
		if e.n.Gen != nil {
			t = now
		}
		r.date = t.Format("Jan _2 15:04")
		if now.Sub(t) > 182*24*time.Hour {
			r.date = t.Format("Jan _2  2006")
		}
		if e.n.IsLink() {
			r.name += " -> " + e.n.Target
		}
		wl, wu, wg, ws = max(wl, len(r.links)), max(wu, len(r.user)), max(wg, len(r.group)), max(ws, len(r.size))
		rows = append(rows, r)
	}
	for _, r := range rows {
		if !c.Printf("%s %*s %-*s %-*s %*s %s %s\n", r.mode, wl, r.links, wu, r.user, wg, r.group, ws, r.size, r.date, r.name) {
			return
		}
	}
}

// Human formats a size as ls -h does.
func Human(n int64) string {
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
