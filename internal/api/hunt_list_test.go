package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api/token"
)

// TestHuntList: a list larger than other bodies may be is taken, the answer comes back as it is, errors as problems.
func TestHuntList(t *testing.T) {
	var asked HuntListRequest
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	n := fakeNode()
	hold, held := make(chan struct{}), make(chan struct{})
	n.HuntList = func(_ context.Context, q HuntListRequest) (HuntListAnswer, error) {
		asked = q
		switch q.List {
		case "junk":
			return HuntListAnswer{}, fmt.Errorf("%w: none of it can be looked for", ErrInput)
		case "busy":
			return HuntListAnswer{}, fmt.Errorf("%w: another one", ErrBusy)
		case "hold":
			held <- struct{}{}
			<-hold
		}
		return HuntListAnswer{Format: "text", Indicators: 1, Found: []HuntSighting{{Type: "ip", Value: "192.0.2.7", Line: 1, Where: []HuntMatch{{View: "http", Column: "src_ip", Value: "192.0.2.7", Count: 2, First: at, Last: at}}}},
			Problems: []HuntProblem{{Line: 2, Text: "x", Reason: "no"}}, Unusable: 1, Files: 3, NotLooked: []HuntSkipped{}}, nil
	}
	l := serveRemote(t, n)
	read := l.token(token.Read)
	a := l.want(l.ask("POST", huntListPath, read, `{"list":"192.0.2.7\nx"}`), 200)
	want := `{"list_format":"text","indicators":1,"found":[{"type":"ip","value":"192.0.2.7","line":1,"where":[{"view":"http","column":"src_ip","value":"192.0.2.7","count":2,"first_seen":"2026-11-20T07:00:00Z","last_seen":"2026-11-20T07:00:00Z"}]}],` +
		`"truncated":false,"unusable":1,"problems":[{"line":2,"text":"x","reason":"no"}],"files":3,"not_looked_at":[]}`
	if got := string(a.body); got != want+"\n" {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if asked.Seconds != HuntSeconds {
		t.Errorf("the node was asked %+v", asked)
	}
	large, err := json.Marshal(HuntListRequest{List: strings.Repeat("192.0.2.7\n", 3*maxRequest/10)})
	if err != nil {
		t.Fatal(err)
	}
	l.want(l.ask("POST", huntListPath, read, string(large)), 200)
	l.want(l.ask("POST", "/v1/hunt", read, string(large)), 413)
	l.want(l.ask("POST", huntListPath, read, `{"list":"`+strings.Repeat("a", maxListRequest)+`"}`), 413)
	for body, status := range map[string]int{`{"list":"junk"}`: 400, `{"list":"busy"}`: 503, `{}`: 422, `{"list":""}`: 422, `{"list":"a","seconds":51}`: 422, `{"list":"a","rows":1}`: 422,
		`{"list":"a","since":"2026-11-20T00:00:00Z","until":"2026-11-19T00:00:00Z"}`: 422} {
		l.want(l.ask("POST", huntListPath, read, body), status)
	}
	l.want(l.ask("POST", huntListPath, "", `{"list":"a"}`), 401)

	// As many large bodies as there are places, and no more.
	c, err := NewRemote(Remote{URL: "http://" + l.addr, Token: read})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, maxListsAtOnce)
	for range maxListsAtOnce {
		go func() {
			_, err := c.HuntList(context.Background(), HuntListRequest{List: "hold"})
			done <- err
		}()
		<-held
	}
	if a := l.want(l.ask("POST", huntListPath, read, `{"list":"a"}`), http.StatusServiceUnavailable); a.Header.Get("Retry-After") == "" {
		t.Error("nothing says when to come back")
	}
	close(hold)
	for range maxListsAtOnce {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err = c.HuntList(t.Context(), HuntListRequest{List: "junk"}); !errors.Is(err, ErrInput) {
		t.Errorf("the client says %#v", err)
	}
	if got, err := c.HuntList(t.Context(), HuntListRequest{List: "a"}); err != nil || len(got.Found) != 1 || got.Found[0].Where[0].Count != 2 {
		t.Errorf("the client has %+v, %v", got, err)
	}
}
