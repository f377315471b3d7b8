package bucket

import (
	"context"
	"errors"
	"io"
	"sync"

	"bartizan/internal/lake"
)

// Smaller objects are fetched as quickly as their footers.
const pruneLeast = 128 << 10

// prune leaves out the objects whose statistics say that no row of theirs can count. It reads their footers and Bloom
// filters, a few kilobytes each. What cannot be judged stays.
func (s *Source) prune(ctx context.Context, files []lake.File, any []lake.Need) []lake.File {
	if len(any) == 0 {
		return files
	}
	out := make([]bool, len(files))
	var wg sync.WaitGroup
	for t := range streams {
		wg.Go(func() {
			for i := t; i < len(files) && ctx.Err() == nil; i += streams {
				if f := files[i]; f.Size >= pruneLeast && !s.Cache.touch(f) {
					out[i] = s.Lake.rowless(ctx, f, any)
				}
			}
		})
	}
	wg.Wait()
	var keep []lake.File
	for i, f := range files {
		if !out[i] {
			keep = append(keep, f)
		}
	}
	return keep
}

func (l *Lake) rowless(ctx context.Context, f lake.File, any []lake.Need) bool {
	return lake.Rowless(&ranges{ctx: ctx, store: l.store, key: f.Path(), size: f.Size, blocks: map[int64][]byte{}}, f.Size, any)
}

// ranges reads an object in blocks as they are asked for, and keeps them. It is for one goroutine.
type ranges struct {
	ctx    context.Context
	store  Store
	key    string
	size   int64
	blocks map[int64][]byte
}

const (
	block     = 32 << 10
	rangeMost = 16 << 20 // bytes of one object: more is no footer
)

func (r *ranges) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < r.size {
		b, err := r.block(off / block)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], b[off%block:])
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

var errLarge = errors.New("too much is to be read for a look at the statistics")

func (r *ranges) block(i int64) (b []byte, err error) {
	if b, ok := r.blocks[i]; ok {
		return b, nil
	}
	if len(r.blocks) >= rangeMost/block {
		return nil, errLarge
	}
	want := min(block, r.size-i*block)
	ctx, cancel := timed(r.ctx, callTime, want)
	defer cancel()
	in, err := r.store.Read(ctx, r.key, i*block, want)
	if err != nil {
		return nil, err
	}
	b = make([]byte, want)
	_, err = io.ReadFull(in, b)
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	r.blocks[i] = b
	return b, nil
}
