package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	chunkSize = 512 << 10 // a blob up to this is one message
	hdrSize   = "Bz-Size"
	recentMax = 8192 // hashes remembered by a Blobs, about 1 MiB
)

// BlobLimits bound a blob store. When MaxTotal is reached the oldest blobs go.
type BlobLimits struct {
	MaxBlob  int64         // bytes of one blob; 0: 64 MiB
	MaxTotal int64         // bytes of all; 0: 1 GiB
	MaxAge   time.Duration // 0: no limit
}

// Blobs keeps evidence by its SHA-256. It may be used concurrently.
//
// Blobs are messages of one stream that discards its oldest: one message up to 512 KiB, else a run of chunk messages
// closed by a head. That makes the total cap exact and enforced by the server itself, and a kill in the middle of a
// Put leaves only chunks without a head, which age out like everything else. (JetStream's object store has neither:
// it refuses when full, and evicting from outside races with writers.)
type Blobs struct {
	b      *Bus
	name   string
	stream string
	lim    BlobLimits

	mu     sync.Mutex
	recent map[string]recentBlob
	order  []string // ring of the keys of recent, oldest at next
	next   int
	stored int64 // bytes appended by this process
}

type recentBlob struct {
	at  time.Time
	pos int64 // stored when it was put
}

// BlobInfo describes a stored blob.
type BlobInfo struct {
	SHA256 string
	Size   int64
	Time   time.Time
}

// OpenBlobs makes sure the store exists.
func OpenBlobs(ctx context.Context, b *Bus, name string, lim BlobLimits) (*Blobs, error) {
	if err := checkName("blob store", name); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if lim.MaxBlob <= 0 {
		lim.MaxBlob = 64 << 20
	}
	if lim.MaxTotal <= 0 {
		lim.MaxTotal = 1 << 30
	}
	lim.MaxBlob = min(lim.MaxBlob, lim.MaxTotal/2) // else a blob would evict its own first chunks
	s := &Blobs{b: b, name: name, stream: "BLOBS_" + name, lim: lim, recent: map[string]recentBlob{}}
	c := b.streamConfig(s.stream, "blobs."+name+".>", Limits{MaxBytes: lim.MaxTotal, MaxAge: lim.MaxAge, DiscardOld: true})
	c.MaxMsgsPerSubject = 1
	if _, err := b.ensure(ctx, c); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return s, nil
}

func (s *Blobs) subject(sha string) string { return "blobs." + s.name + "." + sha + ".head" }

func (s *Blobs) chunk(sha string, i int) string {
	return "blobs." + s.name + "." + sha + "." + strconv.Itoa(i)
}

// Put stores data and returns its SHA-256 in hex. Bytes that are already there are not stored again; bytes put
// recently by this process cost only the hash. A blob that is put again after it has grown old is stored anew, so that
// evidence in use is not the next to be evicted.
func (s *Blobs) Put(ctx context.Context, data []byte) (string, error) {
	if int64(len(data)) > s.lim.MaxBlob {
		return "", fmt.Errorf("put blob: %w: %d bytes, limit %d", ErrTooLarge, len(data), s.lim.MaxBlob)
	}
	sum := sha256.Sum256(data)
	sha := hex.EncodeToString(sum[:])
	if s.fresh(sha, time.Now()) {
		return sha, nil
	}
	have, err := s.head(ctx, sha)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return "", fmt.Errorf("put blob: %w", err)
	default:
		young, err := s.young(ctx, have)
		if err != nil {
			return "", fmt.Errorf("put blob: %w", err)
		}
		if young {
			s.remember(sha, 0)
			return sha, nil
		}
	}
	if err := s.write(ctx, sha, data); err != nil {
		return "", fmt.Errorf("put blob: %w", err)
	}
	s.remember(sha, int64(len(data)))
	return sha, nil
}

func (s *Blobs) write(ctx context.Context, sha string, data []byte) error {
	head := &nats.Msg{Subject: s.subject(sha), Header: nats.Header{hdrSize: []string{strconv.Itoa(len(data))}}}
	if len(data) <= chunkSize {
		head.Data = data
		_, err := s.b.publish(ctx, head, "")
		return err
	}
	for i := 0; i*chunkSize < len(data); i++ {
		m := &nats.Msg{Subject: s.chunk(sha, i), Header: nats.Header{}, Data: data[i*chunkSize : min((i+1)*chunkSize, len(data))]}
		if _, err := s.b.publish(ctx, m, ""); err != nil {
			return err
		}
	}
	_, err := s.b.publish(ctx, head, "")
	return err
}

// young says whether a stored blob is in the younger half of the store, by position and by age.
func (s *Blobs) young(ctx context.Context, m *jetstream.RawStreamMsg) (bool, error) {
	if s.lim.MaxAge > 0 && time.Since(m.Time) > s.lim.MaxAge/2 {
		return false, nil
	}
	st, err := s.b.stream(ctx, s.stream)
	if err != nil {
		return false, err
	}
	si, err := st.Info(ctx)
	if err != nil {
		return false, s.b.explain(err)
	}
	if si.State.Bytes < uint64(s.lim.MaxTotal)/2 {
		return true, nil
	}
	return m.Sequence > si.State.FirstSeq+(si.State.LastSeq-si.State.FirstSeq)/2, nil
}

// fresh says whether sha was seen so recently that it cannot have been evicted or expired since, as far as this
// process writes; the time bound covers other writers.
func (s *Blobs) fresh(sha string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.recent[sha]
	if !ok {
		return false
	}
	age := 10 * time.Minute
	if s.lim.MaxAge > 0 {
		age = min(age, s.lim.MaxAge/4)
	}
	return now.Sub(r.at) < age && s.stored-r.pos < s.lim.MaxTotal/4
}

func (s *Blobs) remember(sha string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored += size + 256
	if _, ok := s.recent[sha]; !ok {
		if len(s.order) < recentMax {
			s.order = append(s.order, sha)
		} else {
			delete(s.recent, s.order[s.next])
			s.order[s.next] = sha
			s.next = (s.next + 1) % recentMax
		}
	}
	s.recent[sha] = recentBlob{time.Now(), s.stored}
}

func (s *Blobs) head(ctx context.Context, sha string) (*jetstream.RawStreamMsg, error) {
	if b, err := hex.DecodeString(sha); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != sha {
		return nil, fmt.Errorf("blob name %.80q: %w: want 64 lower-case hex digits", sha, ErrNotFound)
	}
	return s.b.lastFor(ctx, s.stream, s.subject(sha))
}

// Get returns a blob's bytes after checking that they hash to sha. ErrNotFound: never stored, evicted or expired.
func (s *Blobs) Get(ctx context.Context, sha string) ([]byte, error) {
	m, err := s.head(ctx, sha)
	if err != nil {
		return nil, fmt.Errorf("get blob: %w", err)
	}
	size, err := strconv.ParseInt(m.Header.Get(hdrSize), 10, 64)
	if err != nil || size < 0 || size > s.lim.MaxTotal {
		return nil, fmt.Errorf("get blob %s: %w: no size", sha, ErrCorrupt)
	}
	data := m.Data
	if size > chunkSize {
		if data, err = s.chunks(ctx, sha, size); err != nil {
			return nil, fmt.Errorf("get blob %s: %w", sha, err)
		}
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != sha {
		return nil, fmt.Errorf("get blob %s: %w", sha, ErrCorrupt)
	}
	return data, nil
}

func (s *Blobs) chunks(ctx context.Context, sha string, size int64) ([]byte, error) {
	var buf bytes.Buffer
	for i := 0; int64(buf.Len()) < size; i++ {
		m, err := s.b.lastFor(ctx, s.stream, s.chunk(sha, i))
		if err != nil {
			return nil, err // a missing chunk has been evicted: the blob is on its way out
		}
		if len(m.Data) == 0 {
			return nil, ErrCorrupt
		}
		buf.Write(m.Data)
	}
	return buf.Bytes(), nil
}

// Stat describes a blob without reading a large one's bytes.
func (s *Blobs) Stat(ctx context.Context, sha string) (BlobInfo, error) {
	m, err := s.head(ctx, sha)
	if err != nil {
		return BlobInfo{}, fmt.Errorf("stat blob: %w", err)
	}
	size, err := strconv.ParseInt(m.Header.Get(hdrSize), 10, 64)
	if err != nil {
		return BlobInfo{}, fmt.Errorf("stat blob %s: %w", sha, ErrCorrupt)
	}
	return BlobInfo{SHA256: sha, Size: size, Time: m.Time}, nil
}
