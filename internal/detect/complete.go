package detect

import (
	"slices"
	"time"
	"unicode/utf8"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Caps on what a signal that waits may gather, well below those of the model:
// there can be as many of them as there are keys.
const (
	maxWaitEvidence = 4
	maxWaitRelated  = 16
)

// complete makes a signal of its own from what a detector left in its scratch.
func (e *Engine) complete(s *model.Signal, k key, now time.Time) model.Signal {
	full := *s
	full.Time, full.Sensor, full.Spoofable = now, k.sensor, k.spoofable
	full.Count = max(full.Count, 1)
	full.Techniques = slices.Clone(clamp(s.Techniques, model.MaxTechniques))
	full.Related = slices.Clone(clamp(s.Related, model.MaxRelated))
	if o := e.obs; o != nil {
		if full.Actor.IsZero() {
			full.Actor = model.AddrEntity(o.Remote.Addr())
		}
		if full.Address == "" {
			full.Address = o.Remote.Addr().Unmap().WithZone("").String()
		}
		if full.Asset == (model.AssetRef{}) {
			full.Asset = model.AssetRef{Kind: "decoy", Name: Clean(o.Decoy, 128)}
			if o.Decoy == "" { // from a log
				full.Asset = model.AssetRef{Kind: "service", Name: Clean(o.Service, 128)}
			}
		}
		full.Evidence = evidence(o, s.Evidence, now)
	} else {
		full.Evidence = slices.Clone(clamp(s.Evidence, model.MaxEvidence))
	}
	return full
}

func clamp[T any](s []T, n int) []T { return s[:min(len(s), n)] }

// evidence points at what an observation was concluded from: its stored bytes
// if there are any, with the text the detector quoted, else the observation's
// own telling part.
func evidence(o *observe.Observation, quoted []model.Evidence, now time.Time) []model.Evidence {
	what, text := summary(o)
	excerpt := ""
	if len(quoted) > 0 && quoted[0].Excerpt != "" {
		excerpt = Clean(quoted[0].Excerpt, model.MaxExcerpt)
	} else {
		excerpt = Clean(text, model.MaxExcerpt)
	}
	out := make([]model.Evidence, 0, 1+len(o.Evidence))
	for _, b := range clamp(o.Evidence, observe.MaxBlobs) {
		if len(b.SHA256) == 64 {
			out = append(out, model.Evidence{Session: o.Session, Time: now, What: Clean(b.What, 64), Blob: Clean(b.SHA256, 64)})
		}
	}
	if len(out) == 0 {
		out = append(out, model.Evidence{Session: o.Session, Time: now, What: what})
	}
	out[0].Excerpt = excerpt
	return out
}

// summary says in a few words what an observation is and quotes its telling
// part. Passwords are left out: a person who mistyped a name of ours must not
// find theirs in a signal that travels; it stays in the stored evidence.
func summary(o *observe.Observation) (what, text string) {
	switch {
	case o.Interaction != nil:
		if len(o.Interaction.First) > 0 {
			return "first-bytes", string(clamp(o.Interaction.First, 2*model.MaxExcerpt))
		}
		return "connection", o.Interaction.Client
	case o.Auth != nil:
		return "credential", o.Auth.Method + " for " + clampText(o.Auth.User)
	case o.Command != nil:
		return "command", o.Command.Line
	case o.HTTP != nil:
		return "request", clampText(o.HTTP.Method) + " " + clampText(o.HTTP.Target)
	case o.File != nil:
		return "file", o.File.How + " " + clampText(o.File.Path)
	case o.Fetch != nil:
		return "fetch", o.Fetch.Tool + " " + clampText(o.Fetch.URL)
	case o.Forward != nil:
		return "forward", o.Forward.Kind + " " + clampText(o.Forward.Target)
	case o.Call != nil:
		t := clampText(o.Call.Operation)
		for _, a := range clamp(o.Call.Args, 16) {
			if t += " " + clampText(a); len(t) > 2*model.MaxExcerpt {
				break
			}
		}
		return "call", t
	case o.Exchange != nil:
		if o.Exchange.Prompt == "" {
			return "exchange", clampText(o.Exchange.Route)
		}
		return "prompt", o.Exchange.Prompt
	}
	return "observation", ""
}

func clampText(s string) string { return s[:min(len(s), 2*model.MaxExcerpt)] }

// Clean makes text from outside fit to store and to show on a terminal: only
// printable characters, everything else (control and format characters, bidi
// overrides, broken UTF-8) as \xHH or \u{H}, cut to at most max bytes between
// characters.
func Clean(s string, max int) string {
	if plain(s) {
		if len(s) <= max {
			return s
		}
		return s[:max]
	}
	b := make([]byte, 0, min(len(s)*2, max))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		was := len(b)
		b = appendClean(b, r, s[i:i+n])
		if len(b) > max {
			b = b[:was]
			break
		}
		i += n
	}
	return string(b)
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// merge adds what waited into the newer signal s.
func merge(s, old *model.Signal) {
	s.Count += old.Count
	for _, r := range old.Related {
		if len(s.Related) >= model.MaxRelated {
			break
		}
		if !slices.Contains(s.Related, r) {
			s.Related = append(s.Related, r)
		}
	}
	room := model.MaxEvidence - len(s.Evidence)
	s.Evidence = append(s.Evidence, clamp(old.Evidence, room)...)
}

// hold adds a conclusion to what waits in n.
func (e *Engine) hold(s *model.Signal, n *entry, k key, now time.Time) {
	if n.wait == nil {
		full := e.complete(s, k, now)
		full.Evidence = clamp(full.Evidence, maxWaitEvidence)
		full.Related = clamp(full.Related, maxWaitRelated)
		n.wait = &full
		if !n.listed {
			n.listed = true
			e.list(k)
		}
		e.charge(n, sizeOf(&full))
		return
	}
	w := n.wait
	w.Count += max(s.Count, 1)
	if now.After(w.Time) {
		w.Time = now
	}
	if s.Confidence >= w.Confidence {
		w.Title, w.Confidence, w.Severity = s.Title, s.Confidence, max(s.Severity, w.Severity)
	}
	grown := 0
	for _, r := range s.Related {
		if len(w.Related) < maxWaitRelated && !slices.Contains(w.Related, r) {
			w.Related = append(w.Related, r)
			grown += 40 + len(r.Value())
		}
	}
	// The first pieces of evidence and the newest with bytes behind it are kept; in between the count tells.
	if room := maxWaitEvidence - len(w.Evidence); e.obs != nil && (room > 0 || len(e.obs.Evidence) > 0) {
		ev := evidence(e.obs, s.Evidence, now)
		if room == 0 {
			last := len(w.Evidence) - 1
			grown -= 120 + len(w.Evidence[last].Excerpt)
			w.Evidence, room = w.Evidence[:last], 1
		}
		ev = clamp(ev, room)
		w.Evidence = append(w.Evidence, ev...)
		for i := range ev {
			grown += 120 + len(ev[i].Excerpt)
		}
	}
	if grown != 0 {
		e.charge(n, grown)
	}
}

// charge accounts for bytes that wait and makes room when there are too many.
func (e *Engine) charge(n *entry, grown int) {
	n.bytes += grown
	e.bytes += grown
	if e.bytes <= e.opts.MaxBytes {
		return
	}
	// The oldest sums go out early; n itself is the newest and stays.
	for _, k := range e.waiting {
		if m := e.keys.Peek(k); m != nil && m != n {
			e.flush(m)
		}
		if e.bytes <= e.opts.MaxBytes/2 {
			break
		}
	}
	e.compact()
}

// list notes that k waits. Keys that were evicted and came back can be in the
// list twice; a caller that never ticks must not make it grow for ever.
func (e *Engine) list(k key) {
	e.waiting = append(e.waiting, k)
	if len(e.waiting) > 2*e.keys.Len()+chunkLen {
		e.compact()
	}
}

// compact forgets keys that no longer wait and keeps each of the others once.
func (e *Engine) compact() {
	for _, k := range e.waiting {
		if n := e.keys.Peek(k); n != nil {
			n.listed = false
		}
	}
	e.waiting = slices.DeleteFunc(e.waiting, func(k key) bool {
		n := e.keys.Peek(k)
		if n == nil || n.wait == nil || n.listed {
			return true
		}
		n.listed = true
		return false
	})
}

func sizeOf(s *model.Signal) int {
	n := 512
	for i := range s.Related {
		n += 40 + len(s.Related[i].Value())
	}
	for i := range s.Evidence {
		n += 120 + len(s.Evidence[i].Excerpt)
	}
	return n
}
