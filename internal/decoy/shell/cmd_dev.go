package shell

import (
	"fmt"
	"path"
	"strings"
	"time"
)

func devCommands() map[string]commandFunc {
	return map[string]commandFunc{
		"bash": cmdShell, "sh": cmdShell, "dash": cmdShell, "rbash": cmdShell, "ash": cmdShell, "busybox": cmdBusybox, "openssl": cmdOpenssl,
		"python3": cmdScriptLang, "perl": cmdScriptLang, "php": cmdScriptLang, "node": cmdScriptLang,
		"gcc": cmdCompiler, "cc": cmdCompiler, "g++": cmdCompiler, "make": cmdMake, "git": cmdGit, "docker": cmdDocker,
		"screen": cmdScreen, "tmux": cmdScreen, "script": cmdScreen, "vi": cmdEditor, "vim": cmdEditor, "nano": cmdEditor, "ed": cmdEditor,
		"man": cmdMan, "ollama": cmdOllama, "redis-cli": cmdRedis, "mysql": cmdMySQL, "mysqldump": cmdMySQL, "pip3": cmdPip, "pip": cmdPip, "npm": cmdPip,
		"aws": cmdAWS, "gpg": quiet, "ldd": cmdLdd,
	}
}

// cmdScriptLang records what an interpreter was asked to run; nothing runs.
func cmdScriptLang(c *call) int {
	v := c.sh.p.Versions
	if len(c.args) > 0 && (c.args[0] == "--version" || c.args[0] == "-V" || c.args[0] == "-v") {
		switch c.name {
		case "perl":
			c.printf("\nThis is perl 5, version %s, subversion %s (v%s) built for x86_64-linux-gnu-thread-multi\n\nCopyright 1987-2023, Larry Wall\n", strings.Split(v.Perl, ".")[1], strings.Split(v.Perl, ".")[2], v.Perl)
		case "php":
			c.printf("PHP %s (cli) (NTS)\nCopyright (c) The PHP Group\n", v.PHP)
		case "node":
			c.print("v18.19.1\n")
		default:
			c.printf("Python %s\n", v.Python)
		}
		return 0
	}
	o := c.flags("+c:e:r:uEsSBm:i:nplawI:")
	code := o.get("c", "e", "r")
	if code == "" && len(o.rest) > 0 && o.rest[0] != "-" {
		b, err := c.sh.fs.slurp(c.e.abs(o.rest[0]))
		if err != nil {
			if c.name == "perl" {
				fmt.Fprintf(c.err, "Can't open perl script \"%s\": %s\n", o.rest[0], err)
			} else {
				fmt.Fprintf(c.err, "%s: can't open file '%s': [Errno 2] %s\n", c.name, c.e.abs(o.rest[0]), err)
			}
			return 2
		}
		code = string(b)
	}
	if code == "" && !c.tty() {
		code = string(c.readAll(c.in))
	}
	if code != "" {
		c.sh.recordCommand(c.name + ": " + clip(code, c.sh.limits.EventBytes))
	}
	for _, u := range findURLs(code) {
		c.sh.recordDownload(u, c.name)
	}
	if t, ok := strings.CutPrefix(strings.TrimSpace(code), "print("); ok { // a favourite liveness check
		t = strings.TrimSuffix(strings.TrimRight(t, "; "), ")")
		if len(t) > 1 && (t[0] == '"' || t[0] == '\'') && strings.Count(t, t[:1]) == 2 {
			c.print(strings.Trim(t, t[:1]) + "\n")
		}
	}
	return 0
}

// findURLs picks out URLs from code, a few at most.
func findURLs(s string) []string {
	var out []string
	for len(out) < 16 {
		i := -1
		for _, p := range []string{"http://", "https://", "ftp://", "tftp://"} {
			if k := strings.Index(s, p); k >= 0 && (i < 0 || k < i) {
				i = k
			}
		}
		if i < 0 {
			return out
		}
		end := strings.IndexAny(s[i:], " \t\r\n\"'`<>|;)\\")
		if end < 0 {
			end = len(s) - i
		}
		out = append(out, s[i:i+end])
		s = s[i+end:]
	}
	return out
}

func cmdCompiler(c *call) int {
	o := c.flags("o:O:l:I:L:D:f:m:W:std:wgscpv", "version")
	if o.has("version", "v") {
		c.printf("%s (%s %s) %s\nCopyright (C) Free Software Foundation, Inc.\n", c.name, c.sh.p.Distro.Name, c.sh.p.Versions.GCC, c.sh.p.Versions.GCC)
		return 0
	}
	if len(o.rest) == 0 {
		return c.fail(1, "fatal error: no input files\ncompilation terminated.")
	}
	for _, f := range o.rest {
		if _, _, err := c.node(f, true); err != nil {
			return c.fail(1, "error: %s: %s\n%s: fatal error: no input files\ncompilation terminated.", f, err, c.name)
		}
	}
	out := o.get("o")
	if out == "" {
		out = "a.out"
	}
	if err := c.sh.store(c.e.abs(out), elfHeader(c.sh.p), 0o755, "gcc"); err != nil {
		return c.fail(1, "cannot open output file %s: %s", out, err)
	}
	return 0
}

func cmdMake(c *call) int {
	if len(c.args) > 0 && c.args[0] == "--version" {
		c.print("GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu\n")
		return 0
	}
	for _, f := range []string{"Makefile", "makefile", "GNUmakefile"} {
		if _, _, err := c.node(f, true); err == nil {
			c.print("make: Nothing to be done for 'all'.\n")
			return 0
		}
	}
	fmt.Fprint(c.err, "make: *** No targets specified and no makefile found.  Stop.\n")
	return 2
}

func cmdGit(c *call) int {
	if len(c.args) == 0 || c.args[0] == "--help" {
		c.print("usage: git [-v | --version] [-h | --help] [-C <path>] <command> [<args>]\n")
		return 1
	}
	switch c.args[0] {
	case "--version", "version":
		c.printf("git version %s\n", c.sh.p.Versions.Git)
	case "clone":
		for _, a := range c.args[1:] {
			if strings.HasPrefix(a, "-") {
				continue
			}
			c.sh.recordDownload(a, "git")
			host, _ := hostOf(a)
			fmt.Fprintf(c.err, "Cloning into '%s'...\n", strings.TrimSuffix(path.Base(a), ".git"))
			c.sh.sleep(2 * time.Second)
			fmt.Fprintf(c.err, "fatal: unable to access '%s/': Failed to connect to %s port 443 after 130512 ms: Couldn't connect to server\n", strings.TrimSuffix(a, "/"), host)
			return 128
		}
		fmt.Fprint(c.err, "fatal: You must specify a repository to clone.\n")
		return 129
	default:
		fmt.Fprint(c.err, "fatal: not a git repository (or any of the parent directories): .git\n")
		return 128
	}
	return 0
}

func cmdDocker(c *call) int {
	d := c.sh.p.Docker
	o := c.flags("+H:")
	verb := ""
	if len(o.rest) > 0 {
		verb = o.rest[0]
	}
	args := o.rest[min(1, len(o.rest)):]
	switch verb {
	case "ps", "container":
		c.print("CONTAINER ID   IMAGE                            COMMAND                  CREATED        STATUS        PORTS                      NAMES\n")
		for _, k := range c.sh.p.Containers {
			days := int(c.sh.now().Sub(k.Created).Hours()) / 24
			c.printf("%-14s %-32s %-24s %-14s %-13s %-26s %s\n", k.ID[:12], k.Image, "\""+k.Command+"\"", fmt.Sprintf("%d days ago", days), fmt.Sprintf("Up %d days", days), k.Ports, k.Name)
		}
	case "images":
		c.print("REPOSITORY                TAG           IMAGE ID       CREATED        SIZE\n")
		for i, k := range c.sh.p.Containers {
			name, tag, _ := strings.Cut(k.Image, ":")
			c.printf("%-25s %-13s %s   %d weeks ago   %dMB\n", name, tag, k.ImageID[7:19], 9+i*3, 41+i*117)
		}
	case "version":
		c.printf("Client: Docker Engine - Community\n Version:           %s\n API version:       %s\n Go version:        %s\n Git commit:        %s\n OS/Arch:           linux/amd64\n\nServer: Docker Engine - Community\n Engine:\n  Version:          %s\n  API version:      %s (minimum version %s)\n", d.Version, d.APIVersion, d.GoVersion, d.GitCommit, d.Version, d.APIVersion, d.MinAPIVersion)
	case "info":
		c.printf("Client: Docker Engine - Community\n Version:    %s\n\nServer:\n Containers: %d\n  Running: %d\n Server Version: %s\n Storage Driver: overlay2\n Kernel Version: %s\n Operating System: %s\n OSType: linux\n Architecture: x86_64\n CPUs: %d\n Name: %s\n", d.Version, len(c.sh.p.Containers), len(c.sh.p.Containers), d.Version, c.sh.p.Kernel.Release, c.sh.p.Distro.PrettyName, c.sh.p.Hardware.Cores, c.sh.p.Hostname)
	case "pull", "run", "create":
		image := ""
		for i, a := range args {
			if !strings.HasPrefix(a, "-") && (i == 0 || !strings.HasPrefix(args[i-1], "-") || strings.Contains(args[i-1], "=") || args[i-1] == "-d" || args[i-1] == "-it" || args[i-1] == "--rm" || args[i-1] == "--privileged") {
				image = a
				break
			}
		}
		if image == "" {
			fmt.Fprintf(c.err, "\"docker %s\" requires at least 1 argument.\nSee 'docker %s --help'.\n", verb, verb)
			return 1
		}
		c.sh.recordDownload("docker://"+image, "docker")
		c.sh.sleep(2 * time.Second)
		if verb != "pull" {
			fmt.Fprintf(c.err, "Unable to find image '%s' locally\n", image)
		}
		fmt.Fprint(c.err, "docker: Error response from daemon: Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers).\n")
		return 125
	case "--version", "-v":
		c.printf("Docker version %s, build %s\n", d.Version, d.GitCommit)
	case "exec", "rm", "stop", "kill", "logs", "inspect", "start":
		for _, a := range args {
			if strings.HasPrefix(a, "-") {
				continue
			}
			for _, k := range c.sh.p.Containers {
				if k.Name == a || strings.HasPrefix(k.ID, a) {
					return 0
				}
			}
			fmt.Fprintf(c.err, "Error response from daemon: No such container: %s\n", a)
			return 1
		}
	default:
		c.print("\nUsage:  docker [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n")
	}
	return 0
}

func cmdScreen(c *call) int {
	o := c.flags("+dmS:r:ls:xRt:c:")
	if o.has("l") || o.has("ls") || len(c.args) > 0 && (c.args[0] == "-ls" || c.args[0] == "ls") {
		c.printf("No Sockets found in /run/screen/S-%s.\n\n", c.sh.who.name)
		return 1
	}
	args := o.rest
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || args[0] == "new-session" || args[0] == "new") {
		args = args[1:]
	}
	if len(args) > 0 {
		e := c.e.sub()
		e.fds[1], e.fds[2] = &stream{w: discard{}}, &stream{w: discard{}}
		e.invoke(args, 5)
	}
	return 0
}

// cmdEditor shows a file's end instead of an editor; there is no full screen.
func cmdEditor(c *call) int {
	fmt.Fprintf(c.err, "Error opening terminal: unknown.\n")
	return 1
}

func cmdMan(c *call) int {
	if len(c.args) == 0 {
		c.print("What manual page do you want?\nFor example, try 'man man'.\n")
		return 1
	}
	fmt.Fprintf(c.err, "No manual entry for %s\n", c.args[len(c.args)-1])
	return 16
}

func cmdOllama(c *call) int {
	if len(c.args) == 0 {
		c.print("Usage:\n  ollama [flags]\n  ollama [command]\n")
		return 0
	}
	switch c.args[0] {
	case "list", "ls":
		c.print("NAME                      ID              SIZE      MODIFIED     \n")
		for _, m := range c.sh.p.Ollama.Models {
			c.printf("%-25s %s    %.1f GB    %d days ago    \n", m.Name, m.Digest[:12], float64(m.Size)/1e9, int(c.sh.now().Sub(m.ModifiedAt).Hours()/24))
		}
	case "--version", "-v":
		c.printf("ollama version is %s\n", c.sh.p.Ollama.Version)
	case "pull", "run":
		c.sh.recordDownload("ollama://"+strings.Join(c.args[1:], " "), "ollama")
		fmt.Fprint(c.err, "Error: pull model manifest: Get \"https://registry.ollama.ai/v2/\": dial tcp: i/o timeout\n")
		return 1
	}
	return 0
}

func cmdRedis(c *call) int {
	a := strings.ToLower(strings.Join(c.flags("+h:p:a:n:").rest, " "))
	switch {
	case strings.HasPrefix(a, "ping"), a == "info":
		c.print("NOAUTH Authentication required.\n")
	case c.args != nil && len(c.args) > 0 && (c.args[0] == "--version" || c.args[0] == "-v"):
		c.printf("redis-cli %s\n", c.sh.p.Versions.Redis)
	default:
		c.print("(error) NOAUTH Authentication required.\n")
	}
	return 0
}

func cmdMySQL(c *call) int {
	if len(c.args) > 0 && (c.args[0] == "--version" || c.args[0] == "-V") {
		c.printf("%s  Ver %s for Linux on x86_64\n", c.name, c.sh.p.Versions.MySQL)
		return 0
	}
	fmt.Fprintf(c.err, "ERROR 1045 (28000): Access denied for user '%s'@'localhost' (using password: %s)\n", c.sh.who.name, map[bool]string{true: "YES", false: "NO"}[strings.Contains(strings.Join(c.args, " "), "-p")])
	return 1
}

func cmdPip(c *call) int {
	if len(c.args) > 1 && c.args[0] == "install" {
		c.sh.recordDownload(c.name+"://"+strings.Join(c.args[1:], " "), c.name)
		c.sh.sleep(2 * time.Second)
		fmt.Fprintf(c.err, "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: Failed to establish a new connection: [Errno 110] Connection timed out'\nERROR: Could not find a version that satisfies the requirement %s (from versions: none)\nERROR: No matching distribution found for %s\n", c.args[len(c.args)-1], c.args[len(c.args)-1])
		return 1
	}
	return 0
}

func cmdAWS(c *call) int {
	if len(c.args) > 0 && c.args[0] == "--version" {
		c.printf("aws-cli/2.15.30 Python/3.11.8 Linux/%s exe/x86_64.%s.%s\n", c.sh.p.Kernel.Release, c.sh.p.Distro.ID, c.sh.p.Distro.Version)
		return 0
	}
	c.sh.sleep(2 * time.Second)
	fmt.Fprint(c.err, "\nCould not connect to the endpoint URL: \"https://sts.eu-central-1.amazonaws.com/\"\n")
	return 255
}

func cmdLdd(c *call) int {
	if len(c.args) > 0 && c.args[0] == "--version" {
		c.printf("ldd (%s GLIBC %s) %s\n", c.sh.p.Distro.Name, c.sh.p.Versions.Glibc, c.sh.p.Versions.Glibc)
		return 0
	}
	c.print("\tlinux-vdso.so.1 (0x00007ffd3a5f2000)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2a1c000000)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f2a1c3f1000)\n")
	return 0
}
