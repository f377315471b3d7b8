package keys

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestMarks: a name has one mark in a folder, whoever opens it first, and another elsewhere.
func TestMarks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gateway")
	var all [8]string
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			m, err := OpenMarks(dir)
			if err != nil {
				t.Error(err)
			}
			all[i] = m.Of("ann@example.org")
		})
	}
	wg.Wait()
	for _, m := range all {
		if m != all[0] || !strings.HasPrefix(m, "masked-") || len(m) != len("masked-")+16 {
			t.Errorf("%q", all)
		}
	}
	other, err := OpenMarks(t.TempDir())
	if err != nil || other.Of("ann@example.org") == all[0] {
		t.Errorf("another folder has the same mark, %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, usersKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, usersKey+".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, usersKey), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMarks(dir); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("%v", err)
	}
}
