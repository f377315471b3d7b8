package web

import (
	"encoding/base64"
	"fmt"
	"strings"

	"bartizan/internal/decoy/persona"
)

// What the lures say. Every secret in here is the persona's own, so where it is
// used later tells which install it was taken from.

func dotenv(p *persona.Persona) string {
	s := p.Secrets
	return fmt.Sprintf("APP_NAME=%q\nAPP_ENV=production\nAPP_KEY=%s\nAPP_DEBUG=false\nAPP_URL=https://%s.%s\n\nDB_CONNECTION=mysql\nDB_HOST=127.0.0.1\nDB_PORT=3306\nDB_DATABASE=%s\nDB_USERNAME=%s\nDB_PASSWORD=%s\n\n"+
		"REDIS_HOST=127.0.0.1\nREDIS_PASSWORD=%s\n\nMAIL_MAILER=smtp\nMAIL_USERNAME=noreply@%s\nMAIL_PASSWORD=%s\n\nAWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\nAWS_DEFAULT_REGION=eu-central-1\n\nOPENAI_API_KEY=%s\nSTRIPE_SECRET=%s\nJWT_SECRET=%s\n",
		p.SiteName, s.AppKey, p.Hostname, p.Domain, s.DBName, s.DBUser, s.DBPassword, s.RedisPassword, p.Domain, s.SMTPPassword, s.AWSAccessKeyID, s.AWSSecretAccessKey, s.OpenAIKey, s.StripeKey, s.JWTSecret)
}

func gitConfig(p *persona.Persona) string {
	return fmt.Sprintf("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n[remote \"origin\"]\n\turl = https://deploy:%s@github.com/%s/site.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n",
		p.Secrets.GitHubToken, strings.SplitN(p.Domain, ".", 2)[0])
}

func awsCredentials(p *persona.Persona) string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", p.Secrets.AWSAccessKeyID, p.Secrets.AWSSecretAccessKey)
}

// sshKey has the form of a key and opens nothing: its bytes are not a key.
func sshKey(p *persona.Persona) string {
	seed := []byte(p.MachineID + p.Secrets.JWTSecret + p.Secrets.AppKey)
	blob := []byte("openssh-key-v1\x00\x00\x00\x00\x04none\x00\x00\x00\x04none\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x33\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20")
	for len(blob) < 330 {
		blob = append(blob, seed...)
	}
	text := base64.StdEncoding.EncodeToString(blob[:330])
	var b strings.Builder
	b.WriteString("-----BEGIN OPENSSH PRIVATE KEY-----\n")
	for len(text) > 70 {
		b.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	b.WriteString(text + "\n-----END OPENSSH PRIVATE KEY-----\n")
	return b.String()
}

func configJSON(p *persona.Persona) string {
	return fmt.Sprintf("{\n  \"env\": \"production\",\n  \"database\": {\"host\": \"127.0.0.1\", \"name\": %q, \"user\": %q, \"password\": %q},\n  \"jwt\": %q,\n  \"aws\": {\"accessKeyId\": %q, \"secretAccessKey\": %q}\n}\n",
		p.Secrets.DBName, p.Secrets.DBUser, p.Secrets.DBPassword, p.Secrets.JWTSecret, p.Secrets.AWSAccessKeyID, p.Secrets.AWSSecretAccessKey)
}

func wpConfig(p *persona.Persona) string {
	return fmt.Sprintf("<?php\ndefine( 'DB_NAME', '%s' );\ndefine( 'DB_USER', '%s' );\ndefine( 'DB_PASSWORD', '%s' );\ndefine( 'DB_HOST', 'localhost' );\ndefine( 'AUTH_KEY', '%s' );\n$table_prefix = 'wp_';\n",
		p.Secrets.DBName, p.Secrets.DBUser, p.Secrets.DBPassword, p.Secrets.JWTSecret)
}

func sqlDump(p *persona.Persona) string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- MySQL dump 10.19  Distrib 10.3.39-MariaDB\n-- Host: localhost    Database: %s\n\nDROP TABLE IF EXISTS `users`;\nCREATE TABLE `users` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `email` varchar(190) NOT NULL,\n  `password` varchar(255) NOT NULL,\n  PRIMARY KEY (`id`)\n);\n", p.Secrets.DBName)
	for i, u := range p.Users {
		fmt.Fprintf(&b, "INSERT INTO `users` VALUES (%d,'%s@%s','$2y$10$%s');\n", i+1, u.Name, p.Domain, p.MachineID+p.MachineID[:21])
	}
	return b.String()
}

func serverStatus(p *persona.Persona) string {
	return fmt.Sprintf("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<html><head>\n<title>Apache Status</title>\n</head><body>\n<h1>Apache Server Status for %s</h1>\n<dl><dt>Server Version: %s</dt>\n<dt>Server Built: %s</dt></dl>\n</body></html>\n",
		p.Hostname, p.Web.Header, p.InstalledAt.UTC().Format("2006-01-02T15:04:05"))
}

func phpinfo(p *persona.Persona) string {
	version := strings.TrimPrefix(p.Web.PHP, "PHP/")
	if version == "" {
		version = "8.2.7"
	}
	return fmt.Sprintf("<!DOCTYPE html>\n<html><head><title>PHP %s - phpinfo()</title></head>\n<body><h1 class=\"p\">PHP Version %s</h1>\n<table><tr><td class=\"e\">System </td><td class=\"v\">Linux %s %s %s %s </td></tr>\n<tr><td class=\"e\">Server API </td><td class=\"v\">FPM/FastCGI </td></tr></table></body></html>\n",
		version, version, p.Hostname, p.Kernel.Release, p.Kernel.Version, p.Kernel.Machine)
}

func compose(p *persona.Persona) string {
	return fmt.Sprintf("services:\n  db:\n    image: mariadb:10.6\n    environment:\n      MYSQL_DATABASE: %s\n      MYSQL_USER: %s\n      MYSQL_PASSWORD: %s\n  cache:\n    image: redis:%s\n", p.Secrets.DBName, p.Secrets.DBUser, p.Secrets.DBPassword, p.Versions.Redis)
}

func dockerConfig(p *persona.Persona) string {
	auth := base64.StdEncoding.EncodeToString([]byte("deploy:" + p.Secrets.GitHubToken))
	return fmt.Sprintf("{\n\t\"auths\": {\n\t\t\"ghcr.io\": {\n\t\t\t\"auth\": %q\n\t\t}\n\t}\n}\n", auth)
}
