package bucket

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"bartizan/internal/lake"
)

// Source brings the files of one hunt into a folder: those of a bucket, and those of a node's folder that are not in the
// bucket yet.
type Source struct {
	Lake   *Lake
	Folder string // of the node; "" is none
	Cache  *Cache
	Tell   Progress // nil: nobody
}

// listed is how often the bucket is listed again because objects went between listing and fetching.
const listed = 4

// Select is lake.Select for the folder of the cache: what it returns is there. A bucket that cannot be read is in the second
// result when there is a folder beside it, because the answer is then not empty but not whole either.
func (s *Source) Select(ctx context.Context, want lake.Filter) (files []lake.File, bad []lake.NotLookedAt, err error) {
	local, bad, err := s.local(ctx, want)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		remote, skipped, err := s.Lake.Select(ctx, want)
		if errors.Is(err, lake.ErrNoLake) && s.Folder != "" {
			remote, err = nil, nil // nothing sent yet
		}
		if err != nil {
			return s.without(ctx, err, local, bad)
		}
		files, left, gone, err := s.bring(ctx, remote, local, want.Any)
		if err != nil {
			return s.without(ctx, err, local, bad)
		}
		if !gone || try == listed {
			return files, append(append(bad, skipped...), left...), nil
		}
	}
}

// without is the answer when the bucket cannot be read.
func (s *Source) without(ctx context.Context, err error, local map[string]here, bad []lake.NotLookedAt) ([]lake.File, []lake.NotLookedAt, error) {
	if s.Folder == "" || ctx.Err() != nil {
		return nil, nil, err
	}
	files, left, _, lerr := s.bring(ctx, nil, local, nil)
	if lerr != nil {
		return nil, nil, lerr
	}
	for _, h := range local {
		if !h.sent { // linked by bring
			continue
		}
		if lerr := s.Cache.Link(h.File, filepath.Join(s.Folder, filepath.FromSlash(h.Path()))); lerr == nil {
			files = append(files, h.File)
		}
	}
	return files, append(append(bad, left...), lake.NotLookedAt{File: s.Lake.String(), Reason: err.Error()}), nil
}

// here is a file of the node's folder.
type here struct {
	lake.File
	sent bool
}

func (s *Source) local(ctx context.Context, want lake.Filter) (map[string]here, []lake.NotLookedAt, error) {
	out := map[string]here{}
	if s.Folder == "" {
		return out, nil, nil
	}
	files, bad, err := lake.Select(ctx, s.Folder, want)
	if err != nil {
		return nil, nil, err
	}
	var record lake.Sent
	var last lake.Partition
	for _, f := range files {
		if f.Partition != last {
			if record, err = lake.ReadSent(s.Folder, f.Partition); err != nil {
				return nil, nil, err
			}
			last = f.Partition
		}
		_, sent := record.There[f.Name]
		out[f.Path()] = here{f, sent}
	}
	return out, bad, nil
}

// bring puts files into the cache. What is in the bucket counts as the bucket has it, because it may be compacted there;
// what is on its way counts once, and what is not there yet counts as the folder has it.
func (s *Source) bring(ctx context.Context, remote []lake.File, local map[string]here, any []lake.Need) (files []lake.File, bad []lake.NotLookedAt, missing bool, err error) {
	var fetch []lake.File
	there := map[string]bool{}
	for _, f := range remote {
		there[f.Path()] = true
		if h, ok := local[f.Path()]; ok && h.Size == f.Size {
			if s.Cache.Link(f, filepath.Join(s.Folder, filepath.FromSlash(f.Path()))) == nil {
				files = append(files, f)
				continue
			}
		}
		fetch = append(fetch, f)
	}
	for path, h := range local {
		if there[path] || h.sent {
			continue
		}
		switch err := s.Cache.Link(h.File, filepath.Join(s.Folder, filepath.FromSlash(path))); {
		case err == nil:
			files = append(files, h.File)
		case errors.Is(err, fs.ErrNotExist): // compacted, or sent and dropped, since it was listed
			missing = true
		default:
			return nil, nil, false, err
		}
	}
	got, left, gone, err := s.Cache.Fill(ctx, s.Lake, s.prune(ctx, fetch, any), s.Tell)
	return append(files, got...), append(bad, left...), missing || gone, err
}
