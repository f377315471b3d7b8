package redis

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"bartizan/internal/decoy/persona"
)

type kind uint8

const (
	kindString kind = iota
	kindList
	kindHash
	kindSet
	kindSorted
)

func (k kind) String() string {
	return [...]string{"string", "list", "hash", "set", "zset"}[k]
}

// value is what a key holds. Members of hashes and sets are kept in a sorted
// slice: they are few, and their order must be the same every time.
type value struct {
	kind    kind
	text    string
	list    []string
	members []member
	expires time.Time // zero: never
	ours    bool      // was there before the visitor
}

type member struct {
	name, value string
	score       float64
}

func (v *value) find(name string) (int, bool) {
	return slices.BinarySearchFunc(v.members, name, func(m member, n string) int { return cmp.Compare(m.name, n) })
}

// size is about what a value occupies.
func (v *value) size() int {
	n := 64 + len(v.text)
	for _, s := range v.list {
		n += 16 + len(s)
	}
	for _, m := range v.members {
		n += 40 + len(m.name) + len(m.value)
	}
	return n
}

// databases as redis.conf ships them.
const databases = 16

// store is what one visitor sees.
type store struct {
	dbs   [databases]map[string]*value
	keys  int
	bytes int
}

// data is the visitor's store, made when first needed.
func (c *conversation) data() *store {
	if c.store == nil {
		c.store = &store{}
		if c.conf.Bait {
			for k, v := range bait(c.p) {
				v.ours = true
				c.store.put(0, k, v)
			}
		}
	}
	return c.store
}

// bait is what an application of the persona would keep: each secret in it
// says where it was read when it is used elsewhere.
func bait(p *persona.Persona) map[string]*value {
	id := hex.EncodeToString(p.Derive("redis keys", 40))
	brand, _, _ := strings.Cut(p.Domain, ".")
	session := func(user string) *value {
		// Strings and numbers only: marshalling cannot fail.
		text, _ := json.Marshal(struct {
			User  string `json:"user"`
			Role  string `json:"role"`
			Token string `json:"token"`
		}{user, "admin", p.Secrets.JWTSecret[:min(32, len(p.Secrets.JWTSecret))]})
		return &value{text: string(text), expires: p.BornAt.AddDate(20, 0, 0)}
	}
	config := &value{kind: kindHash, members: []member{
		{name: "aws_access_key_id", value: p.Secrets.AWSAccessKeyID}, {name: "aws_secret_access_key", value: p.Secrets.AWSSecretAccessKey},
		{name: "db_host", value: "127.0.0.1"}, {name: "db_name", value: p.Secrets.DBName}, {name: "db_password", value: p.Secrets.DBPassword},
		{name: "db_user", value: p.Secrets.DBUser}, {name: "stripe_key", value: p.Secrets.StripeKey},
	}}
	out := map[string]*value{
		brand + ":config":               config,
		brand + ":session:" + id[:32]:   session("admin"),
		brand + ":session:" + id[32:64]: session("support"),
		brand + ":queues:default":       {kind: kindList, list: []string{`{"job":"SendInvoice","id":"` + id[64:72] + `","attempts":0}`}},
		brand + ":jobs:processed":       {text: "18233"},
	}
	return out
}

func (s *store) put(db int, key string, v *value) {
	if s.dbs[db] == nil {
		s.dbs[db] = map[string]*value{}
	}
	s.remove(db, key)
	s.dbs[db][key] = v
	s.keys++
	s.bytes += len(key) + v.size()
}

func (s *store) remove(db int, key string) bool {
	v, ok := s.dbs[db][key]
	if ok {
		delete(s.dbs[db], key)
		s.keys--
		s.bytes -= len(key) + v.size()
	}
	return ok
}

func (s *store) flush(db int) {
	for k := range s.dbs[db] {
		s.remove(db, k)
	}
}

// get returns a live value.
func (s *store) get(db int, key string, at time.Time) *value {
	v := s.dbs[db][key]
	if v != nil && !v.expires.IsZero() && !at.Before(v.expires) {
		s.remove(db, key)
		return nil
	}
	return v
}

// names are the live keys, sorted.
func (c *conversation) names() []string {
	s, at := c.data(), c.s.Now()
	c.work += 64 * len(s.dbs[c.db])
	var out []string
	for k := range s.dbs[c.db] {
		if s.get(c.db, k, at) != nil {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// written are the texts the visitor stored, in the order of their keys.
func (s *store) written() (out []string) {
	for db := range s.dbs {
		keys := make([]string, 0, len(s.dbs[db]))
		for k, v := range s.dbs[db] {
			if !v.ours {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			v := s.dbs[db][k]
			out = append(out, v.text)
			out = append(out, v.list...)
			for _, m := range v.members {
				out = append(out, m.value)
			}
		}
	}
	return slices.DeleteFunc(out, func(t string) bool { return t == "" })
}

const outOfMemory = "OOM command not allowed when used memory > 'maxmemory'."

// keep stores a value under the limits of the visit; it answers with the error
// of a full server when they are reached.
func (c *conversation) keep(key string, v *value) bool {
	d := c.data()
	more := len(key) + v.size()
	old := d.dbs[c.db][key]
	keys := d.keys + 1
	if old != nil {
		more -= len(key) + old.size()
		keys--
	}
	if keys > c.conf.Keys || d.bytes+more > c.conf.Bytes || more > 0 && !c.holdStore(d.bytes+more) {
		c.fail(outOfMemory)
		return false
	}
	d.put(c.db, key, v)
	return true
}

// holdStore books the store's size against the memory all visitors share.
func (c *conversation) holdStore(bytes int) bool {
	if !c.hold(bytes - c.used) {
		return false
	}
	c.used = bytes
	return true
}

// look finds a key of a kind; ok is false when another kind is there and the
// visitor has been told.
func (c *conversation) look(key string, k kind) (v *value, ok bool) {
	v = c.data().get(c.db, key, c.s.Now())
	if v != nil && v.kind != k {
		c.fail("WRONGTYPE Operation against a key holding the wrong kind of value")
		return nil, false
	}
	return v, true
}

// edit returns a copy of a value to change and keep, a new one if there is none.
func (c *conversation) edit(key string, k kind) (v *value, ok bool) {
	old, ok := c.look(key, k)
	if !ok {
		return nil, false
	}
	if old == nil {
		return &value{kind: k}, true
	}
	c.work += old.size()
	v = &value{kind: k, text: old.text, list: slices.Clone(old.list), members: slices.Clone(old.members), expires: old.expires}
	return v, true
}

// maxGlob bounds both sides of a match, whose work is their product.
const maxGlob = 256

// match is the glob of KEYS and CONFIG GET: * ? [set] and backslash.
func match(pattern, s string) bool {
	pattern, s = cut(pattern, maxGlob), cut(s, maxGlob)
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, mark = p, i
				p++
				continue
			}
			if n, ok := one(pattern[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		p = star + 1
		mark++
		i = mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// one matches a single character and tells how much of the pattern it took.
func one(p string, b byte) (n int, ok bool) {
	switch p[0] {
	case '?':
		return 1, true
	case '\\':
		if len(p) > 1 {
			return 2, p[1] == b
		}
	case '[':
		return class(p, b)
	}
	return 1, p[0] == b
}

func class(p string, b byte) (n int, ok bool) {
	i, not := 1, false
	if i < len(p) && p[i] == '^' {
		not = true
		i++
	}
	for i < len(p) && p[i] != ']' {
		switch {
		case p[i] == '\\' && i+1 < len(p):
			i++
			ok = ok || p[i] == b
		case i+2 < len(p) && p[i+1] == '-' && p[i+2] != ']':
			lo, hi := min(p[i], p[i+2]), max(p[i], p[i+2])
			ok = ok || lo <= b && b <= hi
			i += 2
		default:
			ok = ok || p[i] == b
		}
		i++
	}
	return min(i+1, len(p)), ok != not
}
