package records

import (
	"context"

	"bartizan/internal/observe"
)

// pipe looks at flows while the next ones are read: two cores share the work.
// Batches with anything else, which may point into what the reader reuses, are
// processed by the reader's goroutine, when those before them are. process is
// never called twice at a time, and sees the batches in their order.
type pipe struct {
	process func(*observe.LogBatch) error
	full    chan *inPipe // closed by close
	empty   chan *inPipe // those that come back; all of them when nothing is under way
}

// inPipe is a batch on its way through the pipe, and what became of it.
type inPipe struct {
	batch observe.LogBatch
	err   error
}

// inFlight batches wait at most; few would make the goroutines wait for each
// other, many would fall out of the processor's cache.
const inFlight = 16

// newPipe starts the goroutine, which ends with close.
func newPipe(process func(*observe.LogBatch) error) *pipe {
	p := &pipe{process: process, full: make(chan *inPipe, inFlight), empty: make(chan *inPipe, inFlight)}
	for range inFlight {
		p.empty <- &inPipe{}
	}
	go p.run()
	return p
}

func (p *pipe) run() {
	var failed error
	for x := range p.full {
		if failed == nil {
			failed = p.process(&x.batch)
		}
		x.err = failed
		p.empty <- x // has room for all
	}
}

// emit is a source.Emit. It returns the error of process, of this batch or of
// one before it.
func (p *pipe) emit(_ context.Context, b *observe.LogBatch) error {
	if len(b.Flows) == 0 || len(b.Flows) != b.Len() {
		if err := p.wait(); err != nil {
			return err
		}
		return p.process(b)
	}
	x := <-p.empty
	if x.err != nil {
		p.empty <- x
		return x.err
	}
	x.batch.Input, x.batch.Format = b.Input, b.Format
	x.batch.Flows, b.Flows = b.Flows, x.batch.Flows[:0]
	p.full <- x // has room for all
	return nil
}

// wait returns when everything was processed.
func (p *pipe) wait() error {
	var all [inFlight]*inPipe
	var err error
	for i := range all {
		all[i] = <-p.empty
		if all[i].err != nil {
			err = all[i].err
		}
	}
	for _, x := range all {
		p.empty <- x
	}
	return err
}

// close waits for everything and ends the goroutine. Errors of process that emit
// had no occasion to return are the caller's to know.
func (p *pipe) close() {
	_ = p.wait() // process told
	close(p.full)
}
