package redis

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func serverCommands() []command {
	return []command{
		{"info", -1, v50, 0, (*conversation).info},
		{"config", -2, v50, parent, (*conversation).configure},
		{"save", 1, v50, telling, func(c *conversation, _ []string) { c.saved(); c.ok() }},
		{"bgsave", -1, v50, telling, func(c *conversation, _ []string) { c.saved(); c.simple("Background saving started") }},
		{"bgrewriteaof", 1, v50, telling, func(c *conversation, _ []string) { c.simple("Background append only file rewriting started") }},
		{"lastsave", 1, v50, 0, func(c *conversation, _ []string) { c.integer(c.lastSave().Unix()) }},
		{"shutdown", -1, v50, telling, (*conversation).shutdown},
		{"slaveof", 3, v50, telling, (*conversation).follow},
		{"replicaof", 3, v50, telling, (*conversation).follow},
		{"role", 1, v50, 0, (*conversation).roleReply},
		{"replconf", -1, v50, telling, func(c *conversation, _ []string) { c.ok() }},
		{"sync", 1, v50, telling, (*conversation).sync},
		{"psync", 3, v50, telling, (*conversation).sync},
		{"wait", 3, v50, 0, func(c *conversation, _ []string) { c.integer(0) }},
		{"module", -2, v50, parent, (*conversation).moduleCommand},
		{"system.exec", -2, v50, telling | module, (*conversation).systemExec},
		{"system.rev", -3, v50, telling | module, func(c *conversation, _ []string) { c.null() }},
		{"debug", -2, v50, parent, (*conversation).debug},
		{"monitor", 1, v50, telling, func(c *conversation, _ []string) { c.ok() }},
		{"time", 1, v50, quiet, (*conversation).time},
		{"slowlog", -2, v50, parent, (*conversation).slowlog},
		{"latency", -2, v50, parent, (*conversation).emptyList},
		{"memory", -2, v50, parent, (*conversation).memory},
		{"acl", -2, v60, parent, (*conversation).acl},
		{"cluster", -2, v50, parent, func(c *conversation, _ []string) { c.fail("ERR This instance has cluster support disabled") }},
	}
}

func (c *conversation) sortedCommands() []string { return slices.Sorted(maps.Keys(c.commands)) }

// shutdown hangs up as a server that ends.
func (c *conversation) shutdown(a []string) {
	for _, w := range a[1:] {
		if !slices.Contains([]string{"save", "nosave", "now", "force", "abort"}, strings.ToLower(w)) {
			c.fail(syntaxError)
			return
		}
	}
	c.over = true
}

// lastSave looks like the default rule of one change in an hour.
func (c *conversation) lastSave() time.Time {
	return c.s.Now().Add(-time.Duration(c.p.Derive("redis saved", 2)[0]) * 13 * time.Second).Truncate(time.Hour).Add(time.Duration(c.p.Derive("redis saved", 2)[1]) * 11 * time.Second / 2)
}

func (c *conversation) role() string {
	if c.master[0] != "" {
		return "slave"
	}
	return "master"
}

func (c *conversation) follow(a []string) {
	if strings.EqualFold(a[1], "no") && strings.EqualFold(a[2], "one") {
		c.master = [2]string{}
		c.ok()
		return
	}
	if n, ok := integer(a[2]); !ok || n < 0 || n > 65535 {
		c.fail("ERR Invalid master port")
		return
	}
	if c.master == [2]string{a[1], a[2]} {
		c.simple("OK Already connected to specified master")
		return
	}
	c.master = [2]string{cut(a[1], 256), a[2]}
	c.ok()
}

func (c *conversation) roleReply([]string) {
	if c.master[0] == "" {
		c.array(3)
		c.bulkReply("master")
		c.integer(0)
		c.array(0)
		return
	}
	port, _ := integer(c.master[1]) // checked by follow
	c.array(5)
	c.bulkReply("slave")
	c.bulkReply(c.master[0])
	c.integer(port)
	c.bulkReply("connect")
	c.integer(-1)
}

// sync is what a rogue replica asks for; it gets an empty database.
func (c *conversation) sync(a []string) {
	c.saved()
	rdb := "REDIS0009\xfa\x09redis-ver" + string(rune(len(c.p.Versions.Redis))) + c.p.Versions.Redis + "\xff" + strings.Repeat("\x00", 8)
	if strings.EqualFold(a[0], "psync") {
		c.simple("FULLRESYNC " + c.replID() + " 0")
	}
	c.send("$" + strconv.Itoa(len(rdb)) + "\r\n" + rdb)
}

func (c *conversation) replID() string { return hex.EncodeToString(c.p.Derive("redis replid", 20)) }

// moduleCommand lets a module load once the visitor has put a file somewhere:
// with a master of his own, or by naming the dump.
func (c *conversation) moduleCommand(a []string) {
	switch strings.ToLower(a[1]) {
	case "list":
		c.array(0)
	case "load", "loadex":
		c.loud = true
		if len(a) < 3 {
			c.subArity(a)
			return
		}
		if c.master[0] == "" && c.config["dbfilename"] == "" && c.config["dir"] == "" {
			c.fail("ERR Error loading the extension. Please check the server logs.")
			return
		}
		c.module = true
		c.ok()
	case "unload":
		if len(a) != 3 {
			c.subArity(a)
			return
		}
		if !c.module {
			c.fail("ERR Error unloading module: no such module with that name")
			return
		}
		c.module = false
		c.ok()
	default:
		c.subUsage(a)
	}
}

func (c *conversation) debug(a []string) {
	c.loud = true
	if c.version >= v70 {
		c.fail(`ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.`)
		return
	}
	switch strings.ToLower(a[1]) {
	case "segfault", "panic", "restart", "crash-and-recover":
		c.over = true
	case "object":
		c.fail("ERR no such key")
	case "sleep", "reload", "loadaof", "set-active-expire", "jmap", "quicklist-packed-threshold", "change-repl-id":
		c.ok()
	default:
		c.subUsage(a)
	}
}

func (c *conversation) time([]string) {
	t := c.s.Now()
	c.bulks(strconv.FormatInt(t.Unix(), 10), strconv.Itoa(t.Nanosecond()/1000))
}

func (c *conversation) slowlog(a []string) {
	switch strings.ToLower(a[1]) {
	case "len":
		c.integer(0)
	case "reset":
		c.ok()
	case "get":
		c.array(0)
	default:
		c.subUsage(a)
	}
}

func (c *conversation) emptyList([]string) { c.array(0) }

func (c *conversation) memory(a []string) {
	switch sub := strings.ToLower(a[1]); {
	case sub == "usage" && len(a) > 2:
		v := c.data().get(c.db, a[2], c.s.Now())
		if v == nil {
			c.null()
			return
		}
		c.integer(int64(v.size()))
	case sub == "doctor":
		c.text("Hi Sam, this instance is empty or is using very little memory, my issue detector can't be used in these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n")
	case sub == "purge":
		c.ok()
	default:
		c.subUsage(a)
	}
}

func (c *conversation) acl(a []string) {
	switch strings.ToLower(a[1]) {
	case "whoami":
		c.bulkReply("default")
	case "users":
		c.bulks("default")
	case "list":
		line := "user default on nopass ~* +@all"
		if c.version >= v62 {
			line = "user default on nopass ~* &* +@all"
		}
		c.bulks(line)
	case "cat":
		c.bulks("keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting")
	case "setuser", "deluser", "save", "load":
		c.ok()
	case "log":
		c.array(0)
	default:
		c.subUsage(a)
	}
}
