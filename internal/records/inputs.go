package records

import (
	"context"
	"io"

	"bartizan/internal/lake/bucket"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
	"bartizan/internal/source/transport/s3"
)

// opener opens what is not on this machine.
type opener func(context.Context, string) (io.ReadCloser, error)

// expand turns the inputs into what is read, one after the other; remote has those
// that lie in a bucket. What cannot be found is an error each.
func (q *Request) expand(ctx context.Context) (names []string, remote map[string]opener, failed []error) {
	remote = map[string]opener{}
	for _, in := range q.Inputs {
		if !bucket.IsURL(in) {
			files, missing := transport.Expand([]string{in})
			names, failed = append(names, files...), append(failed, missing...)
			continue
		}
		objects, open, err := s3.Objects(ctx, in)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, o := range objects {
			remote[o] = open
		}
		names = append(names, objects...)
	}
	return names, remote, failed
}

// open is how to read one of them.
func (q *Request) open(name string, format source.Format, from opener) transport.Input {
	o := source.Options{Input: name, Format: q.Type, Decoder: format.Decoder(), Quarantine: q.Quarantine}
	if from != nil {
		return &transport.File{Path: name, Format: format, Opts: o, Open: from}
	}
	return transport.Open(name, q.Stdin, format, o)
}
