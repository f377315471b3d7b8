package guard

// Known is what is known of hosts and URLs to be hostile. It answers from memory, at once, and is
// safe for concurrent use.
type Known interface {
	// Host looks for a name in lower case, or one that it belongs to, or for an address.
	Host(name string) (Word, bool)
	// URL looks for exactly this one, whatever the case of its scheme and host.
	URL(u string) (Word, bool)
	// Version grows whenever an answer may have become another one. 0: nothing is known, and
	// nobody needs to look for names.
	Version() uint64
}

// Word is what is known of something.
type Word struct {
	What       string  // what is known: "domain evil.example", for people
	Confidence float64 // that it is hostile, 0 to 1
	From       string  // who says so, for people; may hold hostile text
}

// Informed is an Inspector that asks what is known.
type Informed interface {
	// Inform is called once, before the first text.
	Inform(Known)
}

// Inform tells the inspectors what is known. It must be called before the first text.
func (e *Engine) Inform(k Known) {
	for _, in := range e.inspectors {
		if i, ok := in.Inspector.(Informed); ok {
			i.Inform(k)
			e.known = k
		}
	}
}

// version is that of what is known; 0: nothing is asked for.
func (e *Engine) version() uint64 {
	if e.known == nil {
		return 0
	}
	return e.known.Version()
}
