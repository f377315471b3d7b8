package host

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// What is dropped comes back by itself: the program goes on, and is smaller for
// a moment.
func TestProgramPages(t *testing.T) {
	if os.Getenv("HOST_TEST_DROP") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProgramPages$", "-test.v")
		cmd.Env = append(os.Environ(), "HOST_TEST_DROP=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	p, err := FindProgramPages()
	if err != nil || len(p.parts) < 2 {
		t.Fatalf("found %d parts of the program: %v", len(p.parts), err)
	}
	text := programKB(t)
	for range 3 {
		if err := p.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	after := programKB(t)
	if after >= text {
		t.Errorf("%d kB of the program's file in memory before, %d kB after", text, after)
	}
	// Code, constants and relocated data still work.
	if s := strings.ToUpper(strconv.Itoa(after) + os.Getenv("HOST_TEST_DROP")); !strings.HasSuffix(s, "1") {
		t.Errorf("got %q", s)
	}
}

// programKB is how much of read-only file mappings is resident.
func programKB(t *testing.T) (kb int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "RssFile:")
	kb, err = strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

func TestPureMapping(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-00bc1000 r-xp 00000000 fe:00 123 /bin/x":       true,
		"00400000-00bc1000 r--p 00000000 fe:00 123 /bin/x":       true,
		"00400000-00bc1000 rw-p 00000000 fe:00 123 /bin/x":       false,
		"00400000-00bc1000 r--s 00000000 fe:00 123 /bin/x":       false,
		"00400000-00bc1000 r-xp 00000000 fe:00 123 /lib/libc.so": false,
		"00400000-00bc1000 r-xp 00000000 00:00 0 ":               false,
		"7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]":         false,
	} {
		from, to, err := pureMapping(line, "/bin/x")
		if err != nil || (from == 0x400000 && to == 0xbc1000) != want {
			t.Errorf("%q: %x-%x %v", line, from, to, err)
		}
	}
	if _, _, err := pureMapping("zz-00bc1000 r-xp 00000000 fe:00 123 /bin/x", "/bin/x"); err == nil {
		t.Error("a place that is none is read")
	}
}
