package drill

import (
	"os"
	"path/filepath"
	"testing"
)

// A killed drill's folder goes with the next drill; a living one's stays, and
// so does whatever only looks like one.
func TestFoldersOfKilledDrills(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	living, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	killed, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed.path, "data"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := killed.lock.Close(); err != nil { // as the kernel does for a killed process
		t.Fatal(err)
	}
	foreign := filepath.Join(tmp, folderPrefix+"without-lock")
	elsewhere := t.TempDir()
	link := filepath.Join(tmp, folderPrefix+"link")
	if err := os.WriteFile(filepath.Join(elsewhere, folderLock), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Mkdir(foreign, 0o700), os.Symlink(elsewhere, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	next, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	exists := func(p string) bool { _, err := os.Lstat(p); return err == nil }
	if exists(killed.path) {
		t.Error("the folder of a killed drill is still there")
	}
	for _, p := range []string{living.path, next.path, foreign, link, filepath.Join(elsewhere, folderLock)} {
		if !exists(p) {
			t.Errorf("%s was removed", p)
		}
	}
	for _, f := range []*folder{living, next} {
		if err := f.close(); err != nil || exists(f.path) {
			t.Errorf("close: %v", err)
		}
	}
}
