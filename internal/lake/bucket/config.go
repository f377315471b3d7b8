package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"bartizan/internal/conf"
)

// Config says where a bucket is and what is kept where.
type Config struct {
	Name      string        `yaml:"name"`       // of the bucket; empty: no bucket
	Prefix    string        `yaml:"prefix"`     // keys begin with it; one node writes below one prefix
	Region    string        `yaml:"region"`     // default: from the environment, else us-east-1
	Endpoint  string        `yaml:"endpoint"`   // URL of a store that is not AWS; file:///folder for a mounted folder
	PathStyle bool          `yaml:"path_style"` // bucket in the path instead of the host name
	AccessKey string        `yaml:"access_key"` // empty: from the environment, the shared files, or the instance's role
	SecretKey conf.Secret   `yaml:"secret_key"`
	CA        string        `yaml:"ca"`         // file with the certificates to trust instead of the system's
	Keep      conf.Duration `yaml:"keep"`       // how long what is in the bucket also stays in the folder
	KeepBytes conf.Bytes    `yaml:"keep_bytes"` // and how much of it; the oldest goes first
	Bytes     conf.Bytes    `yaml:"bytes"`      // of the bucket; the oldest hours go when there is more; 0: no limit
	Cache     conf.Bytes    `yaml:"cache"`      // of what hunts have fetched from the bucket
}

// Enabled says whether there is a bucket.
func (c *Config) Enabled() bool { return c.Name != "" || strings.HasPrefix(c.Endpoint, "file:") }

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)
)

// Check finds what is wrong, by key. It connects to nobody.
func (c *Config) Check() (key string, err error) {
	if !c.Enabled() {
		return "", nil
	}
	if !strings.HasPrefix(c.Endpoint, "file:") && !bucketName.MatchString(c.Name) {
		return "name", fmt.Errorf("%.80q is no name of a bucket: 3 to 63 of a–z, 0–9, dot and hyphen", c.Name)
	}
	if c.Prefix != "" && (!prefixForm.MatchString(c.Prefix) || len(c.Prefix) > 512 || !filepath.IsLocal(c.Prefix) || path.Clean(c.Prefix) != c.Prefix) {
		return "prefix", fmt.Errorf("%.80q: letters, digits, dots, hyphens and underscores, with slashes in between", c.Prefix)
	}
	if (c.AccessKey == "") != !c.SecretKey.IsSet() {
		return "access_key", errors.New("access_key and secret_key belong together")
	}
	for key, n := range map[string]int64{"keep": int64(c.Keep), "keep_bytes": int64(c.KeepBytes), "bytes": int64(c.Bytes), "cache": int64(c.Cache)} {
		if n < 0 {
			return key, errors.New("must not be negative")
		}
	}
	return "endpoint", checkEndpoint(c.Endpoint)
}

// CheckEndpoint says what is wrong with the URL of a service that gets credentials.
func CheckEndpoint(endpoint string) error { return checkEndpoint(endpoint) }

// checkEndpoint refuses what would send credentials and evidence in clear text over a network.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("%.120q is no URL", endpoint)
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%.120q: only scheme, host and port; credentials are in access_key and secret_key", u.Redacted())
	case u.Scheme == "file" && u.Host == "" && filepath.IsAbs(u.Path):
		return nil
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("%.120q: http would send evidence in clear text; only to this machine itself. Use https (a certificate of your own: ca)", endpoint)
	}
	return fmt.Errorf("%.120q: write https://host, or file:///folder", endpoint)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Open makes the store. It connects to nobody; a bucket that is away is found by its first use.
func (c *Config) Open(ctx context.Context) (Store, error) {
	if key, err := c.Check(); err != nil {
		return nil, fmt.Errorf("lake.bucket.%s: %w", key, err)
	}
	if dir, ok := strings.CutPrefix(c.Endpoint, "file://"); ok {
		return NewFolder(dir, c.Prefix), nil
	}
	return newS3(ctx, c)
}
