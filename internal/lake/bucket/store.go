// Package bucket keeps a lake in an S3-compatible bucket, or in a folder that is mounted from elsewhere: it moves what a
// node has written there, lists, checks, compacts and ages it, and fetches what a hunt needs into a bounded cache.
//
// # Layout and commits
//
// Keys are those of the folder (see package lake) below a prefix. An object appears whole or not at all, so there are no
// temporary names. Compaction replaces objects as it does in a folder: .replace-<ulid>.json names the new objects and
// the old ones before the first new one is written; whoever lists through this package counts the new ones when all of
// them are there, else the old ones. A crash in between is finished, or undone, by the next Compact.
//
// One node writes below one prefix. What removes objects (Compact, Age) takes a lease in the bucket, so that a node and
// a person's command never do it at once.
//
// # What has left the folder
//
// The node's folder stays the place where rows become durable. Mirror records in the folder that a file is about to
// leave before it sends the first byte, and from then on nothing rewrites it: sending it again after a crash writes
// the same bytes under the same key.
package bucket

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// Object is what a listing says about an object.
type Object struct {
	Key      string // below the store's prefix
	Size     int64
	Modified time.Time // by the store's clock
}

// Store is a flat set of objects that appear and go as wholes. Its methods may be used from any goroutine and end with
// their context. They try again by themselves only what takes a moment.
type Store interface {
	// List calls each with all objects whose keys begin with prefix, page by page, in the order of their keys.
	List(ctx context.Context, prefix string, each func([]Object) error) error
	// Read reads length bytes from offset; a negative length reads to the end. ErrNotFound when there is no such object.
	Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Write makes or replaces an object. The store compares what arrives with the sum and keeps all of it or none.
	Write(ctx context.Context, key string, body io.ReadSeeker, size int64, sum [sha256.Size]byte) error
	// Create makes a small object unless there is one: then ErrExists.
	Create(ctx context.Context, key string, data []byte) error
	// Remove removes an object; that there is none is no error.
	Remove(ctx context.Context, key string) error
	// String names the store for people, without secrets.
	String() string
}

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("the object exists")
	// ErrDenied says that the store refuses us: trying again helps only after somebody has changed something.
	ErrDenied = errors.New("refused")
)

// IsURL says whether the name of a lake is that of a bucket (s3://bucket/prefix).
func IsURL(name string) bool { return strings.HasPrefix(name, "s3://") }

// ParseURL reads s3://bucket/prefix.
func ParseURL(name string) (bucket, prefix string, err error) {
	u, err := url.Parse(name)
	switch {
	case err != nil || u.Scheme != "s3" || u.Host == "":
		return "", "", fmt.Errorf("%.120q: write s3://bucket/prefix", name)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Port() != "":
		return "", "", fmt.Errorf("%.120q: only s3://bucket/prefix; endpoint and credentials come from lake.bucket in the configuration, or from the environment", name)
	}
	return u.Host, strings.Trim(u.Path, "/"), nil
}

// readAll reads a small object.
func readAll(ctx context.Context, s Store, key string, most int64) (data []byte, err error) {
	r, err := s.Read(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err = io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("longer than %d bytes", most)
	}
	return data, err
}
