package system

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/tools"
	"bartizan/internal/decoy/shell/vfs"
)

// cmdShell is bash, sh, dash and busybox sh.
func cmdShell(c *interp.Call) int {
	kind, name := interp.StyleBash, "bash"
	if c.Name != "bash" && c.Name != "zsh" {
		kind, name = interp.StyleDash, "sh"
	}
	args := c.Args
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		a := args[0]
		args = args[1:]
		if a == "--version" {
			c.Printf("GNU bash, version %s(1)-release (x86_64-pc-linux-gnu)\n", c.Sh.P.Versions.Bash)
			return 0
		}
		if a == "-o" && len(args) > 0 {
			args = args[1:]
		} else if strings.Contains(a, "c") && !strings.HasPrefix(a, "--") {
			if len(args) == 0 {
				fmt.Fprintf(c.Err, "%s: -c: option requires an argument\n", name)
				return 2
			}
			src := args[0]
			if len(args) > 1 {
				name = args[1]
			}
			c.E.RunScript(src, name, args[min(2, len(args)):], kind)
			return c.E.Status
		} else if strings.Contains(a, "s") && !strings.HasPrefix(a, "--") {
			break
		}
	}
	if len(args) > 0 && !(len(c.Args) > 0 && strings.HasPrefix(c.Args[0], "-s")) {
		return scriptFile(c, args, name, kind)
	}
	if c.Tty() { // an interactive shell inside the shell: the prompt stays
		return 0
	}
	src := c.ReadAll(c.In)
	if len(src) > c.Sh.Limits.LineBytes*4 {
		src = src[:c.Sh.Limits.LineBytes*4]
	}
	if bytes.IndexByte(src[:min(len(src), 256)], 0) >= 0 {
		return c.Fail(126, "cannot execute binary file")
	}
	c.E.RunScript(string(src), name, args, kind)
	return c.E.Status
}

func scriptFile(c *interp.Call, args []string, name string, kind interp.Style) int {
	b, err := c.Sh.Fs.Slurp(c.E.Abs(args[0]))
	if err != nil {
		if kind == interp.StyleDash {
			fmt.Fprintf(c.Err, "sh: 0: cannot open %s: %s\n", args[0], strings.TrimSuffix(err.Error(), " or directory"))
			return 2
		}
		fmt.Fprintf(c.Err, "%s: %s: %s\n", name, args[0], err)
		return 127
	}
	c.Locked(func(f *vfs.FS) error {
		if n, _, err := f.Walk(c.E.Abs(args[0]), true); err == nil {
			f.Flush(n)
		}
		return nil
	})
	if bytes.IndexByte(b[:min(len(b), 256)], 0) >= 0 {
		fmt.Fprintf(c.Err, "%s: %s: cannot execute binary file\n", args[0], args[0])
		return 126
	}
	if kind == interp.StyleBash {
		kind = interp.StyleScript
	}
	c.E.RunScript(string(b), args[0], args[1:], kind)
	return c.E.Status
}

func cmdBusybox(c *interp.Call) int {
	if len(c.Args) == 0 {
		c.Printf("BusyBox v%s (%s) multi-call binary.\nBusyBox is copyrighted by many authors between 1998-2015.\nLicensed under GPLv2. See source distribution for detailed\ncopyright notices.\n\nUsage: busybox [function [arguments]...]\n   or: busybox --list[-full]\n\n", c.Sh.P.Versions.Busybox, map[string]string{"ubuntu": "Ubuntu 1:" + c.Sh.P.Versions.Busybox + "-7ubuntu3", "debian": "Debian 1:" + c.Sh.P.Versions.Busybox + "-4+b3"}[c.Sh.P.Distro.ID])
		return 0
	}
	name := c.Args[0]
	applets := " cat ls cp mv rm mkdir chmod wget tftp ftpget echo ps kill killall sh ash dd grep sed awk cut sort uniq wc tr tee head tail find which uname id whoami hostname date sleep df du free mount ifconfig ip netstat route ping nslookup telnet nc tar gzip gunzip base64 md5sum sha256sum hexdump xxd od env printf test true false touch ln pwd uptime dmesg basename dirname xargs yes seq rev vi passwd su adduser crontab reboot halt clear "
	if name == "--list" {
		c.Print(strings.ReplaceAll(strings.TrimSpace(applets), " ", "\n") + "\n")
		return 0
	}
	cmd := c.Sh.Img.Commands[name]
	if cmd == nil || !strings.Contains(applets, " "+name+" ") {
		fmt.Fprintf(c.Err, "%s: applet not found\n", interp.Clip(name, 200))
		return 127
	}
	return cmd(&interp.Call{Sh: c.Sh, E: c.E, Name: name, Args: c.Args[1:], In: c.In, Out: c.Out, Err: c.Err})
}

func cmdOpenssl(c *interp.Call) int {
	if len(c.Args) == 0 {
		return 0
	}
	switch c.Args[0] {
	case "version":
		c.Printf("OpenSSL %s\n", c.Sh.P.Versions.OpenSSL)
	case "rand":
		n := 16
		for _, a := range c.Args {
			if v, err := strconv.Atoi(a); err == nil {
				n = max(0, min(v, 4096))
			}
		}
		b := make([]byte, n)
		io.ReadFull(bufio.NewReader(&interp.Endless{S: c.Sh, Random: true}), b) // an exhausted budget leaves zeros
		if strings.Contains(strings.Join(c.Args, " "), "-hex") {
			c.Printf("%x\n", b)
		} else {
			c.Print(base64.StdEncoding.EncodeToString(b) + "\n")
		}
	case "passwd":
		c.Printf("$1$%s$%s\n", c.Token(8), c.Token(22))
	case "enc", "base64":
		if strings.Contains(strings.Join(c.Args, " "), "base64") || c.Args[0] == "base64" {
			args := []string{}
			if strings.Contains(" "+strings.Join(c.Args, " ")+" ", " -d ") {
				args = append(args, "-d")
			}
			return tools.CmdBase64(&interp.Call{Sh: c.Sh, E: c.E, Name: "base64", Args: args, In: c.In, Out: c.Out, Err: c.Err})
		}
		c.ReadAll(c.In)
		fmt.Fprint(c.Err, "bad decrypt\n")
		return 1
	}
	return 0
}
