package credential

import (
	"slices"
	"strings"
)

// known are the formats as their issuers publish them, by what the issuer does.
var known = slices.Concat(clouds(), models(), code(), builders(), messaging(), payments(), services(), keys())

const (
	low   = 2.8 // bits per character of hexadecimal texts and digits
	plain = 3.0
	high  = 3.5
)

// clouds and what runs in them.
func clouds() []format {
	return []format{
		begins("AWS access key", "AKIA ASIA ABIA ACCA", `[A-Z2-7]{16}\b`, plain),
		within("AWS secret access key", "aws_secret AWS_SECRET awsSecret SecretAccessKey secretAccessKey", `(?i)(?:aws_?secret_?(?:access_?)?key|secretaccesskey)(?:_id)?["']?\s{0,4}(?:=>|[=:])\s{0,4}["']?([A-Za-z0-9+/]{40})(?:[^A-Za-z0-9+/=]|$)`, 4).checked(digitAndLetter),
		begins("Amazon Bedrock key", "ABSK", `[A-Za-z0-9+/]{109,269}={0,2}`, 4),
		begins("Amazon Bedrock key", "bedrock-api-key-", `[A-Za-z0-9+/]{80,}={0,2}`, high),
		begins("Google API key", "AIza", `[A-Za-z0-9_-]{35}\b`, high),
		begins("Google client secret", "GOCSPX-", `[A-Za-z0-9_-]{28}`, high),
		begins("Google access token", "ya29.", `[A-Za-z0-9_-]{40,}`, high),
		within("Azure storage key", "AccountKey= accountKey= SharedAccessKey= sharedAccessKey=", `(?i:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{42,86}={1,2})`, 4),
		within("Azure storage key", "+ASt ACDb", `\b([A-Za-z0-9+/]{76}(?:\+ASt|ACDb)[A-Za-z0-9+/]{5}[AQgw]==)`, 4),
		within("Azure service key", "AzSe AzCa AzFu", `\b([A-Za-z0-9]{42}AzSe[A-D][A-Za-z0-9]{5}|[A-Za-z0-9]{33}AzCa[A-P][A-Za-z0-9]{5}=|[A-Za-z0-9_-]{44}AzFu[A-Za-z0-9_-]{5}[AQgw]==)`, 4),
		within("Azure client secret", "Q~", `(?:^|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|$)`, high),
		within("Azure DevOps token", "AZDO", `\b([A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})\b`, high),
		within("Azure shared access signature", "sig=", `[?&]sig=([A-Za-z0-9%]{43,63}%3[Dd])`, high),
		begins("DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", `[a-f0-9]{64}\b`, low),
		begins("Databricks token", "dapi", `[a-f0-9]{32}(?:-[0-9])?\b`, low),
		begins("Alibaba Cloud access key", "LTAI", `[A-Za-z0-9]{20}\b`, high),
		begins("Tencent Cloud access key", "AKID", `[A-Za-z0-9]{32}\b`, high),
		begins("Scaleway access key", "SCW", `[A-Z0-9]{17}\b`, plain).checked(digitAndLetter),
		begins("Cloudflare origin key", "v1.0-", `[a-f0-9]{24}-[a-f0-9]{146}\b`, low),
		begins("Heroku key", "HRKU-AA", `[A-Za-z0-9_-]{58}`, high),
		begins("Fly.io token", "fo1_", `[A-Za-z0-9_-]{43}`, high),
		begins("Fly.io token", "fm1r_ fm1a_ fm2_", `[A-Za-z0-9+/]{100,}={0,3}`, high),
		begins("Netlify token", "nfp_", `[A-Za-z0-9]{36}\b`, high),
		begins("Render key", "rnd_", `[A-Za-z0-9]{28,40}\b`, high),
		begins("Supabase key", "sbp_", `[a-f0-9]{40}\b`, low),
		begins("Supabase key", "sb_secret_", `[A-Za-z0-9_-]{31,41}`, high),
		begins("PlanetScale token", "pscale_tkn_ pscale_oauth_ pscale_pw_", `[A-Za-z0-9_=.-]{32,64}`, high),
		begins("Tailscale key", "tskey-auth- tskey-api- tskey-client- tskey-scim- tskey-webhook-", `[A-Za-z0-9]{6,24}-[A-Za-z0-9]{20,}`, high),
	}
}

// models and what is built on them.
func models() []format {
	return []format{
		begins("OpenAI key", "sk-", `(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}`, high),
		begins("Anthropic key", "sk-ant-", `(?:api|admin|oat|ort|sid)\d\d-[A-Za-z0-9_-]{80,}`, high),
		begins("OpenRouter key", "sk-or-v1-", `[0-9a-f]{64}\b`, plain),
		begins("DeepSeek key", "sk-", `[0-9a-f]{32}\b`, plain),
		begins("Langfuse key", "sk-lf-", `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`, plain),
		begins("Hugging Face token", "hf_ api_org_", `[A-Za-z]{34}\b`, high),
		begins("Groq key", "gsk_", `[A-Za-z0-9]{52}\b`, high),
		begins("xAI key", "xai-", `[A-Za-z0-9]{80}\b`, high),
		begins("Perplexity key", "pplx-", `[A-Za-z0-9]{48}\b`, high),
		begins("Replicate token", "r8_", `[A-Za-z0-9]{37}\b`, high),
		begins("NVIDIA key", "nvapi-", `[A-Za-z0-9_-]{60,70}`, high),
		begins("Cerebras key", "csk-", `[a-z0-9]{48}\b`, high),
		begins("Fireworks key", "fw_", `[A-Za-z0-9]{24}\b`, high).checked(digitAndLetter),
		begins("ElevenLabs key", "sk_", `[a-f0-9]{48}\b`, plain),
		begins("Pinecone key", "pcsk_", `[A-Za-z0-9]{5,6}_[A-Za-z0-9]{63}\b`, high),
		begins("LangSmith key", "lsv2_pt_ lsv2_sk_", `[a-f0-9]{32}_[a-f0-9]{10}\b`, plain),
		begins("Tavily key", "tvly-", `(?:dev-|prod-)?[A-Za-z0-9]{32,}\b`, high),
		begins("E2B key", "e2b_", `[a-f0-9]{40}\b`, low),
	}
}

// code and packages.
func code() []format {
	return []format{
		begins("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", `[A-Za-z0-9]{36}\b`, high).checked(githubChecksum),
		begins("GitHub token", "github_pat_", `[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b`, high),
		begins("GitLab token", "glpat- gldt- glrt- glft- glimt- glsoat- glagent- gloas- glptt- glffct-", `[A-Za-z0-9_-]{20,64}(?:\.[0-9a-z]{2}\.?[0-9a-z]{7,9})?`, high),
		begins("GitLab token", "glcbt-", `(?:[0-9a-fA-F]{1,5}_)?[A-Za-z0-9_-]{20}`, high),
		begins("GitLab token", "GR1348941", `[A-Za-z0-9_-]{20}`, high),
		begins("Atlassian token", "ATATT3 ATCTT3 ATSTT3", `[A-Za-z0-9_=-]{100,}`, high),
		begins("Bitbucket app password", "ATBB", `[A-Za-z0-9]{32}\b`, high),
		begins("npm token", "npm_", `[A-Za-z0-9]{36}\b`, high),
		begins("PyPI token", "pypi-AgEIcHlwaS5vcmc pypi-AgENdGVzdC5weXBpLm9yZw", `[A-Za-z0-9_-]{50,}`, high),
		begins("RubyGems key", "rubygems_", `[a-f0-9]{48}\b`, plain),
		begins("crates.io token", "cio", `[A-Za-z0-9]{32}\b`, high).checked(digitAndLetter),
		begins("NuGet key", "oy2", `[a-z0-9]{43}\b`, high).checked(digitAndLetter),
		begins("Clojars token", "CLOJARS_", `[A-Za-z0-9]{60}\b`, high),
		begins("JFrog key", "AKCp", `[A-Za-z0-9]{69}\b`, high),
		begins("JFrog reference token", "cmVmdGtu", `[A-Za-z0-9]{56}\b`, high),
		begins("Docker Hub token", "dckr_pat_ dckr_oat_", `[A-Za-z0-9_-]{27,32}`, high),
		begins("Postman key", "PMAK-", `[a-f0-9]{24}-[a-f0-9]{34}\b`, plain),
	}
}

// builders run, watch and measure what others wrote, and keep secrets.
func builders() []format {
	return []format{
		begins("Vault token", "hvs. hvb. hvr.", `[A-Za-z0-9_-]{90,300}`, high),
		begins("Vault token", "hvs.", `[A-Za-z0-9]{24}\b`, high),
		within("Terraform Cloud token", ".atlasv1.", `\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70})`, high),
		begins("Pulumi token", "pul-", `[a-f0-9]{40}\b`, low),
		begins("Doppler token", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.", `(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}\b`, high),
		begins("1Password service account", "ops_eyJ", `[A-Za-z0-9+/]{250,}={0,3}`, high),
		begins("age secret key", "AGE-SECRET-KEY-1", `[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b`, high),
		begins("Buildkite token", "bkua_", `[a-z0-9]{40}\b`, plain),
		begins("CircleCI token", "CCIPAT_", `[A-Za-z0-9]{22}_[a-f0-9]{40}\b`, high),
		begins("SonarQube token", "squ_ sqa_ sqp_", `[a-f0-9]{40}\b`, low),
		begins("Sentry token", "sntryu_", `[a-f0-9]{64}\b`, low),
		begins("Sentry token", "sntrys_eyJ", `[A-Za-z0-9+/=_-]{80,}`, high),
		begins("Grafana token", "glsa_", `[A-Za-z0-9]{32}_[a-f0-9]{8}\b`, high),
		begins("Grafana token", "glc_eyJ", `[A-Za-z0-9+/]{32,400}={0,3}`, high),
		begins("New Relic key", "NRAK-", `[A-Z0-9]{27}\b`, plain),
		begins("New Relic key", "NRII-", `[A-Za-z0-9_-]{32}`, high),
		begins("Octopus Deploy key", "API-", `[A-Z0-9]{26}\b`, high).checked(digitAndLetter),
		begins("Sourcegraph token", "sgp_", `(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}\b`, low),
		within("Dynatrace token", "dt0", `\b(dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64})\b`, high),
		begins("LaunchDarkly key", "sdk- api- mob-", `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b`, plain),
		begins("Prefect key", "pnu_", `[A-Za-z0-9]{36}\b`, high),
		begins("Contentful token", "CFPAT-", `[A-Za-z0-9_-]{43}`, high),
	}
}

// messaging carries mail and messages.
func messaging() []format {
	return []format{
		begins("Slack token", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-", `[0-9]{10,13}-[A-Za-z0-9-]{20,}`, plain),
		begins("Slack token", "xoxe-1- xoxe.xoxp-1- xoxe.xoxb-1-", `[A-Za-z0-9]{140,180}\b`, plain),
		begins("Slack token", "xapp-", `[0-9]-[A-Z0-9]{9,14}-[0-9]{10,15}-[a-f0-9]{64}\b`, plain),
		within("Slack webhook", "hooks.slack.com/", `hooks\.slack\.com/(?:services|workflows|triggers)/([A-Z0-9]{8,12}/[A-Z0-9]{8,20}/(?:[0-9]{12,20}/)?[A-Za-z0-9]{24})\b`, high),
		within("Discord webhook", "/api/webhooks/", `discord(?:app)?\.com/api/webhooks/([0-9]{17,20}/[A-Za-z0-9_-]{60,80})`, high),
		within("Teams webhook", "webhook.office.com/", `webhook\.office\.com/webhookb2/([0-9a-f-]{36}@[0-9a-f-]{36}/[A-Za-z]+/[0-9a-f]{32}/[0-9a-f-]{36})`, plain),
		within("Telegram bot token", ":AA", `\b([0-9]{8,10}:AA[A-Za-z0-9_-]{33})(?:[^A-Za-z0-9_-]|$)`, high),
		begins("Twilio key", "SK", `[0-9a-f]{32}\b`, plain),
		begins("SendGrid key", "SG.", `[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b`, high),
		begins("Mailgun key", "key-", `[a-f0-9]{32}\b`, plain),
		within("Mailchimp key", "-us", `\b([a-f0-9]{32}-us[0-9]{1,2})\b`, plain),
		begins("Brevo key", "xkeysib- xsmtpsib-", `[a-f0-9]{64}-[A-Za-z0-9]{16}\b`, plain),
		begins("Resend key", "re_", `[A-Za-z0-9]{8}_[A-Za-z0-9]{24}\b`, high).checked(digitAndLetter),
		begins("MailerSend token", "mlsn.", `[a-f0-9]{64}\b`, low),
	}
}

// payments move money.
func payments() []format {
	return []format{
		begins("Stripe key", "sk_live_ rk_live_", `[A-Za-z0-9]{24,247}\b`, high),
		begins("Stripe webhook secret", "whsec_", `[A-Za-z0-9+/]{32,64}={0,2}`, high),
		begins("Square token", "sq0atp-", `[A-Za-z0-9_-]{22}`, high),
		begins("Square token", "sq0csp-", `[A-Za-z0-9_-]{43}`, high),
		begins("Square token", "EAAA", `[A-Za-z0-9_-]{60}(?:[^A-Za-z0-9_-]|$)`, 4),
		within("Braintree token", "access_token$", `(access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32})\b`, plain),
		begins("Shopify token", "shpat_ shpca_ shppa_ shpss_", `[a-fA-F0-9]{32}\b`, low),
		begins("Plaid token", "access-production- access-development- access-sandbox-", `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`, plain),
		begins("Flutterwave key", "FLWSECK- FLWSECK_TEST-", `[a-h0-9]{32}-X\b`, plain),
		begins("EasyPost key", "EZAK EZTK", `[A-Za-z0-9]{54}\b`, high),
		begins("Shippo token", "shippo_live_", `[a-f0-9]{40}\b`, low),
		begins("Duffel token", "duffel_live_", `[A-Za-z0-9_=-]{43}`, high),
	}
}

// services that people work with.
func services() []format {
	return []format{
		begins("Notion token", "ntn_", `[A-Za-z0-9]{46}\b`, high),
		begins("Notion token", "secret_", `[A-Za-z0-9]{43}\b`, high).checked(digitAndLetter),
		begins("Linear key", "lin_api_ lin_oauth_", `[A-Za-z0-9]{40,64}\b`, high),
		begins("Airtable token", "pat", `[A-Za-z0-9]{14}\.[a-f0-9]{64}\b`, high),
		begins("Figma token", "figd_", `[A-Za-z0-9_-]{40}`, high),
		begins("Dropbox token", "sl.", `(?:u\.)?[A-Za-z0-9_-]{130,}`, high),
		begins("HubSpot token", "pat-na1- pat-na2- pat-eu1-", `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`, plain),
		begins("Typeform token", "tfp_", `[A-Za-z0-9_.=-]{59}`, high),
		begins("Mapbox token", "sk.eyJ", `[A-Za-z0-9_-]{60,}\.[A-Za-z0-9_-]{20,}`, high),
		begins("Facebook token", "EAACE EAAM EAAC", `[A-Za-z0-9]{100,}\b`, high),
		begins("Frame.io token", "fio-u-", `[A-Za-z0-9_=-]{64}`, high),
		begins("Adafruit key", "aio_", `[A-Za-z0-9]{28}\b`, high).checked(digitAndLetter),
		begins("WakaTime key", "waka_", `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b`, plain),
		begins("ReadMe key", "rdme_", `[a-z0-9]{70}\b`, high),
		begins("token of this program", "bzg_ bzt_", `[a-z2-7]{10}_[a-z2-7]{52}\b`, high),
	}
}

// keys without an issuer, and what carries them.
func keys() []format {
	return []format{
		{name: "private key", marks: []string{"-----BEGIN "}, entropy: high, re: lazily(`-----BEGIN (?:RSA |EC |OPENSSH |DSA |ENCRYPTED |PGP )?PRIVATE KEY(?: BLOCK)?-----((?:\\[nrt]|[A-Za-z0-9+/=\s]|(?:Proc-Type|DEK-Info|Version|Comment|Charset): [^\r\n\\]+){64,})`)},
		{name: "private key", marks: []string{"PuTTY-User-Key-File-"}, entropy: high, re: lazily(`PuTTY-User-Key-File-[23]: [^\r\n]{1,80}[\s\S]+?Private-Lines: [0-9]{1,3}\s+([A-Za-z0-9+/=\s]{40,})`)},
		begins("JSON web token", "eyJ", `[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`, high).checked(jsonHeader),
		{name: "password in an address", marks: []string{"://"}, entropy: 2.5, re: lazily(`\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,64}:([^\s/:@]{6,128})@[^\s/]+`)},
		within("user and password", "Basic ", `(?i:authorization["']?\s{0,4}[:=]\s{0,4}["']?)Basic ([A-Za-z0-9+/]{8,400}={0,2})`, 2).checked(func(s string) bool { return basicPair(strings.TrimSpace(s)) }),
	}
}
