package bedrock

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// trail writes records as CloudTrail does.
type trail struct {
	at  time.Time
	all [][]byte
}

func (t *trail) add(key, addr, region, name, code, message, model string) {
	t.at = t.at.Add(20 * time.Second)
	failed := ""
	if code != "" {
		failed = fmt.Sprintf(`"errorCode":%q,"errorMessage":%q,`, code, message)
	}
	t.all = append(t.all, fmt.Appendf(nil, `{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/x","accessKeyId":%q},"eventTime":%q,"eventSource":"bedrock.amazonaws.com","eventName":%q,"awsRegion":%q,"sourceIPAddress":%q,%s"requestParameters":{"modelId":%q}}`,
		key, t.at.Format(time.RFC3339), name, region, addr, failed, model))
}

func run(t *testing.T, c Config, records [][]byte) (out []model.Signal) {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var b observe.LogBatch
	for i, r := range records {
		doc, err := b.AddDocument(uint64(i), r)
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		d.DetectDocument(doc, func(s *model.Signal) {
			s.ID, s.Sensor = model.NewULID(s.Time), "test"
			if err := s.Check(); err != nil {
				t.Error(err)
			}
			out = append(out, *s)
		})
	}
	return out
}

func kinds(all []model.Signal) (out []string) {
	for _, s := range all {
		out = append(out, strings.TrimPrefix(s.Kind, "bedrock."))
	}
	return out
}

const (
	oracle = "max_tokens_to_sample: range: 1..1,000,000"
	denied = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:InvokeModel"
	key    = "AKIAIOSFODNN7EXAMPLE"
)

// TestStories: what is told of attacks, and that nothing is told of work.
func TestStories(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  []string
		write func(t *trail)
	}{
		{"the case", []string{"oracle", "llmjacking"}, func(t *trail) {
			t.add(key, "198.51.100.7", "us-east-1", "InvokeModel", "ValidationException", oracle, "anthropic.claude-v2")
			t.add(key, "198.51.100.7", "us-east-1", "GetModelInvocationLoggingConfiguration", "", "", "")
			t.add(key, "198.51.100.7", "us-east-1", "InvokeModel", "", "", "anthropic.claude-v2")
		}},
		{"regions one after the other, then use", []string{"probing", "llmjacking"}, func(t *trail) {
			t.add(key, "198.51.100.7", "us-east-1", "ListFoundationModels", "", "", "")
			for _, r := range []string{"us-east-1", "us-west-2", "eu-west-3", "ap-southeast-2"} {
				t.add(key, "198.51.100.7", r, "InvokeModel", "AccessDenied", denied, "anthropic.claude-v2")
			}
			t.add(key, "198.51.100.7", "eu-central-1", "InvokeModelWithResponseStream", "", "", "anthropic.claude-v2")
		}},
		{"access asked for after many refusals", []string{"probing", "llmjacking"}, func(t *trail) {
			for i := range 6 {
				t.add(key, "198.51.100.7", "us-east-1", "Converse", "AccessDeniedException", denied, fmt.Sprint("vendor.model-", i))
			}
			t.add(key, "198.51.100.7", "us-east-1", "PutFoundationModelEntitlement", "", "", "")
		}},
		{"logging switched off", []string{"logging-off"}, func(t *trail) {
			t.add(key, "198.51.100.7", "us-east-1", "DeleteModelInvocationLoggingConfiguration", "", "", "")
		}},
		{"an auditor", nil, func(t *trail) {
			for i := range 17 {
				t.add(key, "198.51.100.7", fmt.Sprint("region-", i), "GetModelInvocationLoggingConfiguration", "", "", "")
				t.add(key, "198.51.100.7", fmt.Sprint("region-", i), "ListFoundationModels", "", "", "")
			}
		}},
		{"a developer", nil, func(t *trail) {
			t.add(key, "198.51.100.7", "us-east-1", "ListFoundationModels", "", "", "")
			for i := range 3 {
				t.add(key, "198.51.100.7", "us-east-1", "InvokeModel", "AccessDeniedException", denied, fmt.Sprint("vendor.model-", i))
			}
			t.add(key, "198.51.100.7", "us-east-1", "InvokeModel", "ValidationException", "messages: roles must alternate", "vendor.model-4")
			t.add(key, "198.51.100.7", "us-east-1", "InvokeModel", "", "", "vendor.model-4")
		}},
		{"steps of two keys", nil, func(t *trail) {
			for i := range 4 {
				t.add(fmt.Sprintf("AKIAIOSFODNN7EXAMP%02d", i), "198.51.100.7", fmt.Sprint("r", i), "InvokeModel", "AccessDenied", denied, "m")
			}
			t.add(key, "198.51.100.7", "us-east-1", "GetModelInvocationLoggingConfiguration", "", "", "")
		}},
		{"too far apart", nil, func(t *trail) {
			for _, r := range []string{"us-east-1", "us-west-2", "eu-west-3"} {
				t.add(key, "198.51.100.7", r, "InvokeModel", "AccessDenied", denied, "m")
				t.at = t.at.Add(7 * time.Hour)
			}
		}},
	} {
		tr := &trail{at: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
		c.write(tr)
		got := run(t, Default(), tr.all)
		if !slices.Equal(kinds(got), c.want) {
			t.Errorf("%s: told %v, want %v", c.name, kinds(got), c.want)
		}
		for _, s := range got {
			if s.Actor.Value() != "198.51.100.7" || len(s.Related) != 1 || s.Related[0].Value() != key {
				t.Errorf("%s: %s is about %v and %v", c.name, s.Kind, s.Actor, s.Related)
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := Default()
	c.MaxKeys = 10
	tr := &trail{at: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
	for i := range 100 {
		tr.add(fmt.Sprintf("AKIAIOSFODNN7EXA%04d", i), "198.51.100.7", fmt.Sprint("r", i), "InvokeModel", "AccessDenied", denied, strings.Repeat("m", 10_000))
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var b observe.LogBatch
	for i, r := range tr.all {
		doc, err := b.AddDocument(uint64(i), r)
		if err != nil {
			t.Fatal(err)
		}
		d.DetectDocument(doc, func(*model.Signal) {})
	}
	if n := d.(*detector).keys.Len(); n != 10 {
		t.Errorf("%d keys are remembered", n)
	}
}

// FuzzDocument: records are hostile, whoever wrote them.
func FuzzDocument(f *testing.F) {
	tr := &trail{at: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
	tr.add(key, "198.51.100.7", "us-east-1", "InvokeModel", "ValidationException", oracle, "m")
	tr.add(key, "AWS Internal", "us-east-1", "DeleteModelInvocationLoggingConfiguration", "", "", "")
	f.Add(tr.all[0])
	f.Add(tr.all[1])
	f.Add([]byte(`{"eventSource":"bedrock.amazonaws.com","userIdentity":7,"eventTime":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b observe.LogBatch
		doc, err := b.AddDocument(0, raw)
		if err != nil {
			return
		}
		d, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		d.DetectDocument(doc, func(s *model.Signal) {
			s.ID, s.Sensor = model.NewULID(s.Time), "test"
			if err := s.Check(); err != nil {
				t.Error(err)
			}
		})
	})
}
