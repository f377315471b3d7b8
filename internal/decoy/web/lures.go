package web

import (
	"strings"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// bait is a file that should not be served.
type bait struct {
	path, lure string
	below      bool // also below other folders ("/app/.env", "/laravel/.env")
	kind       string
	body       func(*persona.Persona) string
}

func text(s string) func(*persona.Persona) string { return func(*persona.Persona) string { return s } }

// baits are looked up without case and without a trailing slash; the longest
// that fits wins. Dot-env files of every name are found before.
var baits = []bait{
	{"/.git/config", "git", true, octet, gitConfig},
	{"/.git/head", "git", true, octet, text("ref: refs/heads/main\n")},
	{"/.git/logs/head", "git", true, octet, gitLog},
	{"/.git/refs/heads/main", "git", true, octet, gitRef},
	{"/.git/description", "git", true, octet, text("Unnamed repository; edit this file 'description' to name the repository.\n")},
	{"/.git/packed-refs", "git", true, octet, func(p *persona.Persona) string {
		return "# pack-refs with: peeled fully-peeled sorted \n" + strings.TrimSpace(gitRef(p)) + " refs/remotes/origin/main\n"
	}},
	{"/.git-credentials", "git", true, octet, gitCredentials},
	{"/.gitconfig", "git", true, octet, gitUser},
	{"/.aws/credentials", "aws", true, octet, awsCredentials},
	{"/.aws/config", "aws", true, octet, text("[default]\nregion = eu-central-1\noutput = json\n")},
	{"/.ssh/id_rsa", "ssh-key", true, octet, sshKey},
	{"/.ssh/id_ed25519", "ssh-key", true, octet, sshKey},
	{"/id_rsa", "ssh-key", true, octet, sshKey},
	{"/.ssh/config", "ssh-key", true, octet, sshConfig},
	{"/.ssh/known_hosts", "ssh-key", true, octet, sshHosts},
	{"/config.json", "config", true, js, configJSON},
	{"/secrets.json", "config", true, js, configJSON},
	{"/credentials.json", "config", true, js, configJSON},
	{"/appsettings.json", "config", true, js, appSettings},
	{"/appsettings.production.json", "config", true, js, appSettings},
	{"/application.properties", "config", true, octet, springProperties},
	{"/application.yml", "config", true, octet, springYAML},
	{"/config.yml", "config", true, octet, springYAML},
	{"/config/database.yml", "config", true, octet, railsDatabase},
	{"/config.php.bak", "config", true, octet, wpConfig},
	{"/config.php.old", "config", true, octet, wpConfig},
	{"/config.inc.php.bak", "config", true, octet, wpConfig},
	{"/wp-config.php.bak", "wp-config", true, octet, wpConfig},
	{"/wp-config.php.old", "wp-config", true, octet, wpConfig},
	{"/wp-config.php.save", "wp-config", true, octet, wpConfig},
	{"/wp-config.php.swp", "wp-config", true, octet, wpConfig},
	{"/.wp-config.php.swp", "wp-config", true, octet, wpConfig},
	{"/wp-config.php~", "wp-config", true, octet, wpConfig},
	{"/wp-config.bak", "wp-config", true, octet, wpConfig},
	{"/wp-config.txt", "wp-config", true, plain, wpConfig},
	{"/backup.sql", "backup", true, octet, sqlDump},
	{"/dump.sql", "backup", true, octet, sqlDump},
	{"/database.sql", "backup", true, octet, sqlDump},
	{"/db.sql", "backup", true, octet, sqlDump},
	{"/db_backup.sql", "backup", true, octet, sqlDump},
	{"/mysql.sql", "backup", true, octet, sqlDump},
	{"/backup.sql.gz", "backup", true, "application/gzip", gzipDump},
	{"/backup.tar.gz", "backup", true, "application/gzip", tarBackup},
	{"/backup.tgz", "backup", true, "application/gzip", tarBackup},
	{"/www.tar.gz", "backup", true, "application/gzip", tarBackup},
	{"/backup.zip", "backup", true, "application/zip", zipBackup},
	{"/www.zip", "backup", true, "application/zip", zipBackup},
	{"/site.zip", "backup", true, "application/zip", zipBackup},
	{"/docker-compose.yml", "compose", true, octet, compose},
	{"/docker-compose.yaml", "compose", true, octet, compose},
	{"/docker-compose.prod.yml", "compose", true, octet, compose},
	{"/.docker/config.json", "docker", true, js, dockerConfig},
	{"/.dockercfg", "docker", true, octet, dockerConfig},
	{"/.npmrc", "npmrc", true, octet, npmrc},
	{"/.htpasswd", "htpasswd", true, octet, htpasswd},
	{"/.netrc", "netrc", true, octet, netrc},
	{"/.pgpass", "pgpass", true, octet, pgpass},
	{"/.my.cnf", "mycnf", true, octet, mycnf},
	{"/.bash_history", "history", true, octet, history},
	{"/.kube/config", "kube", true, octet, kubeConfig},
	{"/.vscode/sftp.json", "sftp", true, js, sftpJSON},
	{"/sftp-config.json", "sftp", true, js, sftpJSON},
	{"/.svn/wc.db", "svn", true, octet, text("SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20")},
	{"/.ds_store", "ds-store", true, octet, text("\x00\x00\x00\x01Bud1\x00\x00\x10\x00\x00\x00\x08\x00\x00\x00\x10\x00")},
	{"/terraform.tfstate", "terraform", true, octet, tfstate},
	{"/storage/logs/laravel.log", "log", true, octet, laravelLog},
	{"/debug.log", "log", true, octet, laravelLog},
	{"/error.log", "log", true, octet, laravelLog},
}

// findBait looks a path up; path is in lower case without a trailing slash.
func findBait(path string) *bait {
	base := path[strings.LastIndexByte(path, '/')+1:]
	if strings.HasPrefix(base, ".env") {
		return &dotEnv
	}
	var best *bait
	for i := range baits {
		b := &baits[i]
		if (path == b.path || b.below && strings.HasSuffix(path, b.path)) && (best == nil || len(b.path) > len(best.path)) {
			best = b
		}
	}
	return best
}

var dotEnv = bait{"/.env", "env", true, octet, dotenv}

// find picks the answer to a request for anything but the front page.
func (x *visit) find(climbed bool) page {
	h := x.site
	if p, ok := x.stolen(climbed); ok {
		return p
	}
	path := trim(x.path)
	if p, ok := x.method(path); ok {
		return p
	}
	switch path {
	case "/", "/index.html", "/index.php", "/index.htm":
		return x.home()
	case "/robots.txt":
		p := h.file("", "robots.txt", plain, []byte(robots(h.p)))
		return p
	case "/favicon.ico":
		kind := "image/x-icon"
		if !h.style.Nginx {
			kind = "image/vnd.microsoft.icon"
		}
		return h.file("", "favicon.ico", kind, h.icon)
	case "/phpinfo.php", "/info.php", "/php.php", "/i.php", "/test.php", "/_profiler/phpinfo", "/pinfo.php":
		return h.dynamic("phpinfo", phpinfo(h.p))
	case "/server-status":
		if h.style.Nginx {
			return status("", 404)
		}
		return h.file("server-status", "server-status", markup, []byte(serverStatus(h.p)))
	case "/nginx_status", "/stub_status":
		if !h.style.Nginx {
			return status("", 404)
		}
		return page{lure: "server-status", Response: httpd.Response{Status: 200, Type: plain, Body: []byte(nginxStatus(h.p, x.s.Now()))}}
	case "/upload", "/upload.php", "/uploads", "/admin/upload", "/upload.html", "/fileupload", "/uploader.php", "/admin/upload.php", "/api/upload":
		return x.upload()
	case "/.git", "/.svn", "/.aws", "/.ssh":
		return status(strings.TrimPrefix(path, "/."), 403)
	}
	if b := findBait(path); b != nil {
		return h.bait(b)
	}
	return x.application(path)
}

// method answers methods that ask for nothing.
func (x *visit) method(path string) (page, bool) {
	switch x.r.Method {
	case "GET", "HEAD", "POST":
		return page{}, false
	case "PUT", "MOVE", "MKCOL":
		if x.r.Method == "PUT" { // as WebDAV answers: see what comes
			return page{lure: "upload", Response: httpd.Response{Status: 201, Type: markup, Body: []byte{}, Headers: []observe.Field{{Name: "Location", Value: "http://" + x.site.p.Domain + httpPath(x.path)}}}}, true
		}
	case "OPTIONS":
		if !x.site.style.Nginx {
			return page{Response: httpd.Response{Status: 200, Type: markup, Body: []byte{}, Headers: []observe.Field{{Name: "Allow", Value: "GET,POST,OPTIONS,HEAD"}}}}, true
		}
	default:
		if !x.site.style.Nginx && strings.ToUpper(x.r.Method) != x.r.Method {
			return status("", 501), true
		}
	}
	return status("", 405), true
}

// httpPath is a path as it may stand in a header.
func httpPath(path string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f {
			return '_'
		}
		return c
	}, clip(path, 256))
}

// stolen answers attempts to read files of the host or the cloud's metadata
// through the site.
func (x *visit) stolen(climbed bool) (page, bool) {
	p := x.site.p
	said := x.r.Target
	if len(x.r.Body) > 0 {
		said += "\n" + string(x.r.Body[:min(len(x.r.Body), 8<<10)])
	}
	if !climbed && !strings.ContainsAny(said, "%.") {
		return page{}, false
	}
	said = strings.ToLower(httpd.Unescape(httpd.Unescape(said, true), true)) // scanners encode twice
	answer := func(lure, body string) (page, bool) {
		return page{lure: lure, Response: httpd.Response{Status: 200, Type: markup, Body: []byte(body)}}, true
	}
	if i := strings.Index(said, "169.254.169.254"); i >= 0 {
		return answer("metadata", metadata(p, said[i+len("169.254.169.254"):]))
	}
	if strings.HasPrefix(said, "/latest/meta-data") || strings.HasPrefix(said, "/latest/dynamic") {
		return answer("metadata", metadata(p, said))
	}
	if !climbed && !strings.Contains(said, "../") && !strings.Contains(said, "..\\") && !strings.Contains(said, "=/etc/") && !strings.Contains(said, "file://") && !strings.Contains(said, "=/proc/") {
		return page{}, false
	}
	switch {
	case strings.Contains(said, "etc/passwd"):
		return answer("traversal", passwd(p))
	case strings.Contains(said, "etc/hosts"):
		return answer("traversal", "127.0.0.1\tlocalhost\n127.0.1.1\t"+p.FQDN()+"\t"+p.Hostname+"\n")
	case strings.Contains(said, "proc/self/environ"):
		return answer("traversal", strings.ReplaceAll(dotenv(p), "\n", "\x00"))
	case strings.Contains(said, ".env"):
		return answer("traversal", dotenv(p))
	case strings.Contains(said, "etc/shadow"):
		return status("traversal", 403), true
	case climbed:
		return status("traversal", 400), true
	}
	return page{}, false
}

// upload answers an upload form; what was brought is reported elsewhere.
func (x *visit) upload() page {
	if x.r.Method == "POST" {
		return x.site.json("upload", `{"success":true,"message":"File uploaded"}`)
	}
	return x.site.dynamic("upload", "<!DOCTYPE html>\n<html>\n<head><title>Upload - "+x.site.p.SiteName+"</title></head>\n<body>\n<form method=\"post\" enctype=\"multipart/form-data\">\n<input type=\"file\" name=\"file\">\n<button type=\"submit\">Upload</button>\n</form>\n</body>\n</html>\n")
}

// trim makes a path comparable.
func trim(path string) string {
	path = strings.ToLower(path)
	if len(path) > 1 {
		path = strings.TrimRight(path, "/")
	}
	if path == "" {
		path = "/"
	}
	return path
}

func unescape(s string) string { return httpd.Unescape(s, true) }
