package gateway

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a request asks for is read in one pass, and is what a search for each key finds.
func TestAsks(t *testing.T) {
	following := func(body, key string) byte {
		_, rest, _ := strings.Cut(body, key+`":`)
		return firstByte([]byte(rest))
	}
	pieces := []string{`"logprobs":`, `"top_logprobs":`, `"responseLogprobs":`, `"max_tokens_to_sample":`, `\"logprobs\":`, `"logprobs" :`, `logprobs`, `":`, `"`, ` `, "\n", `true`, `false`, `null`, `0`, `5`, `-1`, `,`, `{`}
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		body := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), "")
		x := &exchange{watched: watching{begun: true}}
		x.asks([]byte(body))
		prob := !bytes.ContainsRune([]byte("\x00fn0"), rune(following(body, "logprobs"))) || following(body, "responseLogprobs") == 't'
		if limit := following(body, "max_tokens_to_sample") == '-'; x.watched.logprobs != prob || (x.watched.limit == -1) != limit {
			t.Fatalf("%s: %+v", body, x.watched)
		}
		if prob {
			seen++
		}
	})
	if seen < 3 {
		t.Errorf("only %d bodies asked for something", seen)
	}
}
