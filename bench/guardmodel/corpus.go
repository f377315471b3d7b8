package main

import (
	"hash/fnv"
	"math/rand/v2"
	"sort"
	"strings"

	"bartizan/internal/guard/classify"
	"bartizan/internal/guard/decode"
)

const folds = 5

// corpus is everything the two heads learn from.
type corpus struct {
	heads [2][]sample
	texts []string // all of it, for the letter triples
	used  map[string]int
	f     classify.Features
	r     *rand.Rand
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func foldOf(s string) uint8 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return uint8((h.Sum32() >> 8) % folds)
}

// direct adds a text to the first head: as a whole, and in windows.
func (c *corpus) direct(set, text string, attack bool, weight float32) {
	c.used[set]++
	c.texts = append(c.texts, text[:min(len(text), 2000)])
	c.directOnly(set, text, text, attack, weight)
}

func (c *corpus) directOnly(set, id, text string, attack bool, weight float32) {
	t := strings.ToLower(text)
	put := func(s string, w float32, part bool) {
		c.f.DirectFeatures(s)
		c.heads[classify.Direct] = append(c.heads[classify.Direct],
			sample{append([]uint32(nil), c.f.List...), append([]uint32(nil), c.f.Strong...), attack, w, set, foldOf(id), part})
	}
	put(t[:min(len(t), 6000)], weight, false)
	segs := classify.Segments(t)
	if len(segs) < 2 {
		return
	}
	windows := classify.Windows(segs)
	w := weight / 3
	if n := len(windows); n > 6 {
		w = weight * 2 / float32(n)
	}
	for _, g := range windows {
		put(t[g.From:g.To], w, true)
	}
}

// document adds the sentences of a document to the second head. order, when
// not empty, is the sentence in it that is an attack.
func (c *corpus) document(set, text, order string, weight float32) {
	t := strings.ToLower(text)
	order = strings.ToLower(strings.TrimSpace(order))
	id := order
	if id == "" {
		id = text
	}
	kind := classify.KindOf(text)
	for _, s := range classify.Sentences(t, kind) {
		part := t[s.From:s.To]
		attack := order != "" && strings.Contains(order, part)
		if order != "" && !attack && c.r.IntN(4) > 0 {
			continue // the surroundings come again and again
		}
		c.f.IndirectFeatures(part, s.Place)
		name, w := set, weight
		if !attack {
			name = "documents"
			if order == "" {
				name = set
			}
		}
		c.heads[classify.Indirect] = append(c.heads[classify.Indirect],
			sample{append([]uint32(nil), c.f.List...), append([]uint32(nil), c.f.Strong...), attack, w, name, foldOf(id), false})
	}
}

// build makes the corpus from the rows of train and the grammars.
func build(rows []row, seed uint64) (*corpus, error) {
	c := &corpus{used: map[string]int{}, r: random(seed)}
	var mails []string
	var turns []string // what customers say
	var small []string // short ones, likewise
	var ask []string   // requests to an assistant: orders when they stand in a document
	for _, r := range rows {
		switch {
		case r.shareAlike() || strings.HasPrefix(r.set(), "BIPIA") && r.attack():
		case r.set() == "BIPIA email contexts":
			mails = append(mails, r.Text)
			c.direct(r.set(), r.Text, false, 1)
			for range 4 {
				c.document("real mails", r.Text, "", 1)
			}
		default:
			c.direct(r.set(), r.Text, r.attack(), 1)
			if !r.attack() && (r.set() == "self-instruct" || r.set() == "Arena-Hard v0.1") {
				line, _, _ := strings.Cut(r.Text, "\n")
				if len(line) > 15 && len(line) < 220 {
					ask = append(ask, line)
				}
			}
			if r.set() == "GSM8K" { // stories: statements, the question at the end is left out
				if i := strings.LastIndex(r.Text, ". "); i > 0 {
					c.document("stories", r.Text[:i+1], "", 0.6)
				}
			}
			if r.set() == "Banking77" || r.set() == "CLINC150" {
				turns = append(turns, r.Text)
			}
			if r.set() == "CLINC150" && c.r.IntN(6) == 0 && opensRequest(r.Text) {
				small = append(small, strings.ToUpper(r.Text[:1])+r.Text[1:]+".")
			}
			if r.set() == "self-instruct" { // the text that a request is about
				if _, body, ok := strings.Cut(r.Text, "\n\n"); ok && len(body) > 80 {
					c.document("inputs", body, "", 1)
				}
			}
		}
	}
	if err := c.grammars(); err != nil {
		return nil, err
	}
	if err := c.transcripts(turns); err != nil {
		return nil, err
	}
	return c, c.documents(rows, mails, ask, small)
}

// transcripts makes dialogues of what customers say and of polite answers.
func (c *corpus) transcripts(turns []string) error {
	g, err := loadGrammar("turns")
	if err != nil {
		return err
	}
	answers := g.draw(g.families[0], 200, c.r)
	for range 1500 {
		var b strings.Builder
		from := c.r.IntN(len(turns))
		for k := range 3 + c.r.IntN(6) {
			said := turns[(from+k*7)%len(turns)]
			b.WriteString("User: " + strings.ToUpper(said[:1]) + said[1:] + "\nSystem: " + answers[c.r.IntN(len(answers))] + "\n")
		}
		d := strings.TrimSpace(b.String())
		c.document("transcripts", d, "", 0.5)
		c.direct("own transcripts", d, false, 1)
	}
	return nil
}

// grammars adds the generated texts to the first head.
func (c *corpus) grammars() error {
	attacks, err := loadGrammar("attacks")
	if err != nil {
		return err
	}
	hard, err := loadGrammar("hard")
	if err != nil {
		return err
	}
	personas, err := loadGrammar("personas")
	if err != nil {
		return err
	}
	benign := hard.draw(hard.families[0], 60, c.r)
	for _, t := range benign {
		c.direct("own hard negatives", t, false, 1)
	}
	for _, t := range personas.draw(personas.families[0], 220, c.r) {
		c.direct("own personas", t, false, 1)
	}
	for _, f := range attacks.families {
		for i, t := range attacks.draw(f, 45, c.r) {
			text := t
			switch i % 5 {
			case 1: // a question first
				text = benign[c.r.IntN(len(benign))] + " " + t
			case 2:
				text = t + " " + benign[c.r.IntN(len(benign))]
			case 3: // digits for letters, as read back
				text, _ = decode.Unleet(toLeet(t), nil)
			}
			c.directOnly("own "+f.name, t, text, true, 1)
			c.texts = append(c.texts, t)
			c.used["own "+f.name]++
		}
	}
	return nil
}

var leetMap = strings.NewReplacer("a", "4", "e", "3", "i", "1", "o", "0", "s", "5", "t", "7", "A", "4", "E", "3", "I", "1", "O", "0", "S", "5", "T", "7")

func toLeet(s string) string { return leetMap.Replace(s) }

// documents makes documents, puts orders into some, and adds both to the heads.
func (c *corpus) documents(rows []row, mails, ask, small []string) error {
	g, err := loadGrammar("docs")
	if err != nil {
		return err
	}
	tasks, err := loadGrammar("tasks")
	if err != nil {
		return err
	}
	attacks, err := loadGrammar("attacks")
	if err != nil {
		return err
	}
	for range 2500 {
		d := c.makeDocument(g)
		c.document("documents", d, "", 0.5)
		if c.r.IntN(3) == 0 {
			c.direct("own documents", d, false, 1)
		}
	}
	insert := func(set, order string, times int) {
		for k := range times {
			d := c.makeDocument(g)
			if len(mails) > 0 && c.r.IntN(4) == 0 {
				d = mails[c.r.IntN(len(mails))]
			}
			c.document(set, place(d, order, k, c.r), order, 1)
		}
		c.used[set]++
	}
	found := orders(rows)
	for _, set := range []string{"BIPIA email", "BIPIA table", "BIPIA code"} {
		list := found[set]
		sort.Strings(list)
		for _, o := range list {
			insert(set, o, 12)
		}
	}
	for _, o := range ask {
		insert("requests in documents", o, 2)
	}
	for _, o := range small {
		insert("small requests in documents", o, 1)
	}
	for _, f := range tasks.families {
		for _, o := range tasks.draw(f, 40, c.r) {
			insert("own "+f.name, o, 1)
			if f.name == "tool" { // such an order is an attack wherever it stands
				c.direct("own tool orders", o, true, 0.5)
			}
		}
	}
	for _, f := range attacks.families {
		for _, o := range attacks.draw(f, 6, c.r) {
			insert("own attacks in documents", o, 1)
		}
	}
	return nil
}

// makeDocument draws a document of one of the kinds.
func (c *corpus) makeDocument(g *grammar) string {
	r := c.r
	lines := func(family string, from, to int, sep string) string {
		f := g.family(family)
		var out []string
		for range from + r.IntN(to-from+1) {
			out = append(out, g.expand(f.templates[r.IntN(len(f.templates))], r, 0))
		}
		return strings.Join(out, sep)
	}
	sep := []string{"\n", " ", "\n\n"}[r.IntN(3)]
	switch r.IntN(6) {
	case 0, 1:
		return g.expand("[SUBJECT|Subject]: [Your receipt|Invoice 4711|Payment received|Fwd: slides|Re: tomorrow][|\n]|EMAIL_FROM: {co} <hello@example.com>\n", r, 0) + lines("email", 3, 12, sep)
	case 2:
		return lines("email", 3, 8, sep)
	case 3:
		return lines("prose", 3, 12, sep)
	case 4:
		return lines("code", 6, 20, "\n")
	}
	return lines("cell", 4, 15, "\n")
}

// place puts an order at the start, the end, or between two lines.
func place(doc, order string, k int, r *rand.Rand) string {
	switch k % 3 {
	case 0:
		return order + "\n" + doc
	case 1:
		return doc + "\n" + order
	}
	lines := strings.Split(doc, "\n")
	at := r.IntN(len(lines) + 1)
	return strings.Join(append(append(append([]string(nil), lines[:at]...), order), lines[at:]...), "\n")
}

// opensRequest: begins as an order or a question to an assistant does.
func opensRequest(s string) bool {
	for _, w := range [...]string{"tell me", "what's", "what is", "how do", "how is", "how are", "how many", "translate", "who ", "where ", "give me", "find ", "book ", "set ", "play ", "list ", "show me", "are you", "do you", "explain", "schedule", "remind"} {
		if strings.HasPrefix(s, w) {
			return true
		}
	}
	return false
}
