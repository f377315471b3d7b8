package login

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/shell"
	"bartizan/internal/observe"
)

// maxSeen bounds what is remembered to report a file once.
const maxSeen = 256

// Visitor is somebody who has been let in: a shell.Sink that reports what they
// do as observations of their session. It is safe for concurrent use.
type Visitor struct {
	s    *decoy.Session
	user string
	end  func()

	mu   sync.Mutex
	seen map[[sha256.Size]byte]struct{}
}

var _ shell.Sink = (*Visitor)(nil)

// NewVisitor reports what user does; end is called, perhaps often, once the
// session has used up what it may report, and must not block.
func NewVisitor(s *decoy.Session, user string, end func()) *Visitor {
	return &Visitor{s: s, user: user, end: end, seen: map[[sha256.Size]byte]struct{}{}}
}

func (v *Visitor) saw(err error) {
	if err != nil {
		v.end()
	}
}

// Command implements shell.Sink.
func (v *Visitor) Command(line string) { v.saw(v.s.Command(v.user, line)) }

// Download implements shell.Sink.
func (v *Visitor) Download(url, tool string) { v.saw(v.s.Fetch(url, tool)) }

// File implements shell.Sink. The same content under the same name is reported once.
func (v *Visitor) File(path string, content []byte, how string) {
	sum := sha256.Sum256(content)
	h := sha256.New()
	h.Write(sum[:])
	h.Write([]byte(path))
	key := [sha256.Size]byte(h.Sum(nil))
	v.mu.Lock()
	_, known := v.seen[key]
	known = known || len(v.seen) >= maxSeen
	if !known {
		v.seen[key] = struct{}{}
	}
	v.mu.Unlock()
	if known {
		return
	}
	v.saw(v.s.File(observe.FileEvent{Path: path, How: how, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}, content))
}
