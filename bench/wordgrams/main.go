// Wordgrams makes content/words/grams.bin: which four letters in a row words have,
// and which words of up to four letters there are. Package secret tells by them
// whether a word is one of some language or may carry something.
//
//	go run ./bench/wordgrams -list FILE,… -texts DIR,… [-code DIR,…] -out content/words/grams.bin
//
// A list has a word a line and all of them are taken. Of texts (compiled gettext
// catalogues will do) and of code the words that come often enough are. See
// content/words/README.md for the sources that the shipped file is made of.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"bartizan/internal/guard/decode"
	"bartizan/internal/safe"
)

const letters = 27 // a to z, and the border of a word

func main() {
	list := flag.String("list", "", "files with a word a line")
	texts := flag.String("texts", "", "folders of texts")
	code := flag.String("code", "", "folders of Go code")
	out := flag.String("out", "content/words/grams.bin", "where to write")
	flag.Parse()
	if err := run(*list, *texts, *code, *out); err != nil {
		fmt.Fprintln(os.Stderr, "wordgrams:", err)
		os.Exit(1)
	}
}

func run(list, texts, code, out string) error {
	taken := map[string]int{} // 2: of a list
	for _, s := range []struct {
		from, ext string
		often     int
	}{{list, "", 1}, {texts, ".mo", 3}, {code, ".go", 50}} {
		if s.from == "" {
			continue
		}
		count := map[string]int{}
		for dir := range strings.SplitSeq(s.from, ",") {
			if err := read(dir, s.ext, count); err != nil {
				return err
			}
		}
		for w, n := range count {
			if n < s.often || len(w) < 3 && s.ext != "" && (s.ext != ".mo" || n < 10*s.often) || len(w) == 3 && s.ext == ".go" && n < 10*s.often {
				continue // two letters are anything's abbreviation
			}
			if taken[w] = max(taken[w], 1); s.ext == "" {
				taken[w] = 2
			}
		}
	}
	if len(taken) == 0 {
		return errors.New("no words: name -list, -texts or -code")
	}
	size := letters * letters * letters * letters
	grams, short := make([]byte, (size+7)/8), make([]byte, (size+7)/8)
	count := make([]uint32, size)
	for w, weight := range taken {
		if len(w) <= 4 {
			short[index(w)/8] |= 1 << (index(w) % 8)
		}
		edge := "`" + w + "`" // the character before a
		for i := 0; i+4 <= len(edge); i++ {
			count[index(edge[i:i+4])] += uint32(weight)
		}
	}
	n := 0
	for i, c := range count {
		if c >= 2 { // one word of a text is a name or a mistake
			grams[i/8] |= 1 << (i % 8)
			n++
		}
	}
	fmt.Printf("%d words, %d of %d runs of four letters\n", len(taken), n, size)
	return safe.AtomicWrite(out, append(grams, short...), 0o644)
}

// index of up to four letters, filled up with borders.
func index(w string) (n int) {
	for i := range 4 {
		c := 0
		if i < len(w) {
			c = int(w[i]) - '`'
		}
		n = n*letters + c
	}
	return n
}

func read(dir, ext string, count map[string]int) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || ext != "" && filepath.Ext(path) != ext || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		split(string(b), count)
		return nil
	})
}

// split counts the words, in small letters without accents; what is written
// together with capitals is several.
func split(text string, count map[string]int) {
	var w []byte
	end := func() {
		if len(w) > 0 && len(w) <= 24 {
			count[string(w)]++
		}
		w = w[:0]
	}
	small, foreign := false, false
	for _, r := range text {
		if !unicode.IsLetter(r) {
			if foreign {
				w = w[:0]
			}
			end()
			small, foreign = false, false
			continue
		}
		if unicode.IsUpper(r) && small {
			end()
		}
		small = unicode.IsLower(r)
		c := unicode.ToLower(decode.Letter(r))
		if !unicode.Is(unicode.Latin, r) || c < 'a' || c > 'z' {
			foreign = true
			continue
		}
		w = append(w, byte(c))
	}
	end()
}
