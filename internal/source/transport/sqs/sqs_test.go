package sqs

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/bucket/buckettest"
	"bartizan/internal/source"
	"bartizan/internal/source/transport/transporttest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// world is a bucket and a queue of a real server of both services.
type world struct {
	t     *testing.T
	conf  Config
	store bucket.Store
	api   *sqs.Client
}

func serve(t *testing.T) *world {
	t.Helper()
	if !buckettest.MotoAsked() {
		t.Skip("moto, which make soak runs, is not here: BARTIZAN_MOTO=1 scripts/install-test-tools.sh")
	}
	place := buckettest.MotoConfig(t)
	w := &world{t: t, conf: Default()}
	w.conf.Bucket, w.conf.Region, w.conf.Endpoint, w.conf.PathStyle, w.conf.AccessKey, w.conf.SecretKey = place.Name, place.Region, place.Endpoint, true, place.AccessKey, place.SecretKey
	w.conf.Wait, w.conf.Visibility, w.conf.Attempts = conf.Duration(time.Second), conf.Duration(time.Second), 2
	var err error
	if w.store, err = place.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	whom, err := place.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.api = sqs.NewFromConfig(whom, func(o *sqs.Options) { o.BaseEndpoint = aws.String(place.Endpoint) })
	q, err := w.api.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("logs")})
	if err != nil {
		t.Fatal(err)
	}
	w.conf.Queue = *q.QueueUrl
	return w
}

func (w *world) start(places transporttest.Places) *transporttest.Running {
	w.t.Helper()
	feed, err := New(w.conf)
	if err != nil {
		w.t.Fatal(err)
	}
	return transporttest.Start(w.t, feed, places)
}

func (w *world) put(key, text string) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), key, strings.NewReader(text), int64(len(text)), sha256.Sum256([]byte(text))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) send(body string) {
	w.t.Helper()
	if _, err := w.api.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: &w.conf.Queue, MessageBody: &body}); err != nil {
		w.t.Fatal(err)
	}
}

// announce sends the event of an object, as S3 does.
func (w *world) announce(key, tag string) {
	w.t.Helper()
	name, err := json.Marshal(strings.ReplaceAll(key, " ", "+"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.send(fmt.Sprintf(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":%s,"eTag":%q}}}]}`, w.conf.Bucket, name, tag))
}

// left waits until the queue holds n messages, hidden ones included.
func (w *world) left(n int) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	got := -1
	for range 400 {
		a, err := w.api.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &w.conf.Queue, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}})
		if err != nil {
			w.t.Fatal(err)
		}
		got = 0
		for _, v := range a.Attributes {
			m, err := strconv.Atoi(v)
			if err != nil {
				w.t.Fatal(err)
			}
			got += m
		}
		if got == n {
			return
		}
		<-tick.C
	}
	w.t.Fatalf("the queue holds %d messages, want %d", got, n)
}

// TestReadsWhatIsAnnounced: each object once, however often it is announced and over a restart; then the message is gone.
func TestReadsWhatIsAnnounced(t *testing.T) {
	w := serve(t)
	w.put("logs/a b.log", "one\ntwo\n")
	w.put("logs/c.log", "three\nbad\n")
	w.put("other/d.log", "not read\n")
	w.conf.Prefix = "logs/"
	w.send(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"` + w.conf.Bucket + `"}`)
	w.announce("logs/a b.log", "1")
	w.announce("logs/a b.log", "1")
	w.announce("other/d.log", "1")
	w.send(`{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"` + w.conf.Bucket + `"},"object":{"key":"logs/c.log","etag":"1"}}}`)
	r := w.start(nil)
	r.Want("one", "two", "three")
	w.left(0)
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	w.announce("logs/a b.log", "1") // once more, while nobody reads
	w.put("logs/e.log", "four\n")
	w.announce("logs/e.log", "1")
	again := w.start(r.Places)
	again.Want("four")
	w.put("logs/e.log", "four\nfive\n") // replaced
	w.announce("logs/e.log", "2")
	again.Want("four", "four", "five")
	w.left(0)
}

// TestStoreFirst: what cannot be stored is not deleted, and comes again.
func TestStoreFirst(t *testing.T) {
	w := serve(t)
	w.put("a.log", "one\n")
	w.announce("a.log", "1")
	refused := errors.New("no room")
	feed, err := New(w.conf)
	if err != nil {
		t.Fatal(err)
	}
	r := transporttest.Start(t, feed, nil)
	r.Refuse(refused)
	if err := r.Ended(); !errors.Is(err, refused) {
		t.Fatalf("ended with %v", err)
	}
	w.left(1)
	w.start(r.Places).Want("one")
	w.left(0)
}

// TestPoison: what nobody can read comes back, is given up after its attempts, and holds nothing up.
func TestPoison(t *testing.T) {
	w := serve(t)
	w.put("a.log", "one\n")
	w.put("wrong.log", "bad\nbad\n")
	w.send("hello")
	w.announce("gone.log", "1")
	w.send(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"another"},"object":{"key":"a.log"}}}]}`)
	w.announce("wrong.log", "1")
	w.announce("a.log", "1")
	r := w.start(nil)
	r.Want("one")
	r.Await("the report", func(_ []string, c source.Counts, doing string, wrong error) bool {
		return c.Malformed == 2 && doing != "" && wrong != nil && strings.Contains(wrong.Error(), "given up")
	})
	w.left(0)
}

// TestQueueIsAway: a queue that is not there ends the feed with its name.
func TestQueueIsAway(t *testing.T) {
	w := serve(t)
	w.conf.Queue += "-no"
	if err := w.start(nil).Ended(); err == nil || !strings.Contains(err.Error(), "logs-no") {
		t.Errorf("%v", err)
	}
}

func TestConfigRefuses(t *testing.T) {
	good := Default()
	good.Queue, good.Bucket = "https://sqs.eu-west-1.amazonaws.com/111122223333/logs", "logs"
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(*Config){
		func(c *Config) { c.Queue = "" },
		func(c *Config) { c.Queue = "http://192.0.2.1/1/logs" },
		func(c *Config) { c.Queue = "https://sqs.eu-west-1.amazonaws.com/" },
		func(c *Config) { c.Queue = "https://a:b@sqs.eu-west-1.amazonaws.com/1/logs" },
		func(c *Config) { c.Queue = "file:///tmp/x" },
		func(c *Config) { c.Bucket = "" },
		func(c *Config) { c.Bucket = "No Bucket" },
		func(c *Config) { c.Visibility = 0 },
		func(c *Config) { c.Wait = conf.Duration(time.Minute) },
		func(c *Config) { c.Attempts = 0 },
		func(c *Config) { c.AccessKey = "a" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("case %d: accepted", i)
		}
	}
}
