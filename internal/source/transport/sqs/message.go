package sqs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// object is what a message says was put into a bucket.
type object struct {
	bucket, key string
	version     string // what tells this content from others of the same key: version, ETag or sequencer
}

// Caps on a message.
const (
	maxMessage = 1 << 20 // SQS's own
	maxObjects = 1000
	maxKey     = 1024 // S3's own
	maxWraps   = 3    // envelopes in envelopes
)

// errNotice says that a message is none that this transport understands.
var errNotice = errors.New("neither an event of S3, nor of EventBridge, nor a notification of CloudTrail")

// notice is every shape at once; which one it is, its fields say.
type notice struct {
	// S3 event notifications (Amazon S3 User Guide, "Event message structure").
	Records []struct {
		Source string `json:"eventSource"`
		Name   string `json:"eventName"`
		S3     s3Part `json:"s3"`
	} `json:"Records"`
	Event string `json:"Event"` // s3:TestEvent
	// EventBridge ("Amazon S3 event notification content from EventBridge").
	Source     string `json:"source"`
	DetailType string `json:"detail-type"`
	Detail     s3Part `json:"detail"`
	// What SNS wraps around others ("Parsing Amazon SNS message formats").
	Type    string  `json:"Type"`
	Message *string `json:"Message"`
	// CloudTrail's own ("Configuring Amazon SNS notifications for CloudTrail").
	Bucket string   `json:"s3Bucket"`
	Keys   []string `json:"s3ObjectKey"`
}

type s3Part struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       string `json:"key"`
		ETag      string `json:"eTag"` // EventBridge: etag; names are compared without case
		Version   string `json:"versionId"`
		VersionID string `json:"version-id"`
		Sequencer string `json:"sequencer"`
	} `json:"object"`
}

// parse finds the objects that a message announces. None and no error: it is about
// something else that such queues get, as removals and the test at the beginning.
func parse(body string) ([]object, error) {
	if len(body) > maxMessage {
		return nil, fmt.Errorf("longer than %d bytes", maxMessage)
	}
	for range maxWraps {
		var n notice
		if err := json.Unmarshal([]byte(body), &n); err != nil {
			return nil, errNotice
		}
		switch {
		case n.Type == "Notification" && n.Message != nil:
			body = *n.Message
			continue
		case n.Records != nil:
			return records(&n)
		case n.Event == "s3:TestEvent":
			return nil, nil
		case n.Source == "aws.s3" && n.DetailType != "":
			if n.DetailType != "Object Created" {
				return nil, nil
			}
			o, err := n.Detail.at(n.Detail.Object.Key)
			if err != nil {
				return nil, err
			}
			return []object{o}, nil
		case n.Bucket != "" && len(n.Keys) > 0:
			return trail(&n)
		}
		return nil, errNotice
	}
	return nil, errors.New("envelopes in envelopes")
}

func records(n *notice) (out []object, err error) {
	if len(n.Records) > maxObjects {
		return nil, fmt.Errorf("more than %d records", maxObjects)
	}
	for i := range n.Records {
		r := &n.Records[i]
		if r.Source != "aws:s3" {
			return nil, errNotice
		}
		if !strings.HasPrefix(strings.TrimPrefix(r.Name, "s3:"), "ObjectCreated:") {
			continue
		}
		key, err := url.QueryUnescape(r.S3.Object.Key) // in this shape, and only in this one
		if err != nil {
			return nil, errors.New("a key that is not encoded as S3 does")
		}
		o, err := r.S3.at(key)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func trail(n *notice) (out []object, err error) {
	if len(n.Keys) > maxObjects {
		return nil, fmt.Errorf("more than %d keys", maxObjects)
	}
	for _, key := range n.Keys {
		p := s3Part{}
		p.Bucket.Name = n.Bucket
		o, err := p.at(key)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (p *s3Part) at(key string) (object, error) {
	if p.Bucket.Name == "" || key == "" || len(key) > maxKey || len(p.Bucket.Name) > 255 {
		return object{}, errors.New("an event that names no object")
	}
	o := object{bucket: p.Bucket.Name, key: key}
	for _, v := range []string{p.Object.Version, p.Object.VersionID, p.Object.ETag, p.Object.Sequencer} {
		if v != "" && v != "null" && len(v) <= maxKey {
			o.version = v
			break
		}
	}
	return o, nil
}
