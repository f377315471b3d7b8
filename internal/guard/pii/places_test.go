package pii

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sameEverywhere compares what is found in the places with what is found in the whole
// text. phone wants at least seven digits, as its judge does.
func sameEverywhere(text string) error {
	any := func(_ string, _, b int) int { return b }
	ends := map[string]func(string, int, int) int{
		"phone": func(t string, a, b int) int { return when(len(digits(t[a:b])) >= 7, b) },
		"real":  func(t string, a, b int) int { return when(phone(t, a, b), b) },
	}
	for name, form := range map[string]string{"card": formCard, "ssn": formSSN, "phone": formPhone, "ip": formIP} {
		re, p := regexp.MustCompile(form), places[name]
		judges := []func(string, int, int) int{any}
		if name == "phone" {
			judges = []func(string, int, int) int{ends["phone"], ends["real"]}
		}
		for _, end := range judges {
			if got, want := p.find(re, text, end), everywhere(re, text, end); !slices.Equal(got, want) {
				return fmt.Errorf("%s in %q: %v in its places, %v everywhere", name, text, got, want)
			}
		}
	}
	return nil
}

func TestPlacesAreEnough(t *testing.T) {
	part := rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,5}`), rapid.StringMatching(`[0-9]{2,5}[ ./-][0-9]{2,4}[ -][0-9]{2,5}`), rapid.StringMatching(`[0-9]{13,20}`), rapid.StringMatching(`(\+|00)[1-9][0-9]{7,14}`),
		rapid.StringMatching(`[0-9a-fA-F:.]{3,24}`), rapid.SampledFrom([]string{" ", " ", "-", ".", ":", "(", ")", "/", "+", "_", "a", "é", "\xff", "::", "call ", "tel", "00", "\n", "١٢", "536-22-8726"}))
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for _, s := range rapid.SliceOfN(part, 0, 14).Draw(t, "parts") {
			text += s
		}
		if err := sameEverywhere(text); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzPlaces(f *testing.F) {
	for _, s := range []string{"4111 1111 1111 1111", "+49 40 1234567 8", "(212) 555-0123-4567", "1.2.3.4.5.6", "fe80::1%eth0", "a1234567890123_", "é536-22-8726é", "0049 (0)40 123 45 67"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		if err := sameEverywhere(text); err != nil {
			t.Error(err)
		}
	})
}
