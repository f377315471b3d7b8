package jail

import (
	"errors"
	"fmt"
	"strings"
)

// Landlock says which parts of Landlock hold. ABI is the kernel's version, 0 when it has none.
type Landlock struct {
	ABI   int  `json:"abi"`
	FS    bool `json:"fs"`    // no file-system access at all
	Net   bool `json:"net"`   // no TCP bind or connect (ABI 4)
	Scope bool `json:"scope"` // no signals and no abstract unix sockets out of the jail (ABI 6)
}

// Report says what is in force around a child. Every field is the result of looking (an attempt that was refused, or
// what /proc says), not of having asked for it.
type Report struct {
	PID             int      `json:"pid"`
	User            string   `json:"user"`
	UID             int      `json:"uid"`
	OwnUser         bool     `json:"own_user"` // a user nobody else is, in particular not the parent
	NoNewPrivs      bool     `json:"no_new_privs"`
	NoCapabilities  bool     `json:"no_capabilities"`
	EmptyBounding   bool     `json:"empty_bounding"` // the capability bounding set too; needs a root parent
	Landlock        Landlock `json:"landlock"`
	Seccomp         bool     `json:"seccomp"`
	SeccompTripwire bool     `json:"seccomp_tripwire"` // calls only an intruder makes are announced to the parent
	Undumpable      bool     `json:"undumpable"`
	OpenFiles       uint64   `json:"open_files"`      // limit on descriptors
	MemoryBytes     int64    `json:"memory_bytes"`    // hard limit on data, 0 = none
	Verified        bool     `json:"verified"`        // the parent read the kernel's view of every thread and it agrees
	Missing         []string `json:"missing"`         // what is not in force, and what to do about it
	Notes           []string `json:"notes,omitempty"` // worth knowing, weakens nothing that is promised
}

// Strict returns nil when everything is in force, else an error that lists what is missing and what to do.
func (r Report) Strict() error {
	if len(r.Missing) == 0 {
		return nil
	}
	return errors.New("jail: not in full force: " + strings.Join(r.Missing, "; "))
}

// String is one line for the start-up log.
func (r Report) String() string {
	var on []string
	add := func(is bool, what string) {
		if is {
			on = append(on, what)
		}
	}
	add(r.OwnUser, fmt.Sprintf("own user %s (%d)", r.User, r.UID))
	add(!r.OwnUser, fmt.Sprintf("user %s (%d), shared with the parent", r.User, r.UID))
	add(r.NoNewPrivs, "no_new_privs")
	add(r.NoCapabilities, "no capabilities")
	if l := r.Landlock; l.ABI > 0 {
		var parts []string
		for _, p := range []struct {
			is   bool
			name string
		}{{l.FS, "files"}, {l.Net, "tcp"}, {l.Scope, "signals and sockets"}} {
			if p.is {
				parts = append(parts, p.name)
			}
		}
		on = append(on, fmt.Sprintf("landlock abi %d (%s)", l.ABI, strings.Join(parts, ", ")))
	}
	add(r.Seccomp, "seccomp")
	add(r.SeccompTripwire, "tripwire")
	s := strings.Join(on, ", ")
	if len(r.Missing) > 0 {
		s += "; MISSING: " + strings.Join(r.Missing, "; ")
	}
	return s
}

// judge fills Missing from the facts.
func (r *Report) judge() {
	r.Missing = []string{}
	miss := func(ok bool, what string) {
		if !ok {
			r.Missing = append(r.Missing, what)
		}
	}
	miss(r.OwnUser, "own user: start the node as root (it gives privileges up itself), or in a container map at least two users")
	miss(r.NoNewPrivs, "no_new_privs: needs Linux 3.5 or newer")
	miss(r.NoCapabilities, "no capabilities: the child kept some; start the node without ambient capabilities")
	l := r.Landlock
	switch {
	case l.ABI == 0:
		miss(false, "landlock: needs Linux 5.13 or newer with landlock in the boot parameter lsm= (see /sys/kernel/security/lsm)")
	default:
		miss(l.FS, "landlock files: the kernel offers it, but a file could still be opened")
		miss(l.Net, "landlock tcp: needs Linux 6.7 or newer (seccomp refuses the same calls)")
		miss(l.Scope, "landlock scopes: needs Linux 6.12 or newer (seccomp refuses the same calls)")
	}
	miss(r.Seccomp, "seccomp: needs a kernel with CONFIG_SECCOMP_FILTER; in a container allow the seccomp system call")
	miss(r.Undumpable, "not dumpable: other processes of the same user can read the child's memory")
}
