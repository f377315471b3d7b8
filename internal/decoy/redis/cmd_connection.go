package redis

import (
	"fmt"
	"strconv"
	"strings"

	"bartizan/internal/observe"
)

func connectionCommands() []command {
	return []command{
		{"ping", -1, v50, quiet | listen, (*conversation).ping},
		{"echo", 2, v50, quiet, func(c *conversation, a []string) { c.bulkReply(a[1]) }},
		{"auth", -2, v50, early | now, (*conversation).auth},
		{"hello", -1, v60, early | now, (*conversation).hello},
		{"select", 2, v50, quiet, (*conversation).selectDB},
		{"quit", -1, v50, early | listen | now, func(c *conversation, _ []string) { c.ok(); c.over = true }},
		{"reset", 1, v62, early | listen | now, (*conversation).reset},
		{"client", -2, v50, parent, (*conversation).client},
		{"command", -1, v50, quiet, (*conversation).command},
		{"multi", 1, v50, now, (*conversation).multi},
		{"exec", 1, v50, now, (*conversation).exec},
		{"discard", 1, v50, now, (*conversation).discard},
		{"watch", -2, v50, now, func(c *conversation, _ []string) { c.ok() }},
		{"unwatch", 1, v50, 0, func(c *conversation, _ []string) { c.ok() }},
	}
}

func (c *conversation) ping(a []string) {
	switch {
	case len(a) > 2:
		c.fail("ERR wrong number of arguments for 'ping' command")
	case c.subscriptions() > 0 && c.proto < 3:
		c.array(2)
		c.bulkReply("pong")
		c.bulkReply(strings.Join(a[1:], ""))
	case len(a) == 2:
		c.bulkReply(a[1])
	default:
		c.simple("PONG")
	}
}

const wrongPass = "WRONGPASS invalid username-password pair or user is disabled."

func (c *conversation) auth(a []string) {
	switch {
	case len(a) > 3 || len(a) == 3 && c.version < v60:
		c.fail(syntaxError)
	case len(a) == 3:
		c.login(a[1], a[2])
	case !c.password:
		c.offered("", a[1], false)
		if c.version < v60 {
			c.fail("ERR Client sent AUTH, but no password is set")
			return
		}
		c.fail("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	default:
		c.login("default", a[1])
	}
}

// login checks a credential and answers only when it is wrong or alone.
func (c *conversation) login(user, password string) {
	if c.try(user, password) {
		c.ok()
	}
}

func (c *conversation) try(user, password string) bool {
	ok := user == "default" && (!c.password || password == c.p.Secrets.RedisPassword)
	c.offered(user, password, ok)
	if !ok {
		if c.version < v60 {
			c.fail("ERR invalid password")
		} else {
			c.fail(wrongPass)
		}
		return false
	}
	c.authentic = true
	return true
}

func (c *conversation) offered(user, password string, accepted bool) {
	err := c.s.Auth(observe.AuthAttempt{Method: "requirepass", User: user, Password: password, Accepted: accepted})
	if err != nil && c.cut == nil {
		c.cut = err
	}
}

func (c *conversation) hello(a []string) {
	proto, name, named := c.proto, "", false
	if len(a) > 1 {
		n, ok := integer(a[1])
		if !ok {
			c.fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if n != 2 && n != 3 {
			c.fail("NOPROTO unsupported protocol version")
			return
		}
		proto = int(n)
	}
	for i := 2; i < len(a); {
		switch opt := strings.ToLower(a[i]); {
		case opt == "auth" && i+2 < len(a):
			if !c.try(a[i+1], a[i+2]) {
				return
			}
			i += 3
		case opt == "setname" && i+1 < len(a):
			name, named = a[i+1], true
			i += 2
		default:
			c.fail("ERR Syntax error in HELLO option '" + cut(a[i], 128) + "'")
			return
		}
	}
	if c.password && !c.authentic {
		c.fail("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if named {
		c.name = cut(name, 256)
	}
	c.proto = proto
	c.pairs(7)
	for _, f := range [][2]string{{"server", "redis"}, {"version", c.p.Versions.Redis}} {
		c.bulkReply(f[0])
		c.bulkReply(f[1])
	}
	c.bulkReply("proto")
	c.integer(int64(c.proto))
	c.bulkReply("id")
	c.integer(c.id)
	for _, f := range [][2]string{{"mode", "standalone"}, {"role", c.role()}} {
		c.bulkReply(f[0])
		c.bulkReply(f[1])
	}
	c.bulkReply("modules")
	c.array(0)
}

func (c *conversation) selectDB(a []string) {
	n, ok := integer(a[1])
	switch {
	case !ok && c.version < v70:
		c.fail("ERR invalid DB index")
	case !ok:
		c.fail(notInteger)
	case n < 0 || n >= databases:
		c.fail("ERR DB index is out of range")
	default:
		c.db = int(n)
		c.ok()
	}
}

func (c *conversation) reset([]string) {
	c.proto, c.db, c.name, c.authentic = 2, 0, "", false
	c.queueing, c.queue, c.channels, c.patterns = false, nil, nil, nil
	c.simple("RESET")
}

// subUsage answers a subcommand that does not exist.
func (c *conversation) subUsage(a []string) {
	parent := strings.ToUpper(a[0])
	switch {
	case c.version >= v70:
		c.fail("ERR unknown subcommand '" + cut(a[1], 128) + "'. Try " + parent + " HELP.")
	default:
		c.fail("ERR Unknown subcommand or wrong number of arguments for '" + cut(a[1], 128) + "'. Try " + parent + " HELP.")
	}
}

// subArity answers a subcommand with too few or too many words.
func (c *conversation) subArity(a []string) {
	if c.version < v70 {
		c.subUsage(a)
		return
	}
	c.fail("ERR wrong number of arguments for '" + strings.ToLower(a[0]) + "|" + strings.ToLower(cut(a[1], 128)) + "' command")
}

func (c *conversation) client(a []string) {
	switch sub := strings.ToLower(a[1]); {
	case sub == "list":
		c.text(c.self())
	case sub == "info" && c.version >= v62:
		c.text(c.self())
	case sub == "id":
		c.integer(c.id)
	case sub == "getname":
		if c.name == "" {
			c.null()
			return
		}
		c.bulkReply(c.name)
	case sub == "setname" && len(a) == 3:
		if strings.ContainsAny(a[2], " \n\r\t") {
			c.fail("ERR Client names cannot contain spaces, newlines or special characters.")
			return
		}
		c.name = cut(a[2], 256)
		c.ok()
	case sub == "setname" || sub == "kill" && len(a) < 3:
		c.subArity(a)
	case sub == "kill" && len(a) == 3:
		c.fail("ERR No such client")
	case sub == "kill":
		c.integer(0)
	case sub == "setinfo" && c.version >= v72, sub == "no-evict" && c.version >= v70, sub == "reply", sub == "pause", sub == "unpause", sub == "tracking":
		c.ok()
	default:
		c.subUsage(a)
	}
}

// self is the line of CLIENT LIST about this visitor: nobody else is shown.
func (c *conversation) self() string {
	age := int(c.s.Now().Sub(c.s.ID().Time()).Seconds())
	line := fmt.Sprintf("id=%d addr=%s", c.id, c.s.Remote())
	if c.version >= v62 {
		line += " laddr=" + c.s.Local().String()
	}
	line += fmt.Sprintf(" fd=8 name=%s age=%d idle=0 flags=N db=%d sub=%d psub=%d", c.name, age, c.db, len(c.channels), len(c.patterns))
	if c.version >= v70 {
		line += " ssub=0"
	}
	line += " multi=-1 qbuf=26 qbuf-free=20448"
	if c.version >= v60 {
		line += " argv-mem=10"
	}
	if c.version >= v70 {
		line += " multi-mem=0 rbs=1024 rbp=0"
	}
	line += " obl=0 oll=0 omem=0"
	switch {
	case c.version >= v70:
		line += " tot-mem=22298 events=r cmd=client|list user=default redir=-1 resp=" + strconv.Itoa(c.proto)
	case c.version >= v60:
		line += " tot-mem=61466 events=r cmd=client user=default redir=-1"
	default:
		line += " events=r cmd=client"
	}
	return line + "\n"
}

// command tells what commands there are. Clients only use it for hints.
func (c *conversation) command(a []string) {
	if len(a) == 1 {
		c.array(len(c.commands))
		for _, name := range c.sortedCommands() {
			c.describe(c.commands[name])
		}
		return
	}
	switch sub := strings.ToLower(a[1]); {
	case sub == "count":
		c.integer(c.counted())
	case sub == "docs" && c.version >= v70:
		c.pairs(0)
	case sub == "info":
		c.array(len(a) - 2)
		for _, w := range a[2:] {
			if cmd := c.commands[strings.ToLower(w)]; cmd != nil {
				c.describe(cmd)
			} else {
				c.send("*-1\r\n")
			}
		}
	default:
		c.subUsage(a)
	}
}

// counted is the number of commands of the real server.
func (c *conversation) counted() int64 {
	switch {
	case c.version >= v70:
		return 240
	case c.version >= v60:
		return 204
	}
	return 200
}

func (c *conversation) describe(cmd *command) {
	c.array(6)
	c.bulkReply(cmd.name)
	c.integer(int64(cmd.arity))
	c.array(0)
	c.integer(0)
	c.integer(0)
	c.integer(0)
}

func (c *conversation) multi([]string) {
	if c.queueing {
		c.fail("ERR MULTI calls can not be nested")
		return
	}
	c.queueing, c.queue = true, nil
	c.ok()
}

// Bounds of a transaction.
const (
	maxQueue      = 256
	maxQueueBytes = 1 << 20
)

func (c *conversation) enqueue(a []string) {
	size := 0
	for _, q := range append(c.queue, a) {
		for _, w := range q {
			size += len(w)
		}
	}
	c.work += 64 * len(c.queue)
	if len(c.queue) >= maxQueue || size > maxQueueBytes {
		c.queueing, c.queue = false, nil
		c.fail(outOfMemory)
		return
	}
	c.queue = append(c.queue, a)
	c.simple("QUEUED")
}

func (c *conversation) exec([]string) {
	if !c.queueing {
		c.fail("ERR EXEC without MULTI")
		return
	}
	queue := c.queue
	c.queueing, c.queue = false, nil
	c.array(len(queue))
	for _, a := range queue {
		if err := c.do(a); err != nil {
			c.cut = err
			return
		}
	}
}

func (c *conversation) discard([]string) {
	if !c.queueing {
		c.fail("ERR DISCARD without MULTI")
		return
	}
	c.queueing, c.queue = false, nil
	c.ok()
}
