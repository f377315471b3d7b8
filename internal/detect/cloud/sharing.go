package cloud

import (
	"strings"

	"bartizan/internal/model"
)

// sharing are calls that let strangers at data.
func sharing() []consequence {
	const low, medium, high = model.Low, model.Medium, model.High
	out := []string{"T1537"}
	return []consequence{
		{calls: "ec2:ModifySnapshotAttribute ec2:ModifyImageAttribute rds:ModifyDBSnapshotAttribute rds:ModifyDBClusterSnapshotAttribute", rule: "cloud.share-public", title: "gave a copy of a disk or database to everybody", severity: high, class: model.ClassExfil, techniques: out, when: func(c *call) bool { return shared(c, func(t string) bool { return t == "all" }) }},
		{calls: "ec2:ModifySnapshotAttribute ec2:ModifyImageAttribute rds:ModifyDBSnapshotAttribute rds:ModifyDBClusterSnapshotAttribute", rule: "cloud.share-outside", title: "gave a copy of a disk or database to another account", severity: medium, class: model.ClassExfil, techniques: out, when: func(c *call) bool { return shared(c, c.stranger) }},
		{calls: "rds:CopyDBSnapshot rds:CopyDBClusterSnapshot", rule: "cloud.copy-elsewhere", title: "copied a database to another region", severity: medium, class: model.ClassExfil, techniques: out, when: func(c *call) bool {
			from := c.text("sourceRegion")
			if p := strings.Split(c.text("sourceDBSnapshotIdentifier")+c.text("sourceDBClusterSnapshotIdentifier"), ":"); from == "" && len(p) > 5 {
				from = p[3]
			}
			return from != "" && from != c.f[fRegion]
		}},
		{calls: "ec2:CreateInstanceExportTask ec2:ExportImage ec2:CreateStoreImageTask rds:StartExportTask", rule: "cloud.export", title: "exports a machine or a database", severity: medium, class: model.ClassExfil, techniques: out},
		{calls: "s3:PutBucketPolicy", rule: "cloud.bucket-open", title: "let strangers into a bucket", severity: medium, class: model.ClassExfil, techniques: []string{"T1530", "T1537"}, when: func(c *call) bool { return c.opens(c.policy("bucketPolicy")) || c.opens(c.policy("policy")) }},
		{calls: "s3:PutBucketAcl s3:PutObjectAcl", rule: "cloud.bucket-open", title: "let strangers into a bucket", severity: medium, class: model.ClassExfil, techniques: []string{"T1530"}, when: has("acs.amazonaws.com/groups/global/", "public-read", "authenticated-read")},
		{calls: "s3:PutBucketReplication", rule: "cloud.bucket-copied", title: "has a bucket copied to another account", severity: medium, class: model.ClassExfil, techniques: out, when: func(c *call) bool {
			return anyText(c.req(), func(name, t string) bool { return name == "Account" && c.stranger(t) })
		}},
		{calls: "secretsmanager:PutResourcePolicy ecr:SetRepositoryPolicy ecr:PutRegistryPolicy sqs:SetQueueAttributes sns:SetTopicAttributes sqs:AddPermission sns:AddPermission lambda:AddLayerVersionPermission glue:PutResourcePolicy es:UpdateElasticsearchDomainConfig elasticfilesystem:PutFileSystemPolicy backup:PutBackupVaultAccessPolicy kms:PutKeyPolicy", rule: "cloud.resource-open", title: "let strangers at a resource", severity: medium, class: model.ClassExfil, techniques: []string{"T1098", "T1537"}, when: func(c *call) bool {
			for _, name := range [...]string{"resourcePolicy", "policyText", "policy", "Policy", "policyInJson", "accessPolicies"} {
				if c.opens(c.policy(name)) {
					return true
				}
			}
			return false
		}},
		{calls: "lambda:AddPermission", rule: "cloud.function-open", title: "lets strangers call a function", severity: medium, class: model.ClassPersistence, techniques: []string{"T1546", "T1098"}, when: func(c *call) bool {
			who := c.text("principal")
			return who == "*" && c.text("sourceArn") == "" && c.text("sourceAccount") == "" && c.text("principalOrgID") == "" && c.text("functionUrlAuthType") != "AWS_IAM" || c.stranger(accountOf(who))
		}},
		{calls: "lambda:CreateFunctionUrlConfig lambda:UpdateFunctionUrlConfig", rule: "cloud.function-open", title: "lets everybody call a function", severity: low, class: model.ClassPersistence, techniques: []string{"T1133"}, when: func(c *call) bool { return c.text("authType") == "NONE" }},
		{calls: "codebuild:UpdateProjectVisibility", rule: "cloud.build-public", title: "shows a build project to everybody", severity: medium, class: model.ClassExfil, techniques: []string{"T1567"}, when: func(c *call) bool { return c.text("projectVisibility") == "PUBLIC_READ" }},
		{calls: "rds:ModifyDBInstance rds:ModifyDBCluster rds:CreateDBInstance redshift:ModifyCluster", rule: "cloud.database-public", title: "made a database reachable from the Internet", severity: medium, techniques: []string{"T1133", "T1562.007"}, when: func(c *call) bool { return c.is(true, "publiclyAccessible") && c.name != "CreateDBInstance" }},
		{calls: "rds:RestoreDBInstanceFromDBSnapshot rds:RestoreDBInstanceFromS3 rds:CreateDBSnapshot rds:CreateDBClusterSnapshot ec2:CreateSnapshot ec2:CreateSnapshots", rule: "cloud.copy-made", title: "copied a disk or a database", severity: low, class: model.ClassExfil, techniques: []string{"T1578.001"}},
		{calls: "ses:VerifyEmailIdentity ses:UpdateAccountSendingEnabled ses:PutAccountDetails", rule: "cloud.mail", title: "prepared to send mail", severity: low, techniques: []string{"T1496.003"}},
		{calls: "route53domains:TransferDomain route53domains:DisableDomainTransferLock route53domains:TransferDomainToAnotherAwsAccount", rule: "cloud.domain-transfer", title: "lets a domain be taken away", severity: medium, techniques: []string{"T1584.001"}},
		{calls: "rds:DescribeDBSnapshots rds:DescribeDBClusterSnapshots", rule: "cloud.public-copies", title: "looks for copies of databases that others left open", severity: low, techniques: []string{"T1580"}, when: func(c *call) bool { return c.is(true, "includePublic") || c.is(true, "includeShared") }},
	}
}

// shared reports whether what is added names somebody.
func shared(c *call, who func(string) bool) bool {
	for _, path := range [...][]string{{"createVolumePermission", "add"}, {"launchPermission", "add"}, {"valuesToAdd"}, {"groups"}, {"userIds"}} {
		if c.req("operationType") != nil && c.text("operationType") == "remove" {
			return false
		}
		if anyText(c.req(path...), func(_, t string) bool { return who(t) }) {
			return true
		}
	}
	return false
}
