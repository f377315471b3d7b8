package mcp

import (
	"regexp"
	"slices"
	"strings"
)

// launch is what a command line starts.
type launch struct {
	packages []string // npm, PyPI or image names without versions
	loose    []loose
}

// loose is something whose version is not fixed.
type loose struct{ what, why string }

var (
	exactVersion = regexp.MustCompile(`^v?\d+\.\d+\.\d+(?:[-+.][0-9A-Za-z.+-]+)?$`) // npm
	exactPython  = regexp.MustCompile(`^\d+(?:\.\d+)*(?:(?:a|b|rc|\.post|\.dev)\d+)*$`)
	commitHash   = regexp.MustCompile(`^[0-9a-f]{40}$|^[0-9a-f]{64}$`)
	goVersion    = regexp.MustCompile(`^v\d+\.\d+\.\d+`)
)

// launchOf reads the command lines of the launchers that fetch what they run.
func launchOf(command string, args []string) (l launch) {
	words := unwrapped(behindGateway(append(commandWords(command), args...)))
	if len(words) == 0 {
		return l
	}
	first, rest := program(words[0]), words[1:]
	if slices.Contains(shells, first) {
		for _, a := range rest {
			if strings.ContainsRune(a, ' ') || !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "/") {
				line := strings.FieldsFunc(a, func(r rune) bool { return strings.ContainsRune(" \t\n;&|\"'", r) })
				if len(line) == 1 { // cmd /c npx …: the words follow
					return launchOf(line[0], rest[slices.Index(rest, a)+1:])
				}
				for k := range line {
					if slices.Contains(launchers(), program(line[k])) {
						return launchOf(line[k], line[k+1:])
					}
				}
			}
		}
		return l
	}
	switch first {
	case "npx", "bunx", "pnpx":
		l.npm(rest)
	case "npm", "pnpm", "yarn", "bun":
		if k := slices.IndexFunc(rest, func(a string) bool { return a == "exec" || a == "dlx" || a == "x" }); k >= 0 {
			l.npm(append(packagesIn(rest[:k]), rest[k+1:]...))
		}
	case "uvx":
		l.python(rest)
	case "uv":
		if k := slices.Index(rest, "run"); k >= 0 && slices.Contains(rest[:k], "tool") {
			l.python(rest[k+1:])
		} else if k >= 0 {
			l.uvRun(rest[k+1:])
		}
	case "pipx":
		if k := slices.Index(rest, "run"); k >= 0 {
			l.python(rest[k+1:])
		}
	case "docker", "podman", "nerdctl":
		l.image(rest)
	case "go":
		if len(rest) > 1 && rest[0] == "run" {
			if name, version, cut := strings.Cut(rest[1], "@"); cut && !goVersion.MatchString(version) && !commitHash.MatchString(version) {
				l.add(name, "version "+version+" moves")
			}
		}
	case "deno":
		for _, a := range rest {
			if strings.HasPrefix(a, "npm:") || strings.HasPrefix(a, "jsr:") {
				l.npmPackage(a[4:])
			} else if strings.HasPrefix(a, "https://") && !strings.Contains(a, "@") {
				l.add(bare(a), "an address without a version")
			}
		}
	}
	return l
}

// launchers fetch what they run.
func launchers() []string {
	return []string{"npx", "bunx", "pnpx", "npm", "pnpm", "yarn", "bun", "uvx", "uv", "pipx", "docker", "podman", "nerdctl", "go", "deno"}
}

// wrappers run the command that follows their own words.
func wrappers() []string {
	return []string{"sudo", "doas", "env", "nohup", "exec", "timeout", "nice", "ionice", "setsid", "stdbuf", "time", "wsl", "dotenv", "dotenvx", "mise"}
}

// commandWords are those of a command, which may have its arguments in it, and spaces in its path.
func commandWords(command string) []string {
	words := strings.Fields(command)
	if len(words) > 1 && slices.Contains(launchers(), program(command)) && !slices.Contains(slices.Concat(launchers(), wrappers(), shells), program(words[0])) {
		return []string{command}
	}
	return words
}

// unwrapped is a command line without what only runs the rest of it.
func unwrapped(words []string) []string {
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:]
	}
	if len(words) == 0 || !slices.Contains(wrappers(), program(words[0])) {
		return words
	}
	rest := strings.Fields(strings.Join(words[1:], " ")) // env -S has its command in one word
	for k, w := range rest {
		if name := program(w); slices.Contains(launchers(), name) || slices.Contains(shells, name) {
			if slices.Contains(shells, name) { // whose line stays one word
				if at := slices.Index(words, w); at > 0 {
					return words[at:]
				}
			}
			return rest[k:]
		}
	}
	return rest
}

// behindGateway is the command of a server that our own gateway starts.
func behindGateway(words []string) []string {
	if len(words) > 0 && program(words[0]) == "bartizan" {
		if k := slices.Index(words, "--"); k >= 0 {
			return words[k+1:]
		}
	}
	return words
}

func (l *launch) add(what, why string) { l.loose = append(l.loose, loose{what, why}) }

// npm: npx [flags] [-p package] package[@version] …
func (l *launch) npm(args []string) {
	given := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-p" || a == "--package":
			if i+1 < len(args) {
				l.npmPackage(args[i+1])
				given = true
			}
			i++
		case strings.HasPrefix(a, "--package="):
			l.npmPackage(strings.TrimPrefix(a, "--package="))
			given = true
		case a == "-c" || a == "--call": // npx -c "server --flag" takes the package from the line
			if line := strings.Fields(strings.Join(args[min(i+1, len(args)):min(i+2, len(args))], "")); len(line) > 0 && !given {
				l.npmPackage(line[0])
				given = true
			}
			i++
		case a == "--registry" || a == "--prefix" || a == "--userconfig":
			i++
		case a == "--":
		case strings.HasPrefix(a, "-"):
		default:
			if !given {
				l.npmPackage(a)
			}
			return
		}
	}
}

// packagesIn are the options among words that name a package: pnpm --package=p dlx command.
func packagesIn(words []string) (out []string) {
	for i, w := range words {
		if strings.HasPrefix(w, "--package=") {
			out = append(out, w)
		} else if (w == "--package" || w == "-p") && i+1 < len(words) {
			out = append(out, w, words[i+1])
		}
	}
	return out
}

func (l *launch) npmPackage(spec string) {
	if strings.HasPrefix(spec, ".") || strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, "file:") || strings.HasPrefix(spec, "~") {
		return // a folder of one's own
	}
	if strings.Contains(spec, "git+") || strings.HasPrefix(spec, "github:") || strings.HasPrefix(spec, "git:") || strings.HasPrefix(spec, "http") || strings.Count(spec, "/") == 1 && !strings.HasPrefix(spec, "@") {
		l.git(spec)
		return
	}
	k := strings.LastIndex(spec, "@")
	if k <= 0 {
		l.packages = append(l.packages, spec)
		l.add(spec, "no version: npm takes the newest")
		return
	}
	l.packages = append(l.packages, spec[:k])
	if version := spec[k+1:]; !exactVersion.MatchString(version) {
		l.add(spec[:k], "version "+version+" is no exact one")
	}
}

// git addresses are fixed by a whole commit hash only.
func (l *launch) git(spec string) {
	at := spec
	if k := strings.LastIndexAny(spec, "#@"); k > 0 {
		at = spec[k+1:]
	}
	if !commitHash.MatchString(strings.TrimPrefix(at, "commit=")) {
		name := spec
		if strings.Contains(name, "://") {
			name = bare(strings.TrimPrefix(name, "git+"))
		}
		l.add(name, "a branch or tag of a repository, which its owner can move")
	}
}

// python: uvx [--from package] name[@version] …
func (l *launch) python(args []string) {
	var from []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--from" || a == "--spec" || a == "--with" || a == "-w":
			if i+1 < len(args) {
				from = append(from, args[i+1])
			}
			i++
		case strings.HasPrefix(a, "--from=") || strings.HasPrefix(a, "--spec=") || strings.HasPrefix(a, "--with="):
			_, v, _ := strings.Cut(a, "=")
			from = append(from, v)
		case a == "--python" || a == "-p" || a == "--index-url" || a == "--index" || a == "--extra-index-url" || a == "--cache-dir" || a == "--directory":
			i++
		case strings.HasPrefix(a, "-"):
		default:
			if !slices.ContainsFunc(args[:i], func(b string) bool { return strings.HasPrefix(b, "--from") || strings.HasPrefix(b, "--spec") }) {
				from = append(from, a)
			}
			i = len(args)
		}
	}
	for _, p := range from {
		l.pythonPackage(p)
	}
}

func (l *launch) pythonPackage(spec string) {
	if strings.HasPrefix(spec, ".") || strings.HasPrefix(spec, "/") {
		return
	}
	if strings.Contains(spec, "git+") || strings.Contains(spec, "://") {
		l.git(spec)
		return
	}
	name, version, cut := strings.Cut(spec, "==")
	if !cut {
		name, version, cut = strings.Cut(spec, "@")
	}
	name, _, _ = strings.Cut(name, "[")
	short, _, _ := strings.Cut(strings.NewReplacer("<", " ", ">", " ", "!", " ", "~", " ", ",", " ", ";", " ").Replace(name), " ")
	if short == "" {
		return
	}
	l.packages = append(l.packages, short)
	if !cut || !exactPython.MatchString(strings.TrimPrefix(version, "=")) {
		l.add(short, "no exact version: the newest that fits is taken")
	}
}

// uvRun: uv run --with package … script
func (l *launch) uvRun(args []string) {
	for i, a := range args {
		if a == "--with" && i+1 < len(args) {
			l.pythonPackage(args[i+1])
		} else if v, ok := strings.CutPrefix(a, "--with="); ok {
			l.pythonPackage(v)
		}
	}
}

// image: docker run [flags] image …
func (l *launch) image(args []string) {
	k := slices.Index(args, "run")
	if k < 0 {
		return
	}
	for i := k + 1; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a, "-") {
			l.oneImage(a)
			return
		}
		if !strings.Contains(a, "=") && takesValue(a) {
			i++
		}
	}
}

// takesValue says whether a flag of docker run is followed by its value.
func takesValue(flag string) bool {
	if strings.HasPrefix(flag, "--") {
		return !slices.Contains([]string{"--rm", "--interactive", "--tty", "--init", "--privileged", "--read-only", "--detach", "--no-healthcheck",
			"--oom-kill-disable", "--publish-all", "--quiet", "--sig-proxy", "--disable-content-trust"}, flag)
	}
	return strings.ContainsAny(flag[len(flag)-1:], "eavpwumlhc")
}

func (l *launch) oneImage(ref string) {
	name, digest, pinned := strings.Cut(ref, "@")
	tag := ""
	if k := strings.LastIndex(name, ":"); k > strings.LastIndex(name, "/") {
		name, tag = name[:k], name[k+1:]
	}
	l.packages = append(l.packages, strings.TrimPrefix(name, "docker.io/"))
	if pinned && strings.HasPrefix(digest, "sha256:") {
		return
	}
	if tag == "" || tag == "latest" || tag == "main" || tag == "master" || tag == "edge" || tag == "nightly" || tag == "stable" {
		l.add(name, "no tag of one version: the newest image is taken")
	}
}
