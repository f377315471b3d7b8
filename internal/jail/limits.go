package jail

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// raiseFiles raises the child's hard limit on descriptors, which only a parent with CAP_SYS_RESOURCE may do. Without it
// the child takes as many as it inherited; Report.OpenFiles tells.
func raiseFiles(pid int, want uint64) {
	var old unix.Rlimit
	if want == 0 || unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old) != nil || old.Max >= want {
		return
	}
	_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: want, Max: want}, nil)
}

// lowerLimits sets the resource limits of the calling process; nobody without privileges can raise them again, and the
// system call filter refuses to touch them.
func lowerLimits(h hello, ownUser bool) error {
	type limit struct {
		what int
		max  uint64
		name string
	}
	limits := []limit{
		{unix.RLIMIT_CORE, 0, "core"}, {unix.RLIMIT_FSIZE, 0, "file size"}, {unix.RLIMIT_MSGQUEUE, 0, "message queues"},
		{unix.RLIMIT_MEMLOCK, 0, "locked memory"}, {unix.RLIMIT_RTPRIO, 0, "real-time priority"},
	}
	if ownUser { // else the limit would count the operator's own processes
		limits = append(limits, limit{unix.RLIMIT_NPROC, h.Threads, "threads"})
	}
	if h.Memory > 0 {
		limits = append(limits, limit{unix.RLIMIT_DATA, uint64(h.Memory)*2 + 256<<20, "data"})
	}
	if h.OpenFiles > 0 {
		limits = append(limits, limit{unix.RLIMIT_NOFILE, h.OpenFiles, "descriptors"})
	}
	for _, l := range limits {
		var old unix.Rlimit
		if err := unix.Getrlimit(l.what, &old); err != nil {
			return fmt.Errorf("read limit of %s: %w", l.name, err)
		}
		l.max = min(l.max, old.Max)
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.max, Max: l.max}); err != nil {
			return fmt.Errorf("limit %s to %d: %w", l.name, l.max, err)
		}
	}
	return nil
}
