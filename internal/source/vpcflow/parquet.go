package vpcflow

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/parquet"

	pq "github.com/parquet-go/parquet-go"
)

// Open implements source.Container: Parquet files of flow logs, whose columns
// have the names of the fields with "-" or "_" (Amazon VPC User Guide, "Flow
// log files"). Each row is a record; columns are read as vectors, because
// making rows of them first costs more than everything else.
func (f format) Open(in *source.Input) (source.Records, error) {
	if !parquet.Begins(in.Head) {
		return nil, source.ErrFormat
	}
	file, err := parquet.Open(in)
	if err != nil {
		return nil, err
	}
	paths := file.Schema().Columns()
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = "nested"
		if len(p) == 1 && !strings.ContainsAny(p[0], " \t\n") && p[0] != "" {
			names[i] = strings.ReplaceAll(p[0], "_", "-")
		}
	}
	columns := header([]byte(strings.Join(names, " ")))
	if columns == nil {
		return nil, source.ErrFormat
	}
	return &table{groups: file.RowGroups(), columns: columns}, nil
}

// table reads the row groups of a file one after the other.
type table struct {
	groups  []pq.RowGroup
	columns []column
	vectors []*vector // of the group that is being read
	left    int64     // rows of it
	state   [source.BatchLen]uint8
}

// What is known of a row, or of a value in it.
const (
	good uint8 = iota
	none       // not set, or a record without a flow
	badAddress
	badNumber
	badWord
)

var errColumns = errors.New("columns of different length, or a page that does not say what it holds")

// Close implements source.Records.
func (t *table) Close() {
	for _, v := range t.vectors {
		_ = v.pages.Close() // only reading: nothing can be lost
	}
	t.vectors = nil
}

// Next implements source.Records.
func (t *table) Next(at uint64, b *observe.LogBatch) (int, error) {
	for t.left == 0 {
		if err := t.group(); err != nil {
			return 0, err
		}
	}
	n := int(min(t.left, source.BatchLen))
	for _, v := range t.vectors {
		if err := v.fill(); err != nil {
			return 0, err
		}
		n = min(n, v.rows-v.at)
	}
	before := len(b.Flows)
	if cap(b.Flows)-before < n {
		b.Flows = append(b.Flows, make([]observe.Flow, n)...)
	} else {
		b.Flows = b.Flows[:before+n]
		clear(b.Flows[before:])
	}
	flows := b.Flows[before:]
	state := t.state[:n]
	clear(state)
	for _, v := range t.vectors {
		v.give(flows, state)
	}
	keep, took, bad := 0, n, good
	for i := range flows {
		f := &flows[i]
		if state[i] == good && f.Src.IsZero() && f.Dst.IsZero() {
			state[i] = none
		}
		if state[i] > none {
			took, bad = i, state[i]
			break
		}
		if state[i] == none {
			continue
		}
		f.HasFlags = f.HasFlags && f.Proto == observe.ProtoTCP
		f.Record = at + uint64(i)
		if keep != i {
			flows[keep] = *f
		}
		keep++
	}
	b.Flows = b.Flows[:before+keep]
	used := took
	if bad != good {
		used++
	}
	for _, v := range t.vectors {
		v.at += used
	}
	t.left -= int64(used)
	if bad != good {
		return took, &source.RecordError{Why: [...]error{nil, nil, errAddress, errNumber, errWord}[bad]}
	}
	return took, nil
}

// group opens the columns of the next row group.
func (t *table) group() error {
	t.Close()
	if len(t.groups) == 0 {
		return io.EOF
	}
	g := t.groups[0]
	t.groups = t.groups[1:]
	t.left = g.NumRows()
	chunks := g.ColumnChunks()
	for i, c := range t.columns {
		if c == skip || c == version {
			continue
		}
		t.vectors = append(t.vectors, &vector{column: c, pages: chunks[i].Pages()})
	}
	return nil
}

// vector is the column of a row group, a page at a time.
type vector struct {
	column column
	pages  pq.Pages
	at     int // first value that was not given yet
	rows   int
	nums   []uint64
	addrs  []observe.Addr
	state  []uint8 // nil: all good
	states []uint8 // memory of state
	words  *dictionary
}

// dictionary holds the values of a dictionary page, each read once.
type dictionary struct {
	of    pq.Dictionary
	nums  []uint64
	addrs []observe.Addr
	state []uint8
	bad   bool // some are not good
}

func (v *vector) address() bool { return v.column == srcAddr || v.column == dstAddr }

func (v *vector) number() bool { return !v.address() && v.column != action && v.column != status }

// fill reads a page when all of the last was given.
func (v *vector) fill() error {
	for v.at == v.rows {
		p, err := v.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return errColumns // the group has more rows
		}
		if err != nil {
			return fmt.Errorf("read a page: %w", err)
		}
		v.at = 0
		err = v.take(p)
		pq.Release(p)
		if err != nil {
			return err
		}
	}
	return nil
}

// take reads a page into the vector.
func (v *vector) take(p pq.Page) error {
	n := p.NumValues()
	if n < 0 || n != p.NumRows() || n > 1<<31 {
		return errColumns // a column that repeats
	}
	v.rows = int(n)
	v.size()
	var levels []byte // of values that are set 1, of others 0
	if p.NumNulls() > 0 {
		levels = p.DefinitionLevels()
		if len(levels) != v.rows {
			return errColumns
		}
	}
	kind, data := p.Type().Kind(), p.Data()
	var ok bool
	switch {
	case p.Dictionary() != nil:
		ok = v.indexed(p.Dictionary(), data.Int32(), levels)
	case kind == pq.Int32 && v.number():
		ok = numbers(v, data.Int32(), levels)
	case kind == pq.Int64 && v.number():
		ok = numbers(v, data.Int64(), levels)
	default:
		return v.slow(p)
	}
	if !ok {
		return errColumns
	}
	return nil
}

// numbers reads a page of numbers. Those below zero come out beyond every limit.
func numbers[T int32 | int64](v *vector, data []T, levels []byte) bool {
	if levels == nil {
		if len(data) < v.rows {
			return false
		}
		for i, x := range data[:v.rows] {
			v.nums[i] = uint64(x)
		}
		return true
	}
	for i, level := range levels {
		if level == 0 {
			v.nums[i] = 0
			v.note(i, none)
			continue
		}
		if len(data) == 0 {
			return false
		}
		v.nums[i], data = uint64(data[0]), data[1:]
	}
	return true
}

// size makes room for a page.
func (v *vector) size() {
	v.state = nil
	if v.address() {
		if cap(v.addrs) < v.rows {
			v.addrs = make([]observe.Addr, v.rows)
		}
		v.addrs = v.addrs[:v.rows]
		return
	}
	if cap(v.nums) < v.rows {
		v.nums = make([]uint64, v.rows)
	}
	v.nums = v.nums[:v.rows]
}

// note says that a value is not good.
func (v *vector) note(i int, s uint8) {
	if v.state == nil {
		if cap(v.states) < v.rows {
			v.states = make([]uint8, v.rows)
		}
		v.state = v.states[:v.rows]
		clear(v.state)
	}
	v.state[i] = s
}

// indexed reads a page of places in a dictionary.
func (v *vector) indexed(words pq.Dictionary, places []int32, levels []byte) bool {
	d := v.words
	if d == nil || d.of != words {
		d = &dictionary{of: words}
		for i := range words.Len() {
			num, addr, s := v.value(words.Index(int32(i)))
			d.nums, d.addrs, d.state = append(d.nums, num), append(d.addrs, addr), append(d.state, s)
			d.bad = d.bad || s != good
		}
		v.words = d
	}
	isAddr := v.address()
	for i := range v.rows {
		if levels != nil && levels[i] == 0 {
			if isAddr {
				v.addrs[i] = observe.Addr{}
			} else {
				v.nums[i] = 0
			}
			if s := v.unset(); s != good {
				v.note(i, s)
			}
			continue
		}
		if len(places) == 0 || uint64(places[0]) >= uint64(len(d.state)) {
			return false
		}
		k := places[0]
		places = places[1:]
		if isAddr {
			v.addrs[i] = d.addrs[k]
		} else {
			v.nums[i] = d.nums[k]
		}
		if d.bad && d.state[k] != good {
			v.note(i, d.state[k])
		}
	}
	return true
}

// slow reads a page value by value: texts.
func (v *vector) slow(p pq.Page) error {
	var buf [256]pq.Value
	values := p.Values()
	for i := 0; i < v.rows; {
		n, err := values.ReadValues(buf[:min(len(buf), v.rows-i)])
		for _, x := range buf[:n] {
			num, addr, s := v.value(x)
			if v.address() {
				v.addrs[i] = addr
			} else {
				v.nums[i] = num
			}
			if s != good {
				v.note(i, s)
			}
			i++
		}
		if i < v.rows && (err != nil || n == 0) {
			return errColumns
		}
	}
	return nil
}

// unset is the state of a value that is not set: only the status has another
// word for a record without a flow.
func (v *vector) unset() uint8 {
	if v.column == status {
		return good
	}
	return none
}

// value reads one value of the column.
func (v *vector) value(x pq.Value) (num uint64, addr observe.Addr, state uint8) {
	if x.IsNull() {
		return 0, addr, v.unset()
	}
	var text []byte
	switch x.Kind() {
	case pq.Int32, pq.Int64:
		if !v.number() {
			return 0, addr, badWord
		}
		return uint64(x.Int64()), addr, good // below zero is beyond every limit
	case pq.ByteArray, pq.FixedLenByteArray:
		text = x.ByteArray()
	default:
		return 0, addr, badNumber
	}
	if len(text) == 0 || len(text) == 1 && text[0] == '-' {
		return 0, addr, v.unset()
	}
	switch v.column {
	case srcAddr, dstAddr:
		a, ok := address(text)
		if !ok {
			return 0, addr, badAddress
		}
		return 0, a, good
	case action:
		switch string(text) {
		case "ACCEPT":
			return uint64(observe.FlowAccept), addr, good
		case "REJECT":
			return uint64(observe.FlowReject), addr, good
		}
		return 0, addr, badWord
	case status:
		switch string(text) {
		case "OK":
			return 0, addr, good
		case "NODATA", "SKIPDATA":
			return 0, addr, none
		}
		return 0, addr, badWord
	}
	n, err := number(text)
	if err != nil {
		return 0, addr, badNumber
	}
	return n, addr, good
}

// give writes the column's part of the next flows, and into state what is wrong
// with them.
func (v *vector) give(flows []observe.Flow, state []uint8) {
	n := len(flows)
	if v.state != nil {
		for i, s := range v.state[v.at : v.at+n] {
			// A number that is not set is zero; a flow needs its addresses.
			if s > none || s == none && (v.address() || v.column == status) {
				state[i] = max(state[i], s)
			}
		}
	}
	switch v.column {
	case srcAddr:
		for i, a := range v.addrs[v.at : v.at+n] {
			flows[i].Src = a
		}
	case dstAddr:
		for i, a := range v.addrs[v.at : v.at+n] {
			flows[i].Dst = a
		}
	case action:
		for i, a := range v.nums[v.at : v.at+n] {
			flows[i].Action = observe.FlowAction(a)
		}
	case status:
	case flags:
		for i, x := range v.nums[v.at : v.at+n] {
			if v.state != nil && v.state[v.at+i] == none {
				continue
			}
			if !set(&flows[i], flags, x) {
				state[i] = badNumber
			}
		}
	default:
		for i, x := range v.nums[v.at : v.at+n] {
			if !set(&flows[i], v.column, x) {
				state[i] = badNumber
			}
		}
	}
}
