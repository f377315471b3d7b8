package host

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ProgramPages are the parts of the program's own file that are mapped to be
// read or run. A library's initialisers read through tens of megabytes of them
// before main begins, and starting up reads more.
type ProgramPages struct{ parts [][2]uintptr }

// FindProgramPages looks for the mappings that hold the file's bytes and
// nothing else: not those that anybody can write to, and not those that the
// loader has written to. It needs /proc, so a process that is going to be
// locked in looks before.
func FindProgramPages() (ProgramPages, error) {
	var p ProgramPages
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return p, fmt.Errorf("find program pages: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return p, fmt.Errorf("find program pages: %w", err)
	}
	defer f.Close()
	var part [2]uintptr // whose lines are read; zero: not one of ours
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if key, value, ok := strings.Cut(line, ":"); ok && !strings.Contains(key, " ") {
			if key == "Anonymous" && part[0] != 0 && strings.Fields(value)[0] == "0" {
				p.parts = append(p.parts, part)
			}
			continue
		}
		if part[0], part[1], err = pureMapping(line, self); err != nil {
			return p, fmt.Errorf("find program pages: %w", err)
		}
	}
	return p, lines.Err()
}

// Drop gives back those pages that are in memory; what is needed again is
// mapped again from the page cache. An error means that the process is as
// large as it was, and nothing else.
func (p ProgramPages) Drop() error {
	for _, x := range p.parts {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, x[0], x[1]-x[0], unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("drop program pages: %w", errno)
		}
	}
	return nil
}

// pureMapping reads the first line of a mapping in proc(5)'s smaps: "address
// perms offset dev inode pathname". It is 0, 0 for one that is writable, shared,
// or not of the program's file.
func pureMapping(line, program string) (from, to uintptr, err error) {
	f := strings.Fields(line)
	if len(f) < 6 || f[5] != program || len(f[1]) != 4 || f[1][1] == 'w' || f[1][3] != 'p' {
		return 0, 0, nil
	}
	if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil || to <= from {
		return 0, 0, fmt.Errorf("read mapping %q: %w", f[0], err)
	}
	return from, to, nil
}

// GiveBack returns what only starting needed, of the program and of the heap: at
// once, and again when everything has started. It ends with ctx. failed is told
// what did not work; then the process is larger, and that is all.
func (p ProgramPages) GiveBack(ctx context.Context, failed func(error)) error {
	for _, after := range []time.Duration{0, 3 * time.Second} {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(after):
		}
		debug.FreeOSMemory()
		if err := p.Drop(); err != nil {
			failed(err)
		}
	}
	<-ctx.Done()
	return nil
}
