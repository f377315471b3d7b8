package jail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

const (
	lineMax    = 1024
	relayBurst = 400 // lines: enough for the trace of a crash
	relayRate  = 20  // lines per second after that
)

// relay passes the child's output on, a Write per line, until the child has closed it. A taken child can write what it
// likes: long lines are cut, control characters escaped, floods dropped and counted. It never stops reading, because a
// full pipe would stop the child.
func relay(from *os.File, to io.Writer) {
	defer from.Close()
	if to == nil {
		to = io.Discard
	}
	r := bufio.NewReaderSize(from, lineMax)
	tokens, last, dropped, rest := float64(relayBurst), time.Now(), 0, false
	for {
		line, err := r.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		now := time.Now()
		tokens, last = min(relayBurst, tokens+now.Sub(last).Seconds()*relayRate), now
		switch {
		case len(line) == 0 || rest: // the end of a line that was cut
		case tokens < 1:
			dropped++
		default:
			tokens--
			if dropped > 0 {
				fmt.Fprintf(to, "(%d lines dropped)\n", dropped)
				dropped = 0
			}
			_, _ = to.Write(append(clean(line), '\n'))
		}
		rest = full
		if err != nil && !full {
			return
		}
	}
}

// clean makes a line safe to log: tabs and printable characters stay, the rest is escaped.
func clean(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	out := make([]byte, 0, len(line)+8)
	for _, r := range string(line) {
		if r == '\t' || r == '"' || r == '\\' || strconv.IsPrint(r) {
			out = append(out, string(r)...)
			continue
		}
		q := strconv.AppendQuoteRuneToASCII(nil, r)
		out = append(out, q[1:len(q)-1]...)
	}
	return out
}
