package observe

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"

	"github.com/go-json-experiment/json"
)

func sample(now time.Time) Observation {
	return Observation{
		Kind: KindCommand, Time: now, Session: model.NewULID(now), Decoy: "ssh", Service: "ssh",
		Remote: netip.MustParseAddrPort("192.0.2.1:4242"), Local: netip.MustParseAddrPort("198.51.100.1:22"),
		Command: &Command{Line: "uname -a"},
	}
}

func TestCheckAcceptsEveryKind(t *testing.T) {
	now := time.Now()
	bodies := map[Kind]func(*Observation){
		KindInteraction: func(o *Observation) { o.Interaction = &Interaction{Ended: true} },
		KindAuth:        func(o *Observation) { o.Auth = &AuthAttempt{User: "root"} },
		KindCommand:     func(o *Observation) { o.Command = &Command{Line: "id"} },
		KindHTTP:        func(o *Observation) { o.HTTP = &HTTPRequest{Method: "GET"} },
		KindFile:        func(o *Observation) { o.File = &FileEvent{Path: "/tmp/x"} },
		KindFetch:       func(o *Observation) { o.Fetch = &Fetch{URL: "http://x/"} },
		KindForward:     func(o *Observation) { o.Forward = &Forward{Kind: "socks5"} },
		KindCall:        func(o *Observation) { o.Call = &APICall{Operation: "INFO"} },
		KindExchange:    func(o *Observation) { o.Exchange = &Exchange{API: "ollama"} },
	}
	for kind, set := range bodies {
		o := sample(now)
		o.Kind, o.Command = kind, nil
		set(&o)
		if err := o.Check(now); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		// The body of one kind under the name of another is refused.
		for other := range bodies {
			if other == kind {
				continue
			}
			x := o
			x.Kind = other
			if x.Check(now) == nil {
				t.Errorf("a body of kind %s passed as %s", kind, other)
			}
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	now := time.Now()
	big := strings.Repeat("x", MaxText+1)
	for name, spoil := range map[string]func(*Observation){
		"no session": func(o *Observation) { o.Session = model.ULID{} },
		"no remote":  func(o *Observation) { o.Remote = netip.AddrPort{} },
		"no decoy":   func(o *Observation) { o.Decoy = "" },
		"future":     func(o *Observation) { o.Time = now.Add(MaxSkew + time.Second) },
		"past":       func(o *Observation) { o.Time = now.Add(-25 * time.Hour) },
		"no body":    func(o *Observation) { o.Command = nil },
		"two bodies": func(o *Observation) { o.Fetch = &Fetch{} },
		"long text":  func(o *Observation) { o.Command.Line = big },
		"long name":  func(o *Observation) { o.Decoy = strings.Repeat("d", 129) },
		"many blobs": func(o *Observation) { o.Evidence = make([]Blob, MaxBlobs+1) },
		"large blob": func(o *Observation) { o.Evidence = []Blob{{Data: make([]byte, MaxBlobLen+1)}} },
		"long hash":  func(o *Observation) { o.Evidence = []Blob{{SHA256: strings.Repeat("a", 65)}} },
		"many headers": func(o *Observation) {
			o.Kind, o.Command = KindHTTP, nil
			o.HTTP = &HTTPRequest{Headers: make([]Field, MaxFields+1)}
		},
		"many args": func(o *Observation) {
			o.Kind, o.Command = KindCall, nil
			o.Call = &APICall{Args: make([]string, MaxFields+1)}
		},
	} {
		o := sample(now)
		spoil(&o)
		if o.Check(now) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzBatch: whatever a taken decoy sends, decoding and checking neither
// panics nor lets an oversized text through.
func FuzzBatch(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	o := sample(now)
	b, err := json.Marshal(Batch{Observations: []Observation{o}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"observations":[{"kind":"http","remote":"[::1]:1","http":{}}]}`))
	f.Add([]byte(`{"observations":[null]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var batch Batch
		if json.Unmarshal(b, &batch) != nil {
			return
		}
		for i := range batch.Observations {
			o := &batch.Observations[i]
			if o.Check(now) == nil && o.Command != nil && len(o.Command.Line) > MaxText {
				t.Fatal("an oversized text passed")
			}
		}
	})
}

func TestHeaderIgnoresCase(t *testing.T) {
	h := HTTPRequest{Headers: []Field{{"X-A", "1"}, {"user-AGENT", "curl"}, {"User-Agent", "second"}}}
	if got := h.Header("User-Agent"); got != "curl" {
		t.Errorf("Header = %q, want the first one whatever its case", got)
	}
	if got := h.Header("Host"); got != "" {
		t.Errorf("a header that is not there is %q", got)
	}
}
