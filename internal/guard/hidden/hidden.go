// Package hidden reports characters that a reader does not see and a model
// does: tag characters, runs of zero-width characters, direction overrides,
// bytes in variation selectors (Unicode TR 36, UTS 39; "Trojan Source", CVE-2021-42574).
package hidden

import (
	"fmt"
	"unicode/utf8"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// Config of the inspector.
type Config struct {
	// ZeroWidth is how many zero-width characters are too many. Emoji and some
	// scripts need a few.
	ZeroWidth int `yaml:"zero_width"`
	// Homoglyphs is how many letters of another script inside Latin text are.
	Homoglyphs int `yaml:"homoglyphs"`
}

// Default configuration.
func Default() Config { return Config{ZeroWidth: 12, Homoglyphs: 6} }

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if c.ZeroWidth < 1 || c.Homoglyphs < 1 {
		return nil, fmt.Errorf("zero_width %d, homoglyphs %d: use numbers above 0", c.ZeroWidth, c.Homoglyphs)
	}
	return inspector{c}, nil
}

type inspector struct{ conf Config }

// Inspect implements guard.Inspector.
func (i inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	h := t.Hidden
	say := func(score float64, format string, a ...any) {
		out = append(out, guard.Finding{Category: guard.Hidden, Score: score, Note: fmt.Sprintf(format, a...)})
	}
	if h.Smuggled != "" {
		say(0.95, "%d bytes of text that nobody sees", len(h.Smuggled))
	} else if h.Tags > 0 && h.Tags != 6 && h.Tags != 7 { // the flags of England, Scotland and Wales have 6 and 7
		say(0.8, "%d tag characters", h.Tags)
	}
	if h.ZeroWidth >= i.conf.ZeroWidth {
		say(0.6, "%d zero-width characters", h.ZeroWidth)
	}
	if h.Selectors > 8 {
		say(0.6, "%d variation selectors in a row or without an emoji", h.Selectors)
	}
	if h.Bidi > 0 {
		say(0.4, "%d direction controls", h.Bidi)
	}
	if h.Homoglyphs >= i.conf.Homoglyphs {
		say(0.45, "%d letters of other scripts that look Latin", h.Homoglyphs)
	}
	return out, nil
}

// Hold implements guard.Holder: a run of characters that nobody sees.
func (i inspector) Hold(text string) int {
	n := len(text)
	for n > 0 && len(text)-n < maxRun {
		r, size := utf8.DecodeLastRuneInString(text[:n])
		if r < utf8.RuneSelf || decode.Letter(r) != 0 && (r < 0xe0000 || r > 0xe01ef) {
			break
		}
		n -= size
	}
	return len(text) - n
}

// Most implements guard.Holder.
func (i inspector) Most() (guard.Category, float64) { return guard.Hidden, 0.95 }

const maxRun = 4 << 10 // bytes of such a run
