package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	"bartizan/internal/observe"
	"bartizan/internal/safe"
	"bartizan/internal/source"
)

// Object reads one stored object as a whole. wrong: what is in it cannot be read,
// and will not be later; err: it could not be read now, or what it says could not
// be stored. The body must fail when less comes than there is, as net/http's does.
func (in *Intake) Object(ctx context.Context, name string, body io.Reader) (wrong, err error) {
	var refused error
	whole := &watched{r: body}
	f := File{Path: name, Stream: whole, Format: in.Decoder, Opts: in.Options()}
	err = f.Run(ctx, func(ctx context.Context, b *observe.LogBatch) error {
		refused = in.Emit(ctx, b)
		return refused
	})
	in.Count(f.Counts())
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case refused != nil:
		return nil, refused
	case err != nil && whole.err != nil && !isWrong(err):
		return nil, fmt.Errorf("read %s: %w", safe.Clean(name, 300), err) // the connection; again from its beginning
	case err != nil:
		return fmt.Errorf("%s: %w", safe.Clean(name, 300), err), nil
	}
	return nil, nil
}

func isWrong(err error) bool {
	var wrong *source.WrongError
	return errors.As(err, &wrong)
}

// watched remembers what went wrong below whoever reads.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
