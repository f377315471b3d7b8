package docker

import (
	"container/list"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/model"
)

// Caps on what one visitor can make grow, and on all of them together.
const (
	maxContainers = 32
	maxExecs      = 32
	maxImages     = 32
	maxOutput     = 32 << 10 // of one container, kept for logs and attach
	maxShells     = 64       // containers that have files of their own, of all visitors
	maxKept       = 64 << 20 // bytes of all visitors
)

// store remembers engines by visitor, newest last, and forgets the oldest.
type store struct {
	max int

	mu     sync.Mutex
	order  *list.List // of *engine
	byPeer map[netip.Prefix]*list.Element
	kept   int
	shells []*container // with files, oldest first
}

func newStore(max int) *store {
	return &store{max: max, order: list.New(), byPeer: map[netip.Prefix]*list.Element{}}
}

// engine is the engine as one visitor has changed it.
type engine struct {
	store *store
	peer  netip.Prefix

	mu         sync.Mutex
	containers []*container
	execs      []*execution
	images     []image
	size       int // bytes counted in store.kept; guarded by store.mu
}

// engine returns the engine that a visitor sees.
func (st *store) engine(s *decoy.Session) *engine {
	return st.of(model.ActorPrefix(s.Remote().Addr()), s.Persona())
}

func (st *store) of(peer netip.Prefix, p *persona.Persona) *engine {
	st.mu.Lock()
	defer st.mu.Unlock()
	if e, ok := st.byPeer[peer]; ok {
		st.order.MoveToBack(e)
		return e.Value.(*engine)
	}
	e := &engine{store: st, peer: peer}
	e.furnish(p)
	st.byPeer[peer] = st.order.PushBack(e)
	for st.order.Len() > st.max {
		st.forget(st.order.Front())
	}
	return e
}

// forget drops an engine, under st.mu. Who still uses it does so alone.
func (st *store) forget(el *list.Element) {
	e := st.order.Remove(el).(*engine)
	delete(st.byPeer, e.peer)
	st.kept -= e.size
	e.size = 0
}

// keep counts n bytes for an engine and makes room for them.
func (e *engine) keep(n int) {
	st := e.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if el, ok := st.byPeer[e.peer]; !ok || el.Value != e {
		return // forgotten meanwhile
	}
	e.size += n
	st.kept += n
	for st.kept > maxKept && st.order.Len() > 1 && st.order.Front().Value != e {
		st.forget(st.order.Front())
	}
}

// housed notes that a container has files now; the oldest such one loses its own.
func (st *store) housed(c *container) {
	st.mu.Lock()
	st.shells = append(st.shells, c)
	var old *container
	if len(st.shells) > maxShells {
		old = st.shells[0]
		st.shells = append(st.shells[:0], st.shells[1:]...)
	}
	st.mu.Unlock()
	if old != nil {
		old.evict()
	}
}

// image is an image the engine has.
type image struct {
	name    string // with tag
	id      string // "sha256:…"
	digest  string
	created time.Time
	size    int64
}

// furnish puts the persona's containers into a new engine.
func (e *engine) furnish(p *persona.Persona) {
	for _, c := range p.Containers {
		x := &container{engine: e, id: c.ID, name: c.Name, imageID: c.ImageID, created: c.Created, started: c.Created.Add(time.Second), state: "running", resident: true, ports: c.Ports}
		x.spec.Image = c.Image
		x.spec.Entrypoint = strings.Fields(whole(c.Command))
		e.containers = append(e.containers, x)
		e.images = append(e.images, imageOf(p, c.Image, c.ImageID))
	}
}

// whole completes a command line that the persona has as docker ps cuts it.
func whole(cut string) string {
	for _, w := range [...]string{"docker-entrypoint.sh", "/docker-entrypoint.sh"} {
		for n := len(w) - 1; n > len(w)/2; n-- {
			if head, ok := strings.CutSuffix(cut, w[:n]+"…"); ok {
				return head + w
			}
		}
	}
	return strings.TrimSuffix(cut, "…")
}

// imageOf invents what an image would look like.
func imageOf(p *persona.Persona, name, id string) image {
	b := p.Derive("docker image "+cut(name, 300), 80)
	if id == "" {
		id = "sha256:" + hexOf(b[:32])
	}
	return image{name: name, id: id, digest: "sha256:" + hexOf(b[32:64]), size: 7_000_000 + int64(b[64])<<18 + int64(b[65]),
		created: p.InstalledAt.Add(-time.Duration(b[66]) * 3 * time.Hour).UTC()}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// newID is the id of something new.
func (e *engine) newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // cannot fail
	return hexOf(b[:])
}

// container finds one by id, beginning of an id, or name. e.mu is held.
func (e *engine) container(name string) *container {
	name = strings.TrimPrefix(name, "/")
	for _, c := range e.containers {
		if c.id == name || c.name == name {
			return c
		}
	}
	for _, c := range e.containers {
		if len(name) >= 1 && len(name) < 64 && strings.HasPrefix(c.id, name) {
			return c
		}
	}
	return nil
}

// image finds one by name, with or without tag, or id. e.mu is held.
func (e *engine) image(name string) (image, bool) {
	for _, i := range e.images {
		if i.name == canonical(name) || i.id == name || i.id == "sha256:"+name || len(name) >= 4 && strings.HasPrefix(i.id, "sha256:"+name) {
			return i, true
		}
	}
	return image{}, false
}

// canonical is the short form of an image's name, with its tag.
func canonical(name string) string {
	for _, p := range []string{"docker.io/library/", "docker.io/", "index.docker.io/", "library/"} {
		if rest, ok := strings.CutPrefix(name, p); ok {
			name = rest
			break
		}
	}
	if strings.Contains(name, "@") {
		return name
	}
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, '/') {
		name += ":latest"
	}
	return name
}
