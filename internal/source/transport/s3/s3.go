// Package s3 reads the objects that AWS services, or anybody, put into a bucket:
// CloudTrail, flow logs, load balancer logs. Each object is read once, as a whole.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/safe"
	"bartizan/internal/source/transport"
)

// Config of a prefix of a bucket.
type Config struct {
	Bucket    string        `yaml:"bucket"`
	Prefix    string        `yaml:"prefix"`     // keys begin with it; %Y %m %d stand for the date (UTC)
	Since     conf.Duration `yaml:"since"`      // objects that were changed longer ago are left out
	Every     conf.Duration `yaml:"every"`      // how often is looked
	Region    string        `yaml:"region"`     // default: from the environment
	Endpoint  string        `yaml:"endpoint"`   // URL of a store that is not AWS
	PathStyle bool          `yaml:"path_style"` // bucket in the path instead of the host name
	AccessKey string        `yaml:"access_key"` // default: from the environment, the shared files, or the instance's role
	SecretKey conf.Secret   `yaml:"secret_key"`
	CA        string        `yaml:"ca"` // PEM file instead of the system's authorities
}

// Default looks every minute at the objects of the last two days.
func Default() Config {
	return Config{Since: conf.Duration(48 * time.Hour), Every: conf.Duration(time.Minute)}
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9!_.*'()=+@/-]*$`)

const maxSince = 80 * 24 * time.Hour // places are kept for 90 days

// New makes a reader. It connects to nobody.
func New(c Config) (transport.Feed, error) {
	store := c.store()
	if c.Bucket == "" {
		return nil, errors.New("bucket: names no bucket")
	}
	if key, err := store.Check(); err != nil {
		if key == "name" {
			key = "bucket"
		}
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	switch {
	case !prefixForm.MatchString(expand(c.Prefix, time.Time{})) || len(c.Prefix) > 512:
		return nil, fmt.Errorf("prefix: %q has characters that keys of logs do not have (and %%Y %%m %%d are all that is replaced)", safe.Clean(c.Prefix, 80))
	case c.Since.D() < time.Hour || c.Since.D() > maxSince:
		return nil, errors.New("since: lies between 1h and 80d")
	case c.Every.D() < time.Second/10 || c.Every.D() > 24*time.Hour:
		return nil, errors.New("every: lies between 100ms and 24h")
	}
	return &Prefix{c}, nil
}

func (c *Config) store() *bucket.Config {
	return &bucket.Config{Name: c.Bucket, Region: c.Region, Endpoint: c.Endpoint, PathStyle: c.PathStyle, AccessKey: c.AccessKey, SecretKey: c.SecretKey, CA: c.CA}
}

// expand puts a date into a prefix.
func expand(prefix string, day time.Time) string {
	return strings.NewReplacer("%Y", day.Format("2006"), "%m", day.Format("01"), "%d", day.Format("02")).Replace(prefix)
}

// Prefix reads what appears below a prefix; it implements transport.Feed.
type Prefix struct{ conf Config }

// Run implements transport.Feed.
func (p *Prefix) Run(ctx context.Context, in transport.Intake) error {
	store, err := p.conf.store().Open(ctx)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", p.conf.Bucket, err)
	}
	r := &run{Prefix: p, store: store, in: in, done: map[string]bool{}}
	list, err := in.Places.Load(ctx)
	if err != nil {
		return fmt.Errorf("find where to go on: %w", err)
	}
	for _, at := range list {
		r.done[at.Key] = true
	}
	ticker := time.NewTicker(p.conf.Every.D())
	defer ticker.Stop()
	for {
		if err := r.look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// run is one life of a Prefix.
type run struct {
	*Prefix
	store bucket.Store
	in    transport.Intake
	done  map[string]bool // keys of objects that were read, with what they were then
}

// prefixes are what to list: with a date, those of the days since.
func (r *run) prefixes(now time.Time) []string {
	var out []string
	for day := now.UTC().Add(-r.conf.Since.D()); ; day = day.Add(24 * time.Hour) {
		if day.After(now.UTC()) {
			day = now.UTC()
		}
		if s := expand(r.conf.Prefix, day); len(out) == 0 || s != out[len(out)-1] {
			out = append(out, s)
		}
		if !day.Before(now.UTC()) {
			return out
		}
	}
}

// look reads every object that has not been read.
func (r *run) look(ctx context.Context) error {
	var fresh []bucket.Object
	now := time.Now()
	for _, prefix := range r.prefixes(now) {
		err := r.store.List(ctx, prefix, func(list []bucket.Object) error {
			for _, o := range list {
				if o.Size > 0 && now.Sub(o.Modified) <= r.conf.Since.D() && !strings.HasSuffix(o.Key, "/") && !r.done[identity(o)] {
					fresh = append(fresh, o)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list bucket %s: %w", r.conf.Bucket, err)
		}
	}
	var trouble error
	for _, o := range fresh {
		wrong, err := r.object(ctx, o)
		if err != nil {
			return err
		}
		trouble = errors.Join(trouble, wrong)
	}
	r.in.Say(fmt.Sprintf("reads s3://%s/%s", r.conf.Bucket, r.conf.Prefix), trouble)
	return nil
}

// identity is an object as it is: one that is replaced is read again.
func identity(o bucket.Object) string {
	return fmt.Sprintf("%s %d %d", o.Key, o.Size, o.Modified.UnixNano())
}

// object reads one. wrong: what is in it cannot be read, and will not be later.
func (r *run) object(ctx context.Context, o bucket.Object) (wrong, err error) {
	body, err := r.store.Read(ctx, o.Key, 0, -1)
	if errors.Is(err, bucket.ErrNotFound) {
		return nil, nil // it has gone since the listing
	}
	if err != nil {
		return nil, fmt.Errorf("read s3://%s/%s: %w", r.conf.Bucket, safe.Clean(o.Key, 200), err)
	}
	defer body.Close()
	wrong, err = r.in.Object(ctx, "s3://"+r.conf.Bucket+"/"+o.Key, body)
	if err != nil {
		return nil, err
	}
	key := identity(o)
	r.done[key] = true
	return wrong, r.in.Places.Save(ctx, transport.Place{Key: key, Path: o.Key, Done: true})
}

// Objects lists what a name such as s3://bucket/prefix stands for, and says how to
// read it; credentials and endpoint come from the environment
// (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on, or the shared files).
func Objects(ctx context.Context, name string) (names []string, open func(context.Context, string) (io.ReadCloser, error), err error) {
	at, prefix, err := bucket.ParseURL(name)
	if err != nil {
		return nil, nil, err
	}
	// A store of one's own has no host name for each bucket.
	c := bucket.Config{Name: at, PathStyle: os.Getenv("AWS_ENDPOINT_URL")+os.Getenv("AWS_ENDPOINT_URL_S3") != ""}
	store, err := c.Open(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open bucket %s: %w", at, err)
	}
	root := "s3://" + at + "/"
	err = store.List(ctx, prefix, func(list []bucket.Object) error {
		for _, o := range list {
			if o.Size > 0 && !strings.HasSuffix(o.Key, "/") {
				names = append(names, root+o.Key)
			}
		}
		if len(names) > transport.MaxFiles {
			return fmt.Errorf("more than %d objects", transport.MaxFiles)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", name, err)
	}
	if len(names) == 0 {
		return nil, nil, fmt.Errorf("list %s: there is no object", name)
	}
	return names, func(ctx context.Context, name string) (io.ReadCloser, error) {
		return store.Read(ctx, strings.TrimPrefix(name, root), 0, -1)
	}, nil
}
