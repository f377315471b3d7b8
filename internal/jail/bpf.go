package jail

import (
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h); both supported machines are little endian, so the low half of an
// argument comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// Classic BPF op codes that a filter needs (linux/bpf_common.h).
const (
	opLoad    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opAtLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opAnd     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opReturn  = unix.BPF_RET | unix.BPF_K
)

// cond is true when the low 32 bits of the argument, after the mask, equal val; wide demands that the high half is zero
// too, which matters for pointers and not for what the kernel reads as int.
type cond struct {
	arg  int
	mask uint32 // 0 = all bits
	val  uint32
	wide bool
}

// rule says what to do with a system call: action when one of the alternatives holds (each a list of conditions that
// must all hold; none at all = always), otherwise the default.
type rule struct {
	nr   uintptr
	any  [][]cond
	then uint32
}

// program is a seccomp filter in the making. Every rule is a closed block that ends in a return, so that the accumulator
// never carries an argument into the next comparison of system call numbers; a filter in which it does lets a caller
// choose an argument that looks like the number of an allowed call.
type program struct {
	code []unix.SockFilter
}

func (p *program) op(code uint16, k uint32, jt, jf int) {
	if jt > math.MaxUint8 || jf > math.MaxUint8 {
		panic(fmt.Sprintf("BUG: seccomp jump of %d/%d instructions", jt, jf))
	}
	p.code = append(p.code, unix.SockFilter{Code: code, Jt: uint8(jt), Jf: uint8(jf), K: k})
}

// size is the number of instructions test emits.
func (c cond) size() int {
	n := 2
	if c.mask != 0 {
		n++
	}
	if c.wide {
		n += 2
	}
	return n
}

// alternative emits the conditions; when all hold it runs into a return of then, else it jumps behind it.
func (p *program) alternative(conds []cond, then uint32) {
	left := 0
	for _, c := range conds {
		left += c.size()
	}
	for _, c := range conds {
		off := uint32(offArgs + 8*c.arg)
		p.op(opLoad, off, 0, 0)
		left--
		if c.mask != 0 {
			p.op(opAnd, c.mask, 0, 0)
			left--
		}
		left--
		p.op(opEqual, c.val, 0, left+1)
		if c.wide {
			p.op(opLoad, off+4, 0, 0)
			left -= 2
			p.op(opEqual, 0, 0, left+1)
		}
	}
	p.op(opReturn, then, 0, 0)
}

// assemble builds the filter: wrong machine or the x32 table = the process is killed, then the rules in order, then
// otherwise.
func assemble(rules []rule, otherwise uint32) []unix.SockFilter {
	p := &program{}
	p.op(opLoad, offArch, 0, 0)
	p.op(opEqual, auditArch, 1, 0)
	p.op(opReturn, unix.SECCOMP_RET_KILL_PROCESS, 0, 0)
	p.op(opLoad, offNumber, 0, 0)
	if x32Bit != 0 {
		p.op(opAtLeast, x32Bit, 0, 1)
		p.op(opReturn, unix.SECCOMP_RET_KILL_PROCESS, 0, 0)
	}
	for _, r := range rules {
		body := &program{}
		for _, alt := range r.any {
			body.alternative(alt, r.then)
		}
		if len(r.any) == 0 {
			body.op(opReturn, r.then, 0, 0)
		} else {
			body.op(opReturn, otherwise, 0, 0)
		}
		p.op(opEqual, uint32(r.nr), 0, len(body.code))
		p.code = append(p.code, body.code...)
	}
	p.op(opReturn, otherwise, 0, 0)
	return p.code
}

// load puts the filter in force for all threads, or for none. With notify it returns the descriptor on which refused
// calls are announced, else -1.
func load(code []unix.SockFilter, notify bool) (int, error) {
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC)
	if notify {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno != 0:
		return -1, errno
	case notify:
		return int(r), nil
	case r != 0: // seccomp(2): without TSYNC_ESRCH the id of the thread that could not follow is the result, and no error
		return -1, fmt.Errorf("thread %d does not follow", r)
	}
	return -1, nil
}
