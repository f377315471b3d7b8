// Package redis is a honeypot that looks like the Redis of the persona's
// distribution, open to everybody and configured the way intruders hope for:
// files can be written, modules loaded, masters followed. It keeps a few keys
// per visitor in memory and does nothing else of what it says.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bartizan/internal/decoy"
)

// Config of the decoy.
type Config struct {
	// RequirePass asks for a password. The persona's own opens the door, so its
	// use says where it was read.
	RequirePass bool `yaml:"require_pass"`
	// Bait puts a few keys with the persona's bait secrets into the first database.
	Bait bool `yaml:"bait"`
	// Keys and Bytes bound what one visitor can store.
	Keys  int `yaml:"keys"`
	Bytes int `yaml:"bytes"`
}

// Default is an open server with bait.
func Default() Config {
	return Config{Bait: true, Keys: 1000, Bytes: 8 << 20}
}

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	if c.Keys < 1 || c.Keys > 1_000_000 {
		return nil, errors.New("check redis decoy: keys must be 1 to 1000000")
	}
	if c.Bytes < 1<<10 || c.Bytes > 256<<20 {
		return nil, fmt.Errorf("check redis decoy: bytes must be %d to %d", 1<<10, 256<<20)
	}
	v := &service{conf: c, commands: map[string]*command{}}
	for _, list := range [][]command{connectionCommands(), serverCommands(), keyCommands(), stringCommands(), collectionCommands(), scriptCommands(), channelCommands()} {
		for i := range list {
			v.commands[list[i].name] = &list[i]
		}
	}
	return v, nil
}

type service struct {
	conf     Config
	commands map[string]*command
}

// command is one line of the command tables.
type command struct {
	name  string // lower case
	arity int    // number of words with the name, negative: at least that many
	since release
	flags flags
	run   func(c *conversation, a []string) // a[0] is the name as typed
}

type flags uint8

const (
	telling flags = 1 << iota // always worth an observation
	quiet                     // one observation per visit is enough
	parent                    // its first argument names a subcommand
	early                     // allowed before authentication
	listen                    // allowed while subscribed
	now                       // not queued by MULTI
	module                    // comes with the module that every intruder loads
)

// maxWork ends a visit that only keeps us busy: about a second of CPU time.
const maxWork = 1 << 30

// Serve implements decoy.Service.
func (v *service) Serve(ctx context.Context, s *decoy.Session) error {
	c := newConversation(v, s)
	for ctx.Err() == nil && !c.over && c.work < maxWork {
		if s.Buffered() == 0 {
			if s.Flush() != nil {
				return nil
			}
		}
		args, err := c.read()
		if err != nil {
			var bad protocolError
			if errors.As(err, &bad) {
				c.fail("ERR Protocol error: " + string(bad))
				s.Linger()
			}
			return nil
		}
		if len(args) == 0 {
			continue
		}
		if err := c.do(args); err != nil {
			return nil // the visit has used up its share of observations
		}
	}
	return nil
}

// do runs one command and reports it.
func (c *conversation) do(a []string) error {
	name := strings.ToLower(cut(a[0], 64))
	c.failed, c.loud, c.note = false, false, nil
	c.work += 512
	cmd := c.commands[name]
	if cmd != nil && (c.version < cmd.since || cmd.flags&module != 0 && !c.module) {
		cmd = nil
	}
	switch {
	case name == "post" || name == "host:":
		// Redis cuts such visitors off, because a browser may be abused to send them.
		c.over, c.failed = true, true
	case cmd == nil:
		c.unknown(a)
	case c.password && !c.authentic && cmd.flags&early == 0:
		c.fail("NOAUTH Authentication required.")
	case cmd.arity > 0 && len(a) != cmd.arity || len(a) < -cmd.arity:
		c.fail("ERR wrong number of arguments for '" + name + "' command")
	case c.subscriptions() > 0 && c.proto < 3 && cmd.flags&listen == 0:
		c.fail(c.onlyListening(name))
	case c.queueing && cmd.flags&now == 0:
		c.enqueue(a)
		return nil
	default:
		cmd.run(c, a)
	}
	return c.report(cmd, a)
}

// unknown answers a command that does not exist, in the words of the version.
func (c *conversation) unknown(a []string) {
	open, end, sep := "`", "`", ", "
	if c.version >= v70 {
		open, end, sep = "'", "'", " "
	}
	var b strings.Builder
	b.WriteString("ERR unknown command " + open + cut(a[0], 128) + end + ", with args beginning with: ")
	for _, w := range a[1:] {
		if b.Len() > 200 {
			break
		}
		b.WriteString(open + cut(w, 128) + end + sep)
	}
	c.fail(b.String())
}

func cut(s string, n int) string { return s[:min(len(s), n)] }
