package web

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/decoy/persona"
)

func gitRef(p *persona.Persona) string { return hex.EncodeToString(p.Derive("git head", 20)) + "\n" }

func gitLog(p *persona.Persona) string {
	u := p.Users[len(p.Users)-1]
	at := p.InstalledAt.Add(52 * time.Hour).Unix()
	return fmt.Sprintf("%s %s %s <%s@%s> %d +0000\tclone: from https://github.com/%s/site.git\n",
		strings.Repeat("0", 40), strings.TrimSpace(gitRef(p)), u.Name, u.Name, p.Domain, at, brand(p))
}

func gitCredentials(p *persona.Persona) string {
	return "https://deploy:" + p.Secrets.GitHubToken + "@github.com\n"
}

func gitUser(p *persona.Persona) string {
	u := p.Users[len(p.Users)-1]
	return fmt.Sprintf("[user]\n\tname = %s\n\temail = %s@%s\n[credential]\n\thelper = store\n", u.Name, u.Name, p.Domain)
}

func brand(p *persona.Persona) string { return strings.SplitN(p.Domain, ".", 2)[0] }

func sshConfig(p *persona.Persona) string {
	return fmt.Sprintf("Host backup\n    HostName %s\n    User %s\n    IdentityFile ~/.ssh/id_rsa\n", p.Gateway, p.Users[len(p.Users)-1].Name)
}

func sshHosts(p *persona.Persona) string {
	return fmt.Sprintf("%s ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI%s\n", p.Gateway, strings.TrimRight(base64.StdEncoding.EncodeToString(p.Derive("known host", 31)), "="))
}

func appSettings(p *persona.Persona) string {
	return fmt.Sprintf("{\n  \"ConnectionStrings\": {\n    \"Default\": \"Server=127.0.0.1;Database=%s;User Id=%s;Password=%s;\"\n  },\n  \"Jwt\": {\n    \"Key\": %q\n  },\n  \"AllowedHosts\": \"*\"\n}\n",
		p.Secrets.DBName, p.Secrets.DBUser, p.Secrets.DBPassword, p.Secrets.JWTSecret)
}

func springProperties(p *persona.Persona) string {
	s := p.Secrets
	return fmt.Sprintf("server.port=8080\nspring.datasource.url=jdbc:mysql://127.0.0.1:3306/%s\nspring.datasource.username=%s\nspring.datasource.password=%s\nspring.redis.password=%s\ncloud.aws.credentials.access-key=%s\ncloud.aws.credentials.secret-key=%s\nmanagement.endpoints.web.exposure.include=*\n",
		s.DBName, s.DBUser, s.DBPassword, s.RedisPassword, s.AWSAccessKeyID, s.AWSSecretAccessKey)
}

func springYAML(p *persona.Persona) string {
	s := p.Secrets
	return fmt.Sprintf("database:\n  host: 127.0.0.1\n  name: %s\n  user: %s\n  password: %s\njwt:\n  secret: %s\nstripe:\n  key: %s\n", s.DBName, s.DBUser, s.DBPassword, s.JWTSecret, s.StripeKey)
}

func railsDatabase(p *persona.Persona) string {
	s := p.Secrets
	return fmt.Sprintf("production:\n  adapter: mysql2\n  encoding: utf8mb4\n  database: %s\n  username: %s\n  password: %s\n  host: 127.0.0.1\n", s.DBName, s.DBUser, s.DBPassword)
}

func npmrc(p *persona.Persona) string {
	return "//npm.pkg.github.com/:_authToken=" + p.Secrets.GitHubToken + "\n@" + brand(p) + ":registry=https://npm.pkg.github.com\n"
}

func htpasswd(p *persona.Persona) string {
	return "admin:$apr1$" + p.MachineID[:8] + "$" + p.MachineID[8:30] + "\n"
}

func netrc(p *persona.Persona) string {
	return fmt.Sprintf("machine github.com\n  login deploy\n  password %s\nmachine backup.%s\n  login backup\n  password %s\n", p.Secrets.GitHubToken, p.Domain, p.Secrets.BackupPassword)
}

func pgpass(p *persona.Persona) string {
	return fmt.Sprintf("localhost:5432:%s:%s:%s\n", p.Secrets.DBName, p.Secrets.DBUser, p.Secrets.DBPassword)
}

func mycnf(p *persona.Persona) string {
	return fmt.Sprintf("[client]\nuser=%s\npassword=%s\nhost=localhost\n", p.Secrets.DBUser, p.Secrets.DBPassword)
}

func history(p *persona.Persona) string {
	return fmt.Sprintf("cd /var/www/%s\ngit pull\nmysql -u %s -p%s %s < dump.sql\nsystemctl restart %s\ncurl -H \"Authorization: Bearer %s\" https://api.openai.com/v1/models\naws s3 ls\nexit\n",
		p.Domain, p.Secrets.DBUser, p.Secrets.DBPassword, p.Secrets.DBName, p.Web.Server, p.Secrets.OpenAIKey)
}

func kubeConfig(p *persona.Persona) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: https://%s:6443\n  name: %s\ncontexts:\n- context:\n    cluster: %s\n    user: admin\n  name: admin@%s\ncurrent-context: admin@%s\nusers:\n- name: admin\n  user:\n    token: %s\n",
		p.Interfaces[0].Addr.Addr(), brand(p), brand(p), brand(p), brand(p), p.Secrets.JWTSecret)
}

func sftpJSON(p *persona.Persona) string {
	return fmt.Sprintf("{\n    \"name\": %q,\n    \"host\": %q,\n    \"protocol\": \"sftp\",\n    \"port\": 22,\n    \"username\": %q,\n    \"password\": %q,\n    \"remotePath\": \"/var/www/%s\"\n}\n",
		p.SiteName, p.Domain, p.Users[len(p.Users)-1].Name, p.Secrets.BackupPassword, p.Domain)
}

func tfstate(p *persona.Persona) string {
	return fmt.Sprintf("{\n  \"version\": 4,\n  \"terraform_version\": \"1.5.7\",\n  \"resources\": [\n    {\"mode\": \"managed\", \"type\": \"aws_iam_access_key\", \"name\": \"deploy\", \"instances\": [{\"attributes\": {\"id\": %q, \"secret\": %q, \"user\": \"deploy\"}}]}\n  ]\n}\n",
		p.Secrets.AWSAccessKeyID, p.Secrets.AWSSecretAccessKey)
}

func laravelLog(p *persona.Persona) string {
	at := p.InstalledAt.Add(75 * time.Hour).UTC().Format("2006-01-02 15:04:05")
	return fmt.Sprintf("[%s] production.ERROR: SQLSTATE[HY000] [1045] Access denied for user '%s'@'localhost' (using password: YES) {\"exception\":\"[object] (PDOException(code: 1045) at /var/www/%s/vendor/laravel/framework/src/Illuminate/Database/Connectors/Connector.php:70)\"}\n",
		at, p.Secrets.DBUser, p.Domain)
}

func passwd(p *persona.Persona) string {
	var b strings.Builder
	line := func(u persona.User) {
		fmt.Fprintf(&b, "%s:x:%d:%d:%s:%s:%s\n", u.Name, u.UID, u.GID, u.Gecos, u.Home, u.Shell)
	}
	line(p.Users[0])
	for _, u := range persona.SystemUsers() {
		line(u)
	}
	for _, u := range p.Users[1:] {
		line(u)
	}
	return b.String()
}

// metadata is what the metadata service of a cloud says about the host.
func metadata(p *persona.Persona, path string) string {
	role := brand(p) + "-ec2"
	switch {
	case strings.Contains(path, "security-credentials/"+role):
		return fmt.Sprintf("{\n  \"Code\" : \"Success\",\n  \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : %q,\n  \"SecretAccessKey\" : %q,\n  \"Token\" : %q\n}",
			p.Secrets.AWSAccessKeyID, p.Secrets.AWSSecretAccessKey, base64.StdEncoding.EncodeToString(p.Derive("metadata token", 96)))
	case strings.Contains(path, "security-credentials"):
		return role
	case strings.Contains(path, "instance-identity"):
		return fmt.Sprintf("{\n  \"accountId\" : %q,\n  \"region\" : \"eu-central-1\",\n  \"privateIp\" : %q\n}", p.Secrets.AWSAccount, p.Interfaces[0].Addr.Addr())
	case strings.Contains(path, "hostname"):
		return p.FQDN()
	case strings.Contains(path, "local-ipv4"):
		return p.Interfaces[0].Addr.Addr().String()
	}
	return "ami-id\nhostname\niam/\ninstance-id\ninstance-type\nlocal-ipv4\nmac\nplacement/\npublic-ipv4\nsecurity-groups"
}

func robots(p *persona.Persona) string {
	if p.Web.App == "WordPress" {
		return "User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\nDisallow: /backup/\n\nSitemap: https://" + p.Domain + "/wp-sitemap.xml\n"
	}
	return "User-agent: *\nDisallow: /admin/\nDisallow: /backup/\nDisallow: /api/\n"
}

func nginxStatus(p *persona.Persona, now time.Time) string {
	n := int64(p.Uptime(now).Seconds()) / 7
	return fmt.Sprintf("Active connections: 3 \nserver accepts handled requests\n %d %d %d \nReading: 0 Writing: 1 Waiting: 2 \n", n, n, n*2+11)
}

func gzipDump(p *persona.Persona) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(sqlDump(p))) // into memory
	_ = z.Close()
	return b.String()
}

func tarBackup(p *persona.Persona) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, f := range backupFiles(p) {
		_ = t.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1])), ModTime: p.InstalledAt, Uname: "www-data", Gname: "www-data"})
		_, _ = t.Write([]byte(f[1])) // into memory
	}
	_ = t.Close()
	_ = z.Close()
	return b.String()
}

func zipBackup(p *persona.Persona) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range backupFiles(p) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f[0], Method: zip.Deflate, Modified: p.InstalledAt})
		if err == nil {
			_, _ = w.Write([]byte(f[1])) // into memory
		}
	}
	_ = z.Close()
	return b.String()
}

func backupFiles(p *persona.Persona) [][2]string {
	return [][2]string{{"site/.env", dotenv(p)}, {"site/config.json", configJSON(p)}, {"site/backup.sql", sqlDump(p)}}
}

// heapdump has the magic of a Java heap dump and, as real ones, strings worth
// looking for.
func heapdump(p *persona.Persona) string {
	var b strings.Builder
	b.WriteString("JAVA PROFILE 1.0.2\x00\x00\x00\x00\x08")
	b.Write(p.Derive("heapdump time", 8))
	for i, s := range []string{"spring.datasource.password", p.Secrets.DBPassword, "spring.redis.password", p.Secrets.RedisPassword,
		"aws.accessKeyId", p.Secrets.AWSAccessKeyID, "aws.secretKey", p.Secrets.AWSSecretAccessKey, "jwt.secret", p.Secrets.JWTSecret} {
		b.Write(p.Derive(fmt.Sprintf("heapdump %d", i), 512))
		b.WriteString(s)
	}
	return b.String()
}
