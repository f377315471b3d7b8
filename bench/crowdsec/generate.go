package main

import (
	"bufio"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"
)

// lists are CrowdSec's own data files, of which the attackers take their pick.
type lists struct {
	sensitive, traversal, sqli, xss, backdoors []string
}

const (
	begin       = 1_772_323_200
	perSecond   = 20      // ordinary requests
	clients     = 200_000 // they come from
	attackShare = 0.10    // of the lines
	perAttacker = 25      // lines, about
)

// shot is a request of an attacker.
type shot struct {
	at     float64
	addr   uint32
	target string
	agent  string
	status int
}

// generate writes n lines of an nginx log in the combined format: people who
// read pages with their style sheets and pictures and sometimes follow a broken
// link, a few robots, and attackers of eight kinds. Attackers are quick, as tools
// are (a request every two seconds or more often), or stay far below every
// threshold, by number or by rate. In between a leaky bucket and a window differ
// by what they are, and who is right is a matter of taste.
func generate(path string, n int, seed uint64, l lists) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(seed, 4))
	bad := int(float64(n) * attackShare)
	seconds := float64(n-bad) / perSecond
	attacks := attackers(r, bad, seconds, l)
	line := make([]byte, 0, 512)
	at := 0.0
	for written := 0; written < n; written++ {
		if len(attacks) > 0 && attacks[0].at <= at {
			line = attacks[0].line(line[:0])
			attacks = attacks[1:]
		} else {
			at += r.ExpFloat64() / perSecond
			line = ordinary(line[:0], r, at)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// attackers draws about n requests over some seconds, in the order of time.
func attackers(r *rand.Rand, n int, seconds float64, l lists) []shot {
	var out []shot
	for len(out) < n {
		attack := attackOf(r, l)
		at, addr := r.Float64()*seconds, 0xc6120000|uint32(r.IntN(1<<17)) // of 198.18.0.0/15, which is nobody's (RFC 2544)
		agent := agents[r.IntN(len(agents))]
		for i := range attack.n {
			target, status := attack.request(i)
			out = append(out, shot{at, addr, target, agent, status})
			at += (0.6 + 0.8*r.Float64()) / attack.rate
		}
	}
	slices.SortStableFunc(out, func(a, b shot) int { return cmp.Compare(a.at, b.at) })
	return out
}

// attack is what one attacker does: n requests at a rate per second.
type attack struct {
	n       int
	rate    float64
	request func(i int) (target string, status int)
}

func attackOf(r *rand.Rand, l lists) attack {
	salt := r.IntN(1 << 20)
	from := func(list []string, i int) string { return list[(salt+i)%len(list)] }
	between := func(a, b int) int { return a + r.IntN(b-a+1) }
	speed := func(a, b float64) float64 { return a + (b-a)*r.Float64() }
	probe := func(i int) (string, int) {
		return fmt.Sprintf("/%s%d/%s.php", words[(salt+i)%len(words)], i, words[(salt+3*i)%len(words)]), 404
	}
	switch r.IntN(11) {
	case 0, 1:
		return attack{between(25, 60), speed(0.5, 20), probe}
	case 2: // too few
		return attack{between(2, 8), speed(0.5, 20), probe}
	case 3: // too slow
		return attack{between(12, 40), 1 / speed(20, 120), probe}
	case 4:
		return attack{between(8, 20), speed(1, 10), func(i int) (string, int) { return fmt.Sprintf("/%d/%s", i, from(l.sensitive, i)), 404 }}
	case 5:
		return attack{between(6, 20), speed(1, 10), func(i int) (string, int) { return fmt.Sprintf("/view/%d?file=%s", i, from(l.traversal, i)), 200 }}
	case 6:
		return attack{between(18, 40), speed(4, 20), func(i int) (string, int) { return fmt.Sprintf("/item?id=%d%s", i, from(l.sqli, i)), 500 }}
	case 7:
		return attack{between(10, 30), speed(3, 20), func(i int) (string, int) { return fmt.Sprintf("/search?q=%d%s", i, from(l.xss, i)), 200 }}
	case 8:
		return attack{between(3, 8), speed(1, 5), func(i int) (string, int) { return "/upload/" + from(l.backdoors, i), 404 }}
	case 9: // too few
		return attack{1, 1, func(i int) (string, int) { return "/" + from(l.backdoors, i), 404 }}
	}
	return attack{between(80, 160), speed(8, 30), func(i int) (string, int) { return fmt.Sprintf("/archive/story-%d-%d.html", salt, i), 200 }}
}

var (
	words  = []string{"admin", "login", "shop", "wp", "old", "test", "backup", "api", "portal", "manager", "setup", "phpmyadmin", "config", "user", "data", "portfolio", "news", "store"}
	agents = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
	}
	static = []string{"/static/app.css", "/static/app.js", "/img/logo.png", "/favicon.ico", "/img/hero.jpg", "/fonts/text.woff2"}
)

// ordinary is a request of somebody who means no harm.
func ordinary(b []byte, r *rand.Rand, at float64) []byte {
	// Few clients are busy.
	k := uint32(float64(clients) * r.Float64() * r.Float64())
	s := shot{at: at, addr: 0x51000000 + k*77, agent: agents[k%uint32(len(agents))], status: 200}
	switch v := r.IntN(100); {
	case v < 50:
		s.target = static[r.IntN(len(static))]
		if r.IntN(3) == 0 {
			s.status = 304
		}
	case v < 75:
		s.target = "/article/" + strconv.Itoa(r.IntN(5000)) + ".html"
	case v < 90:
		s.target = fmt.Sprintf("/list?page=%d&sort=%s", r.IntN(40), words[r.IntN(len(words))])
	case v < 93:
		s.target, s.status = "/", 301
	case v < 94: // a link that is broken
		s.target, s.status = "/moved/"+strconv.Itoa(r.IntN(40)), 404
	default:
		s.target = "/"
	}
	return s.line(b)
}

func (s *shot) line(b []byte) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		b = strconv.AppendUint(b, uint64(s.addr>>shift&255), 10)
		if shift > 0 {
			b = append(b, '.')
		}
	}
	b = append(b, " - - ["...)
	b = time.Unix(begin+int64(s.at), 0).UTC().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(append(append(b, `] "GET `...), s.target...), ` HTTP/1.1" `...)
	b = append(strconv.AppendInt(b, int64(s.status), 10), ' ')
	b = strconv.AppendInt(b, int64(200+(uint32(s.at)*2654435761)%20000), 10)
	b = append(append(append(b, ` "-" "`...), s.agent...), "\"\n"...)
	return b
}
