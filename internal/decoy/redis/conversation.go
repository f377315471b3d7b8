package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// release is a version of Redis as major*100+minor.
type release int

const (
	v50 release = 500
	v60 release = 600
	v62 release = 602
	v70 release = 700
	v72 release = 702
)

func releaseOf(version string) (r release) {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, ok1 := number(major)
	b, ok2 := number(minor)
	if !ok1 || !ok2 {
		return v70
	}
	return release(a*100 + b)
}

// conversation is one visitor.
type conversation struct {
	*service
	s       *decoy.Session
	p       *persona.Persona
	version release
	id      int64

	proto     int
	password  bool // one is needed
	authentic bool
	over      bool
	name      string // CLIENT SETNAME
	db        int
	store     *store
	config    map[string]string // changed by the visitor
	master    [2]string         // SLAVEOF
	module    bool              // MODULE LOAD "worked"
	scripts   map[string]string // by SHA-1
	channels  map[string]struct{}
	patterns  map[string]struct{}
	queueing  bool
	queue     [][]string

	held, used int // memory taken from the common share, and in use
	seen       map[string]int
	told       map[[32]byte]struct{} // payloads that were reported
	failed     bool
	loud       bool   // the command is worth telling every time
	note       []byte // raw bytes worth keeping with the observation
	work       int    // done for the visitor, in about bytes touched
	cut        error  // a report said that the share is used up
}

func newConversation(v *service, s *decoy.Session) *conversation {
	p := s.Persona()
	at := s.ID()
	return &conversation{
		service: v, s: s, p: p, version: releaseOf(p.Versions.Redis), proto: 2, password: v.conf.RequirePass,
		// Real ones count connections; ours must not tell how many visitors there were.
		id:   int64(s.Now().Sub(p.BootedAt)/(7*time.Second)) + int64(at[len(at)-1]&3),
		seen: map[string]int{},
	}
}

// hold takes memory from the share of all visitors, once for the largest need.
func (c *conversation) hold(more int) bool {
	if need := c.used + more - c.held; need > 0 {
		if !c.s.Hold(need) {
			return false
		}
		c.held += need
	}
	return true
}

// Repeats of one operation that are reported.
const (
	repeats        = 16
	repeatsUnknown = 8
)

// report tells what was done. Harmless repeats are not told again: the
// transcript has them.
func (c *conversation) report(cmd *command, a []string) error {
	op, args := strings.ToUpper(cut(a[0], 64)), a[1:]
	if cmd != nil && cmd.flags&parent != 0 && len(args) > 0 && !(cmd.name == "module" && strings.EqualFold(args[0], "list")) {
		op, args = op+" "+strings.ToUpper(cut(args[0], 64)), args[1:]
	}
	if op == "AUTH" { // told as a credential
		return c.cut
	}
	limit, key := repeats, op
	loud := c.loud || len(c.note) > 0
	switch {
	case cmd == nil:
		limit, key = repeatsUnknown, "?"
	case cmd.flags&telling != 0:
		loud = true
	case cmd.flags&quiet != 0:
		limit = 1
	case cmd.flags&parent != 0:
		key = cmd.name // subcommands may be invented
	}
	if c.seen[key]++; c.seen[key] > limit && !loud {
		return c.cut
	}
	c.tell(op, args)
	return c.cut
}

func (c *conversation) tell(op string, args []string) {
	err := c.s.Call(observe.APICall{Operation: op, Args: append([]string(nil), args...), Failed: c.failed}, c.note)
	if err != nil && c.cut == nil {
		c.cut = err
	}
}

// inspect looks at a value the visitor wants stored, and reports it as a file
// when it would be one on disk.
func (c *conversation) inspect(key, value string) {
	c.work += 8 * min(len(value), maxInspected)
	kind := payload(value)
	if kind == "" {
		return
	}
	c.note = []byte(value)
	path := "key:" + cut(key, 256)
	if c.config["dir"] != "" || c.config["dbfilename"] != "" {
		path = c.file()
	}
	c.drop(path, kind, value)
}

// file is where the server would save its data.
func (c *conversation) file() string {
	return strings.TrimRight(c.setting("dir"), "/") + "/" + c.setting("dbfilename")
}

const maxTold = 256

// drop reports a file once per place and content.
func (c *conversation) drop(path, kind, content string) {
	id := sha256.Sum256([]byte(path + "\x00" + content))
	if _, known := c.told[id]; known || len(c.told) >= maxTold {
		return
	}
	if c.told == nil {
		c.told = map[[32]byte]struct{}{}
	}
	c.told[id] = struct{}{}
	sum := sha256.Sum256([]byte(content))
	err := c.s.File(observe.FileEvent{
		Path: path, How: "redis", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), Type: kind,
	}, []byte(content))
	if err != nil && c.cut == nil {
		c.cut = err
	}
}

// saved is called when the visitor makes the server write its file: what he
// stored is now where he wanted it.
func (c *conversation) saved() {
	if c.config["dir"] == "" && c.config["dbfilename"] == "" {
		return
	}
	var b strings.Builder
	for _, v := range c.data().written() {
		if b.Len()+len(v) > maxKept {
			break
		}
		b.WriteString(v)
	}
	if b.Len() > 0 {
		kind := payload(b.String())
		if kind == "" {
			kind = decoy.FileType([]byte(b.String()))
		}
		c.drop(c.file(), kind, b.String())
	}
}
