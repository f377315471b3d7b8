// Package sqs reads the objects of a bucket as they are announced in a queue of
// Amazon SQS: by S3 itself, by EventBridge, by CloudTrail, or by any of them
// through SNS. A message is deleted when what it announces has been stored; until
// then it comes again.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/safe"
	"bartizan/internal/source/transport"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Config of a queue and the bucket that it is about.
type Config struct {
	Queue      string        `yaml:"queue"`      // URL of the queue
	Bucket     string        `yaml:"bucket"`     // what is announced of other buckets is not read
	Prefix     string        `yaml:"prefix"`     // keys begin with it; others are passed over
	Visibility conf.Duration `yaml:"visibility"` // how long a message is ours; prolonged while its objects are read
	Wait       conf.Duration `yaml:"wait"`       // how long one call waits for messages
	Attempts   int           `yaml:"attempts"`   // a message that cannot be understood or read goes when it has come so often
	Region     string        `yaml:"region"`     // default: that in the queue's URL, or from the environment
	Endpoint   string        `yaml:"endpoint"`   // URL of an object store that is not AWS
	PathStyle  bool          `yaml:"path_style"` // bucket in the path instead of the host name
	AccessKey  string        `yaml:"access_key"` // default: from the environment, the shared files, or the instance's role
	SecretKey  conf.Secret   `yaml:"secret_key"`
	CA         string        `yaml:"ca"` // PEM file instead of the system's authorities
}

// Default waits as long as SQS allows and gives up a message after five times.
func Default() Config {
	return Config{Visibility: conf.Duration(2 * time.Minute), Wait: conf.Duration(20 * time.Second), Attempts: 5}
}

// awsHost has the region in its name (SQS Developer Guide, "endpoints").
var awsHost = regexp.MustCompile(`^sqs[.-]([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)

// New makes a reader. It connects to nobody.
func New(c Config) (transport.Feed, error) {
	u, err := url.Parse(c.Queue)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("queue: %q is not the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/111122223333/logs", safe.Clean(c.Queue, 120))
	}
	host := u.Scheme + "://" + u.Host
	if err := bucket.CheckEndpoint(host); err != nil || u.Scheme == "file" {
		return nil, fmt.Errorf("queue: %w", errors.Join(err, errors.New("https, or http on this machine")))
	}
	if m := awsHost.FindStringSubmatch(u.Hostname()); m != nil && c.Region == "" {
		c.Region = m[1]
	}
	if c.Bucket == "" {
		return nil, errors.New("bucket: names no bucket")
	}
	if key, err := c.store().Check(); err != nil {
		if key == "name" {
			key = "bucket"
		}
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	switch {
	case len(c.Prefix) > maxKey:
		return nil, fmt.Errorf("prefix: longer than %d bytes", maxKey)
	case c.Visibility.D() < time.Second || c.Visibility.D() > 12*time.Hour:
		return nil, errors.New("visibility: lies between 1s and 12h")
	case c.Wait.D() < 0 || c.Wait.D() > 20*time.Second:
		return nil, errors.New("wait: lies between 0s and 20s")
	case c.Attempts < 1 || c.Attempts > 1000:
		return nil, errors.New("attempts: lies between 1 and 1000")
	}
	return &Queue{conf: c, host: host}, nil
}

func (c *Config) store() *bucket.Config {
	return &bucket.Config{Name: c.Bucket, Region: c.Region, Endpoint: c.Endpoint, PathStyle: c.PathStyle, AccessKey: c.AccessKey, SecretKey: c.SecretKey, CA: c.CA}
}

// Queue reads what a queue announces; it implements transport.Feed.
type Queue struct {
	conf Config
	host string
}

// maxDone is how many objects are remembered as read: a queue repeats within minutes.
const maxDone = 50_000

// Run implements transport.Feed.
func (q *Queue) Run(ctx context.Context, in transport.Intake) error {
	place := q.conf.store()
	store, err := place.Open(ctx)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", q.conf.Bucket, err)
	}
	whom, err := place.AWS(ctx)
	if err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	r := &run{Queue: q, store: store, in: in, done: map[string]bool{},
		api: sqs.NewFromConfig(whom, func(o *sqs.Options) { o.BaseEndpoint = aws.String(q.host) })}
	list, err := in.Places.Load(ctx)
	if err != nil {
		return fmt.Errorf("find where to go on: %w", err)
	}
	for _, at := range list {
		r.remember(at.Key)
	}
	for ctx.Err() == nil {
		if err := r.once(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// run is one life of a Queue.
type run struct {
	*Queue
	api   *sqs.Client
	store bucket.Store
	in    transport.Intake
	done  map[string]bool // objects that were read
	order []string        // of them, the oldest first
}

func (r *run) remember(key string) {
	if r.done[key] {
		return
	}
	if len(r.order) == maxDone {
		delete(r.done, r.order[0])
		r.order = append(r.order[:0], r.order[1:]...)
	}
	r.done[key], r.order = true, append(r.order, key)
}

// callTime bounds a call beside its waiting.
const callTime = 30 * time.Second

// once takes some messages and reads what they announce.
func (r *run) once(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, r.conf.Wait.D()+callTime)
	defer cancel()
	got, err := r.api.ReceiveMessage(call, &sqs.ReceiveMessageInput{QueueUrl: &r.conf.Queue, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(r.conf.Wait.D().Seconds()),
		VisibilityTimeout:           int32(r.conf.Visibility.D().Seconds()),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount}})
	if err != nil {
		return fmt.Errorf("receive messages of %s: %w", r.conf.Queue, err)
	}
	var trouble error
	for i := range got.Messages {
		wrong, err := r.message(ctx, &got.Messages[i])
		if err != nil {
			return err
		}
		trouble = errors.Join(trouble, wrong)
	}
	if len(got.Messages) == 0 && r.conf.Wait == 0 { // a server that does not wait is not to be asked without a pause
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	r.in.Say(fmt.Sprintf("reads what %s announces of %s", r.conf.Queue, r.conf.Bucket), trouble)
	return nil
}

// message reads what one announces, then deletes it. wrong: it cannot be
// understood or read, and is left for later, or given up.
func (r *run) message(ctx context.Context, m *types.Message) (wrong, err error) {
	objects, perr := parse(aws.ToString(m.Body))
	if perr != nil {
		return r.poison(ctx, m, perr)
	}
	hold, stop := r.hold(ctx, m)
	defer stop()
	var missing error
	for _, o := range objects {
		bad, err := r.object(hold, o)
		switch {
		case errors.Is(err, bucket.ErrNotFound):
			missing = errors.Join(missing, err)
		case err != nil && ctx.Err() == nil && hold.Err() != nil:
			return nil, fmt.Errorf("a message could not be kept while it was read: %w", context.Cause(hold))
		case err != nil:
			return nil, err
		}
		wrong = errors.Join(wrong, bad)
	}
	stop()
	if missing != nil {
		return r.poison(ctx, m, missing)
	}
	return wrong, r.remove(ctx, m)
}

// hold keeps a message ours until stop. The context ends when that fails: then
// somebody else may read it too.
func (r *run) hold(ctx context.Context, m *types.Message) (context.Context, func()) {
	ctx, lost := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(r.conf.Visibility.D() / 3)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := r.visible(ctx, m, r.conf.Visibility.D()); err != nil {
					lost(err)
					return
				}
			}
		}
	}()
	return ctx, func() { lost(nil); <-ended }
}

// visible says how long from now a message is ours.
func (r *run) visible(ctx context.Context, m *types.Message, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := r.api.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &r.conf.Queue, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: int32(d.Seconds())})
	return err
}

func (r *run) remove(ctx context.Context, m *types.Message) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if _, err := r.api.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &r.conf.Queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return fmt.Errorf("delete a message of %s: %w", r.conf.Queue, err)
	}
	return nil
}

// poison leaves a message to come again, or to go to the queue for dead letters,
// and gives it up when it has come too often.
func (r *run) poison(ctx context.Context, m *types.Message, why error) (wrong, err error) {
	n, cerr := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	id := safe.Clean(aws.ToString(m.MessageId), 80)
	if cerr == nil && n < r.conf.Attempts {
		return fmt.Errorf("message %s, attempt %d of %d: %w", id, n, r.conf.Attempts, why), nil
	}
	if r.in.Quarantine != nil {
		line := fmt.Sprintf("{\"input\":%q,\"message\":%q,\"reason\":%q,\"text\":%q}\n", r.in.Source, id, safe.Clean(why.Error(), 300), safe.Clean(aws.ToString(m.Body), 2000))
		if _, err := r.in.Quarantine.Write([]byte(line)); err != nil {
			return nil, fmt.Errorf("keep a sample of a message: %w", err)
		}
	}
	return fmt.Errorf("message %s is given up: %w", id, why), r.remove(ctx, m)
}

// object reads one. wrong: what is in it cannot be read, and will not be later.
func (r *run) object(ctx context.Context, o object) (wrong, err error) {
	switch {
	case o.bucket != r.conf.Bucket:
		return fmt.Errorf("the queue announces bucket %s, which is not read", safe.Clean(o.bucket, 80)), nil
	case !strings.HasPrefix(o.key, r.conf.Prefix), strings.HasSuffix(o.key, "/"):
		return nil, nil
	}
	key := o.key + " " + o.version
	if r.done[key] {
		return nil, nil // queues deliver at least once
	}
	name := "s3://" + o.bucket + "/" + o.key
	body, err := r.store.Read(ctx, o.key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", safe.Clean(name, 300), err)
	}
	defer body.Close()
	if wrong, err = r.in.Object(ctx, name, body); err != nil {
		return nil, err
	}
	if err := r.in.Places.Save(ctx, transport.Place{Key: key, Path: o.key, Done: true}); err != nil {
		return nil, fmt.Errorf("remember what was read: %w", err)
	}
	r.remember(key)
	return wrong, nil
}
