package habit

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"bartizan/internal/credential"
	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/net/publicsuffix"
)

// The shape of arguments: which there are, of what kind and size, and where addresses
// among them lead. What a tool is given is nowhere kept: a place is told by its class and
// sixteen bits of a hash, which thousands of names share.
//
// A class that was never seen is unusual when the argument was seen often and nearly
// always as something seen before: of n values of which k were the only ones of their
// class, about k/n of all others are of a new class (Good and Turing). Where that is more
// than a few per cent, as with the hosts of a browser, a new one says nothing.
const (
	wellKnown   = 30   // times an argument must have been seen to be judged
	openShare   = 0.03 // of values of new classes, above which another one is usual
	maxSlots    = 40   // arguments of one tool that are told apart
	maxAllSlots = 2000 // of all tools
	maxPlaces   = 24   // classes of addresses of one argument; more: they are not judged
	maxLeaves   = 64   // values of one call that are looked at
	maxInside   = 8    // elements of a list
	maxNest     = 3    // levels of objects
	maxSlotName = 80
	smallText   = 4 // size class below which a text is not too long: 256 bytes
)

// feature is what is kept of one value.
type feature struct {
	slot  string // its name, with those around it
	kind  string
	size  int    // class: doubles twice from one to the next
	place string // of an address, its class; "" for others
}

// shape is what one tool is usually given.
type shape struct {
	Calls int              `json:"calls"`
	Slots map[string]*slot `json:"slots"`
	Wide  bool             `json:"wide,omitempty"` // it had more names than are kept
}

// slot is one argument.
type slot struct {
	Calls  int            `json:"calls"` // with it
	N      int            `json:"n"`     // values
	Kinds  map[string]int `json:"kinds"`
	Size   int            `json:"size"` // largest class
	Places map[string]int `json:"places,omitempty"`
	Wide   bool           `json:"wide,omitempty"` // more places than are kept
}

func sound(all map[string]*shape) bool {
	for _, sh := range all {
		if sh == nil || sh.Slots == nil {
			return false
		}
		for _, s := range sh.Slots {
			if s == nil || s.Kinds == nil {
				return false
			}
		}
	}
	return true
}

// room is how many more arguments the model takes.
func (s *state) room() int {
	left := maxAllSlots
	for _, sh := range s.Shapes {
		left -= len(sh.Slots)
	}
	return left
}

func (sh *shape) slot(name string, room *int) *slot {
	if s := sh.Slots[name]; s != nil {
		return s
	}
	if len(sh.Slots) >= maxSlots || *room <= 0 {
		sh.Wide = true
		return nil
	}
	*room--
	sh.Slots[name] = &slot{Kinds: map[string]int{}, Places: map[string]int{}}
	return sh.Slots[name]
}

// take learns one call.
func (sh *shape) take(seen []feature, room int) {
	sh.Calls++
	var names []string
	for _, f := range seen {
		s := sh.slot(f.slot, &room)
		if s == nil {
			continue
		}
		if !slices.Contains(names, f.slot) {
			names = append(names, f.slot)
			s.Calls++
		}
		s.N++
		s.Kinds[f.kind]++
		s.Size = max(s.Size, f.size)
		if f.place != "" {
			s.place(f.place, 1)
		}
	}
}

func (s *slot) place(class string, n int) {
	if _, seen := s.Places[class]; !seen && len(s.Places) >= maxPlaces {
		s.Wide = true
		return
	}
	if s.Places == nil {
		s.Places = map[string]int{}
	}
	s.Places[class] += n
}

// add puts what was learned elsewhere on top.
func (sh *shape) add(x *shape, room int) {
	sh.Calls += x.Calls
	sh.Wide = sh.Wide || x.Wide
	for name, more := range x.Slots {
		s := sh.slot(name, &room)
		if s == nil {
			continue
		}
		s.Calls, s.N, s.Size, s.Wide = s.Calls+more.Calls, s.N+more.N, max(s.Size, more.Size), s.Wide || more.Wide
		for k, n := range more.Kinds {
			s.Kinds[k] += n
		}
		for p, n := range more.Places {
			s.place(p, n)
		}
	}
}

// novelty is something that was never seen of a well-known tool.
type novelty struct{ mark, text string }

// news are what is new in a call, each once.
func (sh *shape) news(seen []feature) (out []novelty) {
	if sh.Calls < wellKnown {
		return nil
	}
	told := map[string]bool{}
	tell := func(f feature, what, text string) {
		n := novelty{f.slot + " " + what, fmt.Sprintf("argument %s: %s, which it never was in %d calls while learning", f.slot, text, sh.Calls)}
		if !told[n.mark] {
			told[n.mark] = true
			out = append(out, n)
		}
	}
	for _, f := range seen {
		s := sh.Slots[f.slot]
		switch {
		case s == nil && !sh.Wide && !sh.open():
			tell(f, "name", "given")
		case s == nil || s.N < wellKnown:
		case s.Kinds[f.kind] == 0 && !rare(s.Kinds, s.N) && !(s.Kinds["text"] > 0 && looseText(f.kind)):
			tell(f, "kind "+f.kind, f.kind)
		case f.size >= s.Size+2 && f.size > smallText:
			tell(f, fmt.Sprint("size ", f.size), "more than four times as long as ever")
		case f.place != "" && s.Places[f.place] == 0 && !s.Wide && !rare(s.Places, s.N):
			tell(f, "place "+f.place, "an address at a place")
		}
	}
	return out
}

// open: this tool gets new names all the time.
func (sh *shape) open() bool {
	once := 0
	for _, s := range sh.Slots {
		if s.Calls == 1 {
			once++
		}
	}
	return float64(once) > openShare*float64(sh.Calls)
}

// rare: values of classes that were never seen are usual here.
func rare(classes map[string]int, n int) bool {
	once := 0
	for _, times := range classes {
		if times == 1 {
			once++
		}
	}
	return float64(once) > openShare*float64(n)
}

// looseText: what a person may write where a text is expected.
func looseText(kind string) bool {
	switch kind {
	case "text", "word", "digits", "empty text", "path", "address":
		return true
	}
	return false
}

// features are what is kept of the arguments of a call: a bounded number.
func features(args jsontext.Value) (out []feature) {
	if args.Kind() == '{' {
		walk("", args, 0, &out)
	}
	return out
}

func walk(name string, v jsontext.Value, depth int, out *[]feature) {
	if len(*out) >= maxLeaves {
		return
	}
	f := feature{slot: name}
	switch v.Kind() {
	case '{':
		f.kind = "object"
		if depth < maxNest {
			_ = mcp.Members(v, func(inner string, v jsontext.Value, _ int) error { // it was read before
				walk(under(name, inner), v, depth+1, out)
				return nil
			})
		}
	case '[':
		f.kind = "list"
		n := 0
		_ = mcp.Elements(v, func(v jsontext.Value) error {
			if n++; n <= maxInside && depth < maxNest {
				walk(name+"[]", v, depth+1, out)
			}
			return nil
		})
		f.size = sizeClass(n)
	case '"':
		text, err := mcp.Text(v)
		if err != nil {
			return
		}
		f.size = sizeClass(len(text))
		f.kind, f.place = kindOf(text)
	case '0':
		f.kind = "number"
	case 't', 'f':
		f.kind = "truth"
	default:
		f.kind = "nothing"
	}
	if name != "" && len(*out) < maxLeaves {
		*out = append(*out, f)
	}
}

// under is the name of an inner argument. Agents choose names, so that one may be a secret.
func under(name, inner string) string {
	inner = safe.Clean(credential.Mask(inner), 40)
	if name == "" {
		return inner
	}
	return safe.Clean(name+"."+inner, maxSlotName)
}

func sizeClass(n int) int { return bits.Len(uint(n)) / 2 }

// kindOf tells what a text looks like, and of an address where it leads.
func kindOf(s string) (kind, place string) {
	switch {
	case s == "":
		return "empty text", ""
	case strings.Trim(s, "0123456789.,+-") == "":
		return digits(s)
	case strings.ContainsAny(s, " \t\r\n"):
		return "text", ""
	case len(s) > 4096: // no address is so long, and is not taken apart
		return "coded", ""
	}
	if u, err := url.Parse(s); err == nil && u.Host != "" && u.Scheme != "" {
		return "address", hostClass(u.Hostname())
	}
	if local, host, ok := strings.Cut(s, "@"); ok && local != "" && strings.Contains(host, ".") && !strings.ContainsAny(host, "@/:") {
		return "address", hostClass(host)
	}
	if s[0] == '/' || s[0] == '~' || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.Contains(s, "/") && path.Ext(s) != "" || strings.HasPrefix(s, "file:") {
		return "path", pathClass(s)
	}
	if len(s) >= 64 && strings.Trim(s, codedLetters) == "" {
		return "coded", ""
	}
	return "word", ""
}

const codedLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=_-."

func digits(s string) (kind, place string) {
	if a, err := netip.ParseAddr(s); err == nil {
		return "address", hostClass(a.String())
	}
	return "digits", ""
}

// hostClass is what kind of host it is, and of a public one who has its name.
func hostClass(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		switch {
		case a.IsLoopback():
			return "loopback"
		case a.IsLinkLocalUnicast():
			return "link-local"
		case a.IsPrivate():
			return "private"
		}
		return "ip"
	}
	if host == "localhost" {
		return "loopback"
	}
	if whose, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		host = whose
	}
	return "host:" + class(host)
}

// pathClass is where a file is: the first two folders, whether one above is meant, and
// whether something hidden is.
func pathClass(s string) string {
	s = strings.TrimPrefix(s, "file://")
	c := path.Clean(s)
	hidden := ""
	for _, part := range strings.Split(c, "/") {
		if len(part) > 1 && part[0] == '.' && part != ".." {
			hidden = " hidden"
		}
	}
	switch parts := strings.SplitN(strings.TrimPrefix(c, "/"), "/", 3); {
	case strings.HasPrefix(c, "~"):
		return "home" + hidden
	case strings.HasPrefix(c, ".."):
		return "above" + hidden
	case c[0] != '/':
		return "here" + hidden
	case len(parts) > 2:
		return "folder:" + class(parts[0]+"/"+parts[1]) + hidden
	default: // a file in a folder at the root, or that folder
		return "folder:" + class(parts[0]) + hidden
	}
}

// class is sixteen bits: enough to tell a few places of one tool apart, and too few to
// find out which they are.
func class(s string) string {
	sum := sha256.Sum256([]byte("a class of addresses\x00" + s))
	return fmt.Sprintf("%x", sum[:2])
}
