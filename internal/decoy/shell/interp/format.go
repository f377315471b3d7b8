package interp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"bartizan/internal/decoy/shell/syntax"
)

// maxWidth bounds field widths of printf and friends, which visitors choose.
const maxWidth = 4096

// capWidth rebuilds a printf specification with bounded numbers.
func capWidth(spec string) string {
	var b strings.Builder
	for i := 0; i < len(spec); {
		if !syntax.IsDigit(spec[i]) || spec[i] == '0' {
			b.WriteByte(spec[i])
			i++
			continue
		}
		j := i
		for j < len(spec) && syntax.IsDigit(spec[j]) {
			j++
		}
		n, err := strconv.Atoi(spec[i:j])
		if err != nil || n > maxWidth {
			n = maxWidth
		}
		b.WriteString(Itoa(n))
		i = j
	}
	return Clip(b.String(), 24)
}

// pad applies width and precision of a %s specification.
func pad(spec, s string) string {
	spec = strings.TrimPrefix(spec, "%")
	left := strings.Contains(spec, "-")
	width, prec, hasPrec := strings.Cut(strings.Trim(spec, "-+ #"), ".")
	if hasPrec {
		n, _ := strconv.Atoi(prec) // empty means zero
		s = Clip(s, max(0, n))
	}
	w, _ := strconv.Atoi(width) // empty means zero
	fill := strings.Repeat(" ", max(0, w-utf8.RuneCountInString(s)))
	if left {
		return s + fill
	}
	return fill + s
}

func formatInt(spec string, verb byte, v int64) string {
	if verb == 'i' || verb == 'u' {
		verb = 'd'
	}
	if verb != 'd' && v < 0 {
		return fmt.Sprintf(spec+string(verb), uint64(v))
	}
	return fmt.Sprintf(spec+string(verb), v)
}

func formatFloat(spec string, verb byte, v float64) string {
	if verb == 'g' && !strings.Contains(spec, ".") {
		spec += ".6"
	}
	return fmt.Sprintf(spec+string(verb), v)
}
