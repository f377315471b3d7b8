package redis

import (
	"strconv"
	"strings"
	"time"
)

func keyCommands() []command {
	return []command{
		{"keys", 2, v50, 0, (*conversation).keys},
		{"scan", -2, v50, 0, (*conversation).scan},
		{"del", -2, v50, 0, (*conversation).del},
		{"unlink", -2, v50, 0, (*conversation).del},
		{"exists", -2, v50, 0, (*conversation).exists},
		{"touch", -2, v50, 0, (*conversation).exists},
		{"ttl", 2, v50, 0, func(c *conversation, a []string) { c.ttl(a[1], time.Second) }},
		{"pttl", 2, v50, 0, func(c *conversation, a []string) { c.ttl(a[1], time.Millisecond) }},
		{"expire", -3, v50, 0, func(c *conversation, a []string) { c.expire(a, time.Second, false) }},
		{"pexpire", -3, v50, 0, func(c *conversation, a []string) { c.expire(a, time.Millisecond, false) }},
		{"expireat", -3, v50, 0, func(c *conversation, a []string) { c.expire(a, time.Second, true) }},
		{"persist", 2, v50, 0, (*conversation).persist},
		{"type", 2, v50, 0, (*conversation).typeOf},
		{"rename", 3, v50, 0, (*conversation).rename},
		{"randomkey", 1, v50, 0, (*conversation).random},
		{"object", -2, v50, parent, (*conversation).object},
		{"dump", 2, v50, 0, func(c *conversation, a []string) { c.null() }},
		{"restore", -4, v50, telling, (*conversation).restore},
		{"migrate", -6, v50, telling, func(c *conversation, a []string) { c.simple("NOKEY") }},
		{"dbsize", 1, v50, 0, func(c *conversation, a []string) { c.integer(int64(len(c.names()))) }},
		{"flushall", -1, v50, telling, (*conversation).flushAll},
		{"flushdb", -1, v50, telling, (*conversation).flushDB},
		{"swapdb", 3, v50, 0, func(c *conversation, a []string) { c.ok() }},
		{"sort", -2, v50, 0, (*conversation).sort},
	}
}

func (c *conversation) keys(a []string) {
	var out []string
	for _, k := range c.names() {
		if match(a[1], k) {
			out = append(out, k)
		}
	}
	c.bulks(out...)
}

// scan tells everything at once: there are few keys.
func (c *conversation) scan(a []string) {
	if _, err := strconv.ParseUint(a[1], 10, 64); err != nil {
		c.fail("ERR invalid cursor")
		return
	}
	pattern, of := "*", ""
	for i := 2; i < len(a); i += 2 {
		if i+1 == len(a) {
			c.fail("ERR syntax error")
			return
		}
		switch strings.ToLower(a[i]) {
		case "match":
			pattern = a[i+1]
		case "type":
			of = strings.ToLower(a[i+1])
		case "count":
			if n, err := strconv.ParseInt(a[i+1], 10, 64); err != nil {
				c.fail(notInteger)
				return
			} else if n < 1 {
				c.fail("ERR syntax error")
				return
			}
		default:
			c.fail("ERR syntax error")
			return
		}
	}
	var out []string
	if a[1] == "0" {
		for _, k := range c.names() {
			if match(pattern, k) && (of == "" || c.data().dbs[c.db][k].kind.String() == of) {
				out = append(out, k)
			}
		}
	}
	c.array(2)
	c.bulkReply("0")
	c.bulks(out...)
}

func (c *conversation) del(a []string) {
	n := int64(0)
	for _, k := range a[1:] {
		if c.data().get(c.db, k, c.s.Now()) != nil && c.data().remove(c.db, k) {
			n++
		}
	}
	c.integer(n)
}

func (c *conversation) exists(a []string) {
	n := int64(0)
	for _, k := range a[1:] {
		if c.data().get(c.db, k, c.s.Now()) != nil {
			n++
		}
	}
	c.integer(n)
}

func (c *conversation) ttl(key string, unit time.Duration) {
	at := c.s.Now()
	v := c.data().get(c.db, key, at)
	switch {
	case v == nil:
		c.integer(-2)
	case v.expires.IsZero():
		c.integer(-1)
	default:
		c.integer(int64((v.expires.Sub(at) + unit/2) / unit))
	}
}

const (
	notInteger  = "ERR value is not an integer or out of range"
	syntaxError = "ERR syntax error"
	maxSeconds  = int64(1) << 33 // of an expiry; beyond it time.Duration overflows
)

func (c *conversation) expire(a []string, unit time.Duration, absolute bool) {
	n, err := strconv.ParseInt(a[2], 10, 64)
	if err != nil {
		c.fail(notInteger)
		return
	}
	v := c.data().get(c.db, a[1], c.s.Now())
	if v == nil {
		c.integer(0)
		return
	}
	w := *v
	w.expires = c.moment(n, unit, absolute)
	c.data().put(c.db, a[1], &w)
	c.integer(1)
}

func (c *conversation) moment(n int64, unit time.Duration, absolute bool) time.Time {
	n = max(min(n, maxSeconds), -maxSeconds)
	if absolute {
		return time.Unix(n, 0)
	}
	return c.s.Now().Add(time.Duration(n) * unit)
}

func (c *conversation) persist(a []string) {
	v := c.data().get(c.db, a[1], c.s.Now())
	if v == nil || v.expires.IsZero() {
		c.integer(0)
		return
	}
	w := *v
	w.expires = time.Time{}
	c.data().put(c.db, a[1], &w)
	c.integer(1)
}

func (c *conversation) typeOf(a []string) {
	if v := c.data().get(c.db, a[1], c.s.Now()); v != nil {
		c.simple(v.kind.String())
		return
	}
	c.simple("none")
}

func (c *conversation) rename(a []string) {
	v := c.data().get(c.db, a[1], c.s.Now())
	if v == nil {
		c.fail("ERR no such key")
		return
	}
	w := *v
	if c.keep(a[2], &w) {
		if a[1] != a[2] {
			c.data().remove(c.db, a[1])
		}
		c.ok()
	}
}

func (c *conversation) random([]string) {
	names := c.names()
	if len(names) == 0 {
		c.null()
		return
	}
	c.bulkReply(names[int(c.s.Now().UnixNano()/1e6)%len(names)])
}

func (c *conversation) object(a []string) {
	if len(a) < 3 {
		c.subUsage(a)
		return
	}
	v := c.data().get(c.db, a[2], c.s.Now())
	if v == nil {
		c.null()
		return
	}
	switch strings.ToLower(a[1]) {
	case "encoding":
		c.bulkReply(c.encoding(v))
	case "refcount":
		c.integer(1)
	case "idletime":
		c.integer(12)
	case "freq":
		c.fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
	default:
		c.subUsage(a)
	}
}

func (c *conversation) encoding(v *value) string {
	small := "ziplist"
	if c.version >= v70 {
		small = "listpack"
	}
	switch v.kind {
	case kindList:
		return "quicklist"
	case kindHash, kindSorted:
		return small
	case kindSet:
		return "hashtable"
	}
	if _, ok := integer(v.text); ok {
		return "int"
	}
	if len(v.text) <= 44 {
		return "embstr"
	}
	return "raw"
}

// integer reads a number in the one form Redis takes for one.
func integer(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

func (c *conversation) restore(a []string) {
	c.note = []byte(a[3])
	c.fail("ERR DUMP payload version or checksum are wrong")
}

func (c *conversation) flushAll([]string) {
	for db := range databases {
		c.data().flush(db)
	}
	c.ok()
}

func (c *conversation) flushDB([]string) {
	c.data().flush(c.db)
	c.ok()
}

// sort answers only for what fits in a list or set of words.
func (c *conversation) sort(a []string) {
	v := c.data().get(c.db, a[1], c.s.Now())
	if v == nil {
		c.array(0)
		return
	}
	c.fail("ERR One or more scores can't be converted into double")
}
