package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing/fstest"
	"time"
)

// call is one API call of an AWS service; weights make the mix of an account
// in which mostly machines read.
type call struct {
	source, name string
	weight       int
}

func calls() []call {
	return []call{
		{"sts", "AssumeRole", 220}, {"s3", "GetObject", 150}, {"kms", "Decrypt", 110}, {"ec2", "DescribeInstances", 90},
		{"logs", "CreateLogStream", 60}, {"s3", "ListObjects", 50}, {"ec2", "DescribeSecurityGroups", 40}, {"iam", "GetRole", 35},
		{"dynamodb", "DescribeTable", 30}, {"ecr", "BatchGetImage", 25}, {"lambda", "GetFunction20150331v2", 20}, {"s3", "PutObject", 60},
		{"ssm", "GetParameter", 25}, {"secretsmanager", "GetSecretValue", 12}, {"signin", "ConsoleLogin", 5}, {"iam", "ListUsers", 6},
		{"iam", "CreateUser", 2}, {"iam", "CreateAccessKey", 2}, {"iam", "AttachUserPolicy", 2}, {"cloudtrail", "StopLogging", 1},
		{"ec2", "AuthorizeSecurityGroupIngress", 3}, {"s3", "PutBucketPolicy", 2}, {"guardduty", "DeleteDetector", 1}, {"rds", "ModifyDBInstance", 2},
		{"ec2", "RunInstances", 5}, {"iam", "UpdateLoginProfile", 1}, {"ec2", "ModifySnapshotAttribute", 1}, {"config", "StopConfigurationRecorder", 1},
	}
}

// events writes CloudTrail records, one per line.
func events(n int, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 4))
	list, total := calls(), 0
	for _, c := range list {
		total += c.weight
	}
	out := make([][]byte, n)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range out {
		k, pick := 0, r.IntN(total)
		for pick >= list[k].weight {
			pick -= list[k].weight
			k++
		}
		at = at.Add(time.Duration(r.IntN(2000)) * time.Millisecond)
		out[i] = event(r, list[k], at)
	}
	return out
}

type obj = map[string]any

func hex(r *rand.Rand, n int) string { return fmt.Sprintf("%0*x", n, r.Uint64())[:n] }

func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%s-%s-%s-%s-%s", hex(r, 8), hex(r, 4), hex(r, 4), hex(r, 4), hex(r, 12))
}

func event(r *rand.Rand, c call, at time.Time) []byte {
	account := fmt.Sprintf("%012d", 111100000000+r.IntN(20))
	role := fmt.Sprintf("service-role-%d", r.IntN(40))
	identity := obj{"type": "AssumedRole", "principalId": "AROA" + hex(r, 16) + ":" + role, "accountId": account,
		"arn": "arn:aws:sts::" + account + ":assumed-role/" + role + "/session-" + hex(r, 12), "accessKeyId": "ASIA" + hex(r, 16),
		"sessionContext": obj{"sessionIssuer": obj{"type": "Role", "principalId": "AROA" + hex(r, 16), "arn": "arn:aws:iam::" + account + ":role/" + role,
			"accountId": account, "userName": role}, "webIdFederationData": obj{},
			"attributes": obj{"creationDate": at.Format(time.RFC3339), "mfaAuthenticated": "false"}}}
	switch r.IntN(50) {
	case 0:
		identity["type"] = "Root"
	case 1, 2, 3:
		identity["type"] = "IAMUser"
	}
	agents := []string{"aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux md/GOARCH#amd64 api/" + c.source + "#1.30.3",
		"Boto3/1.34.51 md/Botocore#1.34.51 ua/2.0 os/linux#5.10.215 md/arch#x86_64 lang/python#3.11.6 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.34.51",
		"aws-cli/2.15.30 Python/3.11.8 Linux/5.10.215 exe/x86_64.amzn.2 prompt/off command/" + c.source, "AWS Internal", "kali-aws-cli/2.1"}
	e := obj{
		"eventVersion": "1.09", "userIdentity": identity, "eventTime": at.Format(time.RFC3339), "eventSource": c.source + ".amazonaws.com", "eventName": c.name,
		"awsRegion": "eu-central-1", "sourceIPAddress": fmt.Sprintf("203.0.%d.%d", 113, r.IntN(256)), "userAgent": agents[min(r.IntN(40)/10, 3)],
		"requestParameters": obj{"bucketName": "data-" + hex(r, 8), "key": "2026/03/01/part-" + uuid(r) + ".snappy.parquet", "Host": "data.s3.eu-central-1.amazonaws.com",
			"attribute": []string{"userData", "instanceType", "kernel"}[r.IntN(3)], "filterSet": obj{}, "roleSessionName": "session-" + hex(r, 12)},
		"responseElements":    obj{"ConsoleLogin": []string{"Success", "Failure"}[r.IntN(2)], "publiclyAccessible": r.IntN(3) == 0},
		"additionalEventData": obj{"SignatureVersion": "SigV4", "CipherSuite": "TLS_AES_128_GCM_SHA256", "bytesTransferredIn": 0, "AuthenticationMethod": "AuthHeader", "x-amz-id-2": uuid(r) + uuid(r), "bytesTransferredOut": r.IntN(1 << 20), "MFAUsed": []string{"Yes", "No"}[r.IntN(2)]},
		"requestID":           uuid(r), "eventID": uuid(r), "readOnly": true, "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": account,
		"eventCategory": "Management", "tlsDetails": obj{"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": c.source + ".eu-central-1.amazonaws.com"},
		"resources": []obj{{"ARN": "arn:aws:s3:::data-" + hex(r, 8), "accountId": account, "type": "AWS::S3::Bucket"}},
	}
	if r.IntN(20) == 0 {
		e["errorCode"], e["errorMessage"] = "AccessDenied", "User: "+role+" is not authorized to perform: "+c.source+":"+c.name
		e["userAgent"] = agents[r.IntN(len(agents))]
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic("BUG: an event that is no JSON: " + err.Error())
	}
	return b
}

// nestedFields are those the rules name with dots.
func nestedFields() []string {
	return []string{"userIdentity.type", "userIdentity.arn", "requestParameters.attribute", "responseElements.ConsoleLogin", "additionalEventData.MFAUsed"}
}

// rules writes n rules in the shapes of SigmaHQ's for CloudTrail: nearly all
// name a source and one or several calls, some look at other fields as well,
// some have filters. Beyond the calls that occur they name calls that do not,
// as most rules do on most days.
func rules(n int) fstest.MapFS {
	out := fstest.MapFS{}
	list := calls()
	for i := range n {
		var c call
		if i < len(list) {
			c = list[(i*7+9)%len(list)]
		} else {
			c = call{source: fmt.Sprintf("service%d", i%60), name: fmt.Sprintf("Operation%d", i)}
		}
		sel := fmt.Sprintf("eventSource: %s.amazonaws.com\n    eventName: %s", c.source, c.name)
		extra, cond := "", "selection"
		switch i % 6 {
		case 1:
			sel += "\n    errorCode: AccessDenied"
		case 2:
			extra, cond = "\n  filter:\n    userAgent|contains: 'Boto3'", "selection and not filter"
		case 3:
			sel = fmt.Sprintf("eventSource: %s.amazonaws.com\n    eventName:\n      - %s\n      - Delete%d\n      - Put%d", c.source, c.name, i, i)
			extra, cond = "\n  filter:\n    userIdentity.type: Root", "selection and not filter"
		case 4:
			sel += "\n    requestParameters.attribute: userData"
		case 5:
			sel += "\n    userIdentity.arn|contains: ':assumed-role/'\n    userAgent|startswith: 'aws-'"
		}
		if i%50 == 49 { // a rule without a call: a tool's user agent
			sel = fmt.Sprintf("userAgent|contains: 'kali-%s'", []string{"aws", fmt.Sprint(i)}[min(i/50, 1)])
			extra, cond = "", "selection"
		}
		out[fmt.Sprintf("%04d.yml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `title: Rule %d
id: 00000000-0000-4000-8000-%012d
status: test
logsource:
  product: aws
  service: cloudtrail
detection:
  selection:
    %s%s
  condition: %s
level: medium
`, i, i, sel, extra, cond)}
	}
	return out
}
