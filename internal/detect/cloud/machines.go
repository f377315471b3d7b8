package cloud

import (
	"strings"

	"bartizan/internal/model"
)

// machines are calls that run code, or let somebody onto machines.
func machines() []consequence {
	const low, medium = model.Low, model.Medium
	const run = model.ClassCommand
	return []consequence{
		{calls: "ec2:ModifyInstanceAttribute", rule: "cloud.startup-script", title: "changed what a machine runs when it starts", severity: medium, class: run, techniques: []string{"T1059", "T1578.005"}, when: func(c *call) bool { return c.req("userData") != nil }},
		{calls: "ec2-instance-connect:SendSSHPublicKey ec2-instance-connect:SendSerialConsoleSSHPublicKey", rule: "cloud.key-to-machine", title: "put a key onto a machine for one login", severity: medium, class: run, techniques: []string{"T1021.004", "T1098.004"}},
		{calls: "ec2:EnableSerialConsoleAccess", rule: "cloud.serial-console", title: "switched on the serial console of machines", severity: medium, class: run, techniques: []string{"T1021", "T1562.007"}},
		{calls: "ssm:SendCommand", rule: "cloud.command", title: "ran commands on machines", severity: medium, class: run, techniques: []string{"T1651"}, when: func(c *call) bool {
			name := c.text("documentName")
			return strings.Contains(name, "RunShellScript") || strings.Contains(name, "RunPowerShellScript") || strings.Contains(name, "RunRemoteScript")
		}},
		{calls: "ssm:StartSession ssm:ResumeSession", rule: "cloud.session", title: "opened a shell on a machine", severity: low, class: run, techniques: []string{"T1021.007", "T1651"}},
		{calls: "sagemaker:UpdateNotebookInstanceLifecycleConfig sagemaker:CreateNotebookInstanceLifecycleConfig", rule: "cloud.startup-script", title: "changed what a notebook runs when it starts", severity: medium, class: run, techniques: []string{"T1059", "T1546"}, when: func(c *call) bool { return strings.HasPrefix(c.name, "Update") }},
		{calls: "lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration", rule: "cloud.function-changed", title: "changed the code of a function", severity: medium, class: model.ClassPersistence, techniques: []string{"T1648", "T1546"}, when: func(c *call) bool {
			// A layer of somebody else runs inside the function.
			return anyText(c.req("layers"), func(_, t string) bool { return c.stranger(accountOf(t)) }) && c.name == "UpdateFunctionConfiguration" && !c.console()
		}},
		{calls: "lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration", rule: "cloud.function-changed", title: "changed a function", severity: low, class: model.ClassPersistence, techniques: []string{"T1648"}},
		{calls: "ec2:AssociateIamInstanceProfile ec2:ReplaceIamInstanceProfileAssociation", rule: "cloud.machine-role", title: "gave a machine another role", severity: low, class: model.ClassPersistence, techniques: []string{"T1098.003"}},
		{calls: "ec2:RunInstances ec2:RequestSpotInstances ec2:RequestSpotFleet ec2:CreateFleet", rule: "cloud.gpu", title: "started machines with accelerators", severity: medium, class: model.ClassControl, techniques: []string{"T1496.001", "T1578.002"}, attempt: true, when: func(c *call) bool {
			return !strings.HasPrefix(c.f[fError], "Client.DryRun") && accelerated(c) && (c.ofMachine() || c.f[fError] != "")
		}},
		{calls: "ec2:GetPasswordData", rule: "cloud.machine-password", title: "read the password of a machine", severity: low, class: model.ClassSecrets, techniques: []string{"T1552"}},
		{calls: "secretsmanager:BatchGetSecretValue", rule: "cloud.secrets-batch", title: "read whatever secrets there are", severity: medium, class: model.ClassSecrets, techniques: []string{"T1555.006"}, when: func(c *call) bool { return len(c.req("filters").GetArray()) > 0 }},
		{calls: "*:GetCallerIdentity", rule: "cloud.tool", title: "comes with a tool that looks for leaked keys", severity: medium, class: model.ClassProbe, techniques: []string{"T1087.004", "T1552.001"}, attempt: true, when: func(c *call) bool { return strings.Contains(strings.ToLower(c.f[fAgent]), "trufflehog") }},
	}
}

// console: a person clicks in a browser.
func (c *call) console() bool {
	return strings.HasPrefix(c.f[fAgent], "Mozilla/") || c.f[fAgent] == "AWS Internal" || strings.HasPrefix(c.f[fAgent], "console.") || c.f[fInvoked] == "signin.amazonaws.com"
}

// accelerated: the families with GPUs and the like.
func accelerated(c *call) bool {
	kind := func(_, t string) bool {
		family, _, ok := strings.Cut(t, ".")
		if !ok || len(family) < 2 || len(family) > 6 {
			return false
		}
		for _, f := range [...]string{"p", "g", "trn", "inf", "dl"} {
			if rest, ok := strings.CutPrefix(family, f); ok && rest != "" && rest[0] >= '1' && rest[0] <= '9' {
				return true
			}
		}
		return false
	}
	return anyText(c.req(), func(name, t string) bool { return strings.EqualFold(name, "instanceType") && kind(name, t) })
}

// destruction are calls after which something is gone.
func destruction() []consequence {
	const low, medium, high = model.Low, model.Medium, model.High
	const gone = model.ClassCommand
	return []consequence{
		{calls: "rds:DeleteDBInstance rds:DeleteDBCluster", rule: "cloud.database-deleted", title: "deleted a database", severity: medium, class: gone, techniques: []string{"T1485"}},
		{calls: "rds:FailoverDBCluster rds:FailoverGlobalCluster", rule: "cloud.database-failover", title: "made a database change places", severity: low, class: gone, techniques: []string{"T1499"}},
		{calls: "rds:ModifyDBInstance rds:ModifyDBCluster", rule: "cloud.database-password", title: "changed the password of a database's master", severity: medium, class: model.ClassPersistence, techniques: []string{"T1098"}, when: func(c *call) bool { return c.req("masterUserPassword") != nil }},
		{calls: "kms:ScheduleKeyDeletion", rule: "cloud.key-deleted", title: "has a key deleted", severity: medium, class: gone, techniques: []string{"T1485", "T1486"}},
		{calls: "backup:DeleteBackupVault backup:DeleteRecoveryPoint backup:DeleteBackupPlan dlm:DeleteLifecyclePolicy", rule: "cloud.backup-deleted", title: "deleted backups", severity: medium, class: gone, techniques: []string{"T1490"}},
		{calls: "s3:PutBucketVersioning", rule: "cloud.versions-off", title: "keeps no earlier versions of objects any more", severity: medium, class: gone, techniques: []string{"T1490"}, when: func(c *call) bool {
			return c.text("VersioningConfiguration", "Status") == "Suspended" && c.f[fType] != "Root"
		}},
		{calls: "s3:CopyObject s3:PutObject", rule: "cloud.foreign-encryption", title: "encrypts objects with a key of another account", severity: high, class: gone, techniques: []string{"T1486"}, when: func(c *call) bool {
			return c.stranger(accountOf(c.text("x-amz-server-side-encryption-aws-kms-key-id")))
		}},
		{calls: "s3:DeleteBucket s3:DeleteBucketPolicy dynamodb:DeleteTable route53:DeleteHostedZone elasticfilesystem:DeleteFileSystem ec2:DeleteSnapshot ec2:DeregisterImage rds:DeleteDBSnapshot rds:DeleteDBClusterSnapshot", rule: "cloud.deleted", title: "deleted data or its copy", severity: low, class: gone, techniques: []string{"T1485"}},
	}
}
