package lake

import (
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
)

// shelf holds the open files of one class of observations.
type shelf interface {
	add(*observe.Observation)
	hold
}

// hold is what has open files.
type hold interface {
	push()     // what was added and is not encoded yet
	open() int // files being encoded
	seal()     // ends all of them and queues them
}

// observations lists the classes: a new kind of observation is one line.
func (l *Lake) observations() map[observe.Kind]shelf {
	return map[observe.Kind]shelf{
		observe.KindInteraction: shelve[ocsf.Interaction](l, "interaction"),
		observe.KindAuth:        shelve[ocsf.Auth](l, "auth"),
		observe.KindCommand:     shelve[ocsf.Command](l, "command"),
		observe.KindHTTP:        shelve[ocsf.HTTP](l, "http"),
		observe.KindFile:        shelve[ocsf.File](l, "file"),
		observe.KindFetch:       shelve[ocsf.Fetch](l, "fetch"),
		observe.KindForward:     shelve[ocsf.Forward](l, "forward"),
		observe.KindCall:        shelve[ocsf.Call](l, "call"),
		observe.KindExchange:    shelve[ocsf.Exchange](l, "exchange"),
	}
}

// records are the classes of what logs say beside observations.
type records struct {
	flows   *class[ocsf.Flow]
	queries *class[ocsf.Query]
	calls   *class[ocsf.CloudCall]
	texts   *class[ocsf.Message]
	rest    *class[ocsf.Record]
	asked   *class[ocsf.LLMCall]
	said    *class[ocsf.LLMTraffic]
}

func (l *Lake) logs() records {
	return records{flows: classOf[ocsf.Flow](l, "flow"), queries: classOf[ocsf.Query](l, "query"), calls: classOf[ocsf.CloudCall](l, "cloudcall"), texts: classOf[ocsf.Message](l, "message"), rest: classOf[ocsf.Record](l, "record"),
		asked: classOf[ocsf.LLMCall](l, "llmcall"), said: classOf[ocsf.LLMTraffic](l, Traffic)}
}

// holds is everything that can have open files.
func (l *Lake) holds() []hold {
	all := []hold{l.records.flows, l.records.queries, l.records.calls, l.records.texts, l.records.rest, l.records.asked, l.records.said}
	for _, s := range l.shelves {
		all = append(all, s)
	}
	return all
}

// Bulk says whether a class has what exporters and logs say in large numbers. When there is no room, it goes first.
func Bulk(class string) bool {
	switch class {
	case "flow", "query", "cloudcall", "message", "record":
		return true
	}
	return false
}

// Guard takes in what a gateway without a node saw: exchanges, and what was said in those that are
// recorded, masked. As with Logs, it is encoded before it returns and written within Options.Every.
func (l *Lake) Guard(calls []model.LLMCall, said []model.LLMTraffic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range calls {
		l.records.asked.next(hour(ocsf.NanosOf(calls[i].Time))).FromLLMCall(&l.mapper, &calls[i])
	}
	for i := range said {
		l.records.said.next(hour(ocsf.NanosOf(said[i].Time))).FromLLMTraffic(&l.mapper, &said[i])
	}
	l.settle()
}

// Logs takes in what a source of logs read, except its events, which are observations: they
// are encoded before it returns, written within Options.Every, and not kept.
func (l *Lake) Logs(from *ocsf.From, b *observe.LogBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	when := func(t time.Time) int64 {
		t, _ = from.At(t)
		return hour(ocsf.NanosOf(t))
	}
	for i := range b.Flows {
		f := &b.Flows[i]
		l.records.flows.next(when(ocsf.Seconds(f.Time()))).FromFlow(&l.mapper, from, f)
	}
	for i := range b.Queries {
		q := &b.Queries[i]
		l.records.queries.next(when(ocsf.Seconds(q.Time))).FromQuery(&l.mapper, from, q)
	}
	for i := range b.Messages {
		x := &b.Messages[i]
		l.records.texts.next(when(x.Time)).FromMessage(&l.mapper, from, x)
	}
	for i := range b.Documents {
		d := b.Documents[i].Kept()
		if d.Call != nil {
			l.records.calls.next(when(d.Time)).FromRecord(&l.mapper, from, &d)
		} else {
			l.records.rest.next(when(d.Time)).FromRecord(&l.mapper, from, &d)
		}
	}
	l.settle()
}

// row is a pointer to T that fills itself from an observation.
type row[T any] interface {
	*T
	ocsf.ObservationRow
}

// batch is how many rows are encoded at once: columns are filled one after the
// other, so a row at a time costs half as much again.
const batch = 64

// class keeps the open files of one class, one per hour. Rows are collected
// in a small array that is used again.
type class[T any] struct {
	l      *Lake
	name   string
	rows   []T // batch of them, made when the first row comes
	n      int // filled
	hour   int64
	sheets map[int64]*sheet[T]
}

func (c *class[T]) open() int { return len(c.sheets) }

// next is where to put the next row of an hour.
func (c *class[T]) next(hour int64) *T {
	if c.rows == nil {
		c.rows = make([]T, batch)
	}
	if c.n == len(c.rows) || c.n > 0 && hour != c.hour {
		c.push()
	}
	c.hour = hour
	c.n++
	return &c.rows[c.n-1]
}

func (c *class[T]) push() {
	if c.n == 0 {
		return
	}
	s := c.sheets[c.hour]
	if s == nil {
		s = newSheet[T](c.l.opt.Product, c.l.freshForm())
		c.sheets[c.hour] = s
	}
	if err := s.write(c.rows[:c.n]); err != nil {
		c.fail(s.rows+c.n, err)
		delete(c.sheets, c.hour)
	} else if s.size() >= c.l.opt.FileBytes || s.rows >= rowGroup {
		c.end(c.hour, s)
	}
	c.n = 0
}

func (c *class[T]) seal() {
	c.push()
	for hour, s := range c.sheets {
		c.end(hour, s)
	}
	c.rows = nil // an idle node keeps nothing
}

func (c *class[T]) end(hour int64, s *sheet[T]) {
	delete(c.sheets, hour)
	b, err := s.seal()
	if err != nil {
		c.fail(s.rows, err)
		return
	}
	c.l.queue(sealed{partition(c.name, hour), newName(0), b, s.rows})
}

// fail counts rows that could not be encoded: a bug, but none to end the node for.
func (c *class[T]) fail(rows int, err error) {
	c.l.stats.Dropped += int64(rows)
	c.l.opt.Log.Error("rows of the lake cannot be encoded", "class", c.name, "rows", rows, "error", err)
}

func newClass[T any](l *Lake, name string) class[T] {
	return class[T]{l: l, name: name, sheets: map[int64]*sheet[T]{}}
}

func classOf[T any](l *Lake, name string) *class[T] {
	c := newClass[T](l, name)
	return &c
}

// kind is a class of observations.
type kind[T any, P row[T]] struct{ class[T] }

func shelve[T any, P row[T]](l *Lake, name string) shelf {
	return &kind[T, P]{newClass[T](l, name)}
}

func (k *kind[T, P]) add(o *observe.Observation) {
	P(k.next(hour(ocsf.NanosOf(o.Time)))).FromObservation(&k.l.mapper, o)
}
