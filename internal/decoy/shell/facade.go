// Package shell emulates a POSIX shell with a virtual file system for decoys
// that give a visitor a prompt (SSH, telnet).
//
// Nothing a visitor types touches the machine: there is no process, no socket
// and no real file behind it, and neither this package nor those below it
// import anything that could make one. It is not a sandbox for running
// programs; it is an interpreter of its own whose commands only pretend.
// Everything a visitor can make grow has a limit in Limits.
//
// The parts: syntax (grammar, patterns, arithmetic), vfs (files), interp
// (sessions, expansion, execution, terminal), tools (commands on text and
// files), system (commands about the machine, network and administration).
// This package builds the machine they show from a persona.
package shell

import (
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/vfs"
)

// The types a decoy meets; their documentation is where they are declared.
type (
	Shell  = interp.Shell
	Limits = interp.Limits
	Sink   = interp.Sink
	FS     = vfs.FS
	File   = vfs.File
	Owner  = vfs.Owner
)

// DefaultLimits suit a decoy that serves hundreds of sessions at once.
func DefaultLimits() Limits { return interp.DefaultLimits() }

// New starts a session of user (unknown names get an ordinary account). clock
// is the wall clock. Close must be called at the end of the session.
func New(p *persona.Persona, user string, limits Limits, sink Sink, clock func() time.Time) *Shell {
	img := p.Shared("shell image", func() any { return buildImage(p) }).(*interp.Image)
	return interp.Start(p, img, user, limits, sink, clock)
}
