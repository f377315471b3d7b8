package detecttest

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"bartizan/internal/observe"
)

// Asked is what a week of questions to name servers makes, as Traffic is for flows.
type Asked struct {
	Queries []observe.Query
	Of      []int32
	Attacks []Attack
}

// QueryKinds are the kinds of attack a week of questions has.
func QueryKinds() []string {
	return []string{"tunnel.hex", "tunnel.base32", "tunnel.base64url", "tunnel.raw", "tunnel.down", "dga", "flux", "miner"}
}

// asker draws questions; it has the people of a Week.
type asker struct {
	maker
	asked Asked
	names []string
}

// Ask draws about w.Records ordinary questions, and w.Attacks of every kind.
func (w Week) Ask() *Asked {
	a := &asker{maker: maker{Week: w, r: rand.New(rand.NewPCG(w.Seed, 11)), end: WeekStart + int64(w.Days)*86400, label: -1}}
	a.people()
	for range 4000 {
		a.names = append(a.names, a.word(1+a.r.IntN(2))+"."+[]string{"com", "net", "org", "de", "co.uk", "io", "com.au"}[a.r.IntN(7)])
	}
	a.everyday()
	for k := range w.Attacks {
		a.tunnels(k)
		a.madeUp(k)
		a.fluxes(k)
		a.miners(k)
		a.label = -1
	}
	order := make([]int32, len(a.asked.Queries))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(i, j int32) int { return int(a.asked.Queries[i].Time - a.asked.Queries[j].Time) })
	out := &Asked{Queries: make([]observe.Query, len(order)), Of: make([]int32, len(order)), Attacks: a.out.Attacks}
	for i, k := range order {
		out.Queries[i], out.Of[i] = a.asked.Queries[k], a.asked.Of[k]
		out.Queries[i].Record = uint64(i)
	}
	return out
}

// word is a name as people choose them: syllables.
func (a *asker) word(n int) string {
	parts := []string{"mar", "ket", "shop", "news", "soft", "ware", "data", "cloud", "blue", "line", "net", "work", "media", "play", "bank", "trust", "home", "travel", "tech",
		"north", "star", "green", "food", "auto", "book", "light", "post", "point", "view", "land", "stone", "river", "house", "art", "music", "photo", "health", "care", "sport", "city"}
	var b strings.Builder
	for range n + 1 {
		b.WriteString(parts[a.r.IntN(len(parts))])
	}
	return b.String()
}

func (a *asker) ask(client uint32, at int64, kind, name, rcode string, answers ...string) {
	if at < WeekStart || at >= a.end {
		return
	}
	a.asked.Queries = append(a.asked.Queries, observe.Query{Client: observe.Addr4(client), ClientPort: a.port(), ServerPort: 53, Proto: observe.ProtoUDP, Spoofable: true, Answered: true,
		Time: at, Name: name, Type: kind, RCode: rcode, Answers: answers})
	a.asked.Of = append(a.asked.Of, a.label)
}

func (a *asker) address() string { return ip(a.r.Uint32()&0x3fffffff | 1<<30).String() }

func (a *asker) random(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[a.r.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	lower = "abcdefghijklmnopqrstuvwxyz"
	alnum = lower + "0123456789"
)

// everyday draws what is asked without any attack.
func (a *asker) everyday() {
	const ok, no = "NOERROR", "NXDOMAIN"
	mail := a.servers[0]
	everybody := append(append([]uint32{}, a.stations...), a.servers...)
	cdn := make([]string, 600) // names that a delivery network made, which come again
	for i := range cdn {
		cdn[i] = a.random(alnum, 13) + []string{".cloudfront.net", ".b.akamaiedge.net", ".edge.fastcontent.net"}[i%3]
	}
	moving := make([]string, 400) // addresses of shared networks
	for i := range moving {
		moving[i] = a.address()
	}
	for _, h := range everybody {
		device := a.random("0123456789abcdef", 32)
		for k, name := range []string{"time.vendor-clock.com", "telemetry.os-vendor.com", "update.os-vendor.com", device + ".devices.os-vendor.com", "portal.intranet-example.com"} {
			period := []int64{3600, 1800, 10800, 7200, 5400}[k]
			a.every(WeekStart+a.between(0, period), period, 0.1, func(at int64) { a.ask(h, at, "A", name, ok, a.address()) })
		}
		a.every(WeekStart+a.between(0, 5000), 5400, 0.8, func(at int64) { // the security program asks about files
			a.ask(h, at, "TXT", a.random("0123456789abcdef", 32)+".files.virus-lookup.com", ok, "127.0.0.2")
			a.ask(h, at+1, "A", fmt.Sprintf("3.%s.%d.01.s.sophosxl.net", a.random(alnum, 30), a.r.IntN(9)), no)
		})
		a.every(WeekStart+a.between(0, 5000), 9000, 0.8, func(at int64) { // who is behind an address
			b := a.r.Uint32()
			a.ask(h, at, "PTR", fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b&255, b>>8&255, b>>16&255, b>>24), no)
		})
		for day := range a.Days { // a browser tests whether the resolver lies, and people mistype
			at := WeekStart + int64(day)*86400 + a.between(7*3600, 18*3600)
			for range 3 {
				a.ask(h, at, "A", a.random(lower, 7+a.r.IntN(8)), no)
			}
			if a.r.IntN(2) == 0 {
				n := a.names[a.zipf(len(a.names))]
				cut := a.r.IntN(len(n) / 2)
				a.ask(h, at, "A", n[:cut]+n[cut+1:], no)
				a.ask(h, at, "A", n+".corp-example.com", no)
			}
		}
	}
	perDay := a.Records / 14 / a.Days / 4
	for day := range a.Days {
		for range perDay { // every letter that arrives: who sent it, is he listed, what does it link to
			at := WeekStart + int64(day)*86400 + a.between(0, 86400)
			b := a.r.Uint32()
			rev := fmt.Sprintf("%d.%d.%d.%d", b&255, b>>8&255, b>>16&255, b>>24)
			from := a.names[a.zipf(len(a.names))]
			a.ask(mail, at, "PTR", rev+".in-addr.arpa", ok, "mx."+from)
			a.ask(mail, at, "A", rev+[]string{".zen.spamhaus.org", ".dnsbl.own-list-example.net", ".bl.other-list.info"}[a.r.IntN(3)], no)
			a.ask(mail, at, "A", a.names[a.r.IntN(len(a.names))]+[]string{".multi.uribl.com", ".dbl.links-example.net"}[a.r.IntN(2)], no)
			if a.r.IntN(3) == 0 { // spam comes from domains that are gone
				from = a.random(lower, 6+a.r.IntN(9)) + ".com"
				a.ask(mail, at, "MX", from, no)
			}
			a.ask(mail, at, "TXT", from, ok, "v=spf1 include:_spf.example.com ~all")
			a.ask(mail, at, "TXT", "selector1._domainkey."+from, ok, "v=DKIM1; k=rsa; p="+strings.Repeat("MIGfMA0GCSqGSIb3", 14))
			a.ask(mail, at, "TXT", "_dmarc."+from, ok, "v=DMARC1; p=none")
		}
	}
	for len(a.asked.Queries) < a.Records {
		h := a.stations[a.r.IntN(len(a.stations))]
		at := WeekStart + int64(a.r.IntN(a.Days))*86400 + a.between(7*3600, 19*3600)
		site := a.names[a.zipf(len(a.names))]
		prefix := []string{"www.", "", "api.", "static.", "img3.", "login.", "cdn."}[a.r.IntN(7)]
		a.ask(h, at, []string{"A", "AAAA", "HTTPS"}[a.r.IntN(3)], prefix+site, ok, moving[a.zipf(len(moving))])
		for range a.r.IntN(4) {
			switch a.r.IntN(4) {
			case 0:
				a.ask(h, at+1, "A", cdn[a.zipf(len(cdn))], ok, moving[a.r.IntN(len(moving))], moving[a.r.IntN(len(moving))])
			case 1:
				a.ask(h, at+1, "A", fmt.Sprintf("r%d---sn-%s.googlevideo.com", a.r.IntN(9), []string{"4g5edns6", "h0jeen7r", "aigl6ner"}[a.r.IntN(3)]), ok, a.address())
			case 2: // what measures visits names each of them
				a.ask(h, at+1, "A", a.random(alnum, 16)+".visits.metrics-example.com", ok, moving[0])
			case 3:
				a.ask(h, at+1, "A", a.names[a.zipf(300)], ok, moving[a.zipf(len(moving))])
			}
		}
	}
}

// tunnels draws one of each encoding, each at another rate.
func (a *asker) tunnels(k int) {
	rates := []int64{1, 20, 300} // seconds between questions
	for e, encoding := range []string{"hex", "base32", "base64url", "raw"} {
		h := a.victim()
		rate := rates[(k+e)%3]
		n := int(min(3000, 100_000/rate))
		size := []int{18, 30, 60, 100}[(k+e)%4] // bytes in a name
		domain := fmt.Sprintf("%s%d%d.%s", a.word(1), k, e, []string{"com", "net", "co.uk", "xyz"}[k%4])
		kind := []string{"TXT", "A", "CNAME", "NULL", "MX"}[(k/2+e)%5]
		a.attack("tunnel."+encoding, h, 0, "%s, %d bytes a name, one per %d s, %d questions for %s", domain, size, rate, n, kind)
		at := a.between(WeekStart, a.end-int64(n)*rate*3/2)
		for i := range n {
			data := make([]byte, size)
			for j := range data {
				data[j] = byte(a.r.Uint32())
				if k%2 == 1 { // text, which is what people keep in files
					data[j] = "the quick brown fox jumps over 0123456789,;\n"[a.r.IntN(44)]
				}
			}
			var text string
			switch encoding {
			case "hex":
				text = hex.EncodeToString(data)
			case "base32":
				text = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(data))
			case "base64url":
				text = strings.ToLower(base64.RawURLEncoding.EncodeToString(data)) // as logs write names
			case "raw": // what is no letter comes out of a log escaped
				var b strings.Builder
				for _, c := range data[:min(len(data), 50)] {
					if c > ' ' && c < 0x7f && c != '.' && c != '\\' {
						b.WriteByte(c)
					} else {
						fmt.Fprintf(&b, "\\%03o", c)
					}
				}
				text = strings.ToLower(b.String())
			}
			var labels []string
			for len(text) > 0 {
				cut := min(len(text), []int{63, 30, 60}[k%3])
				labels, text = append(labels, text[:cut]), text[cut:]
			}
			if k%3 == 1 {
				labels = append(labels, fmt.Sprintf("%x", i))
			}
			a.ask(h, at, kind, strings.Join(labels, ".")+".t."+domain, "NOERROR", a.random(alnum, 30))
			at += max(1, int64(float64(rate)*math.Exp(0.3*a.r.NormFloat64())))
		}
	}
	h := a.victim() // orders and files come down in texts, names only count
	domain := a.word(2) + fmt.Sprint(k) + ".info"
	a.attack("tunnel.down", h, 0, "%s", domain)
	at := a.between(WeekStart, a.end-8000)
	for i := range 400 {
		a.ask(h, at, "TXT", fmt.Sprintf("%d.get.%s", i, domain), "NOERROR", a.random(alnum, 220))
		at += 1 + int64(a.r.IntN(30))
	}
}

// madeUp draws a host that tries the domains of an algorithm.
func (a *asker) madeUp(k int) {
	h := a.victim()
	n := 60 + a.r.IntN(400)
	style := k % 4
	a.attack("dga", h, 0, "%d names, style %d", n, style)
	at := a.between(WeekStart, a.end-40000)
	words := []string{"table", "water", "simple", "window", "garden", "moment", "paper", "silver", "engine", "letter", "corner", "winter"}
	for range n {
		var name string
		switch style {
		case 0:
			name = a.random(lower, 8+a.r.IntN(10))
		case 1:
			name = a.random(alnum, 10+a.r.IntN(16))
		case 2:
			name = a.random("0123456789abcdef", 12+a.r.IntN(8))
		case 3: // two words: nothing about them is odd but that none exists
			name = words[a.r.IntN(len(words))] + words[a.r.IntN(len(words))] + fmt.Sprint(a.r.IntN(99))
		}
		a.ask(h, at, "A", name+[]string{".com", ".ru", ".info", ".biz"}[a.r.IntN(4)], "NXDOMAIN")
		at += int64(a.r.IntN(20))
		if style == 1 {
			at += int64(a.r.IntN(60))
		}
	}
}

func (a *asker) fluxes(k int) {
	h := a.victim()
	domain := a.word(2) + fmt.Sprint(k) + ".biz"
	a.attack("flux", h, 0, "%s", domain)
	at := a.between(WeekStart, a.end-30000)
	for range 60 {
		a.ask(h, at, "A", domain, "NOERROR", a.address(), a.address(), a.address())
		at += a.between(150, 400)
	}
}

func (a *asker) miners(k int) {
	h := a.victim()
	name := []string{"pool.supportxmr.com", "xmr-eu1.nanopool.org", "stratum-" + a.word(1) + ".net", "de.minexmr.com", "eth.2miners.com", "gulf.moneroocean.stream"}[k%6]
	a.attack("miner", h, 0, "%s", name)
	a.ask(h, a.between(WeekStart, a.end), "A", name, "NOERROR", a.address())
}
