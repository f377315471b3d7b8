// Package intent looks at the turns of a conversation together: at attacks that are cut
// over several turns or documents, and at requests that were refused and are tried again in
// other words. A client's conversation so far comes with every request of a chat API, so
// nothing is remembered for that; what the guard itself has stopped, which a client can leave
// out, is remembered for a while (Tries).
//
// Single turns are not judged here: the inspectors have done that.
package intent

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Who said something.
type Who int

// Those who say something.
const (
	Person Who = iota
	Model
	Document // a tool, or what was attached
)

// Turn is one thing that was said.
type Turn struct {
	Who   Who
	Text  string
	Where string // its place, for the audit line
}

// Judge scores a text as the guard's classifier does: 0.5 is where it is flagged.
type Judge func(text string, document bool) (score float64, err error)

// Finding is what the turns say together.
type Finding struct {
	Who   Who // whose turns
	Score float64
	Note  string
	Where string // of the last of them
}

// Bounds of what is looked at.
const (
	maxTurn  = 2 << 10 // bytes: a longer turn holds an attack by itself, and was looked at
	maxJoin  = 4 << 10
	maxTurns = 400 // the newest
)

// windows are how many of the newest turns are read as one text. An attack in more
// pieces than the last is not found.
var windows = [...]int{2, 3, 5}

// Look judges a conversation, the oldest turn first. The error is the judge's.
func Look(turns []Turn, judge Judge) (out []Finding, err error) {
	turns = turns[max(0, len(turns)-maxTurns):]
	for _, who := range []Who{Person, Document} {
		f, err := joined(turns, who, judge)
		if err != nil {
			return out, err
		}
		if f != nil {
			out = append(out, *f)
		}
	}
	if f := again(turns); f != nil {
		out = append(out, *f)
	}
	return out, nil
}

// joined reads the newest turns of one side as one text, the newest always among them: the
// older ones were looked at when they were the newest.
func joined(turns []Turn, who Who, judge Judge) (*Finding, error) {
	var some []Turn // the newest first
	for i := len(turns) - 1; i >= 0 && len(some) < windows[len(windows)-1]; i-- {
		if turns[i].Who != who || turns[i].Text == "" {
			continue
		}
		if len(turns[i].Text) > maxTurn {
			if len(some) == 0 {
				return nil, nil
			}
			continue
		}
		some = append(some, turns[i])
	}
	var best *Finding
	for _, n := range windows {
		if n > len(some) && n != windows[0] {
			n = len(some)
		}
		if n < 2 || n > len(some) {
			break
		}
		var b strings.Builder
		between := byte(' ')
		if who == Document {
			between = '\n'
		}
		for i := n - 1; i >= 0; i-- {
			b.WriteString(strings.TrimSpace(some[i].Text))
			b.WriteByte(between)
		}
		if b.Len() > maxJoin {
			break
		}
		score, err := judge(b.String(), who == Document)
		if err != nil {
			return nil, err
		}
		if score >= 0.5 && (best == nil || score > best.Score) {
			what := "turns"
			if who == Document {
				what = "documents"
			}
			best = &Finding{who, score, fmt.Sprintf("%d %s together are an attack", n, what), some[0].Where}
		}
		if n == len(some) {
			break
		}
	}
	return best, nil
}

const (
	alike    = 0.5 // share of words that two tries have in common
	tries    = 2   // tries again after which it is told
	triedFor = 0.6 // score of it: flagged
	fewest   = 5   // words of a try
)

// again finds a person who tries in other words what the model has refused.
func again(turns []Turn) *Finding {
	var refused []bag
	n := 0
	where := ""
	for i := range turns {
		if turns[i].Who != Person {
			continue
		}
		mine := words(turns[i].Text)
		for _, r := range refused {
			if share(mine, r) >= alike {
				n++
				where = turns[i].Where
				break
			}
		}
		if i+1 < len(turns) && turns[i+1].Who == Model && Refusal(turns[i+1].Text) && len(mine) >= fewest && len(refused) < maxTurns {
			refused = append(refused, mine)
		}
	}
	if n < tries {
		return nil
	}
	return &Finding{Person, triedFor, fmt.Sprintf("what the model has refused is tried again in other words, %d times", n), where}
}

// Refusal tells whether an answer is one of the usual refusals of models, which begin
// alike. English only.
func Refusal(answer string) bool {
	head := strings.ToLower(strings.ReplaceAll(answer[:min(len(answer), 160)], "’", "'"))
	for _, s := range []string{"i can't ", "i cannot ", "i can not ", "i won't ", "i'm unable to ", "i am unable to ", "i'm not able to ", "i am not able to ", "i will not "} {
		if i := strings.Index(head, s); i >= 0 && i < 60 {
			rest := head[i+len(s):]
			for _, verb := range []string{"help", "assist", "provide", "comply", "do that", "fulfil", "continue", "share", "create", "write", "generate", "discuss", "engage", "support", "answer", "give", "be able"} {
				if strings.HasPrefix(rest, verb) {
					return true
				}
			}
		}
	}
	return false
}

// bag is the set of words of a text, as hashes.
type bag map[uint64]struct{}

const maxWords = 200

func words(text string) bag {
	b := bag{}
	for w := range strings.FieldsFuncSeq(strings.ToLower(text[:min(len(text), maxJoin)]), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if len(w) < 3 || len(b) >= maxWords { // little words are everywhere
			continue
		}
		h := uint64(14695981039346656037) // FNV-1a
		for i := range len(w) {
			h = (h ^ uint64(w[i])) * 1099511628211
		}
		b[h] = struct{}{}
	}
	return b
}

// share of the smaller of two sets that is in both.
func share(a, b bag) float64 {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < fewest {
		return 0
	}
	n := 0
	for w := range a {
		if _, ok := b[w]; ok {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

// Tries remembers what the guard has stopped of each client, as sets of words. It may
// be used concurrently.
type Tries struct {
	mu   sync.Mutex
	seed maphash.Seed
	by   map[uint64]*tried
	old  map[uint64]*tried
}

type tried struct {
	since time.Time
	bags  []bag
	n     int
}

const (
	maxClients = 2048 // in a generation
	maxBags    = 8    // of one client
	remember   = time.Hour
)

// NewTries makes an empty memory.
func NewTries() *Tries { return &Tries{seed: maphash.MakeSeed(), by: map[uint64]*tried{}} }

func (t *Tries) of(client string, now time.Time) *tried {
	k := maphash.String(t.seed, client)
	x := t.by[k]
	if x == nil {
		x = t.old[k]
	}
	if x == nil || now.Sub(x.since) > remember || now.Before(x.since) {
		x = &tried{since: now}
	}
	if len(t.by) >= maxClients {
		t.old, t.by = t.by, map[uint64]*tried{}
	}
	t.by[k] = x
	return x
}

func (t *Tries) knows(client string) bool {
	k := maphash.String(t.seed, client)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[k] != nil || t.old[k] != nil
}

// Stopped notes that a client's text was stopped.
func (t *Tries) Stopped(client, text string, now time.Time) {
	b := words(text)
	if len(b) < fewest {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.of(client, now)
	if len(x.bags) == maxBags {
		x.bags = x.bags[1:]
	}
	x.bags = append(x.bags, b)
}

// Again tells whether a client's text is another try of what was stopped; nil when it
// is not, or the first.
func (t *Tries) Again(client, text string, now time.Time) *Finding {
	if !t.knows(client) {
		return nil // nearly everybody
	}
	b := words(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.of(client, now)
	for _, old := range x.bags {
		if share(b, old) >= alike {
			if x.n++; x.n >= tries {
				return &Finding{Person, triedFor, fmt.Sprintf("what the guard has stopped is tried again in other words, %d times", x.n), ""}
			}
			break
		}
	}
	return nil
}
