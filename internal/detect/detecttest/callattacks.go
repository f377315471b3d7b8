package detecttest

import (
	"fmt"
	"maps"
	"slices"
)

// CallKinds are the kinds of attack of Call with the rule that should tell of each.
func CallKinds() map[string]string {
	return map[string]string{"trail": "cloud.logging-off", "share": "cloud.share-outside", "backdoor": "cloud.role-open", "key": "cloud.key-for-other", "admin": "cloud.admin-granted",
		"permissions": "cloud.permissions-tried", "machine": "cloud.machine-looks-around", "secrets": "cloud.secrets-collected", "stolen": "cloud.machine-key-elsewhere", "miner": "cloud.gpu",
		"ransom": "cloud.objects-deleted", "network": "cloud.new-network", "root": "cloud.root-login", "guess": "auth.brute-force", "scripts": "cloud.scripts-collected"}
}

// attackCalls lays the attacks into the last days, when ordinary principals are known.
func (g *callMaker) attackCalls() {
	kinds := CallKinds()
	n := 0
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for k := range g.Attacks {
			n++
			c := g.user(fmt.Sprintf("victim%d", n), fmt.Sprintf("185.220.%d.%d", 1+n/200, 1+n%200), "aws-cli/2.17.0 Python/3.12")
			g.of = int32(len(g.all.Attacks))
			g.all.Attacks = append(g.all.Attacks, CallAttack{kind, kinds[kind], c.arn})
			g.attackCall(kind, c, k, n)
			g.of = -1
		}
	}
}

func (g *callMaker) attackCall(kind string, c caller, k, n int) {
	at := g.at(g.Days-1-g.r.IntN(2), 0, 80_000)
	machine := func(address string) caller {
		return g.role("web", fmt.Sprintf("i-0%016x", 0xdef0000+n), address, "aws-cli/2.17.0")
	}
	switch kind {
	case "trail":
		g.call(c, at, []string{"cloudtrail", "cloudtrail", "ec2"}[k%3], []string{"StopLogging", "DeleteTrail", "DeleteFlowLogs"}[k%3], "", `{"name":"t"}`)
	case "share":
		g.call(c, at, "ec2", "ModifySnapshotAttribute", "", `{"snapshotId":"snap-9","attributeType":"CREATE_VOLUME_PERMISSION","createVolumePermission":{"add":{"items":[{"userId":"999988887777"}]}}}`)
	case "backdoor":
		g.call(c, at, "iam", "UpdateAssumeRolePolicy", "", `{"roleName":"r","policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"arn:aws:iam::111122223333:root\",\"arn:aws:iam::999988887777:root\"]},\"Action\":\"sts:AssumeRole\"}]}"}`)
	case "key":
		g.call(c, at, "iam", "CreateAccessKey", "", `{"userName":"somebody"}`)
	case "admin":
		g.call(c, at, "iam", "CreateUser", "", `{"userName":"support"}`)
		g.call(c, at+5, "iam", "AttachUserPolicy", "", `{"userName":"support","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`)
	case "permissions":
		for i, op := range reading() {
			g.call(c, at+int64(i*(1+k%4*20)), op[0], op[1], "AccessDenied", "")
		}
	case "machine":
		for i, op := range [][2]string{{"sts", "GetCallerIdentity"}, {"s3", "ListBuckets"}, {"iam", "ListRoles"}, {"iam", "ListUsers"}, {"iam", "GetAccountSummary"}, {"ec2", "DescribeSnapshots"}, {"cloudtrail", "DescribeTrails"}, {"guardduty", "ListDetectors"}, {"organizations", "DescribeOrganization"}} {
			g.call(machine("18.197.9.9"), at+int64(i*(1+k*10)), op[0], op[1], []string{"", "AccessDenied"}[i%2], "")
		}
	case "secrets":
		for i := range 20 {
			g.call(c, at+int64(i*(1+k%4*5)), "secretsmanager", "GetSecretValue", "", fmt.Sprintf(`{"secretId":"s%d"}`, i))
		}
	case "stolen":
		m := machine("18.197.9.9")
		g.call(m, at, "s3", "GetObject", "", `{"bucketName":"b"}`)
		m.address = c.address
		g.call(m, at+600, "s3", "ListBuckets", "", "")
	case "miner":
		g.call(machine("18.197.9.9"), at, "ec2", "RunInstances", []string{"", "Client.UnauthorizedOperation"}[k%2], `{"instancesSet":{"items":[{"minCount":1,"maxCount":8}]},"instanceType":"p3.16xlarge"}`)
	case "ransom":
		g.call(c, at, "s3", "ListObjectVersions", "", `{"bucketName":"b"}`)
		g.call(c, at+20, "s3", "DeleteObjects", "", `{"bucketName":"b"}`)
	case "network":
		for i := range 60 {
			g.call(caller{kind: c.kind, arn: c.arn, user: c.user, key: c.key, address: "84.7.7.7", agent: c.agent}, WeekStart+int64(i*3600), "s3", "GetObject", "", "")
		}
		g.call(c, at, "iam", "CreateUser", "", `{"userName":"helper"}`)
	case "root":
		root := caller{kind: "Root", arn: fmt.Sprintf("arn:aws:iam::2%011d:root", n), address: c.address, agent: "Mozilla/5.0"}
		g.write(root, at, record{Source: "signin.amazonaws.com", Name: "ConsoleLogin", Type: "AwsConsoleSignIn", Request: raw(""), Response: raw(`{"ConsoleLogin":"Success"}`), More: raw(`{"MFAUsed":"No"}`)})
	case "guess":
		for i := range 12 {
			g.write(c, at+int64(i*4), record{Source: "signin.amazonaws.com", Name: "ConsoleLogin", Type: "AwsConsoleSignIn", Error: "", Request: raw(""), Response: raw(`{"ConsoleLogin":"Failure"}`), More: raw(`{"MFAUsed":"No"}`)})
		}
	case "scripts":
		for i := range 12 {
			g.call(c, at+int64(i), "ec2", "DescribeInstanceAttribute", "", fmt.Sprintf(`{"instanceId":"i-%d","attribute":"userData"}`, i))
		}
	}
}
