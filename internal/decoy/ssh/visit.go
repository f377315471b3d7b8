package ssh

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"sync"

	"bartizan/internal/decoy/shell"
	"bartizan/internal/observe"
)

// maxSeen bounds what is remembered to report a file once.
const maxSeen = 256

// visit is the emulated host as one connection sees it: what one channel
// uploads another can run.
type visit struct {
	c     *conn
	fault any // a panic of one of our goroutines; guarded by conn.mu

	mu   sync.Mutex
	root *shell.Shell // only owns the files; made with the first channel
	seen map[[sha256.Size]byte]bool
}

func newVisit(c *conn) *visit { return &visit{c: c, seen: map[[sha256.Size]byte]bool{}} }

// login starts a session of the user on the host.
func (v *visit) login() *shell.Shell {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		v.root = shell.New(v.c.s.Persona(), v.c.user, v.c.limits(), v, v.c.s.Now)
	}
	sh := v.root.Sibling(v.c.user)
	remote := v.c.s.Remote()
	sh.SetRemote(remote.Addr().String(), int(remote.Port()), "")
	return sh
}

// close ends the visit: what was written and not reported yet is now. A panic
// of one of its goroutines is raised for the runner to count.
func (v *visit) close() {
	if v.root != nil {
		v.root.Close()
	}
	if v.fault != nil {
		panic(v.fault)
	}
}

// Command implements shell.Sink.
func (v *visit) Command(line string) { v.c.saw(v.c.s.Command(v.c.user, line)) }

// Download implements shell.Sink.
func (v *visit) Download(url, tool string) { v.c.saw(v.c.s.Fetch(url, tool)) }

// File implements shell.Sink.
func (v *visit) File(path string, content []byte, how string) {
	sum := sha256.Sum256(content)
	h := sha256.New()
	h.Write(sum[:])
	io.WriteString(h, path)
	key := [sha256.Size]byte(h.Sum(nil))
	v.c.mu.Lock()
	known := v.seen[key] || len(v.seen) >= maxSeen
	if !known {
		v.seen[key] = true
	}
	v.c.mu.Unlock()
	if known {
		return
	}
	v.c.saw(v.c.s.File(observe.FileEvent{Path: path, How: how, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}, content))
}

// homeOf looks up where a user's relative paths start.
func homeOf(fs *shell.FS, user string) string {
	f, err := fs.Open("/etc/passwd")
	if err != nil {
		return "/"
	}
	lines := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for lines.Scan() {
		if e := strings.Split(lines.Text(), ":"); len(e) > 5 && e[0] == user {
			if info, err := fs.Stat(e[5]); err == nil && info.IsDir() {
				return e[5]
			}
		}
	}
	return "/"
}
