package tcp

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(edit func(*Config)) func(testing.TB) decoy.Service {
	return func(t testing.TB) decoy.Service {
		c := Default()
		c.Pause = 100 * time.Millisecond
		if edit != nil {
			edit(&c)
		}
		v, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSuite(t *testing.T) { decoytest.Run(t, build(nil), decoytest.Dialogues(12)) }

func TestBanner(t *testing.T) {
	r := decoytest.Start(t, build(func(c *Config) { c.Banner = `220 {host} FTP ready\r\n` })(t), decoytest.Persona(), decoytest.Limits())
	want := "220 " + decoytest.Persona().Hostname + " FTP ready\r\n530 Please login with USER and PASS.\r\n"
	if got := r.Visit([]byte("USER anonymous\r\n")); string(got) != want {
		t.Errorf("said %q, want %q", got, want)
	}
	end := decoytest.Ends(r.Quiet(1))[0].Interaction
	if end.Protocol != "ftp" || string(end.First) != "USER anonymous\r\n" {
		t.Errorf("reported %q, protocol %q", end.First, end.Protocol)
	}
}

func TestSilence(t *testing.T) {
	r := decoytest.Start(t, build(func(c *Config) { c.Answer = false })(t), decoytest.Persona(), decoytest.Limits())
	if got := r.Visit([]byte("GET / HTTP/1.1\r\n\r\n")); len(got) > 0 {
		t.Errorf("said %q though answers are off", got)
	}
}

func TestPauseEnds(t *testing.T) {
	r := decoytest.Start(t, build(nil)(t), decoytest.Persona(), decoytest.Limits())
	c := r.Dial()
	defer c.Close()
	if _, err := c.Write([]byte("\x00\x01\x02 what is this")); err != nil {
		t.Fatal(err)
	}
	end := decoytest.Ends(r.Quiet(1))[0].Interaction
	if end.Duration > 3 || end.BytesIn != 16 {
		t.Errorf("ended after %.2f s with %d bytes", end.Duration, end.BytesIn)
	}
}

func TestHeardEnough(t *testing.T) {
	r := decoytest.Start(t, build(nil)(t), decoytest.Persona(), decoytest.Limits())
	got := r.Visit([]byte("GET /" + strings.Repeat("a", 200<<10) + " HTTP/1.1\r\n\r\n"))
	if !strings.HasPrefix(string(got), "HTTP/1.1 404") {
		t.Errorf("a talkative visitor got %q", got)
	}
	if end := decoytest.Ends(r.Quiet(1))[0].Interaction; end.BytesIn < 4<<10 || end.BytesIn > 16<<10 {
		t.Errorf("%d bytes were listened to", end.BytesIn)
	}
}

func TestConfig(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"wait":     func(c *Config) { c.Wait = 0 },
		"pause":    func(c *Config) { c.Pause = -1 },
		"protocol": func(c *Config) { c.Answers = map[string]string{"htpt": "x"} },
		"long":     func(c *Config) { c.Banner = strings.Repeat("x", maxText+1) },
		"answer":   func(c *Config) { c.Answers = map[string]string{"http": strings.Repeat("x", maxText+1)} },
	} {
		c := Default()
		edit(&c)
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "check tcp decoy: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// An answer to a protocol nobody guesses would never be heard.
func TestAnswersAreReachable(t *testing.T) {
	for name := range plausible(decoytest.Persona()) {
		if !slices.Contains(decoy.Protocols(), name) {
			t.Errorf("nothing is guessed to be %q", name)
		}
	}
}
