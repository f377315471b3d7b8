package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell/interp"
)

var (
	born = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// record is a Sink that remembers.
type record struct {
	mu        sync.Mutex
	commands  []string
	downloads []string
	files     []string
	bytes     int64
}

func (r *record) Command(l string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = append(r.commands, l)
}

func (r *record) Download(u, tool string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.downloads = append(r.downloads, tool+" "+u)
}

func (r *record) File(p string, content []byte, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += int64(len(content))
	r.files = append(r.files, fmt.Sprintf("%s %s %d", how, p, len(content)))
}

func (r *record) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(append(append(append([]string{}, r.commands...), r.downloads...), r.files...), "\n")
}

// testPersona is Debian 12 with a fixed name, so that dialogues are stable.
func testPersona(t testing.TB) *persona.Persona {
	t.Helper()
	return debian()
}

var debian = sync.OnceValue(func() *persona.Persona {
	for i := range 500 {
		if p := persona.New([32]byte{byte(i), byte(i >> 8)}, born); p.Distro.Codename == "bookworm" {
			return p
		}
	}
	panic("no seed gives Debian 12")
})

func testShell(t testing.TB, limits interp.Limits) (*interp.Shell, *record) {
	t.Helper()
	if limits.Sleep == 0 {
		limits.Sleep = time.Nanosecond // pretend all waiting
	}
	rec := &record{}
	return New(testPersona(t), "root", limits, rec, func() time.Time { return noon }), rec
}

func run(s *interp.Shell, line string) (string, int) {
	var out bytes.Buffer
	code, _ := s.Run(context.Background(), line, nil, &out, &out)
	return out.String(), code
}

// archive reads the txtar format (golang.org/x/tools/txtar), of which only
// file sections are needed here.
func archive(t testing.TB, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	name := ""
	for _, l := range strings.SplitAfter(string(b), "\n") {
		if h := strings.TrimSpace(l); strings.HasPrefix(h, "-- ") && strings.HasSuffix(h, " --") {
			name = strings.TrimSpace(h[3 : len(h)-3])
			if _, dup := out[name]; dup {
				t.Fatalf("%s: section %s twice", path, name)
			}
			out[name] = ""
			continue
		}
		if name != "" {
			out[name] += l
		}
	}
	return out
}

type rw struct {
	io.Reader
	io.Writer
}
