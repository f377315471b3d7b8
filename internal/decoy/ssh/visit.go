package ssh

import (
	"bufio"
	"io"
	"strings"
	"sync"

	"bartizan/internal/decoy/login"
	"bartizan/internal/decoy/shell"
)

// visit is the emulated host as one connection sees it: what one channel
// uploads another can run.
type visit struct {
	c     *conn
	guest *login.Visitor
	fault any // a panic of one of our goroutines; guarded by conn.mu

	mu   sync.Mutex
	root *shell.Shell // only owns the files; made with the first channel
}

func newVisit(c *conn) *visit {
	return &visit{c: c, guest: login.NewVisitor(c.s, c.user, c.wire.hangUp)}
}

// login starts a session of the user on the host.
func (v *visit) login() *shell.Shell {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		v.root = shell.New(v.c.s.Persona(), v.c.user, v.c.limits(), v.guest, v.c.s.Now)
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
