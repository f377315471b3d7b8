package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxFiles is how many files a folder may hold.
const MaxFiles = 1 << 20

// Expand turns names into files: a folder into the files under it, in the order of
// their names; hidden ones are left out, and what a link in it names is read once.
// "-" and udp:// stay. What cannot be looked at is an error each and keeps nothing
// else from being read.
func Expand(names []string) (out []string, failed []error) {
	for _, n := range names {
		if n == "-" || Live(n) {
			out = append(out, n)
			continue
		}
		st, err := os.Stat(n)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("find input: %w", err))
		case !st.IsDir():
			out = append(out, n)
		default:
			w := walk{root: n}
			files := w.files()
			if len(files) == 0 && len(w.failed) == 0 {
				w.fail("", errors.New("there is no file in it"))
			}
			out, failed = append(out, files...), append(failed, w.failed...)
		}
	}
	return out, failed
}

// walk lists a folder.
type walk struct {
	root   string
	found  []entry
	failed []error
}

type entry struct {
	path string
	link bool
}

// fail notes what could not be looked at; path is "" when err names it.
func (w *walk) fail(path string, err error) {
	if path != "" {
		path += ": "
	}
	w.failed = append(w.failed, fmt.Errorf("list folder %s: %s%w", w.root, path, err))
}

func (w *walk) files() (out []string) {
	// With the slash the folder may be a link itself.
	err := filepath.WalkDir(w.root+string(filepath.Separator), func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			w.fail("", err)
			return nil // and on with the rest
		case len(w.found) >= MaxFiles:
			return fmt.Errorf("more than %d files", MaxFiles)
		case filepath.Clean(p) != filepath.Clean(w.root) && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			w.found = append(w.found, entry{path: p})
		case d.Type()&fs.ModeSymlink != 0:
			w.found = append(w.found, entry{path: p, link: true})
		case d.Type()&fs.ModeNamedPipe != 0:
			w.fail(p, errors.New("a named pipe: name it itself to read it"))
		}
		return nil // sockets and devices hold no records
	})
	if err != nil {
		w.fail("", err)
	}
	return w.once()
}

// once leaves out links to what is read anyway.
func (w *walk) once() (out []string) {
	root, err := filepath.EvalSymlinks(w.root)
	if err != nil {
		w.fail("", err)
		return nil
	}
	seen := map[string]bool{}
	for _, e := range w.found {
		if rel, err := filepath.Rel(w.root, e.path); err == nil && !e.link {
			seen[filepath.Join(root, rel)] = true
		}
	}
	for _, e := range w.found {
		if !e.link {
			out = append(out, e.path)
			continue
		}
		to, err := filepath.EvalSymlinks(e.path)
		if err != nil {
			w.fail(e.path, fmt.Errorf("a link that cannot be followed: %w", err))
			continue
		}
		st, err := os.Stat(to)
		switch {
		case err != nil:
			w.fail("", err)
		case st.IsDir():
			if !visible(root, to) {
				w.fail(e.path, fmt.Errorf("a link to another folder, %s: name that as well to read it", to))
			}
		case st.Mode().IsRegular() && !seen[to]:
			seen[to] = true
			out = append(out, e.path)
		}
	}
	return out
}

// visible says whether a walk through root comes to the folder dir.
func visible(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return false
	}
	return rel == "." || !strings.HasPrefix(rel, ".") && !strings.Contains(rel, string(filepath.Separator)+".")
}
