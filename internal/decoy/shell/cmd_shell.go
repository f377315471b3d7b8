package shell

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// cmdShell is bash, sh, dash and busybox sh.
func cmdShell(c *call) int {
	kind, name := styleBash, "bash"
	if c.name != "bash" && c.name != "zsh" {
		kind, name = styleDash, "sh"
	}
	args := c.args
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		a := args[0]
		args = args[1:]
		if a == "--version" {
			c.printf("GNU bash, version %s(1)-release (x86_64-pc-linux-gnu)\n", c.sh.p.Versions.Bash)
			return 0
		}
		if a == "-o" && len(args) > 0 {
			args = args[1:]
		} else if strings.Contains(a, "c") && !strings.HasPrefix(a, "--") {
			if len(args) == 0 {
				fmt.Fprintf(c.err, "%s: -c: option requires an argument\n", name)
				return 2
			}
			src := args[0]
			if len(args) > 1 {
				name = args[1]
			}
			c.e.runScript(src, name, args[min(2, len(args)):], kind)
			return c.e.status
		} else if strings.Contains(a, "s") && !strings.HasPrefix(a, "--") {
			break
		}
	}
	if len(args) > 0 && !(len(c.args) > 0 && strings.HasPrefix(c.args[0], "-s")) {
		return c.scriptFile(args, name, kind)
	}
	if c.tty() { // an interactive shell inside the shell: the prompt stays
		return 0
	}
	src := c.readAll(c.in)
	if len(src) > c.sh.limits.LineBytes*4 {
		src = src[:c.sh.limits.LineBytes*4]
	}
	if bytes.IndexByte(src[:min(len(src), 256)], 0) >= 0 {
		return c.fail(126, "cannot execute binary file")
	}
	c.e.runScript(string(src), name, args, kind)
	return c.e.status
}

func (c *call) scriptFile(args []string, name string, kind style) int {
	b, err := c.sh.fs.slurp(c.e.abs(args[0]))
	if err != nil {
		if kind == styleDash {
			fmt.Fprintf(c.err, "sh: 0: cannot open %s: %s\n", args[0], strings.TrimSuffix(err.Error(), " or directory"))
			return 2
		}
		fmt.Fprintf(c.err, "%s: %s: %s\n", name, args[0], err)
		return 127
	}
	c.locked(func(f *FS) error {
		if n, _, err := f.walk(c.e.abs(args[0]), true); err == nil {
			f.flush(n)
		}
		return nil
	})
	if bytes.IndexByte(b[:min(len(b), 256)], 0) >= 0 {
		fmt.Fprintf(c.err, "%s: %s: cannot execute binary file\n", args[0], args[0])
		return 126
	}
	if kind == styleBash {
		kind = styleScript
	}
	c.e.runScript(string(b), args[0], args[1:], kind)
	return c.e.status
}

func cmdBusybox(c *call) int {
	if len(c.args) == 0 {
		c.printf("BusyBox v%s (%s) multi-call binary.\nBusyBox is copyrighted by many authors between 1998-2015.\nLicensed under GPLv2. See source distribution for detailed\ncopyright notices.\n\nUsage: busybox [function [arguments]...]\n   or: busybox --list[-full]\n\n", c.sh.p.Versions.Busybox, map[string]string{"ubuntu": "Ubuntu 1:" + c.sh.p.Versions.Busybox + "-7ubuntu3", "debian": "Debian 1:" + c.sh.p.Versions.Busybox + "-4+b3"}[c.sh.p.Distro.ID])
		return 0
	}
	name := c.args[0]
	applets := " cat ls cp mv rm mkdir chmod wget tftp ftpget echo ps kill killall sh ash dd grep sed awk cut sort uniq wc tr tee head tail find which uname id whoami hostname date sleep df du free mount ifconfig ip netstat route ping nslookup telnet nc tar gzip gunzip base64 md5sum sha256sum hexdump xxd od env printf test true false touch ln pwd uptime dmesg basename dirname xargs yes seq rev vi passwd su adduser crontab reboot halt clear "
	if name == "--list" {
		c.print(strings.ReplaceAll(strings.TrimSpace(applets), " ", "\n") + "\n")
		return 0
	}
	cmd := c.sh.img.commands[name]
	if cmd == nil || !strings.Contains(applets, " "+name+" ") {
		fmt.Fprintf(c.err, "%s: applet not found\n", clip(name, 200))
		return 127
	}
	return cmd(&call{sh: c.sh, e: c.e, name: name, args: c.args[1:], in: c.in, out: c.out, err: c.err})
}

func cmdOpenssl(c *call) int {
	if len(c.args) == 0 {
		return 0
	}
	switch c.args[0] {
	case "version":
		c.printf("OpenSSL %s\n", c.sh.p.Versions.OpenSSL)
	case "rand":
		n := 16
		for _, a := range c.args {
			if v, err := strconv.Atoi(a); err == nil {
				n = max(0, min(v, 4096))
			}
		}
		b := make([]byte, n)
		io.ReadFull(bufio.NewReader(&endless{c.sh, true}), b) // an exhausted budget leaves zeros
		if strings.Contains(strings.Join(c.args, " "), "-hex") {
			c.printf("%x\n", b)
		} else {
			c.print(base64.StdEncoding.EncodeToString(b) + "\n")
		}
	case "passwd":
		c.printf("$1$%s$%s\n", c.token(8), c.token(22))
	case "enc", "base64":
		if strings.Contains(strings.Join(c.args, " "), "base64") || c.args[0] == "base64" {
			args := []string{}
			if strings.Contains(" "+strings.Join(c.args, " ")+" ", " -d ") {
				args = append(args, "-d")
			}
			return cmdBase64(&call{sh: c.sh, e: c.e, name: "base64", args: args, in: c.in, out: c.out, err: c.err})
		}
		c.readAll(c.in)
		fmt.Fprint(c.err, "bad decrypt\n")
		return 1
	}
	return 0
}
