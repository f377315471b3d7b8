package system

import (
	"strings"

	"bartizan/internal/decoy/shell/interp"
)

// cmdChroot runs a command "elsewhere": what a container has mounted of the
// host is the host's own tree here, so that elsewhere looks the same.
func cmdChroot(c *interp.Call) int {
	args := c.Args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	if len(args) == 0 {
		return c.Fail(125, "missing operand\nTry 'chroot --help' for more information.")
	}
	if c.Sh.Who.Uid != 0 {
		return c.Fail(125, "cannot change root directory to '%s': Operation not permitted", args[0])
	}
	if info, err := c.Sh.FS().Stat(args[0]); err != nil || !info.IsDir() {
		return c.Fail(125, "cannot change root directory to '%s': No such file or directory", args[0])
	}
	return elsewhere(c, args[1:])
}

// cmdNsenter joins the namespaces of a process, as those do who left a
// container by way of the host's process 1.
func cmdNsenter(c *interp.Call) int {
	args := c.Args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flag := args[0]
		args = args[1:]
		if flag == "--" {
			break
		}
		// Options with a value of their own, which may also be attached.
		if (flag == "-t" || flag == "--target" || flag == "-S" || flag == "-G") && len(args) > 0 {
			args = args[1:]
		}
	}
	return elsewhere(c, args)
}

func elsewhere(c *interp.Call, args []string) int {
	if len(args) == 0 {
		args = []string{"sh"}
	}
	e := c.E.Sub()
	e.Invoke([]string{"cd", "/"}, 1)
	e.Invoke(args, 5)
	return e.Status
}
