package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"bartizan/internal/safe"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// s3Store is a store behind the S3 API (https://docs.aws.amazon.com/AmazonS3/latest/API/).
type s3Store struct {
	api            *s3.Client
	bucket, prefix string // prefix ends with a slash, or is empty
	endpoint       string
	call           time.Duration // that a call may take, beside what its bytes need
	page           *int32        // objects of a listing at a time; nil: as many as the store likes
}

// The times an answer may take: its head, and in all, with so many bytes a second at the least.
const (
	headTime  = 30 * time.Second
	callTime  = time.Minute
	slowBytes = 64 << 10
)

func newS3(ctx context.Context, c *Config) (Store, error) {
	for _, name := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
		if err := checkEndpoint(os.Getenv(name)); c.Endpoint == "" && err != nil {
			return nil, fmt.Errorf("%s in the environment: %w", name, err)
		}
	}
	conf, err := c.AWS(ctx)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", c.Name, err)
	}
	s := &s3Store{bucket: c.Name, endpoint: c.Endpoint, call: callTime}
	if c.Prefix != "" {
		s.prefix = c.Prefix + "/"
	}
	s.api = s3.NewFromConfig(conf, func(o *s3.Options) {
		o.UsePathStyle = c.PathStyle
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
		// Sums of our own go along and are compared; what else the library would add, other makers' stores refuse.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return s, nil
}

// AWS is where and as whom the services of AWS are called: as configured, or else as
// the environment, the shared files or the instance's role say.
func (c *Config) AWS(ctx context.Context) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{config.WithHTTPClient(httpClient()), config.WithLogger(logging.Nop{}), config.WithRetryMaxAttempts(3)}
	if c.CA != "" {
		pem, err := trusted(c.CA)
		if err != nil {
			return aws.Config{}, err
		}
		load = append(load, config.WithCustomCABundle(pem))
	}
	if c.Region != "" {
		load = append(load, config.WithRegion(c.Region))
	}
	if c.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey.Reveal(), "")))
	}
	conf, err := config.LoadDefaultConfig(ctx, load...)
	if err == nil && conf.Region == "" {
		conf.Region = "us-east-1"
	}
	return conf, err
}

func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.MinVersion = tls.VersionTLS12
		t.ResponseHeaderTimeout = headTime
		t.MaxIdleConnsPerHost = streams
	})
}

// trusted reads the file with the certificates to trust instead of the system's.
func trusted(ca string) (io.Reader, error) {
	f, err := os.Open(ca)
	if err != nil {
		return nil, fmt.Errorf("lake.bucket.ca: %w", err)
	}
	defer f.Close()
	pem, err := safe.ReadAll(f, 4<<20, ca)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = fmt.Errorf("no certificate in %s", ca)
	}
	if err != nil {
		return nil, fmt.Errorf("lake.bucket.ca: %w", err)
	}
	return bytes.NewReader(pem), nil
}

func (s *s3Store) String() string {
	name := strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix, "/")
	if s.endpoint != "" {
		name += " at " + s.endpoint
	}
	return name
}

func (s *s3Store) key(key string) *string { return aws.String(s.prefix + key) }

// timed bounds a call that moves so many bytes.
func timed(ctx context.Context, call time.Duration, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, call+time.Duration(size/slowBytes)*time.Second)
}

func (s *s3Store) List(ctx context.Context, prefix string, each func([]Object) error) error {
	pages := s3.NewListObjectsV2Paginator(s.api, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.key(prefix), MaxKeys: s.page})
	for pages.HasMorePages() {
		one, cancel := timed(ctx, s.call, 0)
		out, err := pages.NextPage(one)
		cancel()
		if err != nil {
			return s.explain("list", prefix, err)
		}
		page := make([]Object, 0, len(out.Contents))
		for _, o := range out.Contents {
			key, ok := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
			if ok && o.Size != nil {
				page = append(page, Object{key, *o.Size, aws.ToTime(o.LastModified)})
			}
		}
		if err := each(page); err != nil {
			return err
		}
	}
	return nil
}

func (s *s3Store) Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: s.key(key)}
	if length >= 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	} else if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.api.GetObject(ctx, in)
	if err != nil {
		return nil, s.explain("read", key, err)
	}
	return out.Body, nil
}

func (s *s3Store) Write(ctx context.Context, key string, body io.ReadSeeker, size int64, sum [sha256.Size]byte) error {
	ctx, cancel := timed(ctx, s.call, size)
	defer cancel()
	want := base64.StdEncoding.EncodeToString(sum[:])
	out, err := s.api.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: s.key(key), Body: body, ContentLength: &size,
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: &want, ContentType: aws.String(contentType(key))})
	if err != nil {
		return s.explain("write", key, err)
	}
	if out.ChecksumSHA256 != nil && *out.ChecksumSHA256 != want {
		return fmt.Errorf("write %s to %s: the store has SHA-256 %.60q, sent was %s", key, s, *out.ChecksumSHA256, want)
	}
	// A store that ignores the sum is still asked what it has.
	head, err := s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(key)})
	if err != nil {
		return s.explain("look at", key, err)
	}
	if aws.ToInt64(head.ContentLength) != size {
		return fmt.Errorf("write %s to %s: the store has %d bytes of %d", key, s, aws.ToInt64(head.ContentLength), size)
	}
	return nil
}

func (s *s3Store) Create(ctx context.Context, key string, data []byte) error {
	ctx, cancel := timed(ctx, s.call, int64(len(data)))
	defer cancel()
	_, err := s.api.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: s.key(key), Body: bytes.NewReader(data),
		ContentLength: aws.Int64(int64(len(data))), IfNoneMatch: aws.String("*"), ContentType: aws.String(contentType(key))})
	return s.explain("create", key, err)
}

func (s *s3Store) Remove(ctx context.Context, key string) error {
	ctx, cancel := timed(ctx, s.call, 0)
	defer cancel()
	_, err := s.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(key)})
	if err = s.explain("remove", key, err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func contentType(key string) string {
	if path.Ext(key) == ".json" {
		return "application/json"
	}
	return "application/vnd.apache.parquet"
}

// explain says what an answer of the store means, and what to do.
func (s *s3Store) explain(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	name := func(kind error, hint string) error {
		if hint != "" {
			hint = " (" + hint + ")"
		}
		return fmt.Errorf("%s %s in %s: %w%s: %s", verb, key, s, kind, hint, brief(err))
	}
	code, status := "", 0
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	switch {
	case code == "NoSuchBucket":
		return name(ErrDenied, "there is no such bucket: lake.bucket.name, region and endpoint")
	case code == "InvalidAccessKeyId" || code == "XAdminUserNotFound": // the latter is versitygw's
		return name(ErrDenied, "the store does not know the access key: lake.bucket.access_key")
	case code == "NoSuchKey" || code == "NotFound" || status == http.StatusNotFound:
		return name(ErrNotFound, "")
	case code == "PreconditionFailed" || code == "ConditionalRequestConflict" || status == http.StatusPreconditionFailed:
		return name(ErrExists, "")
	case code == "SignatureDoesNotMatch":
		return name(ErrDenied, "the secret key does not belong to the access key: lake.bucket.secret_key")
	case code == "RequestTimeTooSkewed":
		return name(ErrDenied, "this machine's clock is wrong")
	case code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" || status == http.StatusMovedPermanently:
		return name(ErrDenied, "the bucket is in another region: lake.bucket.region")
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return name(ErrDenied, "the credentials may not do that: needed are s3:ListBucket, GetObject, PutObject and DeleteObject")
	}
	return fmt.Errorf("%s %s in %s: %s", verb, key, s, brief(err))
}

// brief is an error of the library in one short line. The store chose parts of it.
func brief(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return safe.Clean(api.ErrorCode()+" "+api.ErrorMessage(), 200)
	}
	text := err.Error()
	if i := strings.LastIndex(text, "request send failed, "); i >= 0 {
		text = text[i+len("request send failed, "):]
	}
	return safe.Clean(text, 300)
}
