// Package transport brings bytes to formats: files (plain or packed), folders,
// streams, and files that are still being written.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"bartizan/internal/source"
	"bartizan/internal/source/parquet"
)

// Input is something that is read through once, and counted.
type Input interface {
	source.Source
	// Counts is what Run has read.
	Counts() source.Counts
}

// Open makes the input of a name: a file, "-" for stdin, or udp://HOST:PORT. It
// opens nothing yet.
func Open(name string, stdin io.Reader, f source.Format, o source.Options) Input {
	if Live(name) {
		return &UDP{Address: name, Format: f, Opts: o}
	}
	in := &File{Path: name, Format: f, Opts: o}
	if name == "-" {
		in.Stream = stdin
	}
	return in
}

// Live says whether an input has no end.
func Live(name string) bool { return strings.HasPrefix(name, UDPScheme) }

// File reads a file to its end, or a stream. It implements source.Source.
type File struct {
	Path   string
	Stream io.Reader // read instead of Path when set
	// Open, when set, opens what Path names, which is no file of this machine.
	Open func(ctx context.Context, path string) (io.ReadCloser, error)
	// Format, when it is a source.Container, is asked first for inputs that are
	// no text.
	Format source.Format
	Opts   source.Options

	counts source.Counts
}

// Counts is what Run has read.
func (f *File) Counts() source.Counts { return f.counts }

// Run implements source.Source. It fails with a *source.WrongError when
// nothing in the file could be read, after everything was tried.
func (f *File) Run(ctx context.Context, emit source.Emit) (err error) {
	src := f.Stream
	if src == nil && f.Open != nil {
		body, err := f.Open(ctx, f.Path)
		if err != nil {
			return fmt.Errorf("open input: %w", err)
		}
		defer body.Close()
		src = body
	}
	if src == nil {
		file, err := os.Open(f.Path)
		if err != nil {
			return fmt.Errorf("open input: %w", err)
		}
		defer file.Close()
		if st, err := file.Stat(); err != nil || st.IsDir() {
			return errors.Join(err, fmt.Errorf("open input %s: it is a folder or cannot be looked at", f.Path))
		}
		src = file
	}
	plain, _ := src.(*os.File) // standard input may be one as well
	src, done, err := Decompress(src)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Opts.Input, err)
	}
	defer done()
	in, drop, err := input(src, plain)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Opts.Input, err)
	}
	defer drop()
	if read, err := f.container(ctx, in, emit); read {
		return err
	}
	if parquet.Begins(in.Head) {
		if src, err = parquet.Lines(in); err != nil {
			return fmt.Errorf("read %s: %w", f.Opts.Input, err)
		}
	} else {
		src = source.Unfold(in.Stream)
	}
	r := source.NewReader(f.Opts)
	defer func() { f.counts = r.Counts() }()
	if err := r.Read(ctx, src, emit); err != nil {
		return err
	}
	return r.Verdict()
}

// container reads the input when the format says that it is one of its own.
func (f *File) container(ctx context.Context, in *source.Input, emit source.Emit) (read bool, err error) {
	c, ok := f.Format.(source.Container)
	if !ok {
		return false, nil
	}
	recs, err := c.Open(in)
	if errors.Is(err, source.ErrFormat) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("read %s as %s: %w", f.Opts.Input, f.Opts.Format, err)
	}
	defer recs.Close()
	f.counts, err = source.ReadRecords(ctx, f.Opts, in.Head, recs, emit)
	return true, err
}
