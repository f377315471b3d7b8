package cloud

import (
	"strings"

	"bartizan/internal/model"
)

// identity are calls that make ways in, or keep them open.
func identity() []consequence {
	const low, medium, high = model.Low, model.Medium, model.High
	const stay, come = model.ClassPersistence, model.ClassAccess
	roles, keys := []string{"T1098.003"}, []string{"T1098.001"}
	admin := has(":policy/AdministratorAccess", ":policy/IAMFullAccess", ":policy/PowerUserAccess")
	return []consequence{
		{calls: "iam:AttachUserPolicy iam:PutUserPolicy iam:AttachRolePolicy", rule: "cloud.key-quarantined", title: "AWS found a key of this user in public", severity: high, class: come, techniques: []string{"T1552.001", "T1078.004"}, when: has("AWSCompromisedKeyQuarantine")},
		{calls: "iam:AttachUserPolicy iam:AttachGroupPolicy iam:AttachRolePolicy", rule: "cloud.admin-granted", title: "made somebody an administrator", severity: medium, class: stay, techniques: roles, when: admin},
		{calls: "iam:PutUserPolicy iam:PutGroupPolicy iam:PutRolePolicy iam:CreatePolicy iam:CreatePolicyVersion", rule: "cloud.admin-granted", title: "allowed everything", severity: medium, class: stay, techniques: roles, when: func(c *call) bool { return allowsAll(c.policy("policyDocument")) }},
		{calls: "iam:SetDefaultPolicyVersion iam:DeleteUserPermissionsBoundary iam:DeleteRolePermissionsBoundary", rule: "cloud.limits-lifted", title: "lifted limits of somebody", severity: medium, class: stay, techniques: roles},
		{calls: "iam:CreateAccessKey", rule: "cloud.key-for-other", title: "made a key of another user", severity: medium, class: stay, techniques: keys, when: forOther},
		{calls: "iam:CreateLoginProfile", rule: "cloud.password-for-other", title: "gave another user a password", severity: medium, class: stay, techniques: []string{"T1098.001", "T1078.004"}, when: forOther},
		{calls: "iam:UpdateLoginProfile", rule: "cloud.password-for-other", title: "changed the password of another user", severity: medium, class: stay, techniques: []string{"T1098", "T1078.004"}, when: func(c *call) bool { return forOther(c) && !c.is(true, "passwordResetRequired") }},
		{calls: "iam:CreateServiceSpecificCredential iam:UploadSSHPublicKey iam:UploadSigningCertificate", rule: "cloud.key-for-other", title: "made credentials of another user", severity: medium, class: stay, techniques: keys, when: forOther},
		{calls: "iam:UpdateAssumeRolePolicy iam:CreateRole", rule: "cloud.role-open", title: "lets another account or everybody use a role", severity: high, class: stay, techniques: []string{"T1098.003", "T1199"}, when: func(c *call) bool {
			return c.opens(c.policy("policyDocument")) || c.opens(c.policy("assumeRolePolicyDocument"))
		}},
		{calls: "iam:DeactivateMFADevice iam:DeleteVirtualMFADevice", rule: "cloud.mfa-off", title: "took the second factor from somebody", severity: medium, class: stay, techniques: []string{"T1556.006"}},
		{calls: "iam:CreateSAMLProvider iam:UpdateSAMLProvider iam:CreateOpenIDConnectProvider rolesanywhere:CreateTrustAnchor", rule: "cloud.trust-added", title: "trusts another issuer of identities", severity: medium, class: stay, techniques: []string{"T1484.002", "T1556.007"}},
		{calls: "iam:CreateUser", rule: "cloud.user-created", title: "made a user", severity: low, class: stay, techniques: []string{"T1136.003"}},
		{calls: "rolesanywhere:CreateProfile iam:CreateVirtualMFADevice iam:UpdateAccountPasswordPolicy iam:AddUserToGroup", rule: "cloud.identity-changed", title: "changed who may come in", severity: low, class: stay, techniques: []string{"T1098"}},
		{calls: "sts:GetFederationToken", rule: "cloud.federation-token", title: "made a session that outlives its key", severity: medium, class: stay, techniques: []string{"T1550.001", "T1098.001"}, when: func(c *call) bool { return c.f[fType] == "IAMUser" || c.f[fType] == "Root" }},
		{calls: "sts:GetSessionToken", rule: "cloud.session-token", title: "made a session of a long-lived key", severity: low, class: come, techniques: []string{"T1550.001"}, when: func(c *call) bool { return c.f[fType] == "IAMUser" }},
		{calls: "sts:AssumeRoot", rule: "cloud.root-assumed", title: "acts as the root of a member account", severity: high, class: come, techniques: []string{"T1078.004"}},
		{calls: "signin:GetSigninToken", rule: "cloud.console-from-key", title: "turned a key into a session of the console", severity: medium, class: come, techniques: []string{"T1550.001"}, when: func(c *call) bool {
			return !strings.HasPrefix(c.f[fAgent], "Jersey/") && !strings.HasPrefix(c.f[fAgent], "Mozilla/") // the portals of AWS and people's browsers
		}},
		{calls: "signin:ConsoleLogin", rule: "cloud.root-login-failed", title: "failed to log in as root", severity: medium, class: model.ClassAuth, techniques: []string{"T1110", "T1078.004"}, when: func(c *call) bool { return c.f[fType] == "Root" && answered(c, "Failure") }},
		{calls: "signin:ConsoleLogin", rule: "cloud.root-login", title: "logged in as root", severity: high, class: come, techniques: []string{"T1078.004"}, when: func(c *call) bool { return c.f[fType] == "Root" && answered(c, "Success") }},
		{calls: "signin:ConsoleLogin", rule: "cloud.mfa-failed", title: "knew the password and failed the second factor", severity: medium, class: model.ClassAuth, techniques: []string{"T1621", "T1078.004"}, attempt: true, when: func(c *call) bool {
			return answered(c, "Failure") && string(c.doc.JSON().GetStringBytes("additionalEventData", "MFAUsed")) == "Yes"
		}},
		{calls: "signin:ConsoleLogin", rule: "cloud.login-without-mfa", title: "logged in without a second factor", severity: medium, class: come, techniques: []string{"T1078.004"}, when: func(c *call) bool {
			more := c.doc.JSON().Get("additionalEventData")
			return c.f[fType] == "IAMUser" && answered(c, "Success") && string(more.GetStringBytes("MFAUsed")) == "No" && !more.Exists("SamlProviderArn")
		}},
	}
}

// answered reports the outcome of a sign-in.
func answered(c *call, want string) bool {
	return string(c.doc.JSON().GetStringBytes("responseElements", "ConsoleLogin")) == want
}

// forOther: the user that is named is not the one who calls.
func forOther(c *call) bool {
	user := c.text("userName")
	return user != "" && user != c.f[fUser] && user != c.session && !strings.HasPrefix(c.session, user+"@")
}
