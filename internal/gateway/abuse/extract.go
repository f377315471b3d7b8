package abuse

import (
	"hash/maphash"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bartizan/internal/detect/normal"
)

// extracting is a client that copies a model by asking it (AML.T0024.002; Tramèr et al.
// 2016; Carlini et al. 2024 ask for the probabilities of tokens): many prompts, hardly one twice,
// each by itself, that want probabilities, or go through a list with one place of a
// sentence changed, or are many times what the key usually asks.
type extracting struct {
	day                   time.Time
	prompts               int
	bitmap                [sketch / 64]uint64 // which hashes came, to estimate how many differ
	probable, alone       int                 // ask for probabilities; have one turn
	pairs, rising, falls  int                 // prompts that differ from the one before in one place, and in which order it goes
	last                  []uint64            // words of the prompt before
	slot                  string              // where it differed from the one before it, in part
	slotAt                int
	toldProb, toldList, v bool
}

const (
	sketch  = 1 << 14
	dayLong = 24 * time.Hour
	every   = 50 // prompts between two looks
	maxSlot = 32 // bytes of a changed place that are remembered
	// Words of a changed place: who goes through tickets or mails has the whole of them there.
	maxChanged = 4
	// Days until a key that goes through lists is told of again: some do so for good reasons.
	tellLists = 30
)

// between tells whether a character stands between words.
func between(r rune) bool {
	if r < utf8.RuneSelf {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}
	return !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// words reads a prompt for comparing.
func (w *Watch) words(prompt string) text {
	if prompt == "" {
		return text{}
	}
	if len(prompt) > maxPrompt {
		prompt = prompt[:maxPrompt]
	}
	t := text{slots: strings.FieldsFunc(normal.Prompt(prompt), between)}
	if len(t.slots) > maxWords {
		t.slots = t.slots[:maxWords]
	}
	t.words = make([]uint64, len(t.slots))
	for i, s := range t.slots {
		t.words[i] = maphash.String(w.seed, s)
		if s[0] < '0' || s[0] > '9' {
			t.near = append(t.near, t.words[i])
		}
		t.sum = bits.RotateLeft64(t.sum, 7) ^ t.words[i]
	}
	return t
}

func (x *extracting) extract(e *Event, h *habit, t text, c *Config, tell func(Kind, string, ...any)) {
	if len(t.words) == 0 || e.Model == "" {
		return
	}
	if !window(&x.day, e.Time, dayLong) {
		if x.prompts > 0 {
			h.Mean += max(0.1, 1/float64(h.Days+1)) * (float64(x.prompts) - h.Mean)
			h.Days++
		}
		*x = extracting{day: e.Time}
	}
	x.prompts++
	bit := t.sum * 0x9e3779b97f4a7c15 >> (64 - 14)
	x.bitmap[bit/64] |= 1 << (bit % 64)
	if e.Logprobs {
		x.probable++
	}
	if e.Turns <= 1 {
		x.alone++
	}
	x.compare(t)
	if x.prompts%every == 0 {
		x.judge(h, c, tell)
	}
}

// compare finds the one place in which a prompt differs from the one before.
func (x *extracting) compare(t text) {
	a, b := x.last, t.words
	from := 0
	for from < len(a) && from < len(b) && a[from] == b[from] {
		from++
	}
	end := 0
	for end < len(a)-from && end < len(b)-from && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	x.last = append(x.last[:0], t.words...)
	same := from + end
	if same < 3 || len(b)-same > maxChanged || len(b) == same && len(a) == same {
		x.slot = ""
		return
	}
	x.pairs++
	slot := strings.Join(t.slots[from:len(b)-end], " ")
	slot = slot[:min(len(slot), maxSlot)]
	if x.slot != "" && x.slotAt == from {
		switch order(x.slot, slot) {
		case 1:
			x.rising++
		case -1:
			x.falls++
		}
	}
	x.slot, x.slotAt = slot, from
}

// order is 1 when b comes after a, as numbers or as words.
func order(a, b string) int {
	n, err1 := strconv.ParseFloat(a, 64)
	m, err2 := strconv.ParseFloat(b, 64)
	if err1 == nil && err2 == nil {
		switch {
		case m > n:
			return 1
		case m < n:
			return -1
		}
		return 0
	}
	return strings.Compare(b, a)
}

// different estimates how many different prompts came (linear counting, Whang et al. 1990).
func (x *extracting) different() float64 {
	empty := 0
	for _, w := range x.bitmap {
		empty += 64 - bits.OnesCount64(w)
	}
	if empty == 0 {
		return float64(x.prompts)
	}
	return min(sketch*math.Log(float64(sketch)/float64(empty)), float64(x.prompts))
}

func (x *extracting) judge(h *habit, c *Config, tell func(Kind, string, ...any)) {
	n := float64(x.prompts)
	differ := x.different()
	few := float64(c.Copies)
	if !x.toldProb && n >= few/2 && differ >= 0.9*n && float64(x.probable) >= 0.5*n {
		x.toldProb = true
		tell(Extraction, "%d prompts within a day, %.0f of them different, %d of which ask for probabilities of tokens", x.prompts, differ, x.probable)
	}
	if !x.v && n >= 2*few && differ >= 0.95*n && float64(x.alone) >= 0.9*n && h.Days >= 3 && n >= 8*h.Mean {
		x.v = true
		tell(Extraction, "%d prompts within a day, %.0f of them different and alone; %.0f are usual for the key", x.prompts, differ, h.Mean)
	}
	if !x.toldList && n >= few/4 && float64(x.pairs) >= 0.7*n && float64(max(x.rising, x.falls)) >= 0.85*float64(x.pairs) {
		x.toldList = true
		if e := x.day.Unix(); e-h.Listed < tellLists*24*3600 {
			return
		}
		h.Listed = x.day.Unix()
		tell(Extraction, "%d prompts within a day, %d of which go through a list in order with one place of a sentence changed", x.prompts, x.pairs)
	}
}
