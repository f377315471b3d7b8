package keeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"bartizan/internal/conf"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// key puts a provider's credential into requests.
type key interface {
	// fields are the header lines for a request, and the fields they take the place of.
	fields(h *head, now time.Time) (drop []string, lines []byte, err error)
}

// fixed is a header that is always the same.
type fixed struct {
	drop  []string
	lines []byte
}

func (f *fixed) fields(*head, time.Time) ([]string, []byte, error) { return f.drop, f.lines, nil }

func newFixed(name, secret string) (key, error) {
	if name == "Authorization" && !strings.Contains(secret, " ") {
		secret = "Bearer " + secret
	}
	if strings.IndexFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return nil, errors.New("it has a line break or another character that no header may have")
	}
	return &fixed{drop: []string{name}, lines: []byte(name + ": " + secret + "\r\n")}, nil
}

// signed is AWS Signature Version 4, as Bedrock wants it of clients without a
// bearer key (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html).
type signed struct {
	who          aws.Credentials
	host, region string
	scheme       string
	signer       *v4.Signer
}

// hashHeader is where the gateway says the SHA-256 of the body, which the keeper has
// not read when it signs. The provider compares.
const hashHeader = "X-Amz-Content-Sha256"

func (s *signed) fields(h *head, now time.Time) ([]string, []byte, error) {
	sum := string(h.field(hashHeader))
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return nil, nil, fmt.Errorf("%w: no %s", errHead, hashHeader)
	}
	u, err := url.ParseRequestURI(string(h.target))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its path cannot be read", errHead)
	}
	u.Scheme, u.Host = s.scheme, s.host
	r := &http.Request{Method: string(h.method), URL: u, Host: s.host, Header: http.Header{hashHeader: {sum}}}
	if err := s.signer.SignHTTP(context.Background(), s.who, r, sum, "bedrock", s.region, now.UTC()); err != nil {
		return nil, nil, fmt.Errorf("sign request: %w", err)
	}
	r.Header.Del(hashHeader)
	drop, lines := []string{"X-Amz-Date", "X-Amz-Security-Token", "Authorization"}, []byte(nil)
	for _, name := range drop {
		if v := r.Header.Get(name); v != "" {
			lines = append(lines, name+": "+v+"\r\n"...)
		}
	}
	return drop, lines, nil
}

// newSigned reads a file as the AWS tools keep it: lines "name = value" of one profile.
func newSigned(text, host, region, scheme string) (key, error) {
	s := &signed{host: host, region: region, scheme: scheme, signer: v4.NewSigner()}
	known := []string{"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}
	to := []*string{&s.who.AccessKeyID, &s.who.SecretAccessKey, &s.who.SessionToken}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, "=")
		i := slices.Index(known, strings.ToLower(strings.TrimSpace(name)))
		if !ok || i < 0 {
			continue // the profile's name, comments, region
		}
		if *to[i] != "" {
			return nil, fmt.Errorf("it has %s twice: keep one profile in it", known[i])
		}
		if *to[i] = strings.TrimSpace(value); strings.IndexFunc(*to[i], func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return nil, fmt.Errorf("its %s has a character that no key has", known[i])
		}
	}
	if s.who.AccessKeyID == "" || s.who.SecretAccessKey == "" {
		return nil, errors.New("it needs the lines aws_access_key_id = … and aws_secret_access_key = …, as in ~/.aws/credentials")
	}
	return s, nil
}

// load makes the key of a route; file is nil when the text came with the setup.
func (r *setupRoute) load(file *os.File) (key, error) {
	secret := conf.NewSecret(r.Key)
	if file != nil {
		var err error
		if secret, err = conf.ReadSecret(file); err != nil {
			return nil, err
		}
	}
	scheme := "http"
	if r.TLS {
		scheme = "https"
	}
	if r.Region != "" {
		return newSigned(secret.Reveal(), r.Host, r.Region, scheme)
	}
	return newFixed(r.Header, secret.Reveal())
}
