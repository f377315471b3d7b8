package habit

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"
)

// Bounds of the record of recent calls, which is read and written with every call.
const (
	maxTalks  = 32  // conversations at a time; the one that was silent longest is forgotten
	lookBack  = 24  // calls after which what was read is not thought of any more
	maxMarks  = 256 // what was said or accepted; the oldest is forgotten
	maxMark   = 300 // bytes
	maxRecord = 1 << 20
	lockTime  = 500 * time.Millisecond // for another process, which may be stopped
	lockAgain = 10 * time.Second       // after it was waited for in vain
)

// record is the calls of an agent's last hours, in a file that all its gateways share.
// When it cannot be had, each process goes on with what it saw itself.
type record struct {
	file  string
	idle  time.Duration
	own   recent    // as seen last
	later time.Time // the file is not waited for before
}

type recent struct {
	Talks []*talk `json:"talks"` // the one that called last is the last
	Said  marks   `json:"said"`
}

// talk is one conversation on its way along the chain.
type talk struct {
	Who    string    `json:"who"`
	At     time.Time `json:"at"` // of its last call
	N      int       `json:"n"`  // calls
	Last   string    `json:"last"`
	Window []float64 `json:"window,omitempty"` // surprise of the last calls, bits
	Read   []source  `json:"read,omitempty"`   // private data of the last calls
}

// source is a server that gave private data at the n-th call.
type source struct {
	Server string `json:"s"`
	N      int    `json:"n"`
}

// marks are names of what is known, the oldest first.
type marks []string

func markOf(s string) string { return safe.Clean(s, maxMark) }

func (m *marks) has(s string) bool { return slices.Contains(*m, markOf(s)) }

func (m *marks) put(s string) {
	if !m.has(s) {
		*m = append(*m, markOf(s))
	}
	*m = (*m)[max(0, len(*m)-maxMarks):]
}

// ways are the servers from which private data can go out with a call.
func (t *talk) ways(c *Call) (out []string) {
	if c.Power&mcp.Out == 0 {
		return nil
	}
	for _, r := range t.Read {
		if way := r.Server + ">" + c.Server; !slices.Contains(out, way) {
			out = append(out, way)
		}
	}
	return out
}

func (t *talk) took(c *Call) {
	t.N++
	t.Last, t.At = c.name(), c.Time
	if c.Power&mcp.Private != 0 {
		t.Read = append(slices.DeleteFunc(t.Read, func(s source) bool { return s.Server == c.Server }), source{c.Server, t.N})
	}
	t.Read = slices.DeleteFunc(t.Read, func(s source) bool { return s.N <= t.N-lookBack })
	t.Read = t.Read[max(0, len(t.Read)-lookBack):]
}

// with lets f work on a conversation, alone among all processes.
func (r *record) with(who string, now time.Time, f func(*talk, *marks)) error {
	file, turn, err := r.take(now)
	if file != nil {
		defer file.Close() // releases it
	}
	r.own.Talks = slices.DeleteFunc(r.own.Talks, func(t *talk) bool { return now.Sub(t.At) > r.idle && r.idle > 0 })
	at := slices.IndexFunc(r.own.Talks, func(t *talk) bool { return t.Who == who })
	t := &talk{Who: who, Last: startName}
	if at >= 0 {
		t = r.own.Talks[at]
		r.own.Talks = slices.Delete(r.own.Talks, at, at+1)
	}
	f(t, &r.own.Said)
	r.own.Talks = append(r.own.Talks, t)
	r.own.Talks = r.own.Talks[max(0, len(r.own.Talks)-maxTalks):]
	if file == nil {
		return err
	}
	return errors.Join(err, r.write(file, turn+1))
}

// take gets the file for this process and reads it; turn is how often it was written.
// Another one that does not give it back is not waited for with every call.
func (r *record) take(now time.Time) (file *os.File, turn uint64, err error) {
	if now.Before(r.later) {
		return nil, 0, nil
	}
	if file, err = lock(r.file, lockTime); err != nil {
		r.later = now.Add(lockAgain)
		return nil, 0, fmt.Errorf("lock recent calls: %w: for %s calls over other servers are not seen together", err, lockAgain)
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || end == 0 { // new
		r.own = recent{}
		return file, 0, err
	}
	var last []byte
	for k := range uint64(2) {
		if n, data, ok := half(file, k); ok && n%2 == k && (last == nil || n > turn) {
			turn, last = n, data
		}
	}
	r.own = recent{}
	if last == nil || json.Unmarshal(last, &r.own) != nil || slices.Contains(r.own.Talks, nil) {
		r.own = recent{}
		return file, 0, fmt.Errorf("read recent calls: %s is damaged and begun anew", r.file)
	}
	return file, turn, nil
}

// The file has two halves, which are written by turns: a process that is killed, or a
// machine that stops, in the middle of one leaves the other. Nothing is forced to the disk,
// and no file put in another's place, which would be: what a machine may forget is the last
// calls of conversations that ended with it. Each half begins with its turn, the length of
// what follows, and a sum.
const header = 16

func half(file *os.File, k uint64) (turn uint64, data []byte, ok bool) {
	at := int64(k) * (header + maxRecord)
	var head [header]byte
	if _, err := file.ReadAt(head[:], at); err != nil {
		return 0, nil, false
	}
	n := binary.BigEndian.Uint32(head[8:])
	if n == 0 || n > maxRecord {
		return 0, nil, false
	}
	data = make([]byte, n)
	if _, err := file.ReadAt(data, at+header); err != nil {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(head[:]), data, binary.BigEndian.Uint32(head[12:]) == sumOf(head[:12], data)
}

func sumOf(head, data []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, data)
}

func (r *record) write(file *os.File, turn uint64) error {
	data, err := json.Marshal(r.own)
	if err == nil && len(data) > maxRecord {
		err = fmt.Errorf("%d bytes", len(data))
	}
	if err != nil {
		return fmt.Errorf("write recent calls: %w", err)
	}
	out := binary.BigEndian.AppendUint64(make([]byte, 0, header+len(data)), turn)
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	out = append(binary.BigEndian.AppendUint32(out, sumOf(out, data)), data...)
	if _, err := file.WriteAt(out, int64(turn%2)*(header+maxRecord)); err != nil {
		return fmt.Errorf("write recent calls: %w", err)
	}
	return nil
}

// lock takes a lock file, which closing gives back. A process that has it and does not run
// is not waited for longer than the time.
func lock(name string, within time.Duration) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("%s is held by another process: %w", name, err), f.Close())
		}
	}
}
