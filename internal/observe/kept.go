package observe

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

// LogRecord is a document as it is kept for searches: its text, and what of it
// every search needs.
type LogRecord struct {
	Record                     uint64    // index of the record in its input, from 0
	Time                       time.Time // when it says it happened; zero: it does not say
	Product, Category, Service string    // log source in the words of Sigma; empty: not known
	Call                       *CloudCall
	Raw                        []byte // the whole record as it came, at most MaxRecord; belongs to the document
	Size                       int    // of the whole
}

// CloudCall is what a record of a cloud's API log says (CloudTrail User Guide,
// "CloudTrail record contents"). Every text can be empty and at most MaxCallText long.
type CloudCall struct {
	ID        string // eventID
	Operation string // eventName
	Service   string // eventSource
	Region    string // awsRegion
	Account   string // recipientAccountId, or that of the identity
	User      string // the identity's ARN, or else its name or type
	Key       string // accessKeyId
	Agent     string // userAgent
	Source    string // sourceIPAddress: an address, or the name of a service
	Error     string // errorCode
	ReadOnly  bool
}

// Caps on what is kept of one document.
const (
	MaxRecord   = 256 << 10 // CloudTrail's own limit on an event
	MaxCallText = 1024
)

// Kept is the document as it is kept. It is parsed for that.
func (d *Document) Kept() LogRecord {
	raw := d.view.Text()
	r := LogRecord{Record: d.Record, Product: d.Product, Category: d.Category, Service: d.Service, Raw: raw[:min(len(raw), MaxRecord)], Size: len(raw)}
	v := d.JSON()
	if v == nil {
		return r
	}
	r.Time = said(v)
	if d.Service == "cloudtrail" && v.Exists("eventName") {
		r.Call = callOf(v)
	}
	return r
}

func callOf(v *fastjson.Value) *CloudCall {
	get := func(path ...string) string {
		b := v.GetStringBytes(path...)
		return strings.ToValidUTF8(string(b[:min(len(b), MaxCallText)]), "\uFFFD")
	}
	first := func(list ...string) string {
		for _, s := range list {
			if s != "" {
				return s
			}
		}
		return ""
	}
	return &CloudCall{
		ID: get("eventID"), Operation: get("eventName"), Service: get("eventSource"), Region: get("awsRegion"),
		Account: first(get("recipientAccountId"), get("userIdentity", "accountId")),
		User:    first(get("userIdentity", "arn"), get("userIdentity", "userName"), get("userIdentity", "invokedBy"), get("userIdentity", "type")),
		Key:     get("userIdentity", "accessKeyId"), Agent: get("userAgent"), Source: get("sourceIPAddress"), Error: get("errorCode"),
		ReadOnly: v.GetBool("readOnly"),
	}
}

// said is when a record says it happened, under the names that the logs this
// program reads use.
func said(v *fastjson.Value) time.Time {
	for _, path := range [...][]string{{"eventTime"}, {"query_timestamp"}, {"timestamp"}, {"@timestamp"}, {"Event", "System", "TimeCreated", "#attributes", "SystemTime"},
		{"UtcTime"}, {"SystemTime"}, {"EventTime"}, {"TimeCreated"}, {"ts"}, {"time"}} {
		f := v.Get(path...)
		if f == nil {
			continue
		}
		if t, ok := instant(f); ok {
			return t
		}
	}
	return time.Time{}
}

// instant reads a time as text, or as seconds since 1970.
func instant(f *fastjson.Value) (time.Time, bool) {
	var sec float64
	switch f.Type() {
	case fastjson.TypeNumber:
		sec = f.GetFloat64()
	case fastjson.TypeString:
		s := string(bytes.TrimSpace(f.GetStringBytes()))
		for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999-0700", "2006-01-02 15:04:05.999", "2006-01-02T15:04:05.999"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.UTC(), true
			}
		}
		var err error
		if sec, err = strconv.ParseFloat(s, 64); err != nil {
			return time.Time{}, false
		}
	default:
		return time.Time{}, false
	}
	if !(sec > 1e8 && sec < 1e11) { // 1973 to 5138; also no NaN
		return time.Time{}, false
	}
	whole := int64(sec)
	return time.Unix(whole, int64((sec-float64(whole))*1e6)*1000).UTC(), true
}
