package lake

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bartizan/internal/safe"
)

// Sent says which files of a partition are kept in another place as well (package bucket), or are on their way. Such a
// file is never rewritten here: its rows would be in both places under two names. It is recorded before its first byte leaves.
type Sent struct {
	Going []string             `json:"going"`
	There map[string]time.Time `json:"there"` // and since when
}

const sentName = ".sent.json"

// Has says whether a file is elsewhere, or on its way.
func (s *Sent) Has(name string) bool {
	_, there := s.There[name]
	return there || slices.Contains(s.Going, name)
}

// ReadSent reads the record of a partition; without one nothing has left.
func ReadSent(root string, p Partition) (s Sent, err error) {
	path := filepath.Join(root, filepath.FromSlash(p.Dir()), sentName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s, err = parseSent(b)
	}
	if err != nil {
		return s, fmt.Errorf("read %s: %w; it says what is in the bucket already: restore it, or remove it to have those files sent again", path, err)
	}
	return s, nil
}

func parseSent(b []byte) (s Sent, err error) {
	if err := json.Unmarshal(b, &s); err != nil {
		return Sent{}, err
	}
	for _, name := range s.Going {
		if !plainName(name) {
			return Sent{}, fmt.Errorf("%.80q is no file of this folder", name)
		}
	}
	for name := range s.There {
		if !plainName(name) {
			return Sent{}, fmt.Errorf("%.80q is no file of this folder", name)
		}
	}
	return s, nil
}

// plainName says whether a name that a record gives is that of a data file in the same folder.
func plainName(name string) bool {
	return isData(name) && filepath.Base(name) == name && !strings.ContainsRune(name, 0)
}

func (s *Sent) write(root string, p Partition) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return safe.AtomicWrite(filepath.Join(root, filepath.FromSlash(p.Dir()), sentName), b, 0o600)
}

// Leave records that the files of a partition that ready accepts are about to be sent elsewhere, and returns all that
// are to be sent. ErrBusy when the lake is being maintained at the moment.
func Leave(root string, p Partition, ready func(File) bool) (going []File, err error) {
	err = withSent(root, p, func(files []File, s *Sent) (changed bool, err error) {
		have := map[string]bool{}
		for _, f := range files {
			have[f.Name] = true
			if _, there := s.There[f.Name]; there {
				continue
			}
			if !slices.Contains(s.Going, f.Name) {
				if !ready(f) {
					continue
				}
				s.Going, changed = append(s.Going, f.Name), true
			}
			going = append(going, f)
		}
		before := len(s.Going)
		s.Going = slices.DeleteFunc(s.Going, func(name string) bool { return !have[name] })
		return changed || len(s.Going) < before, nil
	})
	return going, err
}

// Arrived records that a file is in the other place, whole.
func Arrived(root string, p Partition, name string, at time.Time) error {
	return withSent(root, p, func(_ []File, s *Sent) (bool, error) {
		s.Going = slices.DeleteFunc(s.Going, func(n string) bool { return n == name })
		if s.There == nil {
			s.There = map[string]time.Time{}
		}
		s.There[name] = at.UTC().Truncate(time.Second)
		return true, nil
	})
}

// Drop removes a file that is in the other place. It refuses any other.
func Drop(root string, p Partition, name string) error {
	return withSent(root, p, func(_ []File, s *Sent) (bool, error) {
		if _, there := s.There[name]; !there {
			return false, fmt.Errorf("BUG: %s/%s is in no other place", p.Dir(), name)
		}
		if err := gone(os.Remove(filepath.Join(root, filepath.FromSlash(p.Dir()), name))); err != nil {
			return false, fmt.Errorf("remove what is in the bucket: %w", err)
		}
		delete(s.There, name)
		return true, nil
	})
}

// withSent changes the record while nothing is compacted. An empty partition goes with its record.
func withSent(root string, p Partition, change func([]File, *Sent) (bool, error)) error {
	unlock, err := maintenance(root)
	if err != nil {
		return err
	}
	defer unlock()
	if err := finish(filepath.Join(root, filepath.FromSlash(p.Dir()))); err != nil {
		return err
	}
	files, _, err := readPartition(root, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // aged away
	}
	if err != nil {
		return err
	}
	s, err := ReadSent(root, p)
	if err != nil {
		return err
	}
	changed, err := change(files, &s)
	if err != nil || !changed {
		return err
	}
	if len(s.Going)+len(s.There) > 0 {
		return s.write(root, p)
	}
	if err := gone(os.Remove(filepath.Join(root, filepath.FromSlash(p.Dir()), sentName))); err != nil {
		return err
	}
	prune(root, p.Dir())
	return nil
}

// pruneSent removes a record that has outlived the files of its folder.
func pruneSent(dir string) {
	if list, err := os.ReadDir(dir); err == nil && len(list) == 1 && list[0].Name() == sentName {
		_ = os.Remove(filepath.Join(dir, sentName))
	}
}

// Whole reads a file and tells its size and the SHA-256 of all its bytes. It is an error when it is not
// as it was written; a file that another program wrote is only hashed.
func Whole(path string) (size int64, sum [sha256.Size]byte, err error) {
	return WholeAs(path, filepath.Base(path))
}

// WholeAs is Whole for a file that is going to have another name.
func WholeAs(path, name string) (size int64, sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, sum, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, sum, err
	}
	if err := verifySum(f, st.Size()); err != nil {
		if _, ours := generationOf(name); ours || !errors.Is(err, errNoSum) {
			return 0, sum, err
		}
	}
	h := sha256.New()
	size, err = io.Copy(h, io.NewSectionReader(f, 0, st.Size()))
	return size, [sha256.Size]byte(h.Sum(nil)), err
}
