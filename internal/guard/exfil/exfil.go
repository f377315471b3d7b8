// Package exfil finds markup that carries data out when an answer is shown:
// images and links whose address is built from data or leads to a host that
// is not allowed, HTML that loads or runs something.
package exfil

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"bartizan/internal/guard"
)

// Config of the inspector.
type Config struct {
	// Hosts that images and links may lead to; with sub-domains.
	Hosts []string `yaml:"hosts"`
	// Query is how many bytes an address may carry in query and fragment before
	// an image that loads by itself is taken to carry data out.
	Query int `yaml:"query"`
}

// Default configuration.
func Default() Config { return Config{Query: 60} }

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if c.Query < 0 {
		return nil, fmt.Errorf("query %d: use 0 or a number of bytes", c.Query)
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/ :") {
			return nil, fmt.Errorf("hosts: %q is no host name", h)
		}
	}
	return inspector{c}, nil
}

type inspector struct{ conf Config }

var (
	image      = regexp.MustCompile(`!\[[^\]]*\]\(\s*<?([^)\s>]+)`)
	imref      = regexp.MustCompile(`!\[[^\]]*\]\[([^\]]{1,100})\]`)
	def        = regexp.MustCompile(`(?m)^\s{0,3}\[([^\]]{1,100})\]:\s*<?(\S+)`)
	tag        = regexp.MustCompile(`(?is)<(img|iframe|script|object|embed|link|form|meta|svg|video|audio|base|style)\b([^>]*)>`)
	src        = regexp.MustCompile(`(?is)\b(?:src|href|data|action|srcset|poster|xlink:href|content)\s*=\s*["']?([^"'\s>]+)`)
	slot       = regexp.MustCompile(`\{\{?[a-z_ ]{2,40}\}\}?|\[[A-Z_ ]{3,40}\]|<[A-Z_]{3,40}>|\$\{[^}]{1,60}\}|%s\b`)
	activeHTML = regexp.MustCompile(`(?i)\bon(?:error|load|click|mouseover)\s*=|javascript:|data:text/html`)
)

// Inspect implements guard.Inspector.
func (i inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	seen := map[string]bool{}
	say := func(score float64, note string) {
		if !seen[note] {
			seen[note] = true
			out = append(out, guard.Finding{Category: guard.Exfil, Score: score, Note: note})
		}
	}
	for _, v := range t.Views {
		i.markdown(v.Text, say)
		i.html(v.Text, say)
	}
	return out, nil
}

func (i inspector) markdown(s string, say func(float64, string)) {
	if !strings.Contains(s, "![") {
		return
	}
	for _, m := range image.FindAllStringSubmatch(s, 100) {
		i.address("an image", m[1], say)
	}
	refs := map[string]string{}
	for _, m := range def.FindAllStringSubmatch(s, 100) {
		refs[strings.ToLower(m[1])] = m[2]
	}
	for _, m := range imref.FindAllStringSubmatch(s, 100) {
		if to, ok := refs[strings.ToLower(m[1])]; ok {
			i.address("an image by reference", to, say)
		}
	}
}

func (i inspector) html(s string, say func(float64, string)) {
	if !strings.Contains(s, "<") {
		return
	}
	for _, m := range tag.FindAllStringSubmatch(s, 100) {
		name := strings.ToLower(m[1])
		for _, a := range src.FindAllStringSubmatch(m[2], 10) {
			i.address("<"+name+">", a[1], say)
		}
		if activeHTML.MatchString(m[2]) {
			say(0.4, "<"+name+"> that runs a script")
		}
	}
}

func (i inspector) address(what, to string, say func(float64, string)) {
	if slot.MatchString(to) {
		say(0.85, what+" whose address has a place for data")
		return
	}
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || i.allowed(u.Hostname()) {
		return
	}
	switch n := len(u.RawQuery) + len(u.Fragment); {
	case n > i.conf.Query:
		say(0.7, fmt.Sprintf("%s that sends %d bytes to another host", what, n))
	case n > 0:
		say(0.35, what+" from another host, with a query")
	}
}

func (i inspector) allowed(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, h := range i.conf.Hosts {
		h = strings.ToLower(h)
		if host == h || strings.HasSuffix(host, "."+h) {
			return true
		}
	}
	return false
}

// maxMarkup is how many bytes of an image or a tag are waited for.
const maxMarkup = 4 << 10

// Hold implements guard.Holder: an image or a tag that is not closed, a
// definition of an address.
func (i inspector) Hold(text string) (n int) {
	from := max(0, len(text)-maxMarkup)
	tail := text[from:]
	if k := strings.LastIndex(tail, "!["); k >= 0 && !closed(tail[k:]) {
		n = len(tail) - k
	}
	if strings.HasSuffix(tail, "!") {
		n = max(n, 1)
	}
	if k := strings.LastIndexByte(tail, '<'); k >= 0 && strings.IndexByte(tail[k:], '>') < 0 && (k+1 == len(tail) || tail[k+1]|0x20 >= 'a' && tail[k+1]|0x20 <= 'z') {
		n = max(n, len(tail)-k)
	}
	if k := strings.LastIndexByte(tail, '\n') + 1; strings.HasPrefix(strings.TrimLeft(tail[k:], " "), "[") {
		n = max(n, len(tail)-k)
	}
	return n
}

// closed says whether an image is complete.
func closed(s string) bool {
	k := strings.IndexByte(s, ']')
	if k < 0 || k+1 == len(s) {
		return false
	}
	switch s[k+1] {
	case '(':
		return strings.ContainsAny(s[k+2:], ")\n")
	case '[':
		return strings.ContainsAny(s[k+2:], "]\n")
	}
	return true
}

// Most implements guard.Holder.
func (i inspector) Most() (guard.Category, float64) { return guard.Exfil, 0.85 }
