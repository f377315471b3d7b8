package cloud

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// told runs records through a new detector and lists the rules of what it says,
// those below medium with a mark.
func told(t testing.TB, records ...string) (out []string) {
	t.Helper()
	d, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	var b observe.LogBatch
	for i, r := range records {
		b.Reset()
		doc, err := b.AddDocument(uint64(i), []byte(r))
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		doc.Product, doc.Service = "aws", "cloudtrail"
		d.DetectDocument(doc, func(s *model.Signal) {
			full := *s
			full.ID, full.Sensor = model.NewULID(s.Time), "test"
			if err := full.Check(); err != nil || len(s.Techniques) == 0 || s.Kind != s.Rule {
				t.Errorf("%v: %+v", err, s)
			}
			if s.Severity < model.Medium {
				out = append(out, "("+s.Rule+")")
				return
			}
			out = append(out, s.Rule)
		})
	}
	return out
}

// call is a record of user u of account 111122223333.
func call1(service, name, request string) string {
	return callOf(`"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/u","userName":"u","accountId":"111122223333","accessKeyId":"AKIAIOSFODNN7EXAMPLE"`, "2026-01-02T03:04:05Z", "203.0.113.9", service, name, "", request)
}

func callOf(who, at, address, service, name, failure, request string) string {
	if request == "" {
		request = "null"
	}
	if failure != "" {
		failure = `"errorCode":"` + failure + `",`
	}
	return fmt.Sprintf(`{"eventVersion":"1.08","eventTime":%q,"eventSource":"%s.amazonaws.com","eventName":%q,%s"awsRegion":"eu-central-1","sourceIPAddress":%q,"userAgent":"aws-cli/2","userIdentity":{%s},"requestParameters":%s,"recipientAccountId":"111122223333","eventType":"AwsApiCall"}`,
		at, service, name, failure, address, who, request)
}

// TestConsequences: what a call asks for decides, not its name alone.
func TestConsequences(t *testing.T) {
	const open = `{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"%s\"},\"Action\":\"sts:AssumeRole\"%s}]}`
	policy := func(who, more string) string {
		return `{"roleName":"r","policyDocument":"` + fmt.Sprintf(open, who, more) + `"}`
	}
	for _, c := range []struct{ record, want string }{
		{call1("cloudtrail", "StopLogging", `{"name":"t"}`), "cloud.logging-off"},
		{callOf(`"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/u"`, "2026-01-02T03:04:05Z", "203.0.113.9", "cloudtrail", "StopLogging", "AccessDenied", ""), ""},
		{call1("cloudtrail", "UpdateTrail", `{"name":"t","isMultiRegionTrail":false}`), "cloud.logging-less"},
		{call1("cloudtrail", "UpdateTrail", `{"name":"t","isMultiRegionTrail":true}`), "(cloud.logging-changed)"},
		{call1("cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"ReadOnly","includeManagementEvents":true}]}`), "cloud.logging-less"},
		{call1("cloudtrail", "PutEventSelectors", `{"eventSelectors":[]}`), "cloud.logging-less"},
		{call1("cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"All","includeManagementEvents":true}]}`), ""},
		{call1("s3", "PutBucketLifecycle", `{"LifecycleConfiguration":{"Rule":{"Status":"Enabled","Expiration":{"Days":1}}}}`), "cloud.logging-short"},
		{call1("s3", "PutBucketLifecycle", `{"LifecycleConfiguration":{"Rule":[{"Status":"Enabled","Expiration":{"Days":"2"}}]}}`), "cloud.logging-short"},
		{call1("s3", "PutBucketLifecycle", `{"LifecycleConfiguration":{"Rule":[{"Status":"Enabled","Expiration":{"Days":"30"}}]}}`), ""},
		{call1("iam", "UpdateAssumeRolePolicy", policy("arn:aws:iam::999988887777:root", "")), "cloud.role-open"},
		{call1("iam", "UpdateAssumeRolePolicy", policy("*", "")), "cloud.role-open"},
		{call1("iam", "UpdateAssumeRolePolicy", policy("*", `,\"Condition\":{\"StringEquals\":{\"aws:PrincipalOrgID\":\"o\"}}`)), ""},
		{call1("iam", "UpdateAssumeRolePolicy", policy("arn:aws:iam::111122223333:role/x", "")), ""},
		{call1("iam", "CreateAccessKey", `{"userName":"other"}`), "cloud.key-for-other"},
		{call1("iam", "CreateAccessKey", `{"userName":"u"}`), ""},
		{call1("iam", "PutUserPolicy", `{"policyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":[\"*\"]}}"}`), "cloud.admin-granted"},
		{call1("iam", "PutUserPolicy", `{"policyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\"}}"}`), ""},
		{call1("iam", "PutUserPolicy", `{"policyDocument":"{broken"}`), ""},
		{call1("ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":20,"toPort":30,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`), "cloud.port-open"},
		{call1("ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`), ""},
		{call1("ec2", "ModifyImageAttribute", `{"launchPermission":{"add":{"items":[{"group":"all"}]}}}`), "cloud.share-public"},
		{call1("ec2", "ModifySnapshotAttribute", `{"createVolumePermission":{"add":{"items":[{"userId":"999988887777"}]}}}`), "cloud.share-outside"},
		{call1("ec2", "ModifySnapshotAttribute", `{"createVolumePermission":{"add":{"items":[{"userId":"111122223333"}]}}}`), ""},
		{call1("lambda", "AddPermission20150331v2", `{"principal":"*"}`), "cloud.function-open"},
		{call1("lambda", "AddPermission20150331v2", `{"principal":"s3.amazonaws.com","sourceArn":"arn:aws:s3:::b"}`), ""},
		{call1("s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}}`), "cloud.bucket-open"},
		{call1("rds", "ModifyDBInstance", `{"publiclyAccessible":true}`), "cloud.database-public"},
		{call1("rds", "ModifyDBInstance", `{"allocatedStorage":9}`), ""},
		{callOf(`"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"`, "2026-01-02T03:04:05Z", "203.0.113.9", "ec2", "CreateVolume", "", ""), "cloud.root-used"},
		{callOf(`"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"`, "2026-01-02T03:04:05Z", "203.0.113.9", "iam", "ListAccessKeys", "", ""), ""},
		{callOf(`"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/x/y","invokedBy":"cloudformation.amazonaws.com"`, "2026-01-02T03:04:05Z", "cloudformation.amazonaws.com", "cloudtrail", "DeleteTrail", "", ""), ""},
	} {
		if got := strings.Join(told(t, c.record), " "); got != c.want {
			t.Errorf("%s: told %q, want %q", c.record, got, c.want)
		}
	}
}

// TestToldAgain: the same thing again is news twice, and then a habit.
func TestToldAgain(t *testing.T) {
	r := call1("cloudtrail", "StopLogging", `{"name":"t"}`)
	if got := told(t, r, r, r, r, r); len(got) != 3 {
		t.Errorf("told %v", got)
	}
	if got := told(t, r, call1("cloudtrail", "StopLogging", `{"name":"other"}`)); len(got) != 2 {
		t.Errorf("told %v", got)
	}
}

// TestCountsAreForgotten: the same number of refusals over days is nothing.
func TestCountsAreForgotten(t *testing.T) {
	for step, want := range map[time.Duration]bool{time.Minute: true, time.Hour: false} {
		var records []string
		at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		for i := range 30 {
			records = append(records, callOf(`"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/u"`, at.Add(time.Duration(i)*step).Format(time.RFC3339), "203.0.113.9",
				[]string{"ec2", "iam", "s3", "rds", "kms", "sns", "sqs"}[i%7], fmt.Sprintf("List%c", 'A'+i), "AccessDenied", ""))
		}
		if got := slices.Contains(told(t, records...), "cloud.permissions-tried"); got != want {
			t.Errorf("every %v: %t", step, got)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, change := range []func(*Config){func(c *Config) { c.Denied = 1 }, func(c *Config) { c.Secrets = maxDistinct + 1 }, func(c *Config) { c.Window = 0 }, func(c *Config) { c.MaxPrincipals = 0 }} {
		c := Default()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// FuzzDocument: no record breaks the detector or makes a signal that fails its own check.
func FuzzDocument(f *testing.F) {
	f.Add(call1("iam", "UpdateAssumeRolePolicy", `{"policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"*\",1,null]}}]}"}`))
	f.Add(call1("s3", "PutBucketLifecycle", `{"LifecycleConfiguration":{"Rule":{"Expiration":{"Days":""}}}}`))
	f.Add(call1("ec2", "RunInstances", `{"instanceType":"p3.2xlarge","instancesSet":{"items":[{"maxCount":-1}]}}`))
	f.Add(`{"eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","userIdentity":[],"responseElements":"x","eventTime":5,"sourceIPAddress":"\u0000::1%x"}`)
	f.Fuzz(func(t *testing.T, record string) {
		var b observe.LogBatch
		if _, err := b.AddDocument(0, []byte(record)); err != nil {
			return
		}
		told(t, record, record)
	})
}
