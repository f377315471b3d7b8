package secret

// Whoever was refused a secret once asks for it again, in other ways. A conversation of
// which an answer was certainly a secret, or parts of one, is suspect for a while: it may
// hold less of what nothing explains, all sorts of it together. What is only unexplained
// makes nobody suspect: ids and hashes in an ordinary conversation are.
const (
	suspectFor   = 64   // answers
	suspectShare = 0.25 // of what answers may hold of what nothing explains
)

// suspects notes that a secret, or a part of one, was certainly found.
func (r *recall) suspects() { r.suspect = suspectFor }

// limit is what answers may hold of what nothing explains, and whether that is all sorts
// of it together.
func (s *scan) limit() (most float32, together bool) {
	if s.recall.suspect > 0 {
		return s.most * suspectShare, true
	}
	return s.most, false
}
