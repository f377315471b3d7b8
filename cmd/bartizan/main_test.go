package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this test binary the program itself.
func TestMain(m *testing.M) {
	if os.Getenv("BARTIZAN_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSecondSignal: what cannot be interrupted, such as a read from a pipe that
// nobody writes to, ends at the next signal.
func TestSecondSignal(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "detect", pipe)
	cmd.Env = append(os.Environ(), "BARTIZAN_TEST_MAIN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the program reads, which is after it has begun to listen for signals
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	late := time.After(30 * time.Second)
	for again := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-ended:
			if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !st.Signaled() || st.Signal() != syscall.SIGTERM {
				t.Errorf("it ended with %v", cmd.ProcessState)
			}
			return
		case <-again.C:
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
		case <-late:
			_ = cmd.Process.Kill()
			t.Fatal("it does not end")
		}
	}
}
