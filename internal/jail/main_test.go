package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	maxFrame  = 1 << 20
	readerArg = "reader-of-the-test"
)

// TestMain lets the test binary play the child, and the unjailed attacker of the positive controls.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == readerArg:
		os.Exit(reader())
	case Inside():
		os.Exit(child())
	case os.Getenv(controlEnv) != "":
		os.Exit(control())
	case os.Getenv(supervisorEnv) != "":
		os.Exit(supervisor())
	}
	os.Exit(m.Run())
}

// child enters the jail and does what its first argument says.
func child() int {
	fmt.Fprintln(os.Stderr, "child speaks \x1b[31m")
	switch os.Args[1] {
	case "never-enters":
		_, _ = io.Copy(io.Discard, os.NewFile(parentFD, "parent"))
		return 3
	case "dies":
		return 7
	}
	cell, err := Enter(Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "enter:", err)
		return 1
	}
	modes := map[string]func(*Cell) error{
		"attack": attackMode, "serve": serveMode, "stress": stressMode, "other-table": otherTableMode, "forge": forgeMode, "wait": waitMode,
		"shellcode": shellcodeMode, "eat": eatMode, "hang": hangMode,
	}
	mode := modes[os.Args[1]]
	if mode == nil {
		fmt.Fprintln(os.Stderr, "no such mode")
		return 2
	}
	if err := mode(cell); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

// waitMode lives until the parent hangs up.
func waitMode(c *Cell) error {
	_, err := io.Copy(io.Discard, c.Conn)
	return err
}

// hangMode does not notice that the parent is gone; only the kernel can end it.
func hangMode(*Cell) error {
	<-time.After(time.Hour)
	return nil
}

// serveMode accepts on every listener, answers each connection with what it sends, and tells the parent who came.
func serveMode(c *Cell) error {
	w := NewFrameWriter(c.Conn, maxFrame)
	for i, f := range c.Files {
		l, err := net.FileListener(f)
		if err != nil {
			return fmt.Errorf("listener %d: %w", i, err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = w.Write([]byte(conn.RemoteAddr().String()))
					_, _ = io.Copy(conn, conn)
				}()
			}
		}()
	}
	if _, err := w.Write([]byte("ready")); err != nil {
		return err
	}
	return waitMode(c)
}

// attackMode reads the target, tries every attack, and tells what came of each.
func attackMode(c *Cell) error {
	raw, err := ReadFrame(c.Conn, maxFrame)
	if err != nil {
		return err
	}
	var to target
	if err := json.Unmarshal(raw, &to); err != nil {
		return err
	}
	got := map[string]string{}
	for _, a := range attacks() {
		got[a.name] = errnoName(a.try(to))
	}
	if raw, err = json.Marshal(got); err != nil {
		return err
	}
	return WriteFrame(c.Conn, raw, maxFrame)
}

// start starts a child in the mode and ends it with the test.
func start(t *testing.T, mode string, spec Spec) *Child {
	t.Helper()
	spec.Args = []string{mode}
	if spec.Stderr == nil {
		spec.Stderr = &logWriter{t: t}
	}
	c, err := Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		_ = c.Wait()
		c.Conn().Close()
	})
	return c
}

type logWriter struct{ t *testing.T }

func (l *logWriter) Write(p []byte) (int, error) {
	if s := strings.TrimSpace(string(p)); s != "" {
		l.t.Log("child: " + s)
	}
	return len(p), nil
}
