package decoy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// one starts a service for visits of a test.
func one(t *testing.T, edit func(*decoy.Limits), serve play) *decoytest.Rig {
	t.Helper()
	l := decoytest.Limits()
	if edit != nil {
		edit(&l)
	}
	return decoytest.Start(t, serve, decoytest.Persona(), l)
}

func transcript(t *testing.T, all []observe.Observation) string {
	t.Helper()
	for _, o := range decoytest.Ends(all) {
		for _, b := range o.Evidence {
			if b.What == "transcript" {
				return string(b.Data)
			}
		}
	}
	return ""
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 10000)
	var got []string
	var last error
	r := one(t, func(l *decoy.Limits) { l.Line = 20000 }, func(_ context.Context, s *decoy.Session) error {
		for {
			line, err := s.ReadLine()
			if err != nil {
				got, last = append(got, line), err
				return nil
			}
			got = append(got, line)
		}
	})
	r.Visit([]byte("a\r\nb\n\n\r\n" + long + "\r\n" + long + "\n\rc\r\r\nrest"))
	r.Quiet(1)
	want := []string{"a", "b", "", "", long, long, "\rc\r", "rest"}
	if fmt.Sprint(got) != fmt.Sprint(want) || !errors.Is(last, io.EOF) {
		t.Errorf("lines %.80q, then %v", got, last)
	}
}

func TestLineLimit(t *testing.T) {
	var last error
	r := one(t, func(l *decoy.Limits) { l.Line = 5000 }, func(_ context.Context, s *decoy.Session) error {
		_, last = s.ReadLine()
		return last
	})
	r.Visit([]byte(strings.Repeat("x", 20000)))
	r.Quiet(1)
	if !errors.Is(last, decoy.ErrLimit) {
		t.Errorf("a line of 20000 bytes ends with %v", last)
	}
}

// Bytes arrive in pieces; no way of reading loses or repeats one.
func TestReadingMixes(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "%d\n", i)
	}
	want := b.String()
	var got bytes.Buffer
	r := one(t, nil, func(_ context.Context, s *decoy.Session) error {
		p := make([]byte, 700)
		for i := 0; ; i++ {
			var err error
			switch i % 5 {
			case 0:
				var c byte
				if c, err = s.ReadByte(); err == nil {
					got.WriteByte(c)
				}
			case 1:
				var line string
				if line, err = s.ReadLine(); err == nil {
					got.WriteString(line + "\n")
				}
			case 2:
				n := 0
				n, err = s.Read(p)
				got.Write(p[:n])
			case 3:
				var head []byte
				if head, err = s.Peek(3); err == nil {
					head = bytes.Clone(head)
					if err = s.ReadFull(p[:3]); err == nil && !bytes.Equal(head, p[:3]) {
						return errors.New("what was peeked is not what was read")
					}
					got.Write(p[:3])
				}
			case 4:
				err = s.Flush() // may give the buffer back
			}
			if err != nil {
				rest, _ := io.ReadAll(s) // after a failed Peek
				got.Write(rest)
				return nil
			}
		}
	})
	c := r.Dial()
	defer c.Close()
	for chunk := range slicesOf(want, 97) {
		if _, err := io.WriteString(c, chunk); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	end := decoytest.Ends(r.Quiet(1))[0].Interaction
	if got.String() != want {
		t.Errorf("%d bytes were read, %d sent, or others", got.Len(), len(want))
	}
	if end.BytesIn != int64(len(want)) || string(end.First) != want[:len(end.First)] || len(end.First) != 512 {
		t.Errorf("%d bytes in, %d first ones", end.BytesIn, len(end.First))
	}
	if st := r.Runner.Stats(); st.Errors != 0 {
		t.Errorf("%+v", st)
	}
}

func slicesOf(s string, n int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			k := min(n, len(s))
			if !yield(s[:k]) {
				return
			}
			s = s[k:]
		}
	}
}

// A wait that ends in silence is not the end of the visit.
func TestPause(t *testing.T) {
	silent := make(chan struct{}, 3)
	r := one(t, nil, func(_ context.Context, s *decoy.Session) error {
		for range 3 {
			s.Pause(30 * time.Millisecond)
			_, err := s.ReadByte()
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				return fmt.Errorf("silence ends with %v", err)
			}
			silent <- struct{}{}
		}
		s.Pause(0)
		line, err := s.ReadLine()
		if err != nil {
			return fmt.Errorf("after three pauses: %v", err)
		}
		_, err = s.WriteString("heard " + line)
		return err
	})
	c := r.Dial()
	defer c.Close()
	for range 3 {
		<-silent
	}
	if _, err := io.WriteString(c, "you\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(c)
	if string(got) != "heard you" {
		t.Errorf("answer %q", got)
	}
	r.Quiet(1)
	if st := r.Runner.Stats(); st.Errors != 0 {
		t.Errorf("%+v", st)
	}
}

// A visitor who never reads does not hold us.
func TestVisitorThatDoesNotRead(t *testing.T) {
	r := one(t, func(l *decoy.Limits) { l.Idle, l.Out = 200*time.Millisecond, 1<<30 }, func(_ context.Context, s *decoy.Session) error {
		big := make([]byte, 64<<10)
		for {
			if _, err := s.Write(big); err != nil {
				return err
			}
		}
	})
	c := r.Dial()
	defer c.Close()
	begin := time.Now()
	r.Quiet(1)
	if d := time.Since(begin); d > decoytest.Patience/2 {
		t.Errorf("held for %v", d)
	}
}

func TestTranscript(t *testing.T) {
	line := strings.Repeat("a", 600)
	r := one(t, nil, echo{}.Serve)
	r.Visit([]byte("one\n" + line + "\n"))
	want := "\n< one\n" + line + "\n\n> one\n"
	if got := transcript(t, r.Quiet(1)); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, line+"\n") {
		t.Errorf("transcript %.100q", got)
	}
}

func TestTranscriptIsCapped(t *testing.T) {
	r := one(t, func(l *decoy.Limits) { l.Transcript = 1000 }, echo{}.Serve)
	r.Visit(bytes.Repeat([]byte("0123456789abcde\n"), 500))
	got := transcript(t, r.Quiet(1))
	if len(got) < 900 || len(got) > 1000 || !strings.HasPrefix(got, "\n< 0123456789abcde\n") {
		t.Errorf("a transcript of %d bytes, the cap is 1000", len(got))
	}
	none := one(t, func(l *decoy.Limits) { l.Transcript = 0 }, echo{}.Serve)
	none.Visit(bytes.Repeat([]byte("0123456789abcde\n"), 500))
	if got := transcript(t, none.Quiet(1)); got != "" {
		t.Errorf("a transcript of %d bytes though there should be none", len(got))
	}
}

// upper is a protocol between the wire and the session.
type upper struct{ net.Conn }

func (u upper) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

// The transcript of an upgraded session has the clear text; the counters and
// the first bytes are those of the wire; what was peeked is not lost.
func TestUpgrade(t *testing.T) {
	line := strings.Repeat("x", 600) + "\n"
	r := one(t, nil, func(ctx context.Context, s *decoy.Session) error {
		if _, err := s.Peek(5); err != nil {
			return err
		}
		if err := s.Upgrade(func(c net.Conn) (net.Conn, error) { return upper{c}, nil }); err != nil {
			return err
		}
		return echo{}.Serve(ctx, s)
	})
	got := r.Visit([]byte("start " + line))
	want := strings.ToUpper("start " + line)
	if string(got) != want {
		t.Errorf("answer %.40q", got)
	}
	all := r.Quiet(1)
	if tr := transcript(t, all); !strings.Contains(tr, want) || strings.Contains(tr, "xxx") {
		t.Errorf("transcript %.60q", tr)
	}
	if i := decoytest.Ends(all)[0].Interaction; i.BytesIn != int64(len(want)) || !strings.HasPrefix(string(i.First), "start xxx") {
		t.Errorf("%d bytes in, first %.20q", i.BytesIn, i.First)
	}
}

// Closing while the visitor still sends would make the kernel throw our answer
// away.
func TestLinger(t *testing.T) {
	r := one(t, nil, func(_ context.Context, s *decoy.Session) error {
		if _, err := s.ReadLine(); err != nil {
			return err
		}
		s.Linger()
		_, err := s.WriteString("enough")
		return err
	})
	for range 20 {
		if got := r.Visit([]byte("x\n" + strings.Repeat("y", 100<<10))); string(got) != "enough" {
			t.Fatalf("answer %q", got)
		}
	}
	for _, o := range decoytest.Ends(r.Quiet(20)) {
		if o.Interaction.BytesIn > 64<<10 {
			t.Errorf("%d bytes count as heard", o.Interaction.BytesIn)
		}
	}
}

// What goes to the reader passes its check, whatever a visitor sent; the sink
// of the rig fails otherwise.
func TestObservationsAreBounded(t *testing.T) {
	huge := strings.Repeat("\xff", 100<<10)
	many := make([]observe.Field, 500)
	args := make([]string, 500)
	for i := range many {
		many[i] = observe.Field{Name: huge, Value: huge}
		args[i] = huge
	}
	content := append([]byte("\x7fELF"), huge...)
	r := one(t, func(l *decoy.Limits) { l.File = 1000 }, func(_ context.Context, s *decoy.Session) error {
		s.Identify(huge, observe.Fingerprints{JA3: huge, JA4: huge, HASSH: huge, SNI: huge, ALPN: huge})
		s.Identify("", observe.Fingerprints{})
		return errors.Join(
			s.Auth(observe.AuthAttempt{Method: "password", User: huge, Password: huge, Key: huge}), s.Command(huge, huge),
			s.HTTP(observe.HTTPRequest{Method: huge, Target: huge, Proto: huge, Host: huge, Headers: many, Body: []byte(huge)}, []byte(huge)),
			s.File(observe.FileEvent{Path: huge, How: huge, Size: int64(len(content))}, content), s.Fetch(huge, huge), s.Forward(huge, huge),
			s.Call(observe.APICall{Operation: huge, Args: args, Detail: huge}, []byte(huge)),
			s.Exchange(observe.Exchange{Prompt: huge, Answer: huge, Model: huge, System: huge, Options: huge, Route: huge, Key: huge}, []byte(huge)))
	})
	r.Visit(nil)
	all := r.Quiet(1)
	if len(all) != 9 {
		t.Errorf("%d observations, want 9", len(all))
	}
	for _, o := range all {
		if o.File != nil && (o.File.Type != "elf" || !o.File.Capped || o.Evidence[0].Size != 1000 || o.File.Size != int64(len(content))) {
			t.Errorf("file %s", decoytest.Brief(&o))
		}
		if o.Interaction != nil && (len(o.Interaction.Client) != 256 || len(o.Interaction.Prints.SNI) != 253) {
			t.Errorf("client of %d bytes", len(o.Interaction.Client))
		}
	}
	if st := r.Runner.Stats(); st.Errors+st.Panics != 0 {
		t.Errorf("%+v", st)
	}
}

func TestEventsLimit(t *testing.T) {
	var errs []error
	r := one(t, func(l *decoy.Limits) { l.Events = 5 }, func(_ context.Context, s *decoy.Session) error {
		for range 8 {
			errs = append(errs, s.Command("root", "id"))
		}
		return nil
	})
	r.Visit(nil)
	all := r.Quiet(1)
	if len(all) != 6 || errs[4] != nil || !errors.Is(errs[5], decoy.ErrLimit) {
		t.Errorf("%d observations, errors %v", len(all), errs)
	}
	if st := r.Runner.Stats(); st.Dropped != 3 {
		t.Errorf("%+v, want three dropped", st)
	}
}

// The memory all visitors share is given back when they leave.
func TestHold(t *testing.T) {
	const part = 100 << 20
	taken := make(chan [2]bool, 1)
	r := one(t, nil, func(_ context.Context, s *decoy.Session) error {
		ok := [2]bool{s.Hold(part), s.Hold(2 * part)}
		select {
		case taken <- ok:
		default:
		}
		return nil
	})
	for i := range 5 {
		r.Visit(nil)
		if got := <-taken; got != [2]bool{true, false} {
			t.Fatalf("visit %d was given %v of 100 and 200 MiB", i, got)
		}
		wait(t, "the visitor to have left", func() bool { return r.Runner.Stats().Active == 0 })
	}
}
