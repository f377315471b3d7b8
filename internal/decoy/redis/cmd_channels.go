package redis

import (
	"maps"
	"slices"
	"strings"
)

func channelCommands() []command {
	return []command{
		{"subscribe", -2, v50, listen, func(c *conversation, a []string) { c.subscribe("subscribe", &c.channels, a[1:]) }},
		{"psubscribe", -2, v50, listen, func(c *conversation, a []string) { c.subscribe("psubscribe", &c.patterns, a[1:]) }},
		{"unsubscribe", -1, v50, listen, func(c *conversation, a []string) { c.unsubscribe("unsubscribe", c.channels, a[1:]) }},
		{"punsubscribe", -1, v50, listen, func(c *conversation, a []string) { c.unsubscribe("punsubscribe", c.patterns, a[1:]) }},
		{"publish", 3, v50, 0, func(c *conversation, _ []string) { c.integer(0) }},
		{"pubsub", -2, v50, parent, (*conversation).pubsub},
	}
}

// maxChannels a visitor can wait on; nothing ever comes.
const maxChannels = 256

func (c *conversation) subscriptions() int { return len(c.channels) + len(c.patterns) }

func (c *conversation) onlyListening(name string) string {
	if c.version >= v62 {
		return "ERR Can't execute '" + cut(name, 128) + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
	}
	return "ERR only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT allowed in this context"
}

func (c *conversation) push3(kind, name string, known bool) {
	if c.proto >= 3 {
		c.send(">3\r\n")
	} else {
		c.array(3)
	}
	c.bulkReply(kind)
	if known {
		c.bulkReply(name)
	} else {
		c.null()
	}
	c.integer(int64(c.subscriptions()))
}

func (c *conversation) subscribe(kind string, to *map[string]struct{}, names []string) {
	if *to == nil {
		*to = map[string]struct{}{}
	}
	for _, n := range names {
		if c.subscriptions() < maxChannels {
			(*to)[strings.Clone(cut(n, 256))] = struct{}{}
		}
		c.push3(kind, n, true)
	}
}

func (c *conversation) unsubscribe(kind string, from map[string]struct{}, names []string) {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(from))
	}
	for _, n := range names {
		delete(from, cut(n, 256))
		c.push3(kind, n, true)
	}
	if len(names) == 0 {
		c.push3(kind, "", false)
	}
}

func (c *conversation) pubsub(a []string) {
	switch strings.ToLower(a[1]) {
	case "channels":
		c.bulks(slices.Sorted(maps.Keys(c.channels))...)
	case "numpat":
		c.integer(int64(len(c.patterns)))
	case "numsub":
		c.array(0)
	default:
		c.subUsage(a)
	}
}
