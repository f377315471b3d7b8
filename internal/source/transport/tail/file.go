package tail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// file is one file that is followed.
type file struct {
	path    string
	f       *os.File
	place   transport.Place
	dirty   bool      // place is newer than what is stored
	gone    time.Time // since when no pattern names it; zero: it is named
	was     shape     // when it was last read
	settled bool      // packed: it has not changed for one look
	trouble string    // why what it holds cannot be read
	opts    source.Options
	reader  *source.Reader
	told    source.Counts
	behind  source.Position // what comes before was delivered
}

// primed is how many of a file's first lines a decoder is shown after a restart:
// enough for every header there is.
const primed = 32

func identOf(st os.FileInfo) ident {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ident{}
	}
	return ident{sys.Dev, sys.Ino}
}

// open begins a file, or goes on with one that was read before. nil: it was read
// to its end and has not grown.
func (r *run) open(name string, id ident) (*file, error) {
	fd, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	f := &file{path: name, f: fd, place: transport.Place{Key: id.key(), Path: name}, opts: r.in.Options()}
	f.place.Packed, err = packed(fd)
	if err != nil {
		fd.Close()
		return nil, err
	}
	if known, ok := r.known(id, fd, f.place.Packed); ok {
		f.place = known
		f.place.Path = name
	} else if f.place.Packed {
		if p, ok := r.packedFrom(name); ok { // a file that was read and was packed meanwhile
			f.place.At, f.place.Done = p.At, p.Done
		}
		f.identify()
	}
	if f.place.Done {
		st, err := fd.Stat()
		if err != nil || f.place.Packed || st.Size() <= f.place.At.Offset {
			fd.Close()
			return nil, err
		}
		f.place.Done = false
	}
	return f, nil
}

// begin makes the reader, and shows the decoder the first lines, which it has
// seen: a header among them says what the columns are.
func (f *file) begin() {
	f.newReader(!f.place.Packed)
	if f.place.Packed || f.place.At.Offset == 0 {
		return
	}
	if head, err := headOf(f.f, int(min(f.place.At.Offset, 64<<10))); err == nil { // else reading says so
		prime(f.reader, head)
	}
}

func (f *file) newReader(live bool) {
	o := f.opts
	o.From, o.Live = f.place.At, live
	o.After = func(at source.Position) error { f.behind = at; return nil }
	f.reader, f.told, f.behind = source.NewReader(o), source.Counts{}, f.place.At
}

func prime(reader *source.Reader, head []byte) {
	for range primed {
		line, rest, ok := bytes.Cut(head, []byte("\n"))
		if !ok {
			return
		}
		reader.Prime(bytes.TrimSuffix(line, []byte("\r")))
		head = rest
	}
}

// skip leaves out what is there already.
func (f *file) skip() error {
	f.dirty = true
	if f.place.Packed {
		f.place.Done = true
		f.identify()
		return nil
	}
	st, err := f.f.Stat()
	if err != nil {
		return err
	}
	tail := make([]byte, min(st.Size(), source.MaxRecord))
	at := st.Size() - int64(len(tail))
	if _, err := f.f.ReadAt(tail, at); err != nil && err != io.EOF {
		return err
	}
	f.place.At.Offset = at + int64(bytes.LastIndexByte(tail, '\n')+1)
	f.identify()
	return nil
}

// identify notes by what the file is known again.
func (f *file) identify() {
	if f.place.HeadN == headLen {
		return
	}
	n := int64(headLen) // of what is packed, the packed bytes
	if !f.place.Packed {
		n = min(n, f.place.At.Offset)
	}
	if head, err := headOf(f.f, int(n)); err == nil {
		f.place.Head, f.place.HeadN = sum(head), len(head)
	}
}

// read takes what is new, at most maxRound bytes. more: there is more at once.
func (f *file) read(ctx context.Context, r *run) (more bool, err error) {
	st, err := f.f.Stat()
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", f.path, err)
	}
	now := shapeOf(st)
	if f.place.Packed {
		return false, f.readPacked(ctx, r, now)
	}
	if now == f.was || f.place.Done {
		return false, nil
	}
	if now.size < f.place.At.Offset || !sameHead(f.f, f.place) { // truncated, and perhaps written again
		f.place = transport.Place{Key: f.place.Key, Path: f.path}
		f.opts, f.reader, f.trouble = r.in.Options(), nil, ""
	}
	if f.reader == nil {
		f.begin()
	}
	from := f.place.At.Offset
	n := min(now.size-from, maxRound)
	err = f.reader.Read(ctx, io.NewSectionReader(f.f, from, n), r.in.Emit)
	f.took(r)
	if err != nil {
		return false, err
	}
	if n == maxRound && f.place.At.Offset > from {
		return true, nil
	}
	f.was = now
	return false, nil
}

// took notes where the reader stands; everything before was delivered.
func (f *file) took(r *run) {
	c := f.reader.Counts()
	r.in.Count(source.Counts{Records: c.Records - f.told.Records, Malformed: c.Malformed - f.told.Malformed, Emitted: c.Emitted - f.told.Emitted})
	f.told = c
	if err := f.reader.Verdict(); err != nil {
		f.trouble = err.Error()
	} else if c.Emitted > 0 {
		f.trouble = ""
	}
	if at := f.behind; at != f.place.At {
		f.place.At, f.place.Path, f.dirty = at, f.path, true
		f.identify()
	}
}

// finish takes the last line, which may have no end.
func (f *file) finish(ctx context.Context, r *run) error {
	if f.place.Done {
		return nil
	}
	if f.place.Packed { // damaged, and gone
		r.lost++
		f.place.Done = true
		return nil
	}
	if f.reader == nil {
		f.begin()
	}
	f.newReader(false)
	err := f.reader.Read(ctx, io.NewSectionReader(f.f, f.place.At.Offset, 1<<62), r.in.Emit)
	f.took(r)
	f.place.Done = err == nil
	return err
}

// readPacked reads a packed file as a whole, once it has stopped growing.
func (f *file) readPacked(ctx context.Context, r *run, now shape) error {
	if now != f.was {
		f.was, f.settled = now, false
		return nil // one more look
	}
	if f.settled || f.place.Done {
		return nil
	}
	f.settled = true
	if _, err := f.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	src, closeZip, err := transport.Decompress(f.f)
	if err != nil {
		f.trouble = fmt.Sprintf("unpack: %v; it is read again when it changes", err)
		return nil
	}
	defer closeZip()
	src = source.Unfold(src)
	f.begin()
	if n := f.place.At.Offset; n > 0 {
		head := make([]byte, min(n, 64<<10))
		if _, err = io.ReadFull(src, head); err == nil {
			prime(f.reader, head)
			_, err = io.CopyN(io.Discard, src, n-int64(len(head)))
		}
	}
	var refused error
	if err == nil {
		err = f.reader.Read(ctx, src, func(ctx context.Context, b *observe.LogBatch) error {
			refused = r.in.Emit(ctx, b)
			return refused
		})
		f.took(r)
	}
	switch {
	case ctx.Err() != nil || refused != nil:
		f.settled = false
		return err
	case err != nil: // being written still, cut, or damaged
		f.trouble = fmt.Sprintf("unpack: %v; it is read again when it changes", err)
	default:
		f.place.Done, f.dirty = true, true
	}
	return nil
}

// over says that nothing more will come: it was read to its end, or nobody has
// named it for long enough.
func (f *file) over(grace time.Duration) bool {
	switch {
	case f.place.Done:
		return true
	case f.gone.IsZero() || time.Since(f.gone) < grace:
		return false
	}
	return !f.place.Packed || f.trouble != ""
}

func (f *file) close() { f.f.Close() }

// resumeRotated looks, at a start, for files that were being read and that no
// pattern names any more: renamed, or packed. Their rest comes first.
func (r *run) resumeRotated(ctx context.Context) error {
	there := map[string]bool{}
	for _, n := range r.names() {
		if key, ok := r.keyOf(n); ok {
			there[key] = true
		}
	}
	for key, p := range maps.Clone(r.places) {
		if p.Done || there[key] || p.At.Offset == 0 {
			continue
		}
		f := r.findRotated(p)
		if f != nil && f.place.Key == key {
			continue // goes on under its own key
		}
		if f == nil {
			r.lost++
		} else if err := r.remember(ctx, f.place); err != nil { // before the old key says that it is done
			return err
		}
		p.Done = true
		if err := r.remember(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// findRotated looks beside a file's last name for the file itself, or for it
// packed, and begins it.
func (r *run) findRotated(p transport.Place) *file {
	dir, base := filepath.Split(p.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), stem) || len(r.files) >= MaxFiles {
			continue
		}
		name := filepath.Join(dir, e.Name())
		st, err := os.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		if key, ok := r.keyOf(name); !ok || key != p.Key {
			if q, ok := r.packedFrom(name); !ok || q.Key != p.Key {
				continue
			}
		}
		id := identOf(st)
		f, err := r.open(name, id)
		if err != nil || f == nil {
			continue
		}
		f.gone = time.Now().Add(-r.conf.Grace.D()) // it will not grow
		r.files[id] = f
		return f
	}
	return nil
}

// known finds the place of a file: that of its number which begins as the file
// does, because numbers of removed files are used again.
func (r *run) known(id ident, fd *os.File, packed bool) (best transport.Place, ok bool) {
	for key, p := range r.places {
		if strings.HasPrefix(key, id.prefix()) && p.Packed == packed && p.HeadN > best.HeadN && sameHead(fd, p) {
			best, ok = p, true
		}
	}
	return best, ok
}

// keyOf is the key of the place of a file.
func (r *run) keyOf(name string) (string, bool) {
	fd, err := os.Open(name)
	if err != nil {
		return "", false
	}
	defer fd.Close()
	st, err := fd.Stat()
	if err != nil {
		return "", false
	}
	is, err := packed(fd)
	if err != nil {
		return "", false
	}
	p, ok := r.known(identOf(st), fd, is)
	return p.Key, ok
}

// packed says whether a file is packed.
func packed(f *os.File) (bool, error) {
	head, err := headOf(f, transport.MagicLen)
	return transport.Packed(head), err
}

// packedFrom finds the place of the file that was packed into name.
func (r *run) packedFrom(name string) (best transport.Place, ok bool) {
	fd, err := os.Open(name)
	if err != nil {
		return best, false
	}
	defer fd.Close()
	if is, err := packed(fd); err != nil || !is {
		return best, false
	}
	src, done, err := transport.Decompress(fd)
	if err != nil {
		return best, false
	}
	defer done()
	head := make([]byte, headLen)
	n, _ := io.ReadFull(src, head) // short is fine, broken finds nothing
	for _, p := range r.places {
		if !p.Packed && p.HeadN >= leastHead && p.HeadN <= n && p.HeadN >= best.HeadN && sum(head[:p.HeadN]) == p.Head {
			best, ok = p, true
		}
	}
	return best, ok
}

// leastHead is how many first bytes must be equal to believe that a packed file is
// one that was read before it was packed.
const leastHead = 32

// headOf reads the first n bytes, or fewer.
func headOf(f *os.File, n int) ([]byte, error) {
	b := make([]byte, n)
	k, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return b[:k], nil
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// sameHead says whether a file begins as the one did that the place is of.
func sameHead(f *os.File, p transport.Place) bool {
	if p.HeadN == 0 {
		return true
	}
	head, err := headOf(f, p.HeadN)
	return err == nil && len(head) == p.HeadN && sum(head) == p.Head
}
