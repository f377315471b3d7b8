package redis

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
)

//go:embed settings.txt
var settingsText string

// defaults are the settings of the persona's server. A line of settings.txt is
// the release that brought it (or from-until), its name and its value.
func (c *conversation) defaults() map[string]string {
	return c.p.Shared("redis settings", func() any {
		out := map[string]string{}
		for line := range strings.Lines(settingsText) {
			since, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
			name, val, _ := strings.Cut(rest, " ")
			from, until, bounded := strings.Cut(since, "-")
			if releaseOf(from) <= c.version && (!bounded || c.version < releaseOf(until)) {
				out[name] = val
			}
		}
		return out
	}).(map[string]string)
}

func (c *conversation) setting(name string) string {
	if v, ok := c.config[name]; ok {
		return v
	}
	return c.defaults()[name]
}

// maxChanged bounds what a visitor can change, in bytes of one value.
const maxChanged = 4096

func (c *conversation) configure(a []string) {
	switch strings.ToLower(a[1]) {
	case "get":
		c.configGet(a)
	case "set":
		c.configSet(a)
	case "resetstat", "rewrite":
		c.ok()
	default:
		c.subUsage(a)
	}
}

func (c *conversation) configGet(a []string) {
	if len(a) < 3 || len(a) > 3 && c.version < v70 {
		c.subArity(a)
		return
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.defaults())) {
		if slices.ContainsFunc(a[2:min(len(a), 34)], func(p string) bool { return match(strings.ToLower(cut(p, maxGlob)), name) }) {
			names = append(names, name)
		}
	}
	c.work += 4096 * len(a)
	c.pairs(len(names))
	for _, n := range names {
		c.bulkReply(n)
		c.bulkReply(c.setting(n))
	}
}

// configSet accepts what a careless administrator would have allowed, files
// and all: it is what most visitors came for.
func (c *conversation) configSet(a []string) {
	c.loud = true
	if len(a) < 4 || len(a)%2 != 0 || len(a) > 4 && c.version < v70 {
		c.subArity(a)
		return
	}
	for i := 2; i < len(a); i += 2 {
		name := strings.ToLower(cut(a[i], 128))
		if _, known := c.defaults()[name]; !known {
			if c.version >= v70 {
				c.fail("ERR Unknown option or number of arguments for CONFIG SET - '" + cut(a[i], 128) + "'")
			} else {
				c.fail("ERR Unsupported CONFIG parameter: " + cut(a[i], 128))
			}
			return
		}
		if why := c.refuses(name, a[i+1]); why != "" {
			if c.version >= v70 {
				c.fail("ERR CONFIG SET failed (possibly related to argument '" + cut(a[i], 128) + "') - " + why)
			} else {
				c.fail("ERR Invalid argument '" + cut(a[i+1], 128) + "' for CONFIG SET '" + cut(a[i], 128) + "' - " + why)
			}
			return
		}
	}
	if c.config == nil {
		c.config = map[string]string{}
	}
	for i := 2; i < len(a); i += 2 {
		name := strings.ToLower(a[i])
		c.config[name] = cut(a[i+1], maxChanged)
		if old, new, ok := alias(name); ok {
			c.config[old], c.config[new] = c.config[name], c.config[name]
		}
		// What will be written to a file named so may already be here.
		c.inspect(name, a[i+1])
	}
	c.ok()
}

// refuses says why a value is not accepted, "" when it is.
func (c *conversation) refuses(name, v string) string {
	switch {
	case name == "dbfilename" && strings.Contains(v, "/"):
		return "dbfilename can't be a path, just a filename"
	case (v == "yes" || v == "no") || c.defaults()[name] != "yes" && c.defaults()[name] != "no":
		return ""
	}
	return "argument must be 'yes' or 'no'"
}

// alias names both spellings of a replication setting.
func alias(name string) (old, new string, ok bool) {
	switch {
	case strings.HasPrefix(name, "slave"):
		return name, "replica" + strings.TrimPrefix(name, "slave"), true
	case strings.HasPrefix(name, "replica-") || name == "replicaof":
		return "slave" + strings.TrimPrefix(name, "replica"), name, true
	}
	return "", "", false
}
