package mcp

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"bartizan/internal/credential"
	"bartizan/internal/mcp"
)

// power is what a server can do.
type power struct {
	name string
	has  mcp.Power
}

// static looks at what the configuration says of a server.
func (r *run) static(s *mcp.Server, at place) power {
	p := power{name: s.Name}
	if len(s.Approved) > 0 {
		r.fail(autoApprove, at, s.Name, "without asking: "+strings.Join(s.Approved, ", "))
	}
	for _, e := range s.Env {
		r.variable(e, at)
	}
	for _, h := range s.Headers {
		if name := secretIn(h.Name, h.Value); name != "" {
			r.fail(keptSecret, at, "header "+h.Name, name)
		}
	}
	if s.Remote() {
		r.address(s.URL, at)
		if h, ok := knownHost(s.URL); ok {
			p.has |= h
		}
		return p
	}
	r.arguments(s, at)
	r.reach(s, at)
	l := launchOf(s.Command, s.Args)
	for _, loose := range l.loose {
		r.fail(unpinned, at, loose.what, loose.why)
	}
	for _, name := range l.packages {
		has, err := mcp.PackagePower(name)
		if err != nil {
			r.unknown(unreadable, at, name, err.Error())
		}
		p.has |= has
		if has&mcp.Exec != 0 {
			r.fail(runsPrograms, at, name, "the package is known for it")
		}
	}
	return p
}

// secretIn says what kind of secret a value is, or "".
func secretIn(name, value string) string {
	if found := credential.Find(value); len(found) > 0 {
		return found[0].Name
	}
	if credential.Named(name, value) {
		return "a value under a name for secrets"
	}
	return ""
}

func (r *run) variable(e mcp.Pair, at place) {
	if name := secretIn(e.Name, e.Value); name != "" {
		r.fail(keptSecret, at, "variable "+e.Name, name)
	}
	switch name := strings.ToUpper(e.Name); name {
	case "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "DYLD_LIBRARY_PATH", "PYTHONSTARTUP", "PYTHONPATH", "PERL5OPT", "RUBYOPT",
		"JAVA_TOOL_OPTIONS", "BASH_ENV", "ENV", "GIT_SSH_COMMAND", "NODE_PATH":
		if e.Value != "" && (name != "ENV" || strings.Contains(e.Value, "/")) {
			r.fail(loaderEnv, at, "variable "+e.Name, "")
		}
	case "NODE_OPTIONS":
		for _, flag := range []string{"--require", "-r ", "--import", "--loader", "--experimental-loader"} {
			if strings.Contains(e.Value, flag) {
				r.fail(loaderEnv, at, "variable "+e.Name, flag)
				break
			}
		}
	case "NODE_TLS_REJECT_UNAUTHORIZED":
		if e.Value == "0" {
			r.fail(noVerify, at, "variable "+e.Name, "")
		}
	case "PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY", "SSL_VERIFY", "VERIFY_SSL":
		if off := strings.ToLower(e.Value); (name == "GIT_SSL_NO_VERIFY") != (off == "0" || off == "false" || off == "no" || off == "") {
			r.fail(noVerify, at, "variable "+e.Name, "")
		}
	case "DOCKER_HOST":
		if strings.HasPrefix(e.Value, "unix://") || strings.HasPrefix(e.Value, "tcp://") {
			r.fail(dockerSocket, at, "variable "+e.Name, "")
		}
	}
	if strings.HasPrefix(e.Value, "http://") {
		r.address(e.Value, at)
	}
}

// address looks at a URL: its transport, and what it carries.
func (r *run) address(raw string, at place) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		if strings.Contains(raw, "${") || strings.Contains(raw, "$") {
			return // made of variables, nothing to see
		}
		r.unknown(unreadable, at, "address", "an address that cannot be read")
		return
	}
	if u.Scheme == "http" || u.Scheme == "ws" {
		if !local(u.Hostname()) {
			r.fail(clearText, at, u.Hostname(), "")
		}
	}
	if _, set := u.User.Password(); set {
		r.fail(keptSecret, at, "address of "+u.Hostname(), "a password in the address")
	}
	if found := credential.Find(u.User.Username() + " " + u.Fragment); len(found) > 0 {
		r.fail(keptSecret, at, "address of "+u.Hostname(), found[0].Name)
	}
	for name, values := range u.Query() {
		for _, v := range values {
			if kind := secretIn(name, v); kind != "" {
				r.fail(keptSecret, at, "address of "+u.Hostname(), kind+" in the query, which ends up in logs")
			}
		}
	}
	if found := credential.Find(u.Path); len(found) > 0 {
		r.fail(keptSecret, at, "address of "+u.Hostname(), found[0].Name+" in the path")
	}
}

func local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// bare is an address without what may be secret.
func bare(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "address"
	}
	return u.Scheme + "://" + u.Host + credential.Mask(u.Path)
}

// knownHost: the remote servers of services whose power is that of their packages.
func knownHost(raw string) (mcp.Power, bool) {
	u, err := url.Parse(raw)
	if err != nil {
		return 0, false
	}
	host, _, err := net.SplitHostPort(u.Host)
	if err != nil {
		host = u.Host
	}
	for _, known := range []string{"githubcopilot.com", "notion.com", "atlassian.com", "slack.com"} {
		if host == known || strings.HasSuffix(host, "."+known) {
			return mcp.Private | mcp.Untrusted | mcp.Out, true
		}
	}
	return 0, false
}

// arguments looks for secrets in the command line.
func (r *run) arguments(s *mcp.Server, at place) {
	for i, a := range s.Args {
		name, value, cut := strings.Cut(a, "=")
		if !cut {
			name, value = "", a
			if i > 0 && strings.HasPrefix(s.Args[i-1], "-") && !strings.Contains(s.Args[i-1], "=") {
				name = s.Args[i-1]
			}
		}
		if header, rest, ok := strings.Cut(a, ":"); ok && !strings.HasPrefix(rest, "//") && !cut {
			name, value = header, strings.TrimSpace(rest) // "Authorization: Bearer …"
		}
		kind := secretIn(name, value)
		if kind == "" {
			kind = secretIn("", a)
		}
		if kind != "" {
			r.fail(keptSecret, at, "argument "+strings.TrimLeft(safeName(name, i), "-"), kind)
		}
		if strings.HasPrefix(value, "http://") {
			r.address(value, at)
		}
	}
}

func safeName(name string, i int) string {
	if name == "" || len(name) > 60 || len(credential.Find(name)) > 0 {
		return "number " + string(rune('0'+min(i+1, 9)))
	}
	return name
}

var (
	shells  = []string{"sh", "bash", "zsh", "dash", "fish", "ksh", "cmd", "powershell", "pwsh"}
	fetcher = regexp.MustCompile(`(?i)(?:curl|wget|iwr|invoke-webrequest)\b[^|;&]*\|\s*(?:sudo\s+(?:-\w+\s+)*)?(?:env\s+)?(?:[\w/]*/)?(?:(?:ba|z|da|k|fi)?sh|python[\d.]*|node|deno|bun|perl|ruby|php)\b|(?:iex|invoke-expression)\b.*(?:iwr|downloadstring|invoke-webrequest)|\b(?:(?:ba|z)?sh\s+(?:-\w*c\s+)?|eval\s+|source\s+|\.\s+)["']?(?:<\(|\$\(|\x60)\s*(?:curl|wget)`)
	// shellLine are the options with a line for a shell: -c, also among others (-lc), /c, -Command and -EncodedCommand.
	shellLine = regexp.MustCompile(`^-[a-z]*c$|^/(?i:[ck])$|^-(?i:command|c|ec|enc|encodedcommand)$`)
)

// program is a command's name without folder and ending.
func program(command string) string {
	name := path.Base(strings.ReplaceAll(command, `\`, "/"))
	for _, end := range []string{".exe", ".cmd", ".bat"} {
		name = strings.TrimSuffix(strings.ToLower(name), end)
	}
	return name
}

// reach looks at what the command line gives the server.
func (r *run) reach(s *mcp.Server, at place) {
	words := behindGateway(append(commandWords(s.Command), s.Args...))
	if len(words) == 0 {
		return
	}
	first := program(words[0])
	all := strings.Join(words, " ")
	if slices.Contains([]string{"sudo", "doas", "pkexec", "su", "runas", "gosu"}, first) {
		r.fail(sudo, at, first, "")
	}
	if slices.Contains(shells, first) {
		if fetcher.MatchString(all) {
			r.fail(pipeToShell, at, first, "")
		} else if slices.ContainsFunc(words[1:], shellLine.MatchString) {
			r.fail(shellStart, at, first, "")
		}
	}
	if strings.Contains(all, "docker.sock") || strings.Contains(all, "containerd.sock") || strings.Contains(all, "podman.sock") || strings.Contains(all, "crio.sock") {
		r.fail(dockerSocket, at, "the engine's socket", "")
	}
	if slices.Contains(shells, first) || slices.Contains(wrappers(), first) || slices.Contains(engines(), first) {
		r.container(all, at)
	}
	for _, a := range s.Args {
		if _, value, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "-") {
			a = value
		}
		switch clean := strings.TrimRight(strings.ReplaceAll(a, `\`, "/"), "/"); {
		case a != "" && clean == "" || len(clean) == 2 && clean[1] == ':' && len(a) >= 2 && a != clean || slices.Contains([]string{"/etc", "/root", "/var", "/usr", "/proc", "/sys", "/dev"}, clean):
			r.fail(rootFiles, at, a, "")
		case wide(clean):
			r.fail(homeFiles, at, a, "")
		}
	}
}

var homePattern = regexp.MustCompile(`^(?:~|\$HOME|\$\{HOME\}|\$\{env:HOME\}|\$\{userHome\}|%USERPROFILE%|/home|/Users|/home/[^/]+|/Users/[^/]+|[A-Za-z]:/Users(?:/[^/]+)?)$`)

// wide says whether a folder is a whole home or one that holds credentials.
func wide(folder string) bool {
	if homePattern.MatchString(folder) {
		return true
	}
	for _, part := range []string{"/.ssh", "/.aws", "/.kube", "/.gnupg", "/.docker", "/.config/gcloud", "/.azure"} {
		if strings.HasSuffix(folder, part) || strings.Contains(folder, part+"/") {
			return true
		}
	}
	return false
}

func engines() []string { return []string{"docker", "podman", "nerdctl"} }

// container looks for an engine's command, which may stand in a shell's line.
func (r *run) container(all string, at place) {
	line := strings.Fields(strings.NewReplacer(";", " ", "&", " ", `"`, " ", "'", " ").Replace(all))
	if k := slices.IndexFunc(line, func(w string) bool { return slices.Contains(engines(), program(w)) }); k >= 0 {
		r.containerRights(line[k+1:], at)
	}
}

// containerRights looks at the flags of docker run.
func (r *run) containerRights(args []string, at place) {
	for i, a := range args {
		flag, value, cut := strings.Cut(a, "=")
		if strings.HasPrefix(a, "-v/") || strings.HasPrefix(a, "-v~") || strings.HasPrefix(a, "-v$") { // the value may follow at once
			flag, value, cut = "-v", a[2:], true
		}
		if !cut && i+1 < len(args) {
			value = args[i+1]
		}
		switch flag {
		case "--privileged":
			if !cut || value != "false" {
				r.fail(container, at, flag, "")
			}
		case "--pid", "--network", "--net", "--ipc", "--userns", "--uts", "--cgroupns":
			if value == "host" {
				r.fail(container, at, flag+" host", "")
			}
		case "--cap-add", "--security-opt":
			if flag == "--cap-add" || strings.Contains(value, "unconfined") || strings.Contains(value, "disable") {
				r.fail(container, at, flag+" "+value, "")
			}
		case "--device":
			r.fail(container, at, flag, "")
		case "-v", "--volume", "--mount":
			source := mountSource(flag, value)
			if clean := strings.TrimRight(source, "/"); source != "" && (clean == "" || slices.Contains([]string{"/etc", "/root", "/var", "/proc", "/sys", "/dev"}, clean)) {
				r.fail(rootFiles, at, "mount of "+source, "")
			} else if wide(clean) {
				r.fail(homeFiles, at, "mount of "+source, "")
			}
		}
	}
}

func mountSource(flag, value string) string {
	if flag != "--mount" {
		source, _, _ := strings.Cut(value, ":")
		return source
	}
	for _, part := range strings.Split(value, ",") {
		if k, v, _ := strings.Cut(part, "="); k == "src" || k == "source" {
			return v
		}
	}
	return ""
}
