package system

import (
	"fmt"
	"path"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
)

func DevCommands() map[string]interp.CommandFunc {
	return map[string]interp.CommandFunc{
		"bash": cmdShell, "sh": cmdShell, "dash": cmdShell, "rbash": cmdShell, "ash": cmdShell, "busybox": cmdBusybox, "openssl": cmdOpenssl,
		"python3": cmdScriptLang, "perl": cmdScriptLang, "php": cmdScriptLang, "node": cmdScriptLang,
		"gcc": cmdCompiler, "cc": cmdCompiler, "g++": cmdCompiler, "make": cmdMake, "git": cmdGit, "docker": cmdDocker,
		"screen": cmdScreen, "tmux": cmdScreen, "script": cmdScreen, "vi": cmdEditor, "vim": cmdEditor, "nano": cmdEditor, "ed": cmdEditor,
		"man": cmdMan, "ollama": cmdOllama, "redis-cli": cmdRedis, "mysql": cmdMySQL, "mysqldump": cmdMySQL, "pip3": cmdPip, "pip": cmdPip, "npm": cmdPip,
		"aws": cmdAWS, "gpg": quiet, "ldd": cmdLdd,
	}
}

// cmdScriptLang records what an interpreter was asked to run; nothing runs.
func cmdScriptLang(c *interp.Call) int {
	v := c.Sh.P.Versions
	if len(c.Args) > 0 && (c.Args[0] == "--version" || c.Args[0] == "-V" || c.Args[0] == "-v") {
		switch c.Name {
		case "perl":
			c.Printf("\nThis is perl 5, version %s, subversion %s (v%s) built for x86_64-linux-gnu-thread-multi\n\nCopyright 1987-2023, Larry Wall\n", strings.Split(v.Perl, ".")[1], strings.Split(v.Perl, ".")[2], v.Perl)
		case "php":
			c.Printf("PHP %s (cli) (NTS)\nCopyright (c) The PHP Group\n", v.PHP)
		case "node":
			c.Print("v18.19.1\n")
		default:
			c.Printf("Python %s\n", v.Python)
		}
		return 0
	}
	o := c.Flags("+c:e:r:uEsSBm:i:nplawI:")
	code := o.Get("c", "e", "r")
	if code == "" && len(o.Rest) > 0 && o.Rest[0] != "-" {
		b, err := c.Sh.Fs.Slurp(c.E.Abs(o.Rest[0]))
		if err != nil {
			if c.Name == "perl" {
				fmt.Fprintf(c.Err, "Can't open perl script \"%s\": %s\n", o.Rest[0], err)
			} else {
				fmt.Fprintf(c.Err, "%s: can't open file '%s': [Errno 2] %s\n", c.Name, c.E.Abs(o.Rest[0]), err)
			}
			return 2
		}
		code = string(b)
	}
	if code == "" && !c.Tty() {
		code = string(c.ReadAll(c.In))
	}
	if code != "" {
		c.Sh.RecordCommand(c.Name + ": " + interp.Clip(code, c.Sh.Limits.EventBytes))
	}
	for _, u := range findURLs(code) {
		c.Sh.RecordDownload(u, c.Name)
	}
	if t, ok := strings.CutPrefix(strings.TrimSpace(code), "print("); ok { // a favourite liveness check
		t = strings.TrimSuffix(strings.TrimRight(t, "; "), ")")
		if len(t) > 1 && (t[0] == '"' || t[0] == '\'') && strings.Count(t, t[:1]) == 2 {
			c.Print(strings.Trim(t, t[:1]) + "\n")
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

func cmdCompiler(c *interp.Call) int {
	o := c.Flags("o:O:l:I:L:D:f:m:W:std:wgscpv", "version")
	if o.Has("version", "v") {
		c.Printf("%s (%s %s) %s\nCopyright (C) Free Software Foundation, Inc.\n", c.Name, c.Sh.P.Distro.Name, c.Sh.P.Versions.GCC, c.Sh.P.Versions.GCC)
		return 0
	}
	if len(o.Rest) == 0 {
		return c.Fail(1, "fatal error: no input files\ncompilation terminated.")
	}
	for _, f := range o.Rest {
		if _, _, err := c.Node(f, true); err != nil {
			return c.Fail(1, "error: %s: %s\n%s: fatal error: no input files\ncompilation terminated.", f, err, c.Name)
		}
	}
	out := o.Get("o")
	if out == "" {
		out = "a.out"
	}
	if err := c.Sh.Store(c.E.Abs(out), ElfHeader(c.Sh.P), 0o755, "gcc"); err != nil {
		return c.Fail(1, "cannot open output file %s: %s", out, err)
	}
	return 0
}

func cmdMake(c *interp.Call) int {
	if len(c.Args) > 0 && c.Args[0] == "--version" {
		c.Print("GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu\n")
		return 0
	}
	for _, f := range []string{"Makefile", "makefile", "GNUmakefile"} {
		if _, _, err := c.Node(f, true); err == nil {
			c.Print("make: Nothing to be done for 'all'.\n")
			return 0
		}
	}
	fmt.Fprint(c.Err, "make: *** No targets specified and no makefile found.  Stop.\n")
	return 2
}

func cmdGit(c *interp.Call) int {
	if len(c.Args) == 0 || c.Args[0] == "--help" {
		c.Print("usage: git [-v | --version] [-h | --help] [-C <path>] <command> [<args>]\n")
		return 1
	}
	switch c.Args[0] {
	case "--version", "version":
		c.Printf("git version %s\n", c.Sh.P.Versions.Git)
	case "clone":
		for _, a := range c.Args[1:] {
			if strings.HasPrefix(a, "-") {
				continue
			}
			c.Sh.RecordDownload(a, "git")
			host, _ := hostOf(a)
			fmt.Fprintf(c.Err, "Cloning into '%s'...\n", strings.TrimSuffix(path.Base(a), ".git"))
			c.Sh.Sleep(2 * time.Second)
			fmt.Fprintf(c.Err, "fatal: unable to access '%s/': Failed to connect to %s port 443 after 130512 ms: Couldn't connect to server\n", strings.TrimSuffix(a, "/"), host)
			return 128
		}
		fmt.Fprint(c.Err, "fatal: You must specify a repository to clone.\n")
		return 129
	default:
		fmt.Fprint(c.Err, "fatal: not a git repository (or any of the parent directories): .git\n")
		return 128
	}
	return 0
}

func cmdDocker(c *interp.Call) int {
	d := c.Sh.P.Docker
	o := c.Flags("+H:")
	verb := ""
	if len(o.Rest) > 0 {
		verb = o.Rest[0]
	}
	args := o.Rest[min(1, len(o.Rest)):]
	switch verb {
	case "ps", "container":
		c.Print("CONTAINER ID   IMAGE                            COMMAND                  CREATED        STATUS        PORTS                      NAMES\n")
		for _, k := range c.Sh.P.Containers {
			days := int(c.Sh.Now().Sub(k.Created).Hours()) / 24
			c.Printf("%-14s %-32s %-24s %-14s %-13s %-26s %s\n", k.ID[:12], k.Image, "\""+k.Command+"\"", fmt.Sprintf("%d days ago", days), fmt.Sprintf("Up %d days", days), k.Ports, k.Name)
		}
	case "images":
		c.Print("REPOSITORY                TAG           IMAGE ID       CREATED        SIZE\n")
		for i, k := range c.Sh.P.Containers {
			name, tag, _ := strings.Cut(k.Image, ":")
			c.Printf("%-25s %-13s %s   %d weeks ago   %dMB\n", name, tag, k.ImageID[7:19], 9+i*3, 41+i*117)
		}
	case "version":
		c.Printf("Client: Docker Engine - Community\n Version:           %s\n API version:       %s\n Go version:        %s\n Git commit:        %s\n OS/Arch:           linux/amd64\n\nServer: Docker Engine - Community\n Engine:\n  Version:          %s\n  API version:      %s (minimum version %s)\n", d.Version, d.APIVersion, d.GoVersion, d.GitCommit, d.Version, d.APIVersion, d.MinAPIVersion)
	case "info":
		c.Printf("Client: Docker Engine - Community\n Version:    %s\n\nServer:\n Containers: %d\n  Running: %d\n Server Version: %s\n Storage Driver: overlay2\n Kernel Version: %s\n Operating System: %s\n OSType: linux\n Architecture: x86_64\n CPUs: %d\n Name: %s\n", d.Version, len(c.Sh.P.Containers), len(c.Sh.P.Containers), d.Version, c.Sh.P.Kernel.Release, c.Sh.P.Distro.PrettyName, c.Sh.P.Hardware.Cores, c.Sh.P.Hostname)
	case "pull", "run", "create":
		image := ""
		for i, a := range args {
			if !strings.HasPrefix(a, "-") && (i == 0 || !strings.HasPrefix(args[i-1], "-") || strings.Contains(args[i-1], "=") || args[i-1] == "-d" || args[i-1] == "-it" || args[i-1] == "--rm" || args[i-1] == "--privileged") {
				image = a
				break
			}
		}
		if image == "" {
			fmt.Fprintf(c.Err, "\"docker %s\" requires at least 1 argument.\nSee 'docker %s --help'.\n", verb, verb)
			return 1
		}
		c.Sh.RecordDownload("docker://"+image, "docker")
		c.Sh.Sleep(2 * time.Second)
		if verb != "pull" {
			fmt.Fprintf(c.Err, "Unable to find image '%s' locally\n", image)
		}
		fmt.Fprint(c.Err, "docker: Error response from daemon: Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers).\n")
		return 125
	case "--version", "-v":
		c.Printf("Docker version %s, build %s\n", d.Version, d.GitCommit)
	case "exec", "rm", "stop", "kill", "logs", "inspect", "start":
		for _, a := range args {
			if strings.HasPrefix(a, "-") {
				continue
			}
			for _, k := range c.Sh.P.Containers {
				if k.Name == a || strings.HasPrefix(k.ID, a) {
					return 0
				}
			}
			fmt.Fprintf(c.Err, "Error response from daemon: No such container: %s\n", a)
			return 1
		}
	default:
		c.Print("\nUsage:  docker [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n")
	}
	return 0
}

func cmdScreen(c *interp.Call) int {
	o := c.Flags("+dmS:r:ls:xRt:c:")
	if o.Has("l") || o.Has("ls") || len(c.Args) > 0 && (c.Args[0] == "-ls" || c.Args[0] == "ls") {
		c.Printf("No Sockets found in /run/screen/S-%s.\n\n", c.Sh.Who.Name)
		return 1
	}
	args := o.Rest
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || args[0] == "new-session" || args[0] == "new") {
		args = args[1:]
	}
	if len(args) > 0 {
		e := c.E.Sub()
		e.Fds[1], e.Fds[2] = &interp.Stream{W: interp.Discard{}}, &interp.Stream{W: interp.Discard{}}
		e.Invoke(args, 5)
	}
	return 0
}

// cmdEditor shows a file's end instead of an editor; there is no full screen.
func cmdEditor(c *interp.Call) int {
	fmt.Fprintf(c.Err, "Error opening terminal: unknown.\n")
	return 1
}

func cmdMan(c *interp.Call) int {
	if len(c.Args) == 0 {
		c.Print("What manual page do you want?\nFor example, try 'man man'.\n")
		return 1
	}
	fmt.Fprintf(c.Err, "No manual entry for %s\n", c.Args[len(c.Args)-1])
	return 16
}

func cmdOllama(c *interp.Call) int {
	if len(c.Args) == 0 {
		c.Print("Usage:\n  ollama [flags]\n  ollama [command]\n")
		return 0
	}
	switch c.Args[0] {
	case "list", "ls":
		c.Print("NAME                      ID              SIZE      MODIFIED     \n")
		for _, m := range c.Sh.P.Ollama.Models {
			c.Printf("%-25s %s    %.1f GB    %d days ago    \n", m.Name, m.Digest[:12], float64(m.Size)/1e9, int(c.Sh.Now().Sub(m.ModifiedAt).Hours()/24))
		}
	case "--version", "-v":
		c.Printf("ollama version is %s\n", c.Sh.P.Ollama.Version)
	case "pull", "run":
		c.Sh.RecordDownload("ollama://"+strings.Join(c.Args[1:], " "), "ollama")
		fmt.Fprint(c.Err, "Error: pull model manifest: Get \"https://registry.ollama.ai/v2/\": dial tcp: i/o timeout\n")
		return 1
	}
	return 0
}

func cmdRedis(c *interp.Call) int {
	a := strings.ToLower(strings.Join(c.Flags("+h:p:a:n:").Rest, " "))
	switch {
	case strings.HasPrefix(a, "ping"), a == "info":
		c.Print("NOAUTH Authentication required.\n")
	case len(c.Args) > 0 && (c.Args[0] == "--version" || c.Args[0] == "-v"):
		c.Printf("redis-cli %s\n", c.Sh.P.Versions.Redis)
	default:
		c.Print("(error) NOAUTH Authentication required.\n")
	}
	return 0
}

func cmdMySQL(c *interp.Call) int {
	if len(c.Args) > 0 && (c.Args[0] == "--version" || c.Args[0] == "-V") {
		c.Printf("%s  Ver %s for Linux on x86_64\n", c.Name, c.Sh.P.Versions.MySQL)
		return 0
	}
	fmt.Fprintf(c.Err, "ERROR 1045 (28000): Access denied for user '%s'@'localhost' (using password: %s)\n", c.Sh.Who.Name, map[bool]string{true: "YES", false: "NO"}[strings.Contains(strings.Join(c.Args, " "), "-p")])
	return 1
}

func cmdPip(c *interp.Call) int {
	if len(c.Args) > 1 && c.Args[0] == "install" {
		c.Sh.RecordDownload(c.Name+"://"+strings.Join(c.Args[1:], " "), c.Name)
		c.Sh.Sleep(2 * time.Second)
		fmt.Fprintf(c.Err, "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: Failed to establish a new connection: [Errno 110] Connection timed out'\nERROR: Could not find a version that satisfies the requirement %s (from versions: none)\nERROR: No matching distribution found for %s\n", c.Args[len(c.Args)-1], c.Args[len(c.Args)-1])
		return 1
	}
	return 0
}

func cmdAWS(c *interp.Call) int {
	if len(c.Args) > 0 && c.Args[0] == "--version" {
		c.Printf("aws-cli/2.15.30 Python/3.11.8 Linux/%s exe/x86_64.%s.%s\n", c.Sh.P.Kernel.Release, c.Sh.P.Distro.ID, c.Sh.P.Distro.Version)
		return 0
	}
	c.Sh.Sleep(2 * time.Second)
	fmt.Fprint(c.Err, "\nCould not connect to the endpoint URL: \"https://sts.eu-central-1.amazonaws.com/\"\n")
	return 255
}

func cmdLdd(c *interp.Call) int {
	if len(c.Args) > 0 && c.Args[0] == "--version" {
		c.Printf("ldd (%s GLIBC %s) %s\n", c.Sh.P.Distro.Name, c.Sh.P.Versions.Glibc, c.Sh.P.Versions.Glibc)
		return 0
	}
	c.Print("\tlinux-vdso.so.1 (0x00007ffd3a5f2000)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2a1c000000)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f2a1c3f1000)\n")
	return 0
}
