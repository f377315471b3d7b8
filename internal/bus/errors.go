package bus

import (
	"errors"
	"fmt"
)

// Errors that callers branch on, with errors.Is.
var (
	// ErrNoSpace: the disk below the store is (nearly) full or the store has reached its own cap. Nothing was lost
	// that had been acknowledged; free space and publish again, no restart is needed.
	ErrNoSpace = errors.New("no space left for the event store")
	// ErrStore: the store could not be written for another reason than space (I/O error, read-only file system).
	ErrStore = errors.New("the event store cannot be written")
	// ErrLocked: another process has the data folder open.
	ErrLocked = errors.New("data folder is in use")
	// ErrClosed: the bus has been closed.
	ErrClosed = errors.New("bus is closed")
	// ErrNotFound: no such key or blob (never stored, deleted or expired).
	ErrNotFound = errors.New("not found")
	// ErrRevision: a compare-and-swap met another revision than the one it was told.
	ErrRevision = errors.New("revision has changed")
	// ErrTooLarge: a value exceeds what one message or the blob limit may hold.
	ErrTooLarge = errors.New("value is too large")
	// ErrCorrupt: stored bytes do not hash to their name any more.
	ErrCorrupt = errors.New("stored bytes are corrupt")
)

// VersionError says that a stored message has a schema version this program cannot read. It is never skipped and
// never moved aside: an older program must not eat what a newer one wrote.
type VersionError struct {
	Schema       string
	Got, Known   int
	Stream       string
	Seq          uint64
	NoConversion bool // the message is older, and no upcaster is registered for its version
}

func (e *VersionError) Error() string {
	if e.NoConversion {
		return fmt.Sprintf("read %s message %d: schema %s version %d is older than this program's version %d and no conversion is known; upgrade in smaller steps",
			e.Stream, e.Seq, e.Schema, e.Got, e.Known)
	}
	return fmt.Sprintf("read %s message %d: schema %s version %d is newer than this program, which knows version %d; run a newer program",
		e.Stream, e.Seq, e.Schema, e.Got, e.Known)
}

// DecodeError says that a stored message is not what its topic promises (wrong schema, broken JSON, missing header).
type DecodeError struct {
	Stream string
	Seq    uint64
	Err    error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode %s message %d: %v", e.Stream, e.Seq, e.Err)
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }
