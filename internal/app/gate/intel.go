package gate

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bartizan/internal/guard"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/records"
)

// Intel is what a gateway knows of hosts and URLs: the indicators of its node, and lists. Every answer comes
// from memory. It implements guard.Known.
type Intel struct {
	store *intel.Store // nil: there is no node
	log   *slog.Logger

	lists   []string
	feeds   atomic.Pointer[intel.Feeds] // nil: no lists
	stamps  string                      // of the files as they were read
	version atomic.Uint64

	mu      sync.Mutex
	hostile map[model.Entity]told // those whose confidence was seen above doubt
}

// told is the confidence that was news last.
type told struct {
	hundredths int
	at         time.Time
}

const (
	doubt      = 0.5              // below it nothing that changes makes a difference
	lookEvery  = time.Second / 2  // at the files of lists
	decays     = 10 * time.Minute // confidence is lost slowly: after so long an answer is asked for again
	maxHostile = 100_000
)

// NewIntel reads the lists. store may be nil.
func NewIntel(store *intel.Store, lists []string, log *slog.Logger) (*Intel, error) {
	k := &Intel{store: store, lists: lists, log: log, hostile: map[model.Entity]told{}}
	k.stamps = k.stamp()
	if len(lists) == 0 {
		return k, nil
	}
	f, err := k.load()
	if err != nil {
		return nil, err
	}
	k.feeds.Store(f)
	return k, nil
}

func (k *Intel) load() (*intel.Feeds, error) {
	f, reports, err := records.LoadFeeds(k.lists, nil)
	if err != nil {
		return nil, fmt.Errorf("read gateway.lists: %w", err)
	}
	for _, r := range reports {
		k.log.Info("a list of the gateway was read", "list", r.Name, "indicators", r.Indicators, "unusable", r.Unusable)
	}
	return f, nil
}

// stamp says how the files are, so that a change is seen.
func (k *Intel) stamp() string {
	var b strings.Builder
	for _, name := range k.lists {
		if at := strings.LastIndexByte(name, '@'); at > 0 {
			if _, err := os.Stat(name); err != nil {
				name = name[:at]
			}
		}
		if i, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d;", i.Size(), i.ModTime().UnixNano())
		} else {
			b.WriteString("gone;")
		}
	}
	return b.String()
}

// Run reads lists again when they have changed, until ctx ends. One that cannot be read
// leaves what was known before in force.
func (k *Intel) Run(ctx context.Context) error {
	if len(k.lists) == 0 {
		return nil
	}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now := k.stamp()
		if now == k.stamps {
			continue
		}
		k.stamps = now
		f, err := k.load()
		if err != nil {
			k.log.Error("a list of the gateway cannot be read; what it said before stays in force", "error", err)
			continue
		}
		k.feeds.Store(f)
		k.version.Add(1)
	}
}

// Changed is told which indicators of the node have changed. News is what may make another
// answer: each route says itself how sure this must be, in hundredths, so that a second
// signal about the same thing counts when it makes it surer. One that is repeated does not:
// whoever repeats it would have every text looked at again.
func (k *Intel) Changed(list []model.Entity, now time.Time) {
	news := false
	for _, e := range list {
		switch e.Type() {
		case model.TypeIP, model.TypeDomain, model.TypeURL:
		default:
			continue
		}
		ind, ok := k.store.Get(e, now)
		k.mu.Lock()
		was, known := k.hostile[e]
		hundredths := int(ind.Confidence*100 + 1e-9)
		switch sure := ok && ind.Confidence >= doubt; {
		case sure && (!known || hundredths > was.hundredths || now.Sub(was.at) >= decays):
			if !known && len(k.hostile) >= maxHostile {
				clear(k.hostile)
			}
			k.hostile[e], news = told{hundredths, now}, true
		case !sure && known:
			delete(k.hostile, e)
			news = true
		}
		k.mu.Unlock()
	}
	if news {
		k.version.Add(1)
	}
}

// Version implements guard.Known: both terms only grow.
func (k *Intel) Version() uint64 {
	if f := k.feeds.Load(); (f == nil || f.Len() == 0) && (k.store == nil || k.store.Len() == 0) {
		return 0
	}
	return k.version.Load() + uint64(time.Now().UnixNano()/int64(decays))
}

// Host implements guard.Known.
func (k *Intel) Host(name string) (w guard.Word, ok bool) {
	now, f := time.Now(), k.feeds.Load()
	if a, err := netip.ParseAddr(name); err == nil {
		if k.store != nil {
			for _, ind := range k.store.Lookup(a, now) {
				w, ok = surer(w, ok, wordOf(&ind), true)
			}
		}
		if f != nil {
			hit, found := f.Address(a, 0, now)
			w, ok = surer(w, ok, wordFrom(&hit, found), found)
		}
		return w, ok
	}
	if f != nil {
		hit, found := f.Domain(name, now)
		w, ok = surer(w, ok, wordFrom(&hit, found), found)
	}
	if k.store == nil {
		return w, ok
	}
	for n := name; strings.Contains(n, "."); _, n, _ = strings.Cut(n, ".") { // a top-level domain is nobody's
		e, err := model.ParseEntity(model.TypeDomain, n)
		if err != nil {
			continue
		}
		if ind, found := k.store.Get(e, now); found {
			w, ok = surer(w, ok, wordOf(&ind), true)
		}
	}
	return w, ok
}

// URL implements guard.Known.
func (k *Intel) URL(u string) (w guard.Word, ok bool) {
	f := k.feeds.Load()
	if k.store == nil && (f == nil || !f.Has(model.TypeURL)) {
		return w, false
	}
	e, err := model.ParseEntity(model.TypeURL, u)
	if err != nil {
		return w, false
	}
	now := time.Now()
	if f != nil {
		hit, found := f.Entity(e, now)
		w, ok = surer(w, ok, wordFrom(&hit, found), found)
	}
	if k.store != nil {
		if ind, found := k.store.Get(e, now); found {
			w, ok = surer(w, ok, wordOf(&ind), true)
		}
	}
	return w, ok
}

func surer(a guard.Word, oka bool, b guard.Word, okb bool) (guard.Word, bool) {
	if okb && (!oka || b.Confidence > a.Confidence) {
		return b, true
	}
	return a, oka
}

func wordOf(ind *model.Indicator) guard.Word {
	from := fmt.Sprintf("%d signals of this node", len(ind.Signals))
	if len(ind.Behaviours) > 0 {
		from = strings.Join(ind.Behaviours[:min(len(ind.Behaviours), 3)], ", ") + ", " + from
	}
	return guard.Word{What: string(ind.Entity.Type()) + " " + ind.Entity.Value(), Confidence: ind.Confidence, From: from}
}

func wordFrom(h *intel.Hit, ok bool) guard.Word {
	if !ok {
		return guard.Word{}
	}
	w := guard.Word{What: string(h.Entity.Type()) + " " + h.Entity.Value(), Confidence: h.Confidence, From: "a list"}
	if len(h.From) > 0 {
		p := &h.From[0]
		w.From = cmp.Or(strings.TrimSpace(fmt.Sprintf("list %s line %d %s", p.Feed, p.Line, p.Note)), w.From)
	}
	return w
}
