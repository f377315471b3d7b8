// Package credential knows credentials by the forms their issuers publish. It
// says what a text holds and where, and can put a name in its place; of what it
// finds it never hands a secret to a caller. The guard, the scanners and the gateway
// share it. It also has the form of the credentials that this program gives out.
package credential

import (
	"encoding/base64"
	"hash/crc32"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Match is one credential in a text.
type Match struct {
	Name     string // of the format, in our words
	From, To int    // bytes of the secret part
}

// maxMatches is how many credentials of one format are looked for in a text.
const maxMatches = 20

// Find returns the credentials of a text, by format and place.
func Find(text string) (out []Match) {
	var marked set
	if !marked.look(text) {
		return nil
	}
	for k := range known {
		if !marked.has(k) {
			continue
		}
		f := &known[k]
		for _, m := range f.re().FindAllStringSubmatchIndex(text, maxMatches) {
			s := text[m[2]:m[3]]
			if entropy(s) >= f.entropy && (f.check == nil || f.check(s)) {
				out = append(out, Match{f.name, m[2], m[3]})
			}
		}
	}
	return out
}

// Mask puts "[name]" in the place of every credential.
func Mask(text string) string {
	found := Find(text)
	if len(found) == 0 {
		return text
	}
	slices.SortStableFunc(found, func(a, b Match) int { return a.From - b.From })
	var b strings.Builder
	at := 0
	for _, m := range found {
		if m.To <= at {
			continue
		}
		b.WriteString(text[at:max(at, m.From)])
		b.WriteString("[" + m.Name + "]")
		at = m.To
	}
	b.WriteString(text[at:])
	return b.String()
}

// Beginnings are what credentials begin with, for whoever has only the beginning of
// a text. Formats that are told by a mark in their middle have none.
func Beginnings() (out []string) {
	for k := range known {
		if !known[k].middle {
			out = append(out, known[k].marks...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Formats are the names of the formats.
func Formats() (out []string) {
	for k := range known {
		if !slices.Contains(out, known[k].name) {
			out = append(out, known[k].name)
		}
	}
	return out
}

// format is a kind of credential. entropy is the least bits per character of
// its first group, which tells keys from examples such as XXXX.
type format struct {
	name    string
	marks   []string // one of them must occur before the expression is tried
	middle  bool     // the mark is not what it begins with
	re      func() *regexp.Regexp
	entropy float64
	check   func(string) bool
}

// lazily compiles an expression when the first text has its mark: a program that
// lists decisions needs none of them.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// begins is a format whose credentials begin with one of the marks. expr follows the
// mark; a group of its own may say which part is the secret.
func begins(name, marks, expr string, entropy float64) format {
	list := strings.Fields(marks)
	var alternatives []string
	for _, m := range list {
		alternatives = append(alternatives, regexp.QuoteMeta(m))
	}
	return format{name: name, marks: list, entropy: entropy, re: lazily(`\b((?:` + strings.Join(alternatives, "|") + `)` + expr + `)`)}
}

// within is a format that is told by a mark in its middle, or by a name before it: expr is the whole, with one group.
func within(name, marks, expr string, entropy float64) format {
	return format{name: name, marks: strings.Fields(marks), middle: true, entropy: entropy, re: lazily(expr)}
}

func (f format) checked(check func(string) bool) format {
	f.check = check
	return f
}

// set of formats, by index, of which a text has a mark.
type set [4]uint64

func (s *set) has(k int) bool { return s[k/64]&(1<<(k%64)) != 0 }

// look goes through a text once and says whether it has any mark. What begins a
// credential counts at the beginning of a word only.
func (s *set) look(text string) (any bool) {
	m := marks()
	var before byte // 0: no word
	for i := 0; i+1 < len(text); i++ {
		pair := uint16(text[i])<<8 | uint16(text[i+1])
		class := m.pair[pair] & m.after[before]
		before = text[i]
		if class == 0 {
			continue
		}
		for _, x := range m.by[text[i]] {
			if x.text[1] == text[i+1] && strings.HasPrefix(text[i:], x.text) {
				s[x.format/64] |= 1 << (x.format % 64)
				any = true
			}
		}
	}
	return any
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

type mark struct {
	text   string
	format int
}

// markTable has the marks of all formats by their first byte, and which pairs of bytes they begin with.
type markTable struct {
	pair  [1 << 16]byte // anywhere, atWord
	after [256]byte     // which of them may follow a byte
	by    [256][]mark
}

const (
	anywhere = 1
	atWord   = 2 // at the beginning of a word only
)

var marks = sync.OnceValue(func() *markTable {
	t := &markTable{}
	if len(known) > 64*len(set{}) {
		panic("BUG: more formats of credentials than a set has room for")
	}
	for c := range t.after {
		t.after[c] = anywhere
		if !wordByte(byte(c)) {
			t.after[c] |= atWord
		}
	}
	for k := range known {
		for _, m := range known[k].marks {
			class := byte(atWord)
			if known[k].middle || !wordByte(m[0]) {
				class = anywhere
			}
			t.pair[int(m[0])<<8|int(m[1])] |= class
			t.by[m[0]] = append(t.by[m[0]], mark{m, k})
		}
	}
	return t
})

// entropy in bits per character.
func entropy(s string) float64 {
	var n [256]int
	for i := 0; i < len(s); i++ {
		n[s[i]]++
	}
	h := 0.0
	for _, c := range n {
		if c > 0 {
			p := float64(c) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

// githubChecksum: the last six characters are the CRC-32 of the others in
// base 62 (GitHub's description of its token format, 2021; npm uses the same, 2021).
func githubChecksum(s string) bool {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body, sum := s[4:len(s)-6], s[len(s)-6:]
	c := crc32.ChecksumIEEE([]byte(body))
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i] = digits[c%62]
		c /= 62
	}
	return string(b[:]) == sum
}

func jsonHeader(s string) bool {
	head, _, _ := strings.Cut(s, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	return err == nil && strings.HasPrefix(string(b), "{") && strings.Contains(string(b), `"alg"`)
}

// basicPair says whether base64 holds "user:password" (RFC 7617).
func basicPair(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return false
	}
	user, password, ok := strings.Cut(string(b), ":")
	return ok && user != "" && len(password) >= 4 && strings.IndexFunc(string(b), func(r rune) bool { return r < ' ' || r == 0xFFFD }) < 0
}

// digitAndLetter tells a random text from a word.
func digitAndLetter(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ContainsAny(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz")
}
