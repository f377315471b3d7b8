package sqs

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The messages are those of AWS's documentation, shortened, with names of our own.
const (
	s3Event = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2026-11-20T07:00:00.000Z","eventName":"ObjectCreated:Put",` +
		`"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"logs","arn":"arn:aws:s3:::logs"},"object":{"key":"a/my+file%2B1.log.gz","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0055"}}}]}`
	removed = `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"logs"},"object":{"key":"a"}}}]}`
	test    = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-20T07:00:00.000Z","Bucket":"logs","RequestId":"1","HostId":"2"}`
	bridge  = `{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","account":"111122223333","region":"eu-west-1",` +
		`"detail":{"version":"0","bucket":{"name":"logs"},"object":{"key":"a/my+file 1.log","size":5,"etag":"b1946ac92492d2347c6235b4d2611184","version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"00617"},"reason":"PutObject"}}`
	bridgeGone = `{"detail-type":"Object Deleted","source":"aws.s3","detail":{"bucket":{"name":"logs"},"object":{"key":"a"}}}`
	trailNote  = `{"s3Bucket":"logs","s3ObjectKey":["AWSLogs/1/CloudTrail/x.json.gz","AWSLogs/1/CloudTrail/y.json.gz"]}`
)

func wrapped(t testing.TB, s string) string {
	b, err := json.Marshal(map[string]string{"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": s})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParse(t *testing.T) {
	put := []object{{"logs", "a/my file+1.log.gz", "d41d8cd98f00b204e9800998ecf8427e"}}
	for body, want := range map[string][]object{
		s3Event:                         put,
		wrapped(t, s3Event):             put,
		wrapped(t, wrapped(t, s3Event)): put, // a topic behind a topic
		removed:                         nil,
		test:                            nil,
		wrapped(t, test):                nil,
		bridge:                          {{"logs", "a/my+file 1.log", "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"}},
		bridgeGone:                      nil,
		trailNote:                       {{"logs", "AWSLogs/1/CloudTrail/x.json.gz", ""}, {"logs", "AWSLogs/1/CloudTrail/y.json.gz", ""}},
		wrapped(t, trailNote):           {{"logs", "AWSLogs/1/CloudTrail/x.json.gz", ""}, {"logs", "AWSLogs/1/CloudTrail/y.json.gz", ""}},
		`{"Records":[]}`:                nil,
	} {
		got, err := parse(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v, %v\nwant %v", body, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, body := range []string{"", "hello", "[]", "{}", `{"Records":[{"eventSource":"aws:sns","eventName":"ObjectCreated:Put"}]}`, `{"Records":"x"}`,
		`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%zz"}}}]}`,
		`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":""}}}]}`,
		`{"source":"aws.ec2","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`,
		`{"s3Bucket":"b","s3ObjectKey":["` + strings.Repeat("k", 1025) + `"]}`, `{"s3Bucket":"b","s3ObjectKey":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`,
		wrapped(t, wrapped(t, wrapped(t, s3Event))), strings.Repeat(" ", maxMessage) + s3Event} {
		if got, err := parse(body); err == nil {
			t.Errorf("%.100s: taken as %v", body, got)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{s3Event, removed, test, bridge, bridgeGone, trailNote, wrapped(f, s3Event)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		list, err := parse(body)
		if err != nil && list != nil {
			t.Fatalf("an error and %v", list)
		}
		if len(list) > maxObjects {
			t.Fatalf("%d objects", len(list))
		}
		for _, o := range list {
			if err == nil && (o.bucket == "" || o.key == "" || len(o.key) > 3*maxKey || len(o.version) > maxKey) {
				t.Fatalf("%+v", o)
			}
		}
	})
}
