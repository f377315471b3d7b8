package link

import (
	"testing"

	"bartizan/internal/guard/guardtest"
)

func TestLink(t *testing.T) {
	in, err := New(Config{Denied: []string{"evil.test", "192.0.2.0/24"}})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "see http://evil.test/x", Note: "denied"},
		{Text: "HTTPS://a.b.EVIL.test:8080", Note: "denied"},
		{Text: "http://user@evil.test/", Note: "denied"},
		{Text: "http://192.0.2.77/", Note: "denied"},
		{Text: "aHR0cDovL2V2aWwudGVzdC9hYmM=", Note: "denied"},
		{Text: "http://notevil.test/ and http://192.0.3.1/"},
	})
	only, err := New(Config{Only: []string{"example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, only, []guardtest.Case{{Text: "www.other.net", Note: "not on the list"}, {Text: "https://docs.example.org/a"}})
	if _, err := New(Config{Denied: []string{"///"}}); err == nil {
		t.Error("no error for a host that is none")
	}
}
