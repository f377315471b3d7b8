package lake

import (
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
)

// shelf holds the open files of one class of observations.
type shelf interface {
	add(*observe.Observation)
	push() // what add has left over
	hold
}

// hold is what has open files.
type hold interface {
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

// kind is a class of observations.
type kind[T any, P row[T]] struct{ class[T] }

func shelve[T any, P row[T]](l *Lake, name string) shelf {
	return &kind[T, P]{newClass[T](l, name)}
}

func (k *kind[T, P]) add(o *observe.Observation) {
	P(k.next(hour(ocsf.NanosOf(o.Time)))).FromObservation(&k.l.mapper, o)
}
