package redis

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed info.txt
var infoText string

// infoLine is a line of info.txt: fields of some releases, or of replicas only.
type infoLine struct {
	from    release
	replica bool
	text    string
}

// section is a part of the answer to INFO.
type section struct {
	name  string // lower case
	lines []infoLine
}

// sections are the parts of info.txt the persona's release has.
func (c *conversation) sections() []section {
	return c.p.Shared("redis info", func() any {
		var out []section
		for line := range strings.Lines(infoText) {
			line = strings.TrimRight(line, "\n")
			if line == "" {
				continue
			}
			l := infoLine{text: line}
			if head, rest, ok := strings.Cut(line, " "); ok && head != "#" && !strings.Contains(head, ":") {
				l.text = rest
				if l.replica = head == "slave"; !l.replica {
					from, until, bounded := strings.Cut(head, "-")
					l.from = releaseOf(from)
					if bounded && releaseOf(until) <= c.version {
						continue
					}
				}
			}
			if l.from > c.version {
				continue
			}
			if name, ok := strings.CutPrefix(l.text, "# "); ok {
				out = append(out, section{name: strings.ToLower(name)})
			}
			last := &out[len(out)-1]
			last.lines = append(last.lines, l)
		}
		return out
	}).([]section)
}

// info answers with the sections asked for: all but none of the optional ones
// when none is named.
func (c *conversation) info(a []string) {
	if len(a) > 2 && c.version < v70 {
		c.fail(syntaxError)
		return
	}
	var want []string
	for _, w := range a[1:min(len(a), 32)] {
		want = append(want, strings.ToLower(cut(w, 32)))
	}
	everything := len(want) == 0 || slices.Contains(want, "all") || slices.Contains(want, "everything") || slices.Contains(want, "default")
	fields := strings.NewReplacer(c.fields()...)
	var b strings.Builder
	for _, sec := range c.sections() {
		if !everything && !slices.Contains(want, sec.name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		for _, l := range sec.lines {
			if l.replica && c.master[0] == "" {
				continue
			}
			if text := fields.Replace(l.text); text != "" {
				b.WriteString(text)
				b.WriteString("\r\n")
			}
		}
	}
	c.work += 64 << 10
	c.text(b.String())
}

// fields are the values of the placeholders. What would tell visitors about
// each other is a function of the persona and the time.
func (c *conversation) fields() []string {
	p, now := c.p, c.s.Now()
	seed := p.Derive("redis info", 32)
	vary := func(i, span int) int { return int(binary.BigEndian.Uint16(seed[2*i:])) % span }
	booted := p.BootedAt.Add(time.Duration(9+vary(0, 20)) * time.Second)
	up := max(int(now.Sub(booted).Seconds()), 1)
	commands := up/5 + vary(5, 1000)
	out := []string{}
	set := func(name string, v any) { out = append(out, "{"+name+"}", fmt.Sprint(v)) }
	set("version", p.Versions.Redis)
	set("build", hex.EncodeToString(p.Derive("redis build", 8)))
	set("os", "Linux "+p.Kernel.Release+" "+p.Kernel.Machine)
	set("gcc", p.Versions.GCC)
	set("pid", c.pid())
	set("run", hex.EncodeToString(p.Derive("redis run "+strconv.FormatInt(booted.Unix(), 10), 20)))
	set("port", c.s.Local().Port())
	set("usec", now.UnixMicro())
	set("up", up)
	set("days", up/86400)
	set("lru", now.Unix()&0xffffff)
	set("clients", 1+vary(6, 4))
	set("inbuf", 8+vary(7, 2)*20480)
	c.memoryFields(set, vary)
	set("changes", len(c.data().written()))
	set("saved", c.lastSave().Unix())
	set("saves", 1+up/36000)
	set("cow", 4096*(60+vary(9, 60)))
	set("conns", 3+up/130)
	set("cmds", commands)
	set("ops", 0)
	set("netin", commands*47)
	set("netout", commands*410)
	set("expired", up/900)
	set("expirems", up/50)
	set("hits", commands/3)
	set("misses", commands/40)
	set("channels", len(c.channels))
	set("patterns", len(c.patterns))
	set("fork", 200+vary(10, 300))
	set("errors", vary(11, 40))
	set("reads", commands+up/130)
	set("writes", commands)
	set("shrinks", up/140)
	set("role", c.role())
	set("master_host", c.master[0])
	set("master_port", c.master[1])
	set("replid", c.replID())
	cpu := float64(up) * 0.0011
	set("cpusys", fmt.Sprintf("%.6f", cpu))
	set("cpuuser", fmt.Sprintf("%.6f", cpu*0.83))
	set("cpukids", fmt.Sprintf("%.6f", cpu/300))
	set("cpukids2", fmt.Sprintf("%.6f", cpu/700))
	set("keyspace", c.keyspace())
	return out
}

// memoryFields are those of the section Memory, which must add up.
func (c *conversation) memoryFields(set func(string, any), vary func(i, span int) int) {
	used := 870_000 + 64*vary(1, 9000)
	rss, peak := used*3+4096*vary(2, 2000)+5_000_000, used+64*vary(3, 4000)
	startup := 800_000 + 64*vary(4, 1000)
	total := c.p.Hardware.MemKB * 1024
	set("used", used)
	set("used_h", human(int64(used)))
	set("rss", rss)
	set("rss_h", human(int64(rss)))
	set("peak", peak)
	set("peak_h", human(int64(peak)))
	set("peak_p", fmt.Sprintf("%.2f", 100*float64(used)/float64(peak)))
	set("overhead", startup+20_000)
	set("startup", startup)
	set("dataset", max(used-startup-20_000, 1000))
	set("dataset_p", fmt.Sprintf("%.2f", 100*float64(max(used-startup-20_000, 1000))/float64(max(used-startup, 2000))))
	set("allocated", used+700_000)
	set("active", used+900_000)
	set("resident", used+3_500_000)
	set("total", total)
	set("total_h", human(total))
	lua, luaHuman := 37888, "37.00K"
	if c.version >= v70 {
		lua, luaHuman = 31744, "31.00K"
	}
	set("lua", lua)
	set("lua_h", luaHuman)
	set("scripts", len(c.scripts))
	set("fragbytes", 130_000+8*vary(8, 4000))
	set("frag", fmt.Sprintf("%.2f", float64(rss)/float64(used)))
	set("rss_over", rss-used)
	set("normal", 20_000)
	set("malloc", c.allocator())
}

func (c *conversation) allocator() string {
	if c.version >= v70 {
		return "jemalloc-5.3.0"
	}
	return "jemalloc-5.2.1"
}

// pid is that of the process list, so that a shell of the same host agrees.
func (c *conversation) pid() int {
	for _, p := range c.p.Processes {
		if strings.Contains(p.Command, "redis-server") {
			return p.PID
		}
	}
	return 812
}

func (c *conversation) keyspace() string {
	var lines []string
	at := c.s.Now()
	for db := range c.data().dbs {
		keys, expires, left := 0, 0, time.Duration(0)
		for k := range c.data().dbs[db] {
			if v := c.data().get(db, k, at); v != nil {
				keys++
				if !v.expires.IsZero() {
					expires++
					left += v.expires.Sub(at) / time.Duration(len(c.data().dbs[db]))
				}
			}
		}
		if keys > 0 {
			lines = append(lines, fmt.Sprintf("db%d:keys=%d,expires=%d,avg_ttl=%d", db, keys, expires, left.Milliseconds()))
		}
	}
	return strings.Join(lines, "\r\n")
}

// human is bytesToHuman of Redis.
func human(n int64) string {
	switch f := float64(n); {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + "B"
	case n < 1<<20:
		return fmt.Sprintf("%.2fK", f/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.2fM", f/(1<<20))
	}
	return fmt.Sprintf("%.2fG", float64(n)/(1<<30))
}
