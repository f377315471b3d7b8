package jail

import (
	"fmt"
	"os"
	"strings"
)

// threadStatus is what /proc/PID/status says about a thread's privileges.
type threadStatus struct {
	ended                                      bool // only waits to be buried; what it had is gone
	uids                                       string
	noNewPrivs, noCaps, emptyBounding, seccomp bool
}

func parseStatus(text string) threadStatus {
	var s threadStatus
	s.noCaps = true
	seen := 0
	for line := range strings.Lines(text) {
		key, val, _ := strings.Cut(line, ":")
		val = strings.TrimSpace(val)
		switch key {
		case "State":
			s.ended = strings.HasPrefix(val, "Z") || strings.HasPrefix(val, "X")
		case "Uid":
			s.uids = val
		case "NoNewPrivs":
			s.noNewPrivs = val == "1"
		case "Seccomp":
			s.seccomp = val == "2"
		case "CapInh", "CapPrm", "CapEff", "CapAmb":
			seen++
			s.noCaps = s.noCaps && strings.Trim(val, "0") == ""
		case "CapBnd":
			s.emptyBounding = strings.Trim(val, "0") == ""
		}
	}
	s.noCaps = s.noCaps && seen == 4
	return s
}

// verify compares what the child says with what the kernel says about each of its threads.
func verify(r *Report) error {
	dir := fmt.Sprintf("/proc/%d/task", r.PID)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil // hidepid, or no /proc: Verified stays false
	}
	for _, t := range tasks {
		raw, err := os.ReadFile(dir + "/" + t.Name() + "/status")
		if err != nil {
			continue // the thread ended meanwhile
		}
		s := parseStatus(string(raw))
		if s.ended {
			continue
		}
		uid, _, _ := strings.Cut(s.uids, "\t")
		for _, c := range []struct {
			name string
			said bool
			is   bool
		}{
			{"no_new_privs", r.NoNewPrivs, s.noNewPrivs}, {"capabilities", r.NoCapabilities, s.noCaps},
			{"seccomp", r.Seccomp, s.seccomp}, {"user", true, uid == fmt.Sprint(r.UID)},
		} {
			if c.said && !c.is {
				return fmt.Errorf("verify child: thread %s does not have %s in force", t.Name(), c.name)
			}
		}
		r.Verified = true
	}
	return nil
}
