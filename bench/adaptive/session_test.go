package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/builtin"
	"bartizan/internal/guard"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/openai"
)

const prose = "The harbour office opens at nine on weekdays. To book a berth you need the name of the ship, its length and the day of arrival; " +
	"the clerk answers within a few hours. Boats of more than 20 metres moor at the north pier, where water and power are paid by the day.\n\n" +
	"1. Fill in the form.\n2. Wait for the letter.\n3. Bring both to the office.\n\n"

// events of a chat stream that says text, a word or so each.
func events(text string) (out [][]byte) {
	for i, w := range strings.SplitAfter(text, " ") {
		out = append(out, fmt.Appendf(nil, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":%d,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", i, w))
	}
	return append(out, []byte("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"),
		[]byte("data: [DONE]\n\n"))
}

// BenchmarkSession is one streamed answer of 8 times prose, with every
// inspector: the time of one event until what may leave has left, how many
// events had to wait for a later one, and the time for the end of the answer.
func BenchmarkSession(b *testing.B) {
	api, err := openai.New(openai.Config{})
	if err != nil {
		b.Fatal(err)
	}
	list := events(strings.Repeat(prose, 8))
	head := wire.Head{Method: "POST", Path: "/v1/chat/completions", ContentType: "text/event-stream"}
	c := target0(b)
	for _, x := range []struct {
		name   string
		engine *guard.Engine
		policy hold.Policy
	}{
		{"defaults", defaults(b), hold.Policy{}},
		{"pii masked", defaults(b), hold.Policy{Actions: map[guard.Category]hold.Action{guard.PII: hold.Mask, guard.Secret: hold.Block, guard.Exfil: hold.Block}}},
		{"known secret", c.engine, hold.Policy{}},
	} {
		b.Run(x.name, func(b *testing.B) {
			var each []time.Duration
			var end time.Duration
			held, n := 0, 0
			for b.Loop() {
				st, err := api.Stream(head)
				if err != nil {
					b.Fatal(err)
				}
				s := hold.NewSession(hold.Config{Engine: x.engine, Policy: x.policy}, st)
				for i, e := range list {
					start := time.Now()
					if _, err := s.Feed(e); err != nil {
						b.Fatal(err)
					}
					if d := time.Since(start); i < len(list)-2 {
						each = append(each, d)
					} else {
						end += d
					}
				}
				if _, err := s.Close(); err != nil {
					b.Fatal(err)
				}
				held += s.Result().Held
				n++
			}
			slices.Sort(each)
			b.ReportMetric(float64(each[len(each)/2].Nanoseconds())/1e3, "p50-µs/event")
			b.ReportMetric(float64(each[len(each)*99/100].Nanoseconds())/1e3, "p99-µs/event")
			b.ReportMetric(float64(held)/float64(n*len(list))*100, "%-waiting")
			b.ReportMetric(float64(end.Microseconds())/float64(n), "end-µs")
		})
	}
}

func defaults(b *testing.B) *guard.Engine {
	b.Helper()
	e, err := builtin.BuildGuard(nil)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func target0(b *testing.B) *target {
	b.Helper()
	t, err := newTarget("kelp-7731-Tr0ub4dor-Zx", nil, 0, true)
	if err != nil {
		b.Fatal(err)
	}
	return t
}
