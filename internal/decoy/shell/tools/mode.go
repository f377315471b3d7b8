package tools

import (
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/vfs"
)

func cmdChmod(c *interp.Call) int {
	args := c.Args
	recursive := false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "Rvfc") == "" {
		recursive = recursive || strings.Contains(args[0], "R")
		args = args[1:]
	}
	if len(args) < 2 {
		return c.Fail(1, "missing operand\nTry 'chmod --help' for more information.")
	}
	spec, status := args[0], 0
	for _, p := range args[1:] {
		status = max(status, chmodTree(c, spec, p, recursive, 0))
	}
	return status
}

func chmodTree(c *interp.Call, spec, p string, deep bool, depth int) int {
	n, _, err := c.Node(p, true)
	if err != nil {
		return c.Fail(1, "cannot access '%s': %s", p, err)
	}
	m, ok := parseMode(spec, n.Mode)
	if !ok {
		return c.Fail(1, "invalid mode: ‘%s’\nTry 'chmod --help' for more information.", spec)
	}
	if err := c.Locked(func(f *vfs.FS) error { return f.SetMode(c.E.Abs(p), m) }); err != nil {
		return c.Fail(1, "changing permissions of '%s': %s", p, err)
	}
	status := 0
	if deep && n.IsDir() && depth < 24 {
		for name := range n.Kids {
			if !c.Sh.Spend(2) {
				return 1
			}
			status = max(status, chmodTree(c, spec, p+"/"+name, true, depth+1))
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

func cmdChown(c *interp.Call) int {
	o := c.Flags("Rvfhc", "reference=")
	if len(o.Rest) < 2 {
		return c.Fail(1, "missing operand\nTry '%s --help' for more information.", c.Name)
	}
	user, group, _ := strings.Cut(strings.Replace(o.Rest[0], ".", ":", 1), ":")
	if c.Name == "chgrp" {
		user, group = "", user
	}
	uid, gid := -1, -1
	if user != "" {
		if a, ok := c.Sh.Account(user); ok {
			uid = a.Uid
		} else if n, err := strconv.Atoi(user); err == nil {
			uid = n
		} else {
			return c.Fail(1, "invalid user: ‘%s’", o.Rest[0])
		}
	}
	if group != "" {
		gid = c.Sh.Gid(group)
		if gid < 0 {
			return c.Fail(1, "invalid group: ‘%s’", o.Rest[0])
		}
	}
	status := 0
	for _, p := range o.Rest[1:] {
		if _, _, err := c.Node(p, true); err != nil {
			status = c.Fail(1, "cannot access '%s': %s", p, err)
			continue
		}
		err := c.Locked(func(f *vfs.FS) error {
			if f.Uid != 0 {
				return vfs.ErrPerm
			}
			return f.Alter(c.E.Abs(p), func(n *vfs.Node) {
				if uid >= 0 {
					n.Uid = uid
				}
				if gid >= 0 {
					n.Gid = gid
				}
			})
		})
		if err != nil {
			status = c.Fail(1, "changing ownership of '%s': %s", p, err)
		}
	}
	return status
}
