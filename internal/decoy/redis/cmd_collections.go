package redis

import (
	"slices"
	"strconv"
	"strings"
)

func collectionCommands() []command {
	return []command{
		{"lpush", -3, v50, 0, func(c *conversation, a []string) { c.push(a, true) }},
		{"rpush", -3, v50, 0, func(c *conversation, a []string) { c.push(a, false) }},
		{"lpop", -2, v50, 0, func(c *conversation, a []string) { c.pop(a, true) }},
		{"rpop", -2, v50, 0, func(c *conversation, a []string) { c.pop(a, false) }},
		{"llen", 2, v50, 0, func(c *conversation, a []string) { c.length(a[1], kindList) }},
		{"lrange", 4, v50, 0, (*conversation).lrange},
		{"lindex", 3, v50, 0, (*conversation).lindex},
		{"hset", -4, v50, 0, (*conversation).hset},
		{"hmset", -4, v50, 0, (*conversation).hset},
		{"hget", 3, v50, 0, (*conversation).hget},
		{"hmget", -3, v50, 0, (*conversation).hmget},
		{"hgetall", 2, v50, 0, (*conversation).hgetall},
		{"hkeys", 2, v50, 0, (*conversation).hkeys},
		{"hvals", 2, v50, 0, (*conversation).hvals},
		{"hlen", 2, v50, 0, func(c *conversation, a []string) { c.length(a[1], kindHash) }},
		{"hexists", 3, v50, 0, func(c *conversation, a []string) { c.has(a, kindHash) }},
		{"hdel", -3, v50, 0, func(c *conversation, a []string) { c.drops(a, kindHash) }},
		{"hscan", -3, v50, 0, func(c *conversation, a []string) { c.members(a[1], kindHash) }},
		{"sadd", -3, v50, 0, (*conversation).sadd},
		{"srem", -3, v50, 0, func(c *conversation, a []string) { c.drops(a, kindSet) }},
		{"smembers", 2, v50, 0, (*conversation).smembers},
		{"sismember", 3, v50, 0, func(c *conversation, a []string) { c.has(a, kindSet) }},
		{"scard", 2, v50, 0, func(c *conversation, a []string) { c.length(a[1], kindSet) }},
		{"sscan", -3, v50, 0, func(c *conversation, a []string) { c.members(a[1], kindSet) }},
		{"zadd", -4, v50, 0, (*conversation).zadd},
		{"zcard", 2, v50, 0, func(c *conversation, a []string) { c.length(a[1], kindSorted) }},
		{"zscore", 3, v50, 0, (*conversation).zscore},
		{"zrange", -4, v50, 0, (*conversation).zrange},
		{"zrem", -3, v50, 0, func(c *conversation, a []string) { c.drops(a, kindSorted) }},
	}
}

// maxItems bounds one collection.
const maxItems = 1024

func (c *conversation) push(a []string, front bool) {
	v, ok := c.edit(a[1], kindList)
	if !ok {
		return
	}
	for _, w := range a[2:] {
		if len(v.list) >= maxItems {
			c.fail(outOfMemory)
			return
		}
		c.inspect(a[1], w)
		if front {
			v.list = slices.Insert(v.list, 0, w)
		} else {
			v.list = append(v.list, w)
		}
	}
	if c.keep(a[1], v) {
		c.integer(int64(len(v.list)))
	}
}

func (c *conversation) pop(a []string, front bool) {
	v, ok := c.edit(a[1], kindList)
	if !ok {
		return
	}
	if len(v.list) == 0 {
		c.null()
		return
	}
	i := len(v.list) - 1
	if front {
		i = 0
	}
	w := v.list[i]
	v.list = slices.Delete(v.list, i, i+1)
	c.replace(a[1], v, len(v.list))
	c.bulkReply(w)
}

// replace keeps what is left of a collection, nothing when it is empty.
func (c *conversation) replace(key string, v *value, left int) {
	c.data().remove(c.db, key)
	if left > 0 {
		c.data().put(c.db, key, v) // smaller than before: no limit applies
	}
}

func (c *conversation) length(key string, k kind) {
	v, ok := c.look(key, k)
	switch {
	case !ok:
	case v == nil:
		c.integer(0)
	default:
		c.integer(int64(len(v.list) + len(v.members)))
	}
}

func (c *conversation) lrange(a []string) {
	v, ok := c.look(a[1], kindList)
	if !ok {
		return
	}
	from, ok1 := integer(a[2])
	to, ok2 := integer(a[3])
	if !ok1 || !ok2 {
		c.fail(notInteger)
		return
	}
	if v == nil {
		c.array(0)
		return
	}
	lo, hi := span(from, to, len(v.list))
	c.bulks(v.list[lo:hi]...)
}

func (c *conversation) lindex(a []string) {
	v, ok := c.look(a[1], kindList)
	if !ok {
		return
	}
	i, isNumber := integer(a[2])
	if !isNumber {
		c.fail(notInteger)
		return
	}
	if v != nil && i < 0 {
		i += int64(len(v.list))
	}
	if v == nil || i < 0 || i >= int64(len(v.list)) {
		c.null()
		return
	}
	c.bulkReply(v.list[i])
}

// put sets a member and tells whether it is new; ok is false when v is full.
func (v *value) put(m member) (fresh, ok bool) {
	i, found := v.find(m.name)
	if found {
		v.members[i] = m
		return false, true
	}
	if len(v.members) >= maxItems {
		return false, false
	}
	v.members = slices.Insert(v.members, i, m)
	return true, true
}

func (c *conversation) hset(a []string) {
	if len(a)%2 != 0 {
		c.fail("ERR wrong number of arguments for '" + strings.ToLower(a[0]) + "' command")
		return
	}
	v, ok := c.edit(a[1], kindHash)
	if !ok {
		return
	}
	n := int64(0)
	for i := 2; i < len(a); i += 2 {
		c.inspect(a[1], a[i+1])
		fresh, ok := v.put(member{name: a[i], value: a[i+1]})
		if !ok {
			c.fail(outOfMemory)
			return
		}
		if fresh {
			n++
		}
	}
	if !c.keep(a[1], v) {
		return
	}
	if strings.EqualFold(a[0], "hmset") {
		c.ok()
		return
	}
	c.integer(n)
}

func (v *value) field(name string) (string, bool) {
	if v != nil {
		if i, ok := v.find(name); ok {
			return v.members[i].value, true
		}
	}
	return "", false
}

func (c *conversation) orNull(s string, ok bool) {
	if !ok {
		c.null()
		return
	}
	c.bulkReply(s)
}

func (c *conversation) hget(a []string) {
	if v, ok := c.look(a[1], kindHash); ok {
		c.orNull(v.field(a[2]))
	}
}

func (c *conversation) hmget(a []string) {
	v, ok := c.look(a[1], kindHash)
	if !ok {
		return
	}
	c.array(len(a) - 2)
	for _, f := range a[2:] {
		c.orNull(v.field(f))
	}
}

func (v *value) all() []member {
	if v == nil {
		return nil
	}
	return v.members
}

func (c *conversation) hgetall(a []string) {
	v, ok := c.look(a[1], kindHash)
	if !ok {
		return
	}
	c.pairs(len(v.all()))
	for _, m := range v.all() {
		c.bulkReply(m.name)
		c.bulkReply(m.value)
	}
}

func (c *conversation) hkeys(a []string) {
	if v, ok := c.look(a[1], kindHash); ok {
		c.array(len(v.all()))
		for _, m := range v.all() {
			c.bulkReply(m.name)
		}
	}
}

func (c *conversation) hvals(a []string) {
	if v, ok := c.look(a[1], kindHash); ok {
		c.array(len(v.all()))
		for _, m := range v.all() {
			c.bulkReply(m.value)
		}
	}
}

func (c *conversation) has(a []string, k kind) {
	if v, ok := c.look(a[1], k); ok {
		_, found := v.field(a[2])
		c.flag(found)
	}
}

// drops removes members.
func (c *conversation) drops(a []string, k kind) {
	v, ok := c.edit(a[1], k)
	if !ok {
		return
	}
	n := int64(0)
	for _, f := range a[2:] {
		if i, found := v.find(f); found {
			v.members = slices.Delete(v.members, i, i+1)
			n++
		}
	}
	if n > 0 {
		c.replace(a[1], v, len(v.members))
	}
	c.integer(n)
}

// members is what HSCAN and SSCAN tell: everything at once.
func (c *conversation) members(key string, k kind) {
	v, ok := c.look(key, k)
	if !ok {
		return
	}
	var out []string
	for _, m := range v.all() {
		out = append(out, m.name)
		if k == kindHash {
			out = append(out, m.value)
		}
	}
	c.array(2)
	c.bulkReply("0")
	c.bulks(out...)
}

func (c *conversation) sadd(a []string) {
	v, ok := c.edit(a[1], kindSet)
	if !ok {
		return
	}
	n := int64(0)
	for _, w := range a[2:] {
		c.inspect(a[1], w)
		fresh, ok := v.put(member{name: w})
		if !ok {
			c.fail(outOfMemory)
			return
		}
		if fresh {
			n++
		}
	}
	if c.keep(a[1], v) {
		c.integer(n)
	}
}

func (c *conversation) smembers(a []string) {
	if v, ok := c.look(a[1], kindSet); ok {
		c.unordered(len(v.all()))
		for _, m := range v.all() {
			c.bulkReply(m.name)
		}
	}
}

func (c *conversation) zadd(a []string) {
	if len(a)%2 != 0 {
		c.fail(syntaxError)
		return
	}
	v, ok := c.edit(a[1], kindSorted)
	if !ok {
		return
	}
	n := int64(0)
	for i := 2; i < len(a); i += 2 {
		score, err := strconv.ParseFloat(a[i], 64)
		if err != nil || score != score {
			c.fail("ERR value is not a valid float")
			return
		}
		fresh, ok := v.put(member{name: a[i+1], score: score})
		if !ok {
			c.fail(outOfMemory)
			return
		}
		if fresh {
			n++
		}
	}
	if c.keep(a[1], v) {
		c.integer(n)
	}
}

func (c *conversation) zscore(a []string) {
	v, ok := c.look(a[1], kindSorted)
	if !ok {
		return
	}
	if v != nil {
		if i, found := v.find(a[2]); found {
			c.bulkReply(score(v.members[i].score))
			return
		}
	}
	c.null()
}

func score(f float64) string { return strconv.FormatFloat(f, 'g', 17, 64) }

// zrange knows ranks and WITHSCORES; what came later with 6.2 is a syntax error.
func (c *conversation) zrange(a []string) {
	v, ok := c.look(a[1], kindSorted)
	if !ok {
		return
	}
	from, ok1 := integer(a[2])
	to, ok2 := integer(a[3])
	if !ok1 || !ok2 {
		c.fail(notInteger)
		return
	}
	with := len(a) == 5 && strings.EqualFold(a[4], "withscores")
	if len(a) > 4 && !with {
		c.fail(syntaxError)
		return
	}
	list := slices.Clone(v.all())
	slices.SortStableFunc(list, func(x, y member) int {
		switch {
		case x.score < y.score:
			return -1
		case x.score > y.score:
			return 1
		}
		return 0
	})
	lo, hi := span(from, to, len(list))
	var out []string
	for _, m := range list[lo:hi] {
		out = append(out, m.name)
		if with {
			out = append(out, score(m.score))
		}
	}
	c.bulks(out...)
}
