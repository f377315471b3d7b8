package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/model"
)

// lease is the right to remove objects. It lies in the store, ends by itself, and is taken with a write that fails when
// the object exists: of two that take it at once one gets it.
type lease struct {
	store Store
	key   string
	until time.Time
}

type leaseText struct {
	Owner string    `json:"owner"`
	Until time.Time `json:"until"`
}

const (
	leasePrefix = ".maintenance-"
	leaseTime   = 15 * time.Minute
	leaseLeast  = 5 * time.Minute // what must be left of it for another partition
)

// takeLease is lake.ErrBusy while another holds it.
func takeLease(ctx context.Context, s Store, now time.Time) (*lease, error) {
	last, key := 0, ""
	var old []string
	err := s.List(ctx, leasePrefix, func(page []Object) error {
		for _, o := range page {
			if n, err := strconv.Atoi(strings.TrimPrefix(o.Key, leasePrefix)); err == nil && n > 0 {
				old = append(old, o.Key)
				if n > last {
					last, key = n, o.Key
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if key != "" {
		switch held, err := readLease(ctx, s, key); {
		case errors.Is(err, ErrNotFound): // given back since it was listed
		case err != nil:
			return nil, err
		case held.Until.After(now):
			return nil, fmt.Errorf("%w: %.80s, until %s at the latest", lake.ErrBusy, held.Owner, held.Until.Format(time.TimeOnly))
		}
	}
	l := &lease{store: s, key: leasePrefix + strconv.Itoa(last+1), until: now.Add(leaseTime)}
	host, _ := os.Hostname() // for people only
	b, err := json.Marshal(leaseText{fmt.Sprintf("%s, process %d, %s", host, os.Getpid(), model.NewULID(now)), l.until.UTC()})
	if err != nil {
		return nil, err
	}
	if err := s.Create(ctx, l.key, b); err != nil {
		if errors.Is(err, ErrExists) {
			return nil, lake.ErrBusy
		}
		return nil, err
	}
	for _, k := range old {
		if err := s.Remove(ctx, k); err != nil {
			return nil, errors.Join(err, l.end(ctx))
		}
	}
	return l, nil
}

func readLease(ctx context.Context, s Store, key string) (t leaseText, err error) {
	raw, err := readAll(ctx, s, key, 4<<10)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("read %s in %s: %w; remove it when nothing compacts this lake", key, s, err)
	}
	return t, nil
}

// good says whether enough is left to begin something.
func (l *lease) good(now time.Time) bool { return l.until.Sub(now) >= leaseLeast }

// end gives the lease back, also when ctx has ended.
func (l *lease) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return l.store.Remove(ctx, l.key)
}
