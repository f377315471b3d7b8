package redis

import (
	"crypto/sha1" // the names of scripts in Redis
	"encoding/hex"
	"regexp"
	"strings"
)

func scriptCommands() []command {
	return []command{
		{"eval", -3, v50, telling, func(c *conversation, a []string) { c.eval(a[1], a[2]) }},
		{"evalsha", -3, v50, 0, (*conversation).evalSHA},
		{"eval_ro", -3, v70, telling, func(c *conversation, a []string) { c.eval(a[1], a[2]) }},
		{"script", -2, v50, parent, (*conversation).script},
		{"function", -2, v70, parent, (*conversation).function},
		{"fcall", -3, v70, telling, func(c *conversation, _ []string) { c.fail("ERR Function not found") }},
	}
}

// constant is a script that says what it returns.
var constant = regexp.MustCompile(`^\s*return\s+(?:(-?\d{1,18})|'([^'\\]*)'|"([^"\\]*)")\s*;?\s*$`)

// Bounds of scripts.
const (
	maxScripts = 64
	maxScript  = 64 << 10
)

func scriptName(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (c *conversation) keepScript(text string) string {
	name := scriptName(text)
	if len(c.scripts) < maxScripts {
		if c.scripts == nil {
			c.scripts = map[string]string{}
		}
		c.scripts[name] = strings.Clone(cut(text, maxScript))
	}
	return name
}

// eval runs nothing. Constant scripts return what they say, those that leave
// the sandbox (CVE-2022-0543) see the output of their command, the rest nil.
func (c *conversation) eval(text, keys string) {
	if n, ok := integer(keys); !ok {
		c.fail(notInteger)
		return
	} else if n < 0 {
		c.fail("ERR Number of keys can't be negative")
		return
	}
	c.work += 8 * min(len(text), maxInspected)
	c.note = []byte(cut(text, maxScript))
	c.keepScript(text)
	text = cut(text, maxScript)
	if m := constant.FindStringSubmatch(text); m != nil {
		if m[1] != "" {
			n, _ := integer(m[1]) // the pattern allows nothing else but leading zeros
			c.integer(n)
			return
		}
		c.bulkReply(m[2] + m[3])
		return
	}
	if m := popen.FindStringSubmatch(text); m != nil {
		c.shell(m[1] + strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n").Replace(m[2]))
		return
	}
	c.null()
}

// shell reports a command line that would run on the host and answers those
// by which intruders check that it did.
func (c *conversation) shell(line string) {
	if err := c.s.Command("redis", line); err != nil && c.cut == nil {
		c.cut = err
	}
	c.bulkReply(c.output(strings.TrimSpace(line)))
}

func (c *conversation) output(line string) string {
	switch word, _, _ := strings.Cut(line, " "); {
	case line == "id":
		return "uid=110(redis) gid=118(redis) groups=118(redis)\n"
	case line == "whoami":
		return "redis\n"
	case line == "hostname":
		return c.p.Hostname + "\n"
	case line == "pwd":
		return c.setting("dir") + "\n"
	case line == "uname -a":
		return c.p.UnameAll() + "\n"
	case line == "uname":
		return "Linux\n"
	case word == "echo" && !strings.ContainsAny(line, "|&;><$`"):
		return strings.Trim(strings.TrimPrefix(line, "echo "), `'"`) + "\n"
	}
	return ""
}

func (c *conversation) systemExec(a []string) { c.shell(strings.Join(a[1:], " ")) }

func (c *conversation) evalSHA(a []string) {
	text, ok := c.scripts[strings.ToLower(cut(a[1], 40))]
	if !ok {
		c.fail("NOSCRIPT No matching script. Please use EVAL.")
		return
	}
	c.eval(text, a[2])
}

func (c *conversation) script(a []string) {
	switch strings.ToLower(a[1]) {
	case "load":
		if len(a) != 3 {
			c.subArity(a)
			return
		}
		c.note = []byte(cut(a[2], maxScript))
		c.bulkReply(c.keepScript(a[2]))
	case "exists":
		c.array(len(a) - 2)
		for _, name := range a[2:] {
			_, ok := c.scripts[strings.ToLower(cut(name, 40))]
			c.flag(ok)
		}
	case "flush":
		c.scripts = nil
		c.ok()
	case "kill":
		c.fail("NOTBUSY No scripts in execution right now.")
	default:
		c.subUsage(a)
	}
}

func (c *conversation) function(a []string) {
	switch strings.ToLower(a[1]) {
	case "list":
		c.array(0)
	case "load":
		c.note = []byte(cut(strings.Join(a[2:], " "), maxScript))
		c.fail("ERR Missing library metadata")
	case "flush":
		c.ok()
	default:
		c.subUsage(a)
	}
}
