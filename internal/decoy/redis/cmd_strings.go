package redis

import (
	"strconv"
	"strings"
	"time"
)

func stringCommands() []command {
	return []command{
		{"get", 2, v50, 0, (*conversation).get},
		{"set", -3, v50, 0, (*conversation).set},
		{"setnx", 3, v50, 0, (*conversation).setNX},
		{"setex", 4, v50, 0, func(c *conversation, a []string) { c.setEx(a, time.Second) }},
		{"psetex", 4, v50, 0, func(c *conversation, a []string) { c.setEx(a, time.Millisecond) }},
		{"getset", 3, v50, 0, (*conversation).getSet},
		{"getdel", 2, v62, 0, (*conversation).getDel},
		{"mget", -2, v50, 0, (*conversation).mget},
		{"mset", -3, v50, 0, (*conversation).mset},
		{"append", 3, v50, 0, (*conversation).append},
		{"strlen", 2, v50, 0, (*conversation).strlen},
		{"incr", 2, v50, 0, func(c *conversation, a []string) { c.add(a[1], 1) }},
		{"decr", 2, v50, 0, func(c *conversation, a []string) { c.add(a[1], -1) }},
		{"incrby", 3, v50, 0, func(c *conversation, a []string) { c.addText(a, 1) }},
		{"decrby", 3, v50, 0, func(c *conversation, a []string) { c.addText(a, -1) }},
		{"getrange", 4, v50, 0, (*conversation).getRange},
	}
}

func (c *conversation) get(a []string) {
	v, ok := c.look(a[1], kindString)
	if ok {
		c.maybe(v)
	}
}

func (c *conversation) maybe(v *value) {
	if v == nil {
		c.null()
		return
	}
	c.bulkReply(v.text)
}

// set understands the options of SET; KEEPTTL and GET as of 6.x.
func (c *conversation) set(a []string) {
	v := &value{text: a[2]}
	old := c.data().get(c.db, a[1], c.s.Now())
	nx, xx, get := false, false, false
	for i := 3; i < len(a); i++ {
		switch opt := strings.ToLower(a[i]); {
		case opt == "nx":
			nx = true
		case opt == "xx":
			xx = true
		case opt == "get" && c.version >= v62:
			get = true
		case opt == "keepttl" && c.version >= v60:
			if old != nil {
				v.expires = old.expires
			}
		case (opt == "ex" || opt == "px" || (opt == "exat" || opt == "pxat") && c.version >= v62) && i+1 < len(a):
			i++
			if !c.expiry(v, opt, a[i]) {
				return
			}
		default:
			c.fail(syntaxError)
			return
		}
	}
	if nx && xx {
		c.fail(syntaxError)
		return
	}
	c.inspect(a[1], a[2])
	if nx && old != nil || xx && old == nil {
		c.null()
		return
	}
	if !c.keep(a[1], v) {
		return
	}
	if get {
		c.maybe(old)
		return
	}
	c.ok()
}

func (c *conversation) expiry(v *value, opt, text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		c.fail(notInteger)
		return false
	}
	if n <= 0 {
		c.fail(c.badExpiry("set"))
		return false
	}
	switch opt {
	case "ex":
		v.expires = c.moment(n, time.Second, false)
	case "px":
		v.expires = c.moment(n, time.Millisecond, false)
	case "exat":
		v.expires = c.moment(n, time.Second, true)
	case "pxat":
		v.expires = c.moment(n/1000, time.Second, true)
	}
	return true
}

func (c *conversation) badExpiry(name string) string {
	if c.version >= v70 {
		return "ERR invalid expire time in '" + name + "' command"
	}
	return "ERR invalid expire time in " + name
}

func (c *conversation) setNX(a []string) {
	c.inspect(a[1], a[2])
	if c.data().get(c.db, a[1], c.s.Now()) != nil {
		c.integer(0)
		return
	}
	if c.keep(a[1], &value{text: a[2]}) {
		c.integer(1)
	}
}

func (c *conversation) setEx(a []string, unit time.Duration) {
	n, err := strconv.ParseInt(a[2], 10, 64)
	if err != nil {
		c.fail(notInteger)
		return
	}
	if n <= 0 {
		c.fail(c.badExpiry(strings.ToLower(a[0])))
		return
	}
	c.inspect(a[1], a[3])
	if c.keep(a[1], &value{text: a[3], expires: c.moment(n, unit, false)}) {
		c.ok()
	}
}

func (c *conversation) getSet(a []string) {
	v, ok := c.look(a[1], kindString)
	if !ok {
		return
	}
	c.inspect(a[1], a[2])
	if c.keep(a[1], &value{text: a[2]}) {
		c.maybe(v)
	}
}

func (c *conversation) getDel(a []string) {
	v, ok := c.look(a[1], kindString)
	if !ok {
		return
	}
	c.data().remove(c.db, a[1])
	c.maybe(v)
}

func (c *conversation) mget(a []string) {
	c.array(len(a) - 1)
	for _, k := range a[1:] {
		v := c.data().get(c.db, k, c.s.Now())
		if v != nil && v.kind != kindString {
			v = nil
		}
		c.maybe(v)
	}
}

func (c *conversation) mset(a []string) {
	if len(a)%2 == 0 {
		c.fail("ERR wrong number of arguments for 'mset' command")
		return
	}
	for i := 1; i < len(a); i += 2 {
		c.inspect(a[i], a[i+1])
		if !c.keep(a[i], &value{text: a[i+1]}) {
			return
		}
	}
	c.ok()
}

func (c *conversation) append(a []string) {
	v, ok := c.edit(a[1], kindString)
	if !ok {
		return
	}
	if len(v.text)+len(a[2]) > maxWordKept {
		c.fail(outOfMemory)
		return
	}
	c.work += len(v.text)
	v.text += a[2]
	c.inspect(a[1], v.text)
	if c.keep(a[1], v) {
		c.integer(int64(len(v.text)))
	}
}

func (c *conversation) strlen(a []string) {
	v, ok := c.look(a[1], kindString)
	switch {
	case !ok:
	case v == nil:
		c.integer(0)
	default:
		c.integer(int64(len(v.text)))
	}
}

func (c *conversation) addText(a []string, sign int64) {
	n, ok := integer(a[2])
	if !ok {
		c.fail(notInteger)
		return
	}
	c.add(a[1], sign*n)
}

func (c *conversation) add(key string, by int64) {
	v, ok := c.edit(key, kindString)
	if !ok {
		return
	}
	n := int64(0)
	if v.text != "" {
		if n, ok = integer(v.text); !ok {
			c.fail(notInteger)
			return
		}
	}
	if sum := n + by; (sum > n) != (by > 0) && by != 0 {
		c.fail("ERR increment or decrement would overflow")
		return
	}
	v.text = strconv.FormatInt(n+by, 10)
	if c.keep(key, v) {
		c.integer(n + by)
	}
}

func (c *conversation) getRange(a []string) {
	v, ok := c.look(a[1], kindString)
	if !ok {
		return
	}
	from, ok1 := integer(a[2])
	to, ok2 := integer(a[3])
	if !ok1 || !ok2 {
		c.fail(notInteger)
		return
	}
	text := ""
	if v != nil {
		lo, hi := span(from, to, len(v.text))
		text = v.text[lo:hi]
	}
	c.bulkReply(text)
}

// span turns Redis' inclusive bounds, negative from the end, into Go's.
func span(from, to int64, n int) (lo, hi int) {
	at := func(i int64) int64 {
		if i < 0 {
			i += int64(n)
		}
		return i
	}
	from, to = max(at(from), 0), min(at(to), int64(n)-1)
	if from > to {
		return 0, 0
	}
	return int(from), int(to) + 1
}
