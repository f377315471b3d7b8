package shell

import (
	"time"

	"bartizan/internal/decoy/persona"
)

// New starts a session of user (unknown names get an ordinary account). clock
// is the wall clock. Close must be called at the end of the session.
func New(p *persona.Persona, user string, limits Limits, sink Sink, clock func() time.Time) *Shell {
	img := p.Shared("shell image", func() any { return buildImage(p) }).(*image)
	return start(p, img, user, limits, sink, clock)
}
