package pii

import (
	"testing"

	"bartizan/internal/guard/guardtest"
)

func TestPII(t *testing.T) {
	in, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "card 4111 1111 1111 1111 please", Note: "card: 1"},
		{Text: "5555555555554444 and 378282246310005", Note: "card: 2"},
		{Text: "IBAN DE89 3704 0044 0532 0130 00", Note: "iban: 1"},
		{Text: "GB82WEST12345698765432", Note: "iban: 1"},
		{Text: "SSN 536-22-8726", Note: "ssn: 1"},
		{Text: "phone (212) 555-0147", Note: "phone: 1"},
		{Text: "+44 20 7946 0958", Note: "phone: 1"},
		{Text: "write to anna.weber@example.org", Note: "email: 1"},
		{Text: "NDExMSAxMTExIDExMTEgMTExMSBpcyBteSBjYXJkIG51bWJlcg==", Note: "card: 1"},
		{Text: "card 4111 1111 1111 1112"},
		{Text: "order 1234567890123456"},
		{Text: "DE89 3704 0044 0532 0130 01"},
		{Text: "666-12-3456 and 000-12-3456"},
		{Text: "lines 212 555 0147 of the table"},
		{Text: "version 1.2.3-4@5"},
	})
	for _, bad := range []Config{{Score: 2}, {Kinds: []string{"shoe"}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// What is found lies in the text.
func FuzzFind(f *testing.F) {
	for _, s := range []string{"4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "078-05-1120", "+49 40 1234567", "(212) 555-0123", "ann@example.org", "x", "CPF 529.982.247-25", "2001:db8::1 8.8.8.8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range all {
			for _, m := range k.find(s) {
				if m.From < 0 || m.To > len(s) || m.From >= m.To {
					t.Errorf("%s: %+v of %q", k.name, m, s)
				}
			}
			if n := k.tail(s); n < 0 || n > len(s) {
				t.Errorf("%s: tail %d of %q", k.name, n, s)
			}
		}
	})
}
