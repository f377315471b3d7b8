// Command ngrams makes content/dns/letters.txt: how surprising each character
// of a name is after the one before it, counted over a list of names that
// people chose, one per line on standard input. Of each name the labels but for
// the last count, each once.
//
//	zcat top-10000.txt.gz | go run ./scripts/ngrams > content/dns/letters.txt
package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strings"
)

const letters = ".abcdefghijklmnopqrstuvwxyz0123456789-_"

func main() {
	var n [len(letters)][len(letters)]float64
	seen := map[string]bool{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		labels := strings.Split(strings.ToLower(strings.TrimSpace(in.Text())), ".")
		for _, l := range labels[:len(labels)-1] {
			if seen[l] || l == "" || strings.HasPrefix(l, "xn--") {
				continue
			}
			seen[l] = true
			last := 0
			for _, c := range []byte(l + ".") {
				i := strings.IndexByte(letters, c)
				if i < 0 {
					break
				}
				n[last][i]++
				last = i
			}
		}
	}
	if err := in.Err(); err != nil || len(seen) < 1000 {
		fmt.Fprintln(os.Stderr, "ngrams: fewer than 1,000 labels:", err)
		os.Exit(1)
	}
	fmt.Printf("# Bits, times 16, that each character costs after another: rows are the first, columns the second, of %q\n", letters)
	fmt.Println("# (a dot stands for the beginning and the end of a label). Made by scripts/ngrams over the labels of the Tranco list's")
	fmt.Println("# first 10,000 names as MISP's warning lists have it (CC0-1.0); a count of letters, not the list.")
	for i := range n {
		sum := 0.0
		for _, v := range n[i] {
			sum += v + 0.5
		}
		for _, v := range n[i] {
			fmt.Printf("%d ", int(math.Round(-16*math.Log2((v+0.5)/sum))))
		}
		fmt.Println()
	}
}
