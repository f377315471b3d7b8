package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// setSpec is one of the sets.
type setSpec struct {
	name  string
	width int  // address bits
	limit bool // over-rate packets are dropped, not all
}

// The sets, in the order of the rules: what is blocked is not worth metering.
const (
	setBlock4 = iota
	setBlock6
	setLimit4
	setLimit6
	setIsolate4
	setIsolate6
	setCount
)

var setSpecs = [setCount]setSpec{
	{"block4", 32, false}, {"block6", 128, false}, {"limit4", 32, true}, {"limit6", 128, true},
	{"isolate4", 32, false}, {"isolate6", 128, false},
}

// ruleSpec is a rule of each chain: it looks for one end of a packet in a set.
type ruleSpec struct {
	set int
	to  bool // the address the packet goes to, not the one it comes from
}

// ruleSpecs are in the order of evaluation. An isolated host is cut off both ways.
var ruleSpecs = [...]ruleSpec{
	{setBlock4, false}, {setBlock6, false}, {setLimit4, false}, {setLimit6, false},
	{setIsolate4, false}, {setIsolate4, true}, {setIsolate6, false}, {setIsolate6, true},
}

// hookNumbers of family inet, by the name used in the configuration.
var hookNumbers = map[string]uint32{
	"prerouting": unix.NF_INET_PRE_ROUTING, "input": unix.NF_INET_LOCAL_IN, "forward": unix.NF_INET_FORWARD,
}

// layout is the fixed part of our table: everything but the elements.
type layout struct {
	table       string
	names       [setCount]string // of the sets the rules look into now, see other
	hooks       []string
	priority    int
	rate, burst uint32
	allow       []netip.Prefix // what isolated hosts may talk with, canonical
}

// mark is the comment on each rule. It carries a hash of what the rules are
// made from, so a table left behind by a program with other settings is
// recognised and rebuilt, whatever the kernel made of the expressions.
func (l layout) mark() string {
	h := fnv.New64a()
	fmt.Fprintf(h, "v2 %v %d %d %d %v", l.hooks, l.priority, l.rate, l.burst, l.allow)
	return fmt.Sprintf("bartizan %016x", h.Sum64())
}

// firstNames are the names the sets have until one is exchanged.
func firstNames() (names [setCount]string) {
	for i, s := range setSpecs {
		names[i] = s.name
	}
	return names
}

// other is the name a set gets when it is exchanged: the two take turns.
func (l layout) other(set int) string {
	if l.names[set] == setSpecs[set].name {
		return setSpecs[set].name + "b"
	}
	return setSpecs[set].name
}

func (l layout) tableRef(t *batch) { t.str(unix.NFTA_TABLE_NAME, l.table) }

// recreate replaces the table, in whatever shape it is, by an empty one whose
// sets have their first names.
func (l layout) recreate(t *batch) layout {
	l.names = firstNames()
	ref := func() { l.tableRef(t) }
	t.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "create table", ref) // so that there is one to delete
	t.message(unix.NFT_MSG_DELTABLE, 0, "delete table", ref)
	t.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "create table", ref)
	for i := range setSpecs {
		l.newSet(t, i)
	}
	for _, hook := range l.hooks {
		t.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, "create chain "+hook, func() {
			t.str(unix.NFTA_CHAIN_TABLE, l.table)
			t.str(unix.NFTA_CHAIN_NAME, hook)
			t.nest(unix.NFTA_CHAIN_HOOK, func() {
				t.u32(unix.NFTA_HOOK_HOOKNUM, hookNumbers[hook])
				t.u32(unix.NFTA_HOOK_PRIORITY, uint32(int32(l.priority)))
			})
			t.u32(unix.NFTA_CHAIN_POLICY, 1) // NF_ACCEPT
			t.str(unix.NFTA_CHAIN_TYPE, "filter")
		})
	}
	l.newRules(t)
	return l
}

// stage makes full new sets beside those in use, and swap, in a transaction
// of its own, lets the rules look into them and deletes the old ones. A packet
// sees either the old rules with the old sets or the new ones with the new.
// Both in one transaction would not do: a kernel that searches sets in an
// array (6.18) makes that array only after the new rules are in force, and
// packets pass for some milliseconds; flushing and filling a set in place would
// not do on kernels before 6.17, whose lookups can miss while one set changes.
func (l layout) stage(t *batch, sets []int, pieces func(set int) []piece, now time.Time) {
	for _, i := range sets {
		next := l
		next.names[i] = l.other(i)
		next.newSet(t, i)
		next.elements(t, unix.NFT_MSG_NEWSETELEM, i, pieces(i), now)
	}
}

// swap returns the layout that holds once the transaction is through.
func (l layout) swap(t *batch, sets []int) layout {
	for _, hook := range l.hooks {
		t.message(unix.NFT_MSG_DELRULE, 0, "replace rules", func() {
			t.str(unix.NFTA_RULE_TABLE, l.table)
			t.str(unix.NFTA_RULE_CHAIN, hook)
		})
	}
	next := l
	for _, i := range sets {
		next.names[i] = l.other(i)
	}
	next.newRules(t)
	for _, i := range sets {
		l.deleteSet(t, l.names[i])
	}
	return next
}

func (l layout) deleteSet(t *batch, name string) {
	t.message(unix.NFT_MSG_DELSET, 0, "delete set "+name, func() {
		t.str(unix.NFTA_SET_TABLE, l.table)
		t.str(unix.NFTA_SET_NAME, name)
	})
}

func (l layout) newSet(t *batch, i int) {
	s := setSpecs[i]
	flags := uint32(unix.NFT_SET_INTERVAL | unix.NFT_SET_TIMEOUT)
	if s.limit {
		flags |= nftSetExpr
	}
	keyType, keyLen := uint32(7), uint32(4) // ipv4_addr as the nft command numbers types
	if s.width == 128 {
		keyType, keyLen = 8, 16
	}
	t.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "create set "+l.names[i], func() {
		t.str(unix.NFTA_SET_TABLE, l.table)
		t.str(unix.NFTA_SET_NAME, l.names[i])
		t.u32(unix.NFTA_SET_FLAGS, flags)
		t.u32(unix.NFTA_SET_KEY_TYPE, keyType)
		t.u32(unix.NFTA_SET_KEY_LEN, keyLen)
		t.u32(unix.NFTA_SET_ID, uint32(i+1))
		if !s.limit {
			return // elements bring their counters, see countUpTo
		}
		t.nest(nftaSetExpressions, func() {
			// The limit stands first: while it holds, evaluation ends there,
			// so the counter counts what was dropped.
			t.expr(unix.NFTA_LIST_ELEM, "limit", func() {
				t.u64(unix.NFTA_LIMIT_RATE, uint64(l.rate))
				t.u64(unix.NFTA_LIMIT_UNIT, nftLimitUnitSecond)
				t.u32(unix.NFTA_LIMIT_BURST, l.burst)
				t.u32(unix.NFTA_LIMIT_TYPE, 0) // packets
				t.u32(unix.NFTA_LIMIT_FLAGS, unix.NFT_LIMIT_F_INV)
			})
			t.expr(unix.NFTA_LIST_ELEM, "counter", func() {})
		})
	})
}

// newRules fills the chains: for each set "meta nfproto ipv4 ip saddr @set drop",
// and for those of isolation the same with daddr, each behind "ip daddr != range"
// (saddr, respectively) for everything that is allowed.
func (l layout) newRules(t *batch) {
	comment := append([]byte(l.mark()), 0)
	userdata := append([]byte{0, byte(len(comment))}, comment...) // NFTNL_UDATA_RULE_COMMENT
	for _, hook := range l.hooks {
		for _, r := range ruleSpecs {
			t.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "create rule for "+setSpecs[r.set].name, func() {
				t.str(unix.NFTA_RULE_TABLE, l.table)
				t.str(unix.NFTA_RULE_CHAIN, hook)
				t.nest(unix.NFTA_RULE_EXPRESSIONS, func() { l.rule(t, r) })
				t.attr(unix.NFTA_RULE_USERDATA, userdata)
			})
		}
	}
}

func (l layout) rule(t *batch, r ruleSpec) {
	s := setSpecs[r.set]
	proto, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if s.width == 128 {
		proto, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	other := offset + size // where the address of the other end stands
	if r.to {
		offset, other = other, offset
	}
	t.expr(unix.NFTA_LIST_ELEM, "meta", func() {
		t.u32(unix.NFTA_META_KEY, unix.NFT_META_NFPROTO)
		t.u32(unix.NFTA_META_DREG, unix.NFT_REG_1)
	})
	t.expr(unix.NFTA_LIST_ELEM, "cmp", func() {
		t.u32(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
		t.u32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
		t.nest(unix.NFTA_CMP_DATA, func() { t.attr(unix.NFTA_DATA_VALUE, []byte{proto}) })
	})
	if r.set == setIsolate4 || r.set == setIsolate6 {
		l.exceptions(t, s.width, other, size) // before the look-up, because what the set counts was dropped
	}
	loadAddr(t, offset, size)
	t.expr(unix.NFTA_LIST_ELEM, "lookup", func() {
		t.str(unix.NFTA_LOOKUP_SET, l.names[r.set])
		t.u32(unix.NFTA_LOOKUP_SREG, unix.NFT_REG_1)
	})
	t.expr(unix.NFTA_LIST_ELEM, "immediate", func() {
		t.u32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		t.nest(unix.NFTA_IMMEDIATE_DATA, func() {
			t.nest(unix.NFTA_DATA_VERDICT, func() { t.u32(unix.NFTA_VERDICT_CODE, 0) }) // NF_DROP
		})
	})
}

func loadAddr(t *batch, offset, size uint32) {
	t.expr(unix.NFTA_LIST_ELEM, "payload", func() {
		t.u32(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1)
		t.u32(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_NETWORK_HEADER)
		t.u32(unix.NFTA_PAYLOAD_OFFSET, offset)
		t.u32(unix.NFTA_PAYLOAD_LEN, size)
	})
}

// exceptions ends a rule for packets whose other end is allowed.
func (l layout) exceptions(t *batch, width int, offset, size uint32) {
	loaded := false
	for _, p := range l.allow {
		if p.Addr().BitLen() != width {
			continue
		}
		if !loaded {
			loadAddr(t, offset, size)
			loaded = true
		}
		lo, hi := bounds(p)
		t.expr(unix.NFTA_LIST_ELEM, "range", func() {
			t.u32(unix.NFTA_RANGE_SREG, unix.NFT_REG_1)
			t.u32(unix.NFTA_RANGE_OP, unix.NFT_RANGE_NEQ)
			t.nest(unix.NFTA_RANGE_FROM_DATA, func() { t.attr(unix.NFTA_DATA_VALUE, lo.netip(width).AsSlice()) })
			t.nest(unix.NFTA_RANGE_TO_DATA, func() { t.attr(unix.NFTA_DATA_VALUE, hi.netip(width).AsSlice()) })
		})
	}
}

// countUpTo is the most pieces of one transaction that get a counter. A counter
// is memory on every processor, and allocating it takes the kernel more time
// than all the rest: a list of 100,000 would load at half the speed.
const countUpTo = 20_000

// counterExpr is the attribute that gives an element a counter.
var counterExpr = func() []byte {
	t := &batch{}
	t.expr(unix.NFTA_SET_ELEM_EXPR, "counter", func() {})
	return t.b
}()

// elements appends messages that add or delete pieces of a set.
func (l layout) elements(t *batch, kind uint16, set int, pieces []piece, now time.Time) {
	s := setSpecs[set]
	flags, what := uint16(0), "delete from set "+l.names[set]
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags, what = unix.NLM_F_CREATE, "add to set "+l.names[set]
	}
	var expr []byte
	if kind == unix.NFT_MSG_NEWSETELEM && !s.limit && len(pieces) <= countUpTo {
		expr = counterExpr
	}
	at := now.UnixMilli()
	t.b = slices.Grow(t.b, len(pieces)*(64+s.width/4))
	for chunk := range slices.Chunk(pieces, maxElementsPerChunk) {
		t.message(kind, flags, what, func() {
			t.str(unix.NFTA_SET_ELEM_LIST_TABLE, l.table)
			t.str(unix.NFTA_SET_ELEM_LIST_SET, l.names[set])
			list := t.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			for _, p := range chunk {
				left := uint64(0)
				if kind == unix.NFT_MSG_NEWSETELEM {
					left = uint64(max(p.until-at, 1))
				}
				t.bound(p.lo, s.width, false, left, expr)
				if p.hi != hostMask(s.width, 0) { // a range up to the last address has no end element
					t.bound(p.hi.next(), s.width, true, 0, nil)
				}
			}
			t.shut(list)
		})
	}
}

// bound appends one element: the start of a range with its time in
// milliseconds and its expression, if any, or the address after its end.
func (t *batch) bound(a addr, width int, end bool, timeout uint64, expr []byte) {
	elem := t.open(unix.NFTA_LIST_ELEM)
	key := t.open(unix.NFTA_SET_ELEM_KEY)
	t.b = binary.NativeEndian.AppendUint16(t.b, uint16(attrHeaderLen+width/8))
	t.b = binary.NativeEndian.AppendUint16(t.b, unix.NFTA_DATA_VALUE)
	if width == 32 {
		t.b = binary.BigEndian.AppendUint32(t.b, uint32(a.lo))
	} else {
		t.b = binary.BigEndian.AppendUint64(t.b, a.hi)
		t.b = binary.BigEndian.AppendUint64(t.b, a.lo)
	}
	t.shut(key)
	if end {
		t.u32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	if timeout > 0 {
		t.u64(unix.NFTA_SET_ELEM_TIMEOUT, timeout)
	}
	t.b = append(t.b, expr...)
	t.shut(elem)
}

// found is the fixed part of a table as the kernel has it.
type found struct {
	chains map[string]uint32       // hook by chain; a wrong policy or priority is no hook
	rules  map[string][]parsedRule // by chain
	sets   map[string]uint32       // flags by name
}

// standing reports whether the kernel holds our table in the shape that
// recreate gives it, with the names of the sets in use and of those that an
// interrupted exchange left. Any other difference is a reason to rebuild it.
func (l layout) standing(ctx context.Context, s *socket) (names [setCount]string, stale []string, ok bool, err error) {
	f := found{map[string]uint32{}, map[string][]parsedRule{}, map[string]uint32{}}
	err = s.query(ctx, unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, "list chains", func(*batch) {}, func(b []byte) error {
		table, name, hook, policy, err := parseChain(b)
		if err == nil && table == l.table {
			if policy != 1 || int32(hook.priority) != int32(l.priority) {
				hook.number = ^uint32(0)
			}
			f.chains[name] = hook.number
		}
		return err
	})
	if err != nil || len(f.chains) == 0 {
		return names, nil, false, err
	}
	err = s.query(ctx, unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, "list rules", func(t *batch) {
		t.str(unix.NFTA_RULE_TABLE, l.table)
	}, func(b []byte) error {
		r, err := parseRule(b)
		if err == nil && r.table == l.table {
			f.rules[r.chain] = append(f.rules[r.chain], r)
		}
		return err
	})
	if err != nil {
		return names, nil, false, err
	}
	err = s.query(ctx, unix.NFT_MSG_GETSET, unix.NLM_F_DUMP, "list sets", func(t *batch) {
		t.str(unix.NFTA_SET_TABLE, l.table)
	}, func(b []byte) error {
		table, name, flags, err := parseSet(b)
		if err == nil && table == l.table {
			f.sets[name] = flags
		}
		return err
	})
	if err != nil {
		return names, nil, false, err
	}
	names, stale, ok = l.matches(f)
	return names, stale, ok, nil
}

func (l layout) matches(f found) (names [setCount]string, stale []string, ok bool) {
	if len(f.chains) != len(l.hooks) {
		return names, nil, false
	}
	for n, hook := range l.hooks {
		number, ok := f.chains[hook]
		if !ok || number != hookNumbers[hook] || len(f.rules[hook]) != len(ruleSpecs) {
			return names, nil, false
		}
		for k, r := range f.rules[hook] {
			i := ruleSpecs[k].set
			if n == 0 && !ruleSpecs[k].to {
				names[i] = r.set
			}
			if r.comment != l.mark() || r.set != names[i] || r.set != setSpecs[i].name && r.set != setSpecs[i].name+"b" {
				return names, nil, false
			}
		}
	}
	for i := range setSpecs {
		const need = unix.NFT_SET_INTERVAL | unix.NFT_SET_TIMEOUT
		if flags, ok := f.sets[names[i]]; !ok || flags&need != need {
			return names, nil, false
		}
		delete(f.sets, names[i])
	}
	for name := range f.sets {
		stale = append(stale, name)
	}
	return names, stale, true
}

// dump reads all elements of a set; next is called before those of one message.
func (l layout) dump(ctx context.Context, s *socket, set int, next func(), each func(element)) error {
	spec := setSpecs[set]
	err := s.query(ctx, unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, "read set "+l.names[set], func(t *batch) {
		t.str(unix.NFTA_SET_ELEM_LIST_TABLE, l.table)
		t.str(unix.NFTA_SET_ELEM_LIST_SET, l.names[set])
	}, func(b []byte) error {
		next()
		return parseElements(b, spec.width, each)
	})
	if errors.Is(err, unix.ENOENT) {
		return errNoTable
	}
	return err
}

var errNoTable = errors.New("the kernel does not hold our table")

// generation reads the number of the kernel's current ruleset, which grows by
// one with every transaction of anybody in the namespace.
func generation(ctx context.Context, s *socket) (gen uint32, err error) {
	err = s.query(ctx, unix.NFT_MSG_GETGEN, 0, "read ruleset generation", func(*batch) {}, func(b []byte) error {
		return attributes(b, func(kind uint16, v []byte) error {
			if kind == unix.NFTA_GEN_ID {
				gen = uint32(number(v))
			}
			return nil
		})
	})
	return gen, err
}
