package web

import (
	"fmt"
	"strings"
	"time"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// page is an answer and the name of the lure that gave it ("" for none).
type page struct {
	httpd.Response
	lure string
}

const (
	html  = "text/html"
	plain = "text/plain"
	js    = "application/json"
	octet = "application/octet-stream"
)

// lures are the paths that answer with something worth stealing. Paths are
// compared without case and without a trailing slash; the first that ends with
// the request's path wins, because the same file is asked for below many
// folders ("/app/.env", "/laravel/.env").
var lures = []struct {
	path, name string
	suffix     bool // also below other folders
	kind       string
	body       func(*persona.Persona) string
}{
	{"/.env", "env", true, octet, dotenv},
	{"/.env.production", "env", true, octet, dotenv},
	{"/.env.local", "env", true, octet, dotenv},
	{"/.env.bak", "env", true, octet, dotenv},
	{"/.git/config", "git", true, octet, gitConfig},
	{"/.git/HEAD", "git", true, octet, func(*persona.Persona) string { return "ref: refs/heads/main\n" }},
	{"/.aws/credentials", "aws", true, octet, awsCredentials},
	{"/.aws/config", "aws", true, octet, func(*persona.Persona) string { return "[default]\nregion = eu-central-1\noutput = json\n" }},
	{"/.ssh/id_rsa", "ssh-key", true, octet, sshKey},
	{"/config.json", "config", true, js, configJSON},
	{"/wp-config.php.bak", "wp-config", true, octet, wpConfig},
	{"/wp-config.php~", "wp-config", true, octet, wpConfig},
	{"/wp-config.txt", "wp-config", true, plain, wpConfig},
	{"/backup.sql", "backup", true, octet, sqlDump},
	{"/dump.sql", "backup", true, octet, sqlDump},
	{"/database.sql", "backup", true, octet, sqlDump},
	{"/actuator", "actuator", true, "application/vnd.spring-boot.actuator.v3+json", actuator},
	{"/actuator/health", "actuator", true, "application/vnd.spring-boot.actuator.v3+json", func(*persona.Persona) string { return `{"status":"UP"}` }},
	{"/actuator/env", "actuator", true, "application/vnd.spring-boot.actuator.v3+json", actuatorEnv},
	{"/server-status", "server-status", false, html, serverStatus},
	{"/phpinfo.php", "phpinfo", true, html, phpinfo},
	{"/info.php", "phpinfo", true, html, phpinfo},
	{"/id_rsa", "ssh-key", false, octet, sshKey},
	{"/docker-compose.yml", "compose", true, octet, compose},
	{"/.docker/config.json", "docker", true, js, dockerConfig},
	{"/.npmrc", "npmrc", true, octet, func(p *persona.Persona) string {
		return "//registry.npmjs.org/:_authToken=" + p.Secrets.GitHubToken + "\n"
	}},
	{"/.htpasswd", "htpasswd", true, octet, func(p *persona.Persona) string {
		return "admin:$apr1$" + p.MachineID[:8] + "$" + p.MachineID[8:30] + "\n"
	}},
	{"/api/users", "api", false, js, apiUsers},
	{"/api/v1/users", "api", false, js, apiUsers},
	{"/robots.txt", "", false, plain, func(*persona.Persona) string {
		return "User-agent: *\nDisallow: /admin/\nDisallow: /backup/\nDisallow: /wp-admin/\n"
	}},
	{"/solr/admin/info/system", "solr", false, js, func(*persona.Persona) string {
		return `{"responseHeader":{"status":0,"QTime":3},"mode":"std","lucene":{"solr-spec-version":"8.11.1"}}`
	}},
	{"/version", "", false, js, func(p *persona.Persona) string { return fmt.Sprintf("{%q:%q}\n", "version", p.Web.AppVer) }},
}

// forms are the pages that ask for a login.
var forms = []struct{ path, title, action, user, pass string }{
	{"/wp-login.php", "Log In", "/wp-login.php", "log", "pwd"},
	{"/admin", "Administration", "/admin/login", "username", "password"},
	{"/admin/login", "Administration", "/admin/login", "username", "password"},
	{"/administrator", "Administration", "/administrator/index.php", "username", "passwd"},
	{"/login", "Sign in", "/login", "email", "password"},
	{"/user/login", "Sign in", "/user/login", "name", "pass"},
	{"/phpmyadmin", "phpMyAdmin", "/phpmyadmin/index.php", "pma_username", "pma_password"},
	{"/phpmyadmin/index.php", "phpMyAdmin", "/phpmyadmin/index.php", "pma_username", "pma_password"},
	{"/pma", "phpMyAdmin", "/pma/index.php", "pma_username", "pma_password"},
	{"/grafana/login", "Grafana", "/grafana/login", "user", "password"},
	{"/index.php/login", "Login", "/index.php/login", "user", "password"},
}

func loginPath(path string) bool {
	path = trim(path)
	for _, f := range forms {
		if path == f.path || path == f.action {
			return true
		}
	}
	return strings.HasSuffix(path, "/login") || strings.Contains(path, "login.") || path == "/xmlrpc.php" || path == "/api/login"
}

func trim(path string) string {
	path = strings.ToLower(path)
	if len(path) > 1 {
		path = strings.TrimRight(path, "/")
	}
	return path
}

// find picks the answer to a request.
func find(p *persona.Persona, r *httpd.Request) page {
	path := trim(r.Path)
	switch {
	case r.Method == "OPTIONS":
		return page{Response: httpd.Response{Status: 200, Headers: []observe.Field{{Name: "Allow", Value: "GET,HEAD,POST,OPTIONS"}}}}
	case r.Method != "GET" && r.Method != "HEAD" && r.Method != "POST" && r.Method != "PUT":
		return page{Response: errorPage(p, 405, false)}
	case r.Proto == "HTTP/1.1" && r.Header("Host") == "":
		return page{Response: errorPage(p, 400, false)}
	case path == "/" || path == "/index.html" || path == "/index.php":
		return page{Response: home(p)}
	case path == "/favicon.ico":
		return page{Response: errorPage(p, 404, false)}
	case path == "/manager/html" || path == "/host-manager/html" || strings.HasPrefix(path, "/manager/text"):
		w := errorPage(p, 401, false)
		w.Headers = []observe.Field{{Name: "WWW-Authenticate", Value: `Basic realm="Tomcat Manager Application"`}}
		return page{Response: w, lure: "manager"}
	case strings.HasPrefix(path, "/cgi-bin/"):
		return page{Response: errorPage(p, 403, false), lure: "cgi"}
	case path == "/upload" || path == "/upload.php" || path == "/admin/upload":
		return upload(r)
	}
	for _, f := range forms {
		if path == f.path || r.Method == "POST" && path == f.action {
			return login(p, r, f.title, f.action, f.user, f.pass)
		}
	}
	for i := range lures {
		l := &lures[i]
		want := strings.ToLower(l.path)
		if path == want || l.suffix && strings.HasSuffix(path, want) {
			return page{Response: httpd.Response{Status: 200, Type: l.kind, Headers: stamps(p, l.path), Body: []byte(l.body(p))}, lure: l.name}
		}
	}
	return page{Response: errorPage(p, 404, false)}
}

// stamps are the headers of a static file; they do not change between visits.
func stamps(p *persona.Persona, path string) []observe.Field {
	at := p.InstalledAt.Add(time.Duration(len(path)*37) * time.Hour).UTC()
	return []observe.Field{{Name: "Last-Modified", Value: at.Format("Mon, 02 Jan 2006 15:04:05 GMT")},
		{Name: "ETag", Value: fmt.Sprintf("\"%x-%x\"", at.Unix(), len(path)*211)}, {Name: "Accept-Ranges", Value: "bytes"}}
}

func home(p *persona.Persona) httpd.Response {
	body := fmt.Sprintf("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%s</title>\n<meta name=\"generator\" content=\"%s %s\">\n</head>\n"+
		"<body>\n<h1>%s</h1>\n<p>Welcome. Customers <a href=\"/login\">sign in here</a>; staff use the <a href=\"/admin/\">administration</a>.</p>\n</body>\n</html>\n",
		p.SiteName, p.Web.App, p.Web.AppVer, p.SiteName)
	w := httpd.Response{Status: 200, Type: "text/html; charset=UTF-8", Body: []byte(body)}
	if p.Web.PHP != "" {
		w.Headers = append(w.Headers, observe.Field{Name: "X-Powered-By", Value: p.Web.PHP})
	}
	return w
}

func login(p *persona.Persona, r *httpd.Request, title, action, user, pass string) page {
	note := ""
	if r.Method == "POST" {
		note = "<p class=\"error\">Invalid username or password.</p>\n"
	}
	body := fmt.Sprintf("<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>%s &lsaquo; %s</title></head>\n<body>\n<h2>%s</h2>\n%s"+
		"<form method=\"post\" action=\"%s\">\n<input type=\"text\" name=\"%s\" autocomplete=\"username\">\n<input type=\"password\" name=\"%s\">\n<button type=\"submit\">%s</button>\n</form>\n</body>\n</html>\n",
		title, p.SiteName, title, note, action, user, pass, title)
	return page{Response: httpd.Response{Status: 200, Type: "text/html; charset=UTF-8", Body: []byte(body),
		Headers: []observe.Field{{Name: "Cache-Control", Value: "no-cache, must-revalidate, max-age=0"}}}, lure: "login"}
}

func upload(r *httpd.Request) page {
	if r.Method == "POST" || r.Method == "PUT" {
		return page{Response: httpd.Response{Status: 200, Type: js, Body: []byte(`{"success":true,"message":"File uploaded"}`)}, lure: "upload"}
	}
	return page{Response: httpd.Response{Status: 200, Type: html, Body: []byte("<!DOCTYPE html>\n<html><body><form method=\"post\" enctype=\"multipart/form-data\"><input type=\"file\" name=\"file\"><button>Upload</button></form></body></html>\n")}, lure: "upload"}
}

// errorPage is the error page of the server the persona runs.
func errorPage(p *persona.Persona, status int, plainOnTLS bool) httpd.Response {
	reason := httpd.Reason(status)
	w := httpd.Response{Status: status, Close: status == 400}
	if p.Web.Server == "nginx" {
		detail := ""
		if plainOnTLS {
			detail = "<center>The plain HTTP request was sent to HTTPS port</center>\r\n"
		}
		if status == 405 {
			reason = "Not Allowed"
		}
		if status == 401 {
			reason = "Authorization Required"
		}
		w.Type = html
		w.Body = []byte(fmt.Sprintf("<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n%s<hr><center>%s</center>\r\n</body>\r\n</html>\r\n",
			status, reason, status, reason, detail, p.Web.Header))
		return w
	}
	text := map[int]string{404: "The requested URL was not found on this server.", 403: "You don't have permission to access this resource.",
		400: "Your browser sent a request that this server could not understand.", 405: "The requested method is not allowed for this URL.",
		401: "This server could not verify that you\nare authorized to access the document\nrequested."}[status]
	w.Type = "text/html; charset=iso-8859-1"
	w.Body = []byte(fmt.Sprintf("<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>%d %s</title>\n</head><body>\n<h1>%s</h1>\n<p>%s</p>\n<hr>\n<address>%s Server at %s Port 80</address>\n</body></html>\n",
		status, reason, reason, text, p.Web.Header, p.Hostname))
	return w
}
