// Command guardmodel trains the guard's injection classifier: one command, one
// seed, one thread, the same bytes every time. It reads the public sets of
// data/prompts (BARTIZAN_SHARED) and the grammars beside it, and writes the
// model, its card and nothing else. With -cv it prints what each choice of
// settings does to goals and families of attacks that were left out of training.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bartizan/internal/guard/classify"
	"bartizan/internal/safe"
)

// chosen settings, by -cv.
var chosen = settings{L1: 0.3, L2: 1, Rate: 0.3, Epochs: 4}

// Version of the model; raise it with every change of its bytes.
const Version = "injection-3"

func main() {
	out := flag.String("out", filepath.Join("content", "models"), "folder for the model and its card")
	cv := flag.Bool("cv", false, "leave goals and families of attacks out, for several settings; writes nothing")
	loss := flag.Bool("loss", false, "train also with the sets whose licence a permissive model cannot have, and compare both on the visible test; writes nothing")
	seed := flag.Uint64("seed", 1, "of everything drawn at random")
	flag.Parse()
	if err := run(*out, *cv, *loss, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "guardmodel:", err)
		os.Exit(1)
	}
}

func run(out string, cv, loss bool, seed uint64) error {
	rows, err := readRows("train")
	if err != nil {
		return err
	}
	if loss {
		return compare(rows, seed)
	}
	c, err := build(rows, seed, false)
	if err != nil {
		return err
	}
	if cv {
		leaveOut(c, rows, seed)
		return nil
	}
	m, report := fit(c, rows, chosen, seed)
	fmt.Print(report)
	if err := safe.AtomicWrite(filepath.Join(out, "injection.bin"), m.Encode(), 0o644); err != nil {
		return err
	}
	return safe.AtomicWrite(filepath.Join(out, "injection.md"), []byte(card(c, m, report)), 0o644)
}

// fit trains the heads on everything and sets their thresholds from models
// that had not seen the benign text they score.
func fit(c *corpus, rows []row, s settings, seed uint64) (*classify.Model, string) {
	m := &classify.Model{Version: Version, Triples: triples(c.texts)}
	for h := range m.Heads {
		m.Heads[h] = train(c.heads[h], func(*sample) bool { return true }, s, seed).freeze()
	}
	var b strings.Builder
	benign := crossScores(rows, parts(c, s, seed, byText), m.Likeness, func(r *row) (string, bool) { return r.Text, !r.attack() })
	thresholds(&b, m, benign)
	recalls(&b, m, benign)
	return m, b.String()
}

func byText(x *sample) uint8  { return x.fold }
func byGroup(x *sample) uint8 { return x.group }

// parts are models that were trained without a fold each.
func parts(c *corpus, s settings, seed uint64, fold func(*sample) uint8) []*classify.Model {
	out := make([]*classify.Model, folds)
	for k := range out {
		out[k] = &classify.Model{}
		for h := range out[k].Heads {
			out[k].Heads[h] = train(c.heads[h], func(x *sample) bool { return int(fold(x)) != k }, s, seed).freeze()
		}
	}
	return out
}
