package detecttest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Calls is a week of calls to the API of a cloud, as CloudTrail records them, in
// order of time; Of is the attack of each record, or -1.
type Calls struct {
	Records [][]byte
	Of      []int32
	Attacks []CallAttack
}

// CallAttack is one of them, and the rule that should tell of it.
type CallAttack struct{ Kind, Rule, Principal string }

type caller struct {
	arn, kind, user, issuer, key, address, agent, by string
}

type entry struct {
	at   int64
	of   int32
	json []byte
}

type callMaker struct {
	Week
	r   *rand.Rand
	out []entry
	of  int32
	all Calls
}

const ownAccount = "111122223333"

// fields of a record, in the order in which they are written.
type identity struct {
	Type    string          `json:"type"`
	ARN     string          `json:"arn,omitempty"`
	User    string          `json:"userName,omitempty"`
	Account string          `json:"accountId,omitempty"`
	Key     string          `json:"accessKeyId,omitempty"`
	By      string          `json:"invokedBy,omitempty"`
	Session json.RawMessage `json:"sessionContext,omitempty"`
}

type record struct {
	Version  string          `json:"eventVersion"`
	Identity identity        `json:"userIdentity"`
	Time     string          `json:"eventTime"`
	Source   string          `json:"eventSource"`
	Name     string          `json:"eventName"`
	Region   string          `json:"awsRegion"`
	Address  string          `json:"sourceIPAddress"`
	Agent    string          `json:"userAgent"`
	Error    string          `json:"errorCode,omitempty"`
	Request  json.RawMessage `json:"requestParameters"`
	Response json.RawMessage `json:"responseElements"`
	More     json.RawMessage `json:"additionalEventData,omitempty"`
	Owner    string          `json:"recipientAccountId"`
	Type     string          `json:"eventType"`
}

func (g *callMaker) call(c caller, at int64, service, name, failure, request string) {
	g.write(c, at, record{Source: service + ".amazonaws.com", Name: name, Error: failure, Request: raw(request), Response: raw(""), Type: "AwsApiCall"})
}

func raw(s string) json.RawMessage {
	if s == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(s)
}

func (g *callMaker) write(c caller, at int64, r record) {
	r.Version, r.Owner, r.Address, r.Agent = "1.08", ownAccount, c.address, c.agent
	r.Time = time.Unix(at, 0).UTC().Format(time.RFC3339)
	if r.Region == "" {
		r.Region = "eu-central-1"
	}
	r.Identity = identity{Type: c.kind, ARN: c.arn, User: c.user, Account: ownAccount, Key: c.key, By: c.by}
	if c.issuer != "" {
		r.Identity.Session = raw(fmt.Sprintf(`{"sessionIssuer":{"type":"Role","arn":%q}}`, c.issuer))
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a record that was made is no JSON: " + err.Error())
	}
	g.out = append(g.out, entry{at, g.of, b})
}

func (g *callMaker) role(name, session, address, agent string) caller {
	return caller{kind: "AssumedRole", arn: "arn:aws:sts::" + ownAccount + ":assumed-role/" + name + "/" + session, issuer: "arn:aws:iam::" + ownAccount + ":role/" + name,
		key: fmt.Sprintf("ASIA%016X", g.r.Uint64()), address: address, agent: agent}
}

func (g *callMaker) user(name, address, agent string) caller {
	return caller{kind: "IAMUser", arn: "arn:aws:iam::" + ownAccount + ":user/" + name, user: name, key: fmt.Sprintf("AKIA%016X", g.r.Uint64()), address: address, agent: agent}
}

func (g *callMaker) at(day int, from, to int) int64 {
	return WeekStart + int64(day)*86400 + int64(from) + g.r.Int64N(int64(to-from))
}

// reading are operations that people and programs use to look at things.
func reading() [][2]string {
	return [][2]string{{"ec2", "DescribeInstances"}, {"ec2", "DescribeSecurityGroups"}, {"ec2", "DescribeVpcs"}, {"ec2", "DescribeSubnets"}, {"ec2", "DescribeVolumes"}, {"s3", "ListBuckets"},
		{"iam", "ListRoles"}, {"iam", "ListUsers"}, {"iam", "GetRole"}, {"iam", "ListPolicies"}, {"rds", "DescribeDBInstances"}, {"lambda", "ListFunctions20150331"}, {"kms", "ListKeys"},
		{"kms", "DescribeKey"}, {"logs", "DescribeLogGroups"}, {"cloudtrail", "DescribeTrails"}, {"guardduty", "ListDetectors"}, {"config", "DescribeConfigRules"}, {"eks", "ListClusters"},
		{"ecs", "ListClusters"}, {"elasticloadbalancing", "DescribeLoadBalancers"}, {"route53", "ListHostedZones"}, {"sns", "ListTopics"}, {"sqs", "ListQueues"}, {"dynamodb", "ListTables"},
		{"cloudformation", "DescribeStacks"}, {"ssm", "DescribeParameters"}, {"secretsmanager", "ListSecrets"}, {"organizations", "DescribeOrganization"}, {"ecr", "DescribeRepositories"}}
}

// Call draws the week. Records is about how many there are, Hosts how many
// machines, Attacks how many of every kind.
func (w Week) Call() *Calls {
	g := &callMaker{Week: w, r: rand.New(rand.NewPCG(w.Seed, 0xca11)), of: -1}
	g.ordinaryCalls()
	g.attackCalls()
	slices.SortStableFunc(g.out, func(a, b entry) int { return int(a.at - b.at) })
	for _, e := range g.out {
		g.all.Records, g.all.Of = append(g.all.Records, e.json), append(g.all.Of, e.of)
	}
	return &g.all
}

func (g *callMaker) ordinaryCalls() {
	for day := range g.Days {
		g.deployments(day)
		g.people(day)
		g.services(day)
	}
	for n := 0; len(g.out) < g.Records; n++ {
		g.machine(n % g.Hosts)
	}
}

// deployments are what a pipeline does with Terraform.
func (g *callMaker) deployments(day int) {
	for run := range 6 {
		c := g.role("deploy", "pipeline", fmt.Sprintf("3.120.%d.%d", g.r.IntN(2), 1+g.r.IntN(250)), "APN/1.0 HashiCorp/1.0 Terraform/1.9.5")
		at := g.at(day, 8*3600, 18*3600)
		for _, op := range reading() {
			g.call(c, at, op[0], op[1], "", "")
		}
		for _, w := range [][3]string{
			{"lambda", "UpdateFunctionCode20150331v2", `{"functionName":"shop","s3Bucket":"builds"}`},
			{"iam", "PutRolePolicy", `{"roleName":"shop","policyName":"p","policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"*\"}]}"}`},
			{"iam", "CreateRole", `{"roleName":"job","assumeRolePolicyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"lambda.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"}`},
			{"iam", "AttachRolePolicy", `{"roleName":"job","policyArn":"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}`},
			{"ec2", "AuthorizeSecurityGroupIngress", `{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`},
			{"ec2", "AuthorizeSecurityGroupIngress", `{"groupId":"sg-2","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}}]}}`},
			{"s3", "PutBucketLifecycle", `{"bucketName":"builds","LifecycleConfiguration":{"Rule":{"ID":"old","Status":"Enabled","Expiration":{"Days":30}}}}`},
			{"s3", "PutBucketPublicAccessBlock", `{"bucketName":"builds","PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"IgnorePublicAcls":true,"BlockPublicPolicy":true,"RestrictPublicBuckets":true}}`},
			{"s3", "PutBucketPolicy", `{"bucketName":"site","bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::site/*"}]}}`},
			{"lambda", "AddPermission20150331v2", `{"functionName":"shop","principal":"apigateway.amazonaws.com","sourceArn":"arn:aws:execute-api:eu-central-1:111122223333:x"}`},
			{"ec2", "ModifySnapshotAttribute", `{"snapshotId":"snap-1","attributeType":"CREATE_VOLUME_PERMISSION","createVolumePermission":{"remove":{"items":[{"userId":"444455556666"}]}}}`},
			{"cloudtrail", "PutEventSelectors", `{"trailName":"t","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true}]}`},
		} {
			if g.r.IntN(3) == 0 {
				g.call(c, at+int64(60+run), w[0], w[1], "", w[2])
			}
		}
	}
}

// people click in the console from where they live, and may not see all of it.
func (g *callMaker) people(day int) {
	for n := range 8 {
		address := fmt.Sprintf("84.%d.%d.7", 100+n, g.r.IntN(2))
		c := g.role("admin", fmt.Sprintf("person%d@example.com", n), address, "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/131.0")
		at := g.at(day, 8*3600, 17*3600)
		g.write(c, at, record{Source: "signin.amazonaws.com", Name: "ConsoleLogin", Type: "AwsConsoleSignIn", Request: raw(""), Response: raw(`{"ConsoleLogin":"Success"}`), More: raw(`{"MFAUsed":"No","SamlProviderArn":"arn:aws:iam::111122223333:saml-provider/sso"}`)})
		for k := range 60 {
			op := reading()[g.r.IntN(30)]
			failure := ""
			if n == 0 && k < 14 { // a page that asks for a dozen things of four services
				op = [][2]string{{"ec2", "DescribeInstances"}, {"ec2", "DescribeVpcs"}, {"ec2", "DescribeSubnets"}, {"ec2", "DescribeVolumes"}, {"ec2", "DescribeSecurityGroups"}, {"ec2", "DescribeAddresses"}, {"ec2", "DescribeImages"}, {"ec2", "DescribeTags"}, {"elasticloadbalancing", "DescribeLoadBalancers"}, {"autoscaling", "DescribeAutoScalingGroups"}, {"monitoring", "DescribeAlarms"}, {"ec2", "DescribeHosts"}, {"ec2", "DescribeKeyPairs"}, {"ec2", "DescribeRegions"}}[k]
				failure = "Client.UnauthorizedOperation"
			}
			g.call(c, at+int64(k*20), op[0], op[1], failure, "")
		}
		own := g.user(fmt.Sprintf("dev%d", n), address, "aws-cli/2.17.0")
		g.call(own, at+7, "sts", "GetSessionToken", "", `{"durationSeconds":3600}`)
		if day == 3 {
			g.call(own, at+9, "iam", "CreateAccessKey", "", fmt.Sprintf(`{"userName":%q}`, own.user)) // one's own, now and then
		}
		signIn := record{Source: "signin.amazonaws.com", Name: "ConsoleLogin", Type: "AwsConsoleSignIn", Request: raw(""), Response: raw(`{"ConsoleLogin":"Failure"}`), More: raw(`{"MFAUsed":"No"}`)}
		g.write(own, at+11, signIn) // a mistyped password
		signIn.Response, signIn.More = raw(`{"ConsoleLogin":"Success"}`), raw(`{"MFAUsed":"Yes"}`)
		g.write(own, at+31, signIn)
	}
}

// services: AWS itself, a scanner of configurations, backups, a program without rights.
func (g *callMaker) services(day int) {
	auto := caller{kind: "AssumedRole", arn: "arn:aws:sts::" + ownAccount + ":assumed-role/AWSServiceRoleForAutoScaling/AutoScaling", issuer: "arn:aws:iam::" + ownAccount + ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling", by: "autoscaling.amazonaws.com", address: "autoscaling.amazonaws.com", agent: "autoscaling.amazonaws.com"}
	for range 60 {
		g.call(auto, g.at(day, 0, 86400), "ec2", "RunInstances", "", `{"instancesSet":{"items":[{"minCount":4,"maxCount":4}]},"instanceType":"g5.xlarge"}`)
	}
	scan := g.role("posture", "scan", "52.57.9.9", "Boto3/1.35.0")
	at := g.at(day, 3600, 7200)
	for k := range 120 {
		op, failure := reading()[k%30], ""
		if k%30 < 3 {
			failure = "AccessDenied"
		}
		g.call(scan, at+int64(k), op[0], op[1], failure, "")
	}
	backup := g.role("backup", "nightly", "52.57.9.10", "Boto3/1.35.0")
	for k := range 12 {
		g.call(backup, g.at(day, 0, 3600), "ec2", []string{"CreateSnapshot", "DeleteSnapshot"}[k%2], "", fmt.Sprintf(`{"volumeId":"vol-%d"}`, k))
	}
	broken := g.role("reporter", "job", "52.57.9.11", "aws-sdk-go/1.55.0")
	for k := range 200 {
		g.call(broken, WeekStart+int64(day)*86400+int64(k*400), []string{"s3", "sqs"}[k%2], []string{"PutObject", "SendMessage"}[k%2], "AccessDenied", "")
	}
	mail := g.role("mailer", "job", "52.57.9.12", "Boto3/1.35.0")
	for range 50 {
		g.call(mail, g.at(day, 0, 86400), "ses", []string{"SendEmail", "GetSendQuota"}[g.r.IntN(2)], "", "")
	}
	clean := g.role("cleaner", "job", "52.57.9.13", "Boto3/1.35.0")
	for k := range 200 {
		g.call(clean, WeekStart+int64(day)*86400+7200+int64(k), "s3", "DeleteObject", "", fmt.Sprintf(`{"bucketName":"tmp","key":"%d"}`, k))
	}
}

// machine is a while of the program on an instance.
func (g *callMaker) machine(n int) {
	c := g.role(fmt.Sprintf("app%d", n%5), fmt.Sprintf("i-0%016x", 0xabc0000+n), fmt.Sprintf("18.197.%d.20", n%3), "aws-sdk-java/2.28.0")
	at := g.at(g.r.IntN(g.Days), 0, 86400)
	for k := range 3 + n%3 {
		g.call(c, at, "secretsmanager", "GetSecretValue", "", fmt.Sprintf(`{"secretId":"app%d/%d"}`, n%5, k))
	}
	g.call(c, at, "ssm", "GetParameters", "", `{"names":["a","b","c"],"withDecryption":true}`)
	for k := range 90 {
		op := [][2]string{{"s3", "GetObject"}, {"s3", "PutObject"}, {"sqs", "ReceiveMessage"}, {"monitoring", "PutMetricData"}, {"ec2", "DescribeTags"}, {"ssm", "UpdateInstanceInformation"}, {"kms", "Decrypt"}, {"dynamodb", "GetItem"}}[g.r.IntN(8)]
		g.call(c, at+int64(k*30), op[0], op[1], "", `{"bucketName":"data"}`)
	}
}
