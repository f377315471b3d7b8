package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"bartizan/internal/api/token"
)

// TestHunt: the node's answer comes back as it is, its errors as problems that say what to do and where the mistake is.
func TestHunt(t *testing.T) {
	var asked HuntRequest
	n := fakeNode()
	n.Hunt = func(_ context.Context, q HuntRequest) (HuntAnswer, error) {
		asked = q
		switch q.SQL {
		case "wrong":
			return HuntAnswer{}, &StatementError{Text: `wrong SQL: line 2, column 8: no column "pth" (did you mean path?)`, Line: 2, Column: 8, Near: "path"}
		case "refused":
			return HuntAnswer{}, &StatementError{Text: "refused: only SELECT", Refused: true}
		case "busy":
			return HuntAnswer{}, fmt.Errorf("%w: another one", ErrBusy)
		case "large":
			return HuntAnswer{}, fmt.Errorf("%w: out of memory", ErrBeyond)
		case "none":
			return HuntAnswer{}, fmt.Errorf("%w: nothing kept", ErrNotFound)
		case "unable":
			return HuntAnswer{}, fmt.Errorf("%w: no engine", ErrUnable)
		case "broken":
			return HuntAnswer{}, errors.New("secret of the inside")
		}
		return HuntAnswer{Columns: []HuntColumn{{"n", "HUGEINT"}}, Rows: [][]json.RawMessage{{json.RawMessage("123456789012345678901234567890")}}, Files: 3,
			NotLooked: []HuntSkipped{{"class=http/x.parquet", "damaged"}}}, nil
	}
	l := serveRemote(t, n)
	read := l.token(token.Read)
	a := l.want(l.ask("POST", "/v1/hunt", read, `{"sql":"SELECT 1","params":{"p":"/a"}}`), 200)
	want := `{"columns":[{"name":"n","type":"HUGEINT"}],"rows":[[123456789012345678901234567890]],"truncated":false,"files":3,"not_looked_at":[{"file":"class=http/x.parquet","reason":"damaged"}]}`
	if got := string(a.body); got != want+"\n" {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if asked.Rows != HuntRows || asked.Seconds != HuntSeconds || asked.Params["p"] != "/a" {
		t.Errorf("the node was asked %+v", asked)
	}
	for _, c := range []struct {
		body   string
		status int
	}{
		{`{"sql":"wrong"}`, 400}, {`{"sql":"refused"}`, 400}, {`{"sql":"busy"}`, 503}, {`{"sql":"large"}`, 504}, {`{"sql":"none"}`, 404}, {`{"sql":"unable"}`, 501}, {`{"sql":"broken"}`, 500},
		{`{}`, 422}, {`{"sql":"SELECT 1","rows":1000000}`, 422}, {`{"sql":"SELECT 1","seconds":51}`, 422}, {`{"sql":"SELECT 1","memory":1}`, 422},
		{`{"sql":"SELECT 1","since":"2026-11-20T00:00:00Z","until":"2026-11-19T00:00:00Z"}`, 422},
	} {
		a := l.want(l.ask("POST", "/v1/hunt", read, c.body), c.status)
		if c.status == 503 && a.Header.Get("Retry-After") == "" {
			t.Error("nothing says when to come back")
		}
		if c.status == 500 && a.problem.Detail == "secret of the inside" {
			t.Error("a stranger learns what went wrong inside")
		}
	}
	l.want(l.ask("POST", "/v1/hunt", "", `{"sql":"SELECT 1"}`), 401)

	var p StatementProblem
	if err := json.Unmarshal(l.ask("POST", "/v1/hunt", read, `{"sql":"wrong"}`).body, &p); err != nil || p.Line != 2 || p.Column != 8 || p.Near != "path" || p.Refused || p.Instance == "" {
		t.Errorf("the problem is %+v (%v)", p, err)
	}
	c, err := NewRemote(Remote{URL: "http://" + l.addr, Token: read})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Hunt(t.Context(), HuntRequest{SQL: "wrong"})
	var wrong *StatementError
	if !errors.As(err, &wrong) || wrong.Line != 2 || wrong.Column != 8 || wrong.Near != "path" || !errors.Is(err, ErrInput) {
		t.Errorf("the client says %#v", err)
	}
	if _, err = c.Hunt(t.Context(), HuntRequest{SQL: "refused"}); !errors.As(err, &wrong) || !wrong.Refused {
		t.Errorf("the client says %#v", err)
	}
	if got, err := c.Hunt(t.Context(), HuntRequest{SQL: "SELECT 1"}); err != nil || string(got.Rows[0][0]) != "123456789012345678901234567890" || len(got.NotLooked) != 1 {
		t.Errorf("the client has %+v, %v", got, err)
	}
}
