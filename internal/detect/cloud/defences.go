package cloud

import (
	"strings"

	"bartizan/internal/model"

	"github.com/valyala/fastjson"
)

// defences are calls that make an account blind, or weaker against others.
func defences() []consequence {
	const low, medium, high = model.Low, model.Medium, model.High
	logs, tools, wall := []string{"T1562.008"}, []string{"T1562.001"}, []string{"T1562.007"}
	return []consequence{
		{calls: "cloudtrail:StopLogging cloudtrail:DeleteTrail cloudtrail:DeleteEventDataStore cloudtrail:StopEventDataStoreIngestion", rule: "cloud.logging-off", title: "switched off the record of API calls", severity: high, techniques: logs},
		{calls: "cloudtrail:UpdateTrail", rule: "cloud.logging-less", title: "made the record of API calls less", severity: medium, techniques: logs, when: trailLess},
		{calls: "cloudtrail:UpdateTrail", rule: "cloud.logging-changed", title: "changed a trail", severity: low, techniques: logs},
		{calls: "cloudtrail:PutEventSelectors", rule: "cloud.logging-less", title: "records fewer API calls", severity: medium, techniques: logs, when: selectorsLess},
		{calls: "s3:PutBucketLifecycle s3:PutBucketLifecycleConfiguration", rule: "cloud.logging-short", title: "has a bucket forget within days", severity: medium, techniques: []string{"T1562.008", "T1485"}, when: shortLived},
		{calls: "ec2:DeleteFlowLogs", rule: "cloud.logging-off", title: "switched off flow logs", severity: high, techniques: logs},
		{calls: "route53resolver:DeleteResolverQueryLogConfig route53resolver:DisassociateResolverQueryLogConfig", rule: "cloud.logging-off", title: "switched off the log of DNS queries", severity: medium, techniques: logs},
		{calls: "config:DeleteConfigurationRecorder config:StopConfigurationRecorder config:DeleteDeliveryChannel", rule: "cloud.logging-off", title: "switched off the record of configurations", severity: medium, techniques: logs},
		{calls: "rds:StopActivityStream", rule: "cloud.logging-off", title: "switched off the log of a database", severity: medium, techniques: logs},
		{calls: "wafv2:DeleteLoggingConfiguration waf:DeleteLoggingConfiguration waf-regional:DeleteLoggingConfiguration networkfirewall:UpdateLoggingConfiguration eks:UpdateClusterConfig", rule: "cloud.logging-off", title: "switched off the log of a service", severity: medium, techniques: logs, when: logOff},
		{calls: "s3:PutBucketLogging", rule: "cloud.logging-off", title: "switched off the log of a bucket", severity: medium, techniques: logs, when: func(c *call) bool {
			return c.req("BucketLoggingStatus") != nil && !c.req("BucketLoggingStatus").Exists("LoggingEnabled") && len(c.req("logging").GetArray()) == 0
		}},
		{calls: "logs:DeleteLogGroup logs:DeleteLogStream", rule: "cloud.log-deleted", title: "deleted a log", severity: low, techniques: []string{"T1562.008", "T1070"}},

		{calls: "guardduty:DeleteDetector guardduty:DisassociateFromMasterAccount guardduty:DisassociateFromAdministratorAccount guardduty:StopMonitoringMembers guardduty:DisassociateMembers guardduty:DeleteMembers", rule: "cloud.guard-off", title: "switched off threat detection", severity: high, techniques: tools},
		{calls: "guardduty:UpdateDetector", rule: "cloud.guard-off", title: "switched off threat detection", severity: high, techniques: tools, when: func(c *call) bool { return c.is(false, "enable") }},
		{calls: "guardduty:CreateFilter guardduty:UpdateFilter", rule: "cloud.guard-silenced", title: "has findings of threat detection hidden", severity: medium, techniques: tools, when: func(c *call) bool { return c.text("action") == "ARCHIVE" }},
		{calls: "guardduty:CreateIPSet guardduty:UpdateIPSet guardduty:DeletePublishingDestination", rule: "cloud.guard-silenced", title: "has threat detection overlook somebody", severity: medium, techniques: tools},
		{calls: "securityhub:DisableSecurityHub securityhub:DeleteMembers securityhub:DisassociateMembers securityhub:DisassociateFromAdministratorAccount securityhub:BatchDisableStandards macie2:DisableMacie inspector2:Disable access-analyzer:DeleteAnalyzer detective:DeleteGraph shield:DeleteProtection", rule: "cloud.guard-off", title: "switched off a security service", severity: medium, techniques: tools},
		{calls: "organizations:LeaveOrganization", rule: "cloud.organization-left", title: "took the account out of its organization", severity: high, techniques: []string{"T1562.001"}, attempt: true},
		{calls: "organizations:DetachPolicy organizations:DeletePolicy organizations:DisablePolicyType organizations:RemoveAccountFromOrganization", rule: "cloud.organization-weakened", title: "lifted a rule of the organization", severity: medium, techniques: []string{"T1562.001", "T1484"}},
		{calls: "config:DeleteConfigRule config:DeleteOrganizationConfigRule cloudwatch:DeleteAlarms monitoring:DeleteAlarms monitoring:DisableAlarmActions events:DisableRule events:DeleteRule", rule: "cloud.alarm-removed", title: "removed an alarm or a check", severity: low, techniques: tools},
		{calls: "wafv2:DisassociateWebACL wafv2:DeleteWebACL waf-regional:DisassociateWebACL waf-regional:DeleteWebACL waf:DeleteWebACL networkfirewall:DeleteFirewall networkfirewall:DeleteFirewallPolicy", rule: "cloud.firewall-off", title: "removed a firewall", severity: medium, techniques: wall},
		{calls: "ec2:AuthorizeSecurityGroupIngress", rule: "cloud.port-open", title: "opened a port of administration or all of them to everybody", severity: medium, techniques: wall, when: opensPort},
		{calls: "ec2:CreateNetworkAclEntry ec2:ReplaceNetworkAclEntry", rule: "cloud.network-open", title: "let everybody into a network", severity: low, techniques: wall, when: func(c *call) bool {
			return c.text("ruleAction") == "allow" && c.is(false, "egress") && c.text("cidrBlock") == "0.0.0.0/0"
		}},
		{calls: "ec2:DisableEbsEncryptionByDefault s3:DeleteBucketEncryption kms:DisableKey", rule: "cloud.encryption-off", title: "switched off encryption", severity: medium, techniques: []string{"T1562", "T1600"}},
		{calls: "s3:DeleteBucketPublicAccessBlock s3:DeletePublicAccessBlock s3:DeleteAccountPublicAccessBlock s3control:DeletePublicAccessBlock", rule: "cloud.public-block-off", title: "lifted the protection against public buckets", severity: medium, techniques: []string{"T1562", "T1530"}},
		{calls: "s3:PutBucketPublicAccessBlock s3:PutPublicAccessBlock s3:PutAccountPublicAccessBlock", rule: "cloud.public-block-off", title: "lifted the protection against public buckets", severity: medium, techniques: []string{"T1562", "T1530"}, when: func(c *call) bool {
			for _, flag := range [...]string{"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"} {
				if c.is(false, "PublicAccessBlockConfiguration", flag) {
					return true
				}
			}
			return false
		}},
		{calls: "iam:DeleteAccountPasswordPolicy", rule: "cloud.passwords-weaker", title: "removed the rules for passwords", severity: medium, techniques: []string{"T1556"}},
		{calls: "*:EnableRegion", rule: "cloud.region-enabled", title: "switched on a region", severity: medium, techniques: []string{"T1535"}},
		{calls: "ec2:CreateTrafficMirrorSession ec2:CreateTrafficMirrorTarget ec2:CreateTrafficMirrorFilter ec2:CreateTrafficMirrorFilterRule ec2:ModifyTrafficMirrorSession ec2:ModifyTrafficMirrorFilterRule ec2:DeleteTrafficMirrorTarget ec2:DeleteTrafficMirrorSession", rule: "cloud.traffic-mirror", title: "copies the traffic of machines elsewhere", severity: medium, class: model.ClassSecrets, techniques: []string{"T1040", "T1020.001"}, attempt: true},
	}
}

// trailLess: what is recorded becomes less, or goes elsewhere.
func trailLess(c *call) bool {
	return c.is(false, "isMultiRegionTrail") || c.is(false, "includeGlobalServiceEvents") || c.is(false, "enableLogFileValidation") || c.is(false, "isOrganizationTrail") || c.text("s3BucketName") != "" && strings.Contains(c.text("s3BucketName"), ":")
}

// selectorsLess: calls that only read are recorded, or management calls are not, or nothing is.
func selectorsLess(c *call) bool {
	list := c.req("eventSelectors").GetArray()
	if c.req("eventSelectors") == nil {
		return false // advanced selectors: what they leave out is not seen by looking at one
	}
	for _, s := range list {
		if string(s.GetStringBytes("readWriteType")) != "ReadOnly" && !isFalse(s.Get("includeManagementEvents")) {
			return false
		}
	}
	return true
}

func isFalse(v *fastjson.Value) bool { return v != nil && v.Type() == fastjson.TypeFalse }

// shortLived: everything in the bucket, or all of a prefix, goes within three days.
func shortLived(c *call) bool {
	short := func(rule *fastjson.Value) bool {
		days := rule.Get("Expiration", "Days")
		n := days.GetInt()
		if days != nil && days.Type() == fastjson.TypeString {
			n = len(days.GetStringBytes()) // "1", "2", "3" are short enough to be counted below
			if n != 1 || days.GetStringBytes()[0] > '3' {
				return false
			}
		}
		return n >= 1 && n <= 3 && string(rule.GetStringBytes("Status")) != "Disabled"
	}
	rules := c.req("LifecycleConfiguration", "Rule")
	if rules == nil {
		return false
	}
	if rules.Type() == fastjson.TypeObject {
		return short(rules)
	}
	for _, r := range rules.GetArray() {
		if short(r) {
			return true
		}
	}
	return false
}

func logOff(c *call) bool {
	switch c.name {
	case "DeleteLoggingConfiguration":
		return true
	case "UpdateLoggingConfiguration":
		return len(c.req("loggingConfiguration", "logDestinationConfigs").GetArray()) == 0
	}
	for _, l := range c.req("logging", "clusterLogging").GetArray() {
		if isFalse(l.Get("enabled")) {
			return true
		}
	}
	return false
}

// opensPort: SSH, RDP, databases, remote management, or everything, from anywhere.
func opensPort(c *call) bool {
	for _, p := range c.req("ipPermissions", "items").GetArray() {
		anywhere := anyText(p, func(_, t string) bool { return t == "0.0.0.0/0" || t == "::/0" })
		if anywhere && (string(p.GetStringBytes("ipProtocol")) == "-1" || administration(p.GetInt("fromPort"), p.GetInt("toPort"))) {
			return true
		}
	}
	// the older form
	cidr := c.text("cidrIp")
	return (cidr == "0.0.0.0/0" || cidr == "::/0") && (c.text("ipProtocol") == "-1" || administration(c.req("fromPort").GetInt(), c.req("toPort").GetInt()))
}

func administration(from, to int) bool {
	for _, p := range [...]int{22, 23, 445, 1433, 2375, 3306, 3389, 5432, 5900, 5985, 6379, 9200, 27017} {
		if p >= from && p <= to {
			return true
		}
	}
	return false
}
