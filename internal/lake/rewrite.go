package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go"
)

// rewriter copies rows of one class.
type rewriter struct {
	write  func(ctx context.Context, out *os.File, product string, in []string) (rows int64, err error)
	schema func() *parquet.Schema
}

// rewriters lists the classes: a new one is one line.
func rewriters() map[string]rewriter {
	return map[string]rewriter{
		"interaction": rewriterOf[ocsf.Interaction](),
		"auth":        rewriterOf[ocsf.Auth](),
		"command":     rewriterOf[ocsf.Command](),
		"http":        rewriterOf[ocsf.HTTP](),
		"file":        rewriterOf[ocsf.File](),
		"fetch":       rewriterOf[ocsf.Fetch](),
		"forward":     rewriterOf[ocsf.Forward](),
		"call":        rewriterOf[ocsf.Call](),
		"exchange":    rewriterOf[ocsf.Exchange](),
		"flow":        rewriterOf[ocsf.Flow](),
		"query":       rewriterOf[ocsf.Query](),
		"cloudcall":   rewriterOf[ocsf.CloudCall](),
		"message":     rewriterOf[ocsf.Message](),
		"record":      rewriterOf[ocsf.Record](),
		"llmcall":     rewriterOf[ocsf.LLMCall](),
		Traffic:       rewriterOf[ocsf.LLMTraffic](),
		"signal":      rewriterOf[ocsf.Signal](),
		"decision":    rewriterOf[ocsf.Decision](),
		"receipt":     rewriterOf[ocsf.Receipt](),
	}
}

func rewriterOf[T any]() rewriter {
	return rewriter{write: rewrite[T], schema: func() *parquet.Schema { return parquet.SchemaOf(new(T)) }}
}

// indicators are the columns that lists of indicators are compared with. Compacted
// files have Bloom filters for them (10 bits a value, 1 % of false hits), so that a search for one value decodes few row groups.
func indicators() []string {
	return []string{"src_endpoint.ip", "dst_endpoint.ip", "query.hostname", "answers.rdata", "unmapped.src_endpoint.ip", "unmapped.address", "unmapped.actor.value", "metadata.correlation_uid", "metadata.uid",
		"url.url_string", "url.hostname", "http_request.url.hostname", "http_request.url.path", "http_request.user_agent", "file.hashes.value",
		"unmapped.evidence.sha256", "unmapped.ja3", "unmapped.hassh", "unmapped.sni", "ja4_fingerprint_list.value", "unmapped.key", "unmapped.password",
		"unmapped.target", "api.token.uid", "observables.value", "unmapped.decision.target.value", "command_uid"}
}

// rewrite copies the rows of files, in order, into a new one.
func rewrite[T any](ctx context.Context, out *os.File, product string, in []string) (rows int64, err error) {
	w := parquet.NewGenericWriter[T](out, options[T](product, form{codec: smaller(), rowGroup: rowGroup, bloom: indicators()})...)
	buf := make([]T, batch)
	for _, path := range in {
		n, err := copyRows(ctx, w, path, buf)
		if err != nil {
			return 0, fmt.Errorf("copy %s: %w", path, err)
		}
		rows += n
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return rows, nil
}

func copyRows[T any](ctx context.Context, w *parquet.GenericWriter[T], path string, buf []T) (rows int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := parquet.NewGenericReader[T](f)
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		n, rerr := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return rows, err
			}
			rows += int64(n)
		}
		clear(buf) // rows share lists with their predecessors otherwise
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil {
			return rows, rerr
		}
	}
	if rows != r.NumRows() {
		return rows, fmt.Errorf("%d rows read of %d", rows, r.NumRows())
	}
	return rows, nil
}

// rewritable says why a file must be left alone: it is damaged, or has columns
// that this version of the program would lose.
func rewritable(path string, r rewriter) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := verifySum(f, st.Size()); err != nil {
		return err
	}
	p, err := parquet.OpenFile(f, st.Size())
	if err != nil {
		return err
	}
	have := r.schema()
	for _, leaf := range p.Schema().Columns() {
		if _, ok := have.Lookup(leaf...); !ok {
			return fmt.Errorf("written by a newer version: its column %s is unknown here", dotted(leaf))
		}
	}
	return nil
}
