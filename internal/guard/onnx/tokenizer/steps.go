package tokenizer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func is(b *bool, usual bool) bool {
	if b == nil {
		return usual
	}
	return *b
}

var errSteps = errors.New("too many steps")

// normalizers reads a step, or a sequence of them.
func normalizers(n *node, out []normalizer, depth int, steps *int) ([]normalizer, error) {
	if n == nil {
		return out, nil
	}
	if *steps++; *steps > maxSteps || depth > maxDepth {
		return nil, errSteps
	}
	if n.Type == "Sequence" {
		for i := range n.Normalizers {
			var err error
			if out, err = normalizers(&n.Normalizers[i], out, depth+1, steps); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	forms := map[string]normalizer{"NFC": form(norm.NFC), "NFD": form(norm.NFD), "NFKC": form(norm.NFKC), "NFKD": form(norm.NFKD),
		"Lowercase": lower, "StripAccents": drop(unicode.M), "Nmt": nmt, "ByteLevel": visible}
	if f, ok := forms[n.Type]; ok {
		return append(out, f), nil
	}
	switch n.Type {
	case "BertNormalizer":
		if is(n.CleanText, true) {
			out = append(out, bertClean)
		}
		if is(n.Chinese, true) {
			out = append(out, bertChinese)
		}
		if is(n.StripAccents, is(n.Lowercase, true)) {
			out = append(out, form(norm.NFD), drop(unicode.Mn))
		}
		if is(n.Lowercase, true) {
			out = append(out, lower)
		}
		return out, nil
	case "Strip":
		return append(out, trim(is(n.StripLeft, true), is(n.StripRight, true))), nil
	case "Prepend":
		if len(n.Prepend) > maxText {
			return nil, fmt.Errorf("prepend is longer than %d bytes", maxText)
		}
		return append(out, func(s string) string {
			if s == "" {
				return s
			}
			return n.Prepend + s
		}), nil
	case "Replace":
		f, err := replace(n)
		return append(out, f), err
	case "Precompiled":
		if n.Charsmap == nil || *n.Charsmap == "" {
			return out, nil
		}
		m, err := charsmapOf(n)
		if err != nil {
			return nil, err
		}
		return append(out, m.normalize), nil
	}
	return nil, fmt.Errorf("type %.40q is not known", n.Type)
}

func replace(n *node) (normalizer, error) {
	if n.Pattern == nil || len(n.Content) > maxText {
		return nil, fmt.Errorf("the pattern of Replace is missing, or it puts more than %d bytes in its place", maxText)
	}
	if s := n.Pattern.String; s != nil && *s != "" {
		return func(text string) string { return strings.ReplaceAll(text, *s, n.Content) }, nil
	}
	re, err := expression(n.Pattern.Regex)
	if err != nil {
		return nil, fmt.Errorf("step Replace: %w", err)
	}
	return func(text string) string { return re.ReplaceAllLiteralString(text, n.Content) }, nil
}

// space and digit are the classes of the reference's expressions, which are Unicode's there and ASCII's here.
const (
	space = `\t-\r\x{85}\p{Z}`
	word  = `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}`
)

// expression reads a regular expression of the reference as far as it means the same in a language that
// matches in linear time.
func expression(s *string) (*regexp.Regexp, error) {
	if s == nil || *s == "" || len(*s) > 1000 {
		return nil, errors.New("no pattern, or a very long one")
	}
	var b strings.Builder
	class := false
	for i := 0; i < len(*s); i++ {
		c := (*s)[i]
		if c != '\\' {
			class = (class || c == '[') && c != ']'
			b.WriteByte(c)
			continue
		}
		if i++; i == len(*s) {
			break
		}
		inside := map[byte]string{'s': space, 'w': word, 'd': `\p{Nd}`}[(*s)[i]]
		switch {
		case inside != "" && class:
			b.WriteString(inside)
		case inside != "":
			b.WriteString("[" + inside + "]")
		case (*s)[i] == 'S' && !class:
			b.WriteString("[^" + space + "]")
		case strings.IndexByte("pPrntux", (*s)[i]) >= 0 || !unicode.IsLetter(rune((*s)[i])) && !unicode.IsDigit(rune((*s)[i])):
			b.WriteString((*s)[i-1 : i+1])
		default:
			return nil, fmt.Errorf("pattern %.60q: \\%c cannot be used", *s, (*s)[i])
		}
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("pattern %.60q cannot be used: %w", *s, err)
	}
	return re, nil
}

// splitters reads a step, or a sequence of them.
func splitters(n *node, out []splitter, depth int, steps *int) ([]splitter, error) {
	if n == nil {
		return out, nil
	}
	if *steps++; *steps > maxSteps || depth > maxDepth {
		return nil, errSteps
	}
	switch n.Type {
	case "Sequence":
		for i := range n.Splitters {
			var err error
			if out, err = splitters(&n.Splitters[i], out, depth+1, steps); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "BertPreTokenizer":
		return append(out, bert), nil
	case "Whitespace":
		return append(out, wordsAndMarks), nil
	case "WhitespaceSplit":
		return append(out, bySeparator(each(unicode.IsSpace), removed)), nil
	case "ByteLevel":
		return append(out, byteLevel(is(n.AddPrefix, true), is(n.UseRegex, true))), nil
	case "Punctuation":
		what, err := behaviorOf(n.Behavior, isolated)
		return append(out, bySeparator(each(isPunctuation), what)), err
	case "Digits":
		what := contiguous
		if n.Individual {
			what = isolated
		}
		return append(out, bySeparator(each(isDigit), what)), nil
	case "Metaspace":
		scheme := n.Scheme
		if scheme == "" {
			scheme = "always"
			if !is(n.AddPrefix, true) {
				scheme = "never"
			}
		}
		if len(n.Replacement) > maxText || scheme != "always" && scheme != "first" && scheme != "never" {
			return nil, fmt.Errorf("step Metaspace with replacement %.20q and prepend_scheme %.20q", n.Replacement, scheme)
		}
		mark := n.Replacement
		if mark == "" {
			mark = "▁"
		}
		return append(out, metaspace(mark, scheme, is(n.Split, true))), nil
	case "Split":
		s, err := splitBy(n)
		return append(out, s), err
	}
	return nil, fmt.Errorf("type %.40q is not known", n.Type)
}

func behaviorOf(name string, usual behavior) (behavior, error) {
	switch b := behavior(name); b {
	case "":
		return usual, nil
	case removed, isolated, previous, next, contiguous:
		return b, nil
	}
	return "", fmt.Errorf("behavior %.40q is not known", name)
}

func splitBy(n *node) (splitter, error) {
	what, err := behaviorOf(n.Behavior, "")
	if err != nil || what == "" || n.Pattern == nil {
		return nil, errors.Join(errors.New("a Split needs a pattern and a behavior"), err)
	}
	if s := n.Pattern.String; s != nil && *s != "" {
		if n.Invert {
			return nil, errors.New("a Split: invert with a plain string cannot be used")
		}
		return bySeparator(literal(*s), what), nil
	}
	re, err := expression(n.Pattern.Regex)
	if err != nil {
		return nil, fmt.Errorf("step Split: %w", err)
	}
	return byExpression(re, what, n.Invert), nil
}
