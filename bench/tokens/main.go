// Command tokens fits the estimate of tokens (internal/gateway/tokens) to the
// vocabularies of OpenAI and prints what stands in content/prices/tokens.yaml: weights, and how
// far off the estimate is on texts that were not fitted.
//
//	go run ./bench/tokens
//
// Texts are the documentation and code of this repository and of the Go installation, the
// translations that a Debian system has (/usr/share/locale), and random base64, hexadecimal
// and symbols from a seed. None of them is kept.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"bartizan/internal/gateway/tokens"

	"github.com/tiktoken-go/tokenizer"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/tokens:", err)
		os.Exit(1)
	}
}

type sample struct {
	kind, text string
	f          [tokens.Features]int
	n          float64
}

func run() error {
	r := rand.New(rand.NewPCG(1, 2))
	all := collect(r)
	if len(all) < 2000 {
		return fmt.Errorf("could not look: %d texts only; run it on Debian with locales in the source tree", len(all))
	}
	for _, name := range []tokenizer.Encoding{tokenizer.O200kBase, tokenizer.Cl100kBase} {
		codec, err := tokenizer.Get(name)
		if err != nil {
			return err
		}
		for i := range all {
			ids, _, err := codec.Encode(all[i].text)
			if err != nil {
				return err
			}
			all[i].n, all[i].f = float64(len(ids)), tokens.Count(all[i].text)
		}
		train, held := all[:len(all)*7/10], all[len(all)*7/10:]
		fit := solve(train)
		report(string(name), fit, held)
	}
	return nil
}

// pieces cuts a text into parts of a random size.
func pieces(r *rand.Rand, text string, most int) (out []string) {
	for len(text) > 200 && len(out) < most {
		n := min(200+r.IntN(3000), len(text))
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n++
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

func collect(r *rand.Rand) (all []sample) {
	add := func(kind, text string, most int) {
		for _, p := range pieces(r, text, most) {
			if utf8.ValidString(p) {
				all = append(all, sample{kind: kind, text: p})
			}
		}
	}
	walk := func(root, end, kind string, most int) {
		n := 0
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, end) && n < most {
				if text, err := os.ReadFile(path); err == nil {
					n++
					add(kind, string(text), 8)
				}
			}
			return nil
		})
	}
	walk("docs", ".md", "prose", 100)
	walk("internal", ".go", "code", 200)
	if root, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		walk(filepath.Join(strings.TrimSpace(string(root)), "src", "net"), ".go", "code", 150)
	}
	walk("/usr/share/doc", "README", "prose", 100)
	walk("/usr/share/common-licenses", "", "prose", 40)
	for lang, text := range translations() {
		add("lang "+lang, text, 40)
	}
	for range 200 {
		b := make([]byte, 200+r.IntN(1500))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		add("base64", base64.StdEncoding.EncodeToString(b), 1)
		add("hex", hex.EncodeToString(b), 1)
		for i := range b {
			b[i] = '!' + b[i]%94
		}
		add("random", string(b), 1)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// translations are the texts of this machine's message catalogues, by language.
func translations() map[string]string {
	out := map[string]string{}
	files, _ := filepath.Glob("/usr/share/locale/*/LC_MESSAGES/*.mo")
	slices.Sort(files)
	for _, name := range files {
		lang := filepath.Base(filepath.Dir(filepath.Dir(name)))
		b, err := os.ReadFile(name)
		if err != nil || len(b) < 28 || binary.LittleEndian.Uint32(b) != 0x950412de || len(out[lang]) > 200_000 {
			continue
		}
		n, at := int(binary.LittleEndian.Uint32(b[8:])), int(binary.LittleEndian.Uint32(b[16:]))
		var text strings.Builder
		for i := 1; i < n && at+8*i+8 <= len(b); i++ {
			size, from := int(binary.LittleEndian.Uint32(b[at+8*i:])), int(binary.LittleEndian.Uint32(b[at+8*i+4:]))
			if size > 20 && from+size <= len(b) {
				text.WriteString(strings.ReplaceAll(string(b[from:from+size]), "\x00", "\n") + "\n")
			}
		}
		out[lang] += text.String()
	}
	return out
}

// solve is a fit by least squares of relative errors with weights that are not negative,
// by coordinate descent.
func solve(all []sample) []float64 {
	const k = tokens.Features
	var a [k][k]float64
	var b [k]float64
	for _, s := range all {
		w := 1 / (s.n * s.n)
		for i := range k {
			b[i] += w * float64(s.f[i]) * s.n
			for j := range k {
				a[i][j] += w * float64(s.f[i]) * float64(s.f[j])
			}
		}
	}
	x := make([]float64, k)
	for range 20_000 {
		for i := range k {
			if a[i][i] == 0 {
				continue
			}
			rest := b[i]
			for j := range k {
				if j != i {
					rest -= a[i][j] * x[j]
				}
			}
			x[i] = max(rest/a[i][i], 0)
		}
	}
	return x
}

func report(name string, fit []float64, held []sample) {
	off := map[string][]float64{}
	var every, ratio, plain []float64
	for _, s := range held {
		sum := 0.0
		for i, n := range s.f {
			sum += fit[i] * float64(n)
		}
		e := sum/s.n - 1
		off[s.kind] = append(off[s.kind], math.Abs(e))
		every, ratio = append(every, math.Abs(e)), append(ratio, s.n/sum)
		plain = append(plain, math.Abs(float64(len(s.text))/3/s.n-1))
	}
	slices.Sort(ratio)
	fmt.Printf("%s: median error %.1f %%, 95 %% of texts within %.1f %% (n = %d, not fitted); factor so that 95 %% are not taken for shorter: %.2f\n",
		name, 100*at(every, 0.5), 100*at(every, 0.95), len(held), at(ratio, 0.95))
	fmt.Printf("  a token for every three bytes: median error %.1f %%, 95 %% within %.1f %%\n", 100*at(plain, 0.5), 100*at(plain, 0.95))
	fmt.Print("  fit: [")
	for i, v := range fit {
		if i > 0 {
			fmt.Print(", ")
		}
		fmt.Printf("%.3f", v)
	}
	fmt.Println("]")
	kinds := make([]string, 0, len(off))
	for k := range off {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		if len(off[k]) >= 5 {
			fmt.Printf("  %-12s median %.0f %%, 95 %% within %.0f %% (n = %d)\n", k, 100*at(off[k], 0.5), 100*at(off[k], 0.95), len(off[k]))
		}
	}
}

func at(v []float64, share float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[min(int(share*float64(len(v))), len(v)-1)]
}
