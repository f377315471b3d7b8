package jail

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stressMode does what a busy Go program does: threads, goroutines, collections, timers, random numbers, local time.
func stressMode(c *Cell) error {
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 32 {
		wg.Go(func() {
			runtime.LockOSThread() // forces a thread each, which ends with the goroutine
			var pipe [2]int
			if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
				errs <- err
				return
			}
			defer unix.Close(pipe[0])
			defer unix.Close(pipe[1])
			for range 20 {
				junk := make([]byte, 256<<10)
				if _, err := rand.Read(junk[:64]); err != nil {
					errs <- err
					return
				}
				if _, err := unix.Write(pipe[1], junk[:16]); err != nil {
					errs <- err
					return
				}
				if _, err := unix.Read(pipe[0], junk); err != nil { // a blocking call: the run time must start a thread
					errs <- err
					return
				}
				<-time.After(time.Duration(i%3) * time.Millisecond)
			}
		})
	}
	spin := make(chan struct{})
	wg.Go(func() { // only pre-emption by signal gets a collection past this loop
		for n := 0; ; n++ {
			if n%(1<<20) == 0 {
				select {
				case <-spin:
					return
				default:
				}
			}
		}
	})
	for range 10 {
		runtime.GC()
	}
	close(spin)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	zone, _ := time.Date(2024, 7, 1, 12, 0, 0, 0, time.Local).Zone()
	return WriteFrame(c.Conn, []byte(zone), maxFrame)
}

// otherTableMode calls through the second table of numbers, which a filter that looks only at the first does not see. It
// waits for the parent's word: a child that dies while it is still being verified did not start at all.
func otherTableMode(c *Cell) error {
	if _, err := ReadFrame(c.Conn, maxFrame); err != nil {
		return err
	}
	_, _, e := unix.RawSyscall(x32Bit|unix.SYS_GETPID, 0, 0, 0)
	return WriteFrame(c.Conn, []byte("still here: "+e.Error()), maxFrame)
}

// forgeMode calls what is allowed with some arguments only, with arguments that are the numbers of allowed calls: a
// filter that compares an argument where it means the number lets these through.
func forgeMode(c *Cell) error {
	through := map[string]int{}
	tried := 0
	for _, list := range [][]uintptr{allowed, allowedHere} {
		for _, n := range list {
			for name, err := range map[string]error{
				"setsockopt level":  sys(unix.SYS_SETSOCKOPT, firstFile, n, n, 0, 0),
				"setsockopt option": sys(unix.SYS_SETSOCKOPT, firstFile, unix.SOL_SOCKET, 1000+n, 0, 0),
				"sendto":            sys(unix.SYS_SENDTO, firstFile, 0, 0, 0, n+1, n),
				"fcntl":             sys(unix.SYS_FCNTL, firstFile, 2000+n, n),
				"prctl":             sys(unix.SYS_PRCTL, 3000+n, n, n, n, n),
				"tgkill":            sys(unix.SYS_TGKILL, 1<<20+n, n, 0),
				"prlimit64":         sys(unix.SYS_PRLIMIT64, n+1, n, n, n),
				"pointer high half": sys(unix.SYS_SENDTO, firstFile, 0, 0, 0, (n+1)<<32, 16),
			} {
				tried++
				if !errors.Is(err, unix.EPERM) {
					through[name+" "+errnoName(err)]++
				}
			}
		}
	}
	raw, err := json.Marshal(struct {
		Tried   int
		Through map[string]int
	}{tried, through})
	if err != nil {
		return err
	}
	return WriteFrame(c.Conn, raw, maxFrame)
}

// shellcodeMode jumps into data, which must end the process.
func shellcodeMode(c *Cell) error {
	code := []byte{0xc3, 0xc3, 0xc3, 0xc3}
	entry := uintptr(unsafe.Pointer(&code[0]))
	at := &entry
	fn := *(*func())(unsafe.Pointer(&at))
	fn()
	return WriteFrame(c.Conn, []byte("data ran"), maxFrame)
}

// eatMode takes memory until it is stopped.
func eatMode(c *Cell) error {
	var held [][]byte
	for len(held) < 4096 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		held = append(held, b)
	}
	return WriteFrame(c.Conn, fmt.Appendf(nil, "took %d MiB", len(held)), maxFrame)
}
