package keeper

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzHead: what is accepted is the same request to another reader, with one key.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /v1/x?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nauthorization: b\r\nAuthorization : c\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
		"GET /\x00 HTTP/1.1\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\nA:b\n\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	k, err := newFixed("Authorization", "sekrit")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), 64)
		_, h, err := readHead(r, nil)
		if err != nil {
			return
		}
		drop, lines, err := k.fields(h, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		out := h.write(nil, drop, lines)
		rest, _ := io.ReadAll(r)
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
		if err != nil {
			return // refused by the upstream: as bad as it came
		}
		if req.Method != string(h.method) || req.RequestURI != string(h.target) || len(req.TransferEncoding) > 0 || req.ContentLength != h.length {
			t.Fatalf("%q was taken for %s %s with %d bytes", in, h.method, h.target, h.length)
		}
		if got := req.Header.Values("Authorization"); !slices.Equal(got, []string{"Bearer sekrit"}) {
			t.Fatalf("%q leaves with the keys %q", in, got)
		}
		if at := bytes.Index(in, []byte("\r\n\r\n")) + 4; !bytes.Equal(rest, in[at:]) {
			t.Fatalf("%q: the body begins at %q", in, rest)
		}
	})
}

func TestHeadHasNoEnd(t *testing.T) {
	r := bufio.NewReaderSize(io.MultiReader(strings.NewReader("GET / HTTP/1.1\r\n"), endless{}), 4096)
	buf, _, err := readHead(r, nil)
	if err == nil || len(buf) > maxHead+4096 {
		t.Errorf("%d bytes were kept, %v", len(buf), err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}
