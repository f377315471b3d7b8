package web

import (
	"fmt"
	"html"
	"strings"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// front is the front page of the persona's application.
func (h *site) front() page {
	p := h.p
	head, body := "", "<p>Welcome. Customers <a href=\"/login\">sign in here</a>.</p>\n"
	var fields []observe.Field
	switch p.Web.App {
	case "WordPress":
		head = fmt.Sprintf("<link rel=\"https://api.w.org/\" href=\"https://%s/wp-json/\" />\n<link rel='stylesheet' id='wp-block-library-css' href='/wp-includes/css/dist/block-library/style.min.css?ver=%s' media='all' />\n", p.Domain, p.Web.AppVer)
		body = fmt.Sprintf("<div class=\"wp-site-blocks\"><h2><a href=\"/hello-world/\">Hello world!</a></h2>\n<p>Welcome to WordPress. This is your first post. Edit or delete it, then start writing!</p>\n<p><a href=\"https://%s/wp-login.php\">Log in</a></p></div>\n", p.Domain)
		fields = []observe.Field{{Name: "Link", Value: "<https://" + p.Domain + "/wp-json/>; rel=\"https://api.w.org/\""}}
	case "Drupal":
		body = "<article><h2>Welcome!</h2><p>You haven't created any frontpage content yet.</p></article>\n<a href=\"/user/login\">Log in</a>\n"
		fields = []observe.Field{{Name: "Cache-Control", Value: "must-revalidate, no-cache, private"}, {Name: "X-Generator", Value: "Drupal 10 (https://www.drupal.org)"}, {Name: "X-Drupal-Dynamic-Cache", Value: "MISS"}}
	case "Laravel":
		body = "<div class=\"flex-center\"><a href=\"/login\">Log in</a> <a href=\"/register\">Register</a></div>\n"
		fields = []observe.Field{{Name: "Cache-Control", Value: "no-cache, private"}}
	}
	generator := p.Web.App + " " + p.Web.AppVer
	if p.Web.App == "Drupal" {
		generator = "Drupal 10 (https://www.drupal.org)"
	}
	return h.dynamic("", fmt.Sprintf("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"UTF-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<meta name=\"generator\" content=\"%s\" />\n<title>%s</title>\n%s</head>\n<body>\n<h1>%s</h1>\n%s</body>\n</html>\n",
		generator, p.SiteName, head, p.SiteName, body), fields...)
}

// home is the front page; Laravel gives every visitor a session.
func (x *visit) home() page {
	p := x.site.home
	if x.site.p.Web.App == "Laravel" {
		id := strings.ToLower(x.s.ID().String())
		p.Headers = append(p.Headers[:len(p.Headers):len(p.Headers)], observe.Field{Name: "Set-Cookie", Value: "laravel_session=eyJpdiI6I" + id + "; path=/; httponly; samesite=lax"})
	}
	return p
}

// login is a page that asks for credentials.
type login struct{ path, title, action, user, pass string }

var logins = []login{
	{"/wp-login.php", "Log In", "/wp-login.php", "log", "pwd"},
	{"/admin", "Administration", "/admin/login", "username", "password"},
	{"/admin/login", "Administration", "/admin/login", "username", "password"},
	{"/admin.php", "Administration", "/admin.php", "username", "password"},
	{"/admin/index.php", "Administration", "/admin/index.php", "username", "password"},
	{"/administrator", "Administration", "/administrator/index.php", "username", "passwd"},
	{"/administrator/index.php", "Administration", "/administrator/index.php", "username", "passwd"},
	{"/login", "Sign in", "/login", "email", "password"},
	{"/login.php", "Sign in", "/login.php", "username", "password"},
	{"/signin", "Sign in", "/signin", "email", "password"},
	{"/user/login", "Log in", "/user/login", "name", "pass"},
	{"/phpmyadmin", "phpMyAdmin", "/phpmyadmin/index.php", "pma_username", "pma_password"},
	{"/phpmyadmin/index.php", "phpMyAdmin", "/phpmyadmin/index.php", "pma_username", "pma_password"},
	{"/pma", "phpMyAdmin", "/pma/index.php", "pma_username", "pma_password"},
	{"/pma/index.php", "phpMyAdmin", "/pma/index.php", "pma_username", "pma_password"},
	{"/dbadmin", "phpMyAdmin", "/dbadmin/index.php", "pma_username", "pma_password"},
	{"/adminer.php", "Login - Adminer", "/adminer.php", "auth[username]", "auth[password]"},
	{"/grafana/login", "Grafana", "/grafana/login", "user", "password"},
	{"/index.php/login", "Login", "/index.php/login", "user", "password"},
	{"/cgi-bin/luci", "LuCI", "/cgi-bin/luci", "luci_username", "luci_password"},
}

func loginPath(path string) bool {
	path = trim(path)
	for i := range logins {
		if path == logins[i].path || path == logins[i].action {
			return true
		}
	}
	return strings.HasSuffix(path, "/login") || strings.HasSuffix(path, "/signin") || strings.Contains(path, "login.") || path == "/xmlrpc.php"
}

// application answers for the programs that seem to run here.
func (x *visit) application(path string) page {
	h := x.site
	for i := range logins {
		if path == logins[i].path || x.r.Method == "POST" && path == logins[i].action {
			return x.login(&logins[i])
		}
	}
	switch {
	case path == "/manager/html" || path == "/host-manager/html" || strings.HasPrefix(path, "/manager/text") || strings.HasPrefix(path, "/manager/status"):
		return x.manager(path)
	case strings.HasPrefix(path, "/wp-") || path == "/xmlrpc.php":
		return x.wordpress(path)
	case strings.Contains(path, "/actuator") || path == "/env" || path == "/heapdump" || path == "/jolokia":
		return x.actuator(path)
	case strings.HasPrefix(path, "/solr"):
		return x.solr(path)
	case path == "/api" || strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/rest/"):
		return x.api(path)
	case path == "/graphql" || strings.HasSuffix(path, "/graphql"):
		return h.json("api", `{"errors":[{"message":"Must provide query string."}]}`)
	case strings.HasPrefix(path, "/cgi-bin/"):
		if x.r.Method == "POST" || strings.HasSuffix(path, ".cgi") || strings.HasSuffix(path, ".sh") {
			return status("cgi", 500)
		}
		return status("cgi", 404)
	case path == "/cgi-bin":
		return status("cgi", 403)
	case strings.HasSuffix(path, "/eval-stdin.php"):
		return h.dynamic("phpunit", "")
	case path == "/_ignition/execute-solution", path == "/_ignition/health-check":
		return h.json("ignition", `{"can_execute_commands":true}`)
	case path == "/version":
		return h.json("", fmt.Sprintf("{\"version\":%q}\n", h.p.Web.AppVer))
	}
	return status("", 404)
}

// login asks for credentials, and says no to nearly all.
func (x *visit) login(l *login) page {
	h := x.site
	cache := observe.Field{Name: "Cache-Control", Value: "no-cache, must-revalidate, max-age=0"}
	if x.accepted {
		cookie := observe.Field{Name: "Set-Cookie", Value: "session=" + strings.ToLower(x.s.ID().String()) + "; path=/; HttpOnly"}
		to := "/admin/upload"
		if l.path == "/wp-login.php" {
			to, cookie.Value = "/wp-admin/", "wordpress_logged_in_"+h.p.MachineID+"="+strings.ToLower(x.s.ID().String())+"; path=/; HttpOnly"
		}
		return redirect("login", to, cookie, cache)
	}
	note := ""
	if x.r.Method == "POST" {
		note = "<p class=\"error\">Invalid username or password.</p>\n"
		if l.path == "/wp-login.php" && len(x.auth) > 0 {
			note = "<div id=\"login_error\" class=\"notice notice-error\"><p><strong>Error:</strong> The password you entered for the username <strong>" +
				html.EscapeString(clip(x.auth[len(x.auth)-1].User, 60)) + "</strong> is incorrect. <a href=\"/wp-login.php?action=lostpassword\">Lost your password?</a></p></div>\n"
		}
	}
	fields := []observe.Field{cache}
	if l.path == "/wp-login.php" {
		fields = []observe.Field{{Name: "Expires", Value: "Wed, 11 Jan 1984 05:00:00 GMT"}, cache, {Name: "Set-Cookie", Value: "wordpress_test_cookie=WP%20Cookie%20check; path=/"}, {Name: "X-Frame-Options", Value: "SAMEORIGIN"}}
	}
	return h.dynamic("login", fmt.Sprintf("<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"UTF-8\" />\n<title>%s &lsaquo; %s</title>\n<meta name='robots' content='noindex, noarchive' />\n</head>\n<body class=\"login\">\n<h1>%s</h1>\n%s"+
		"<form name=\"loginform\" id=\"loginform\" action=\"%s\" method=\"post\">\n<input type=\"text\" name=\"%s\" autocomplete=\"username\" />\n<input type=\"password\" name=\"%s\" autocomplete=\"current-password\" />\n<input type=\"submit\" name=\"submit\" value=\"%s\" />\n</form>\n</body>\n</html>\n",
		l.title, h.p.SiteName, l.title, note, l.action, l.user, l.pass, l.title), fields...)
}

// manager is Tomcat's, behind basic authentication.
func (x *visit) manager(path string) page {
	if !x.accepted {
		return status("manager", 401, observe.Field{Name: "WWW-Authenticate", Value: `Basic realm="Tomcat Manager Application"`})
	}
	if strings.HasPrefix(path, "/manager/text") {
		return page{lure: "manager", Response: httpd.Response{Status: 200, Type: plain, Body: []byte("OK - Deployed application at context path [" + html.EscapeString(clip(x.r.Query, 64)) + "]\n")}}
	}
	return x.site.dynamic("manager", "<html>\n<head><title>/manager</title></head>\n<body>\n<h1>Tomcat Web Application Manager</h1>\n<form method=\"post\" action=\"/manager/html/upload\" enctype=\"multipart/form-data\"><input type=\"file\" name=\"deployWar\"><input type=\"submit\" value=\"Deploy\"></form>\n</body>\n</html>\n")
}

func (x *visit) wordpress(path string) page {
	h := x.site
	switch {
	case path == "/xmlrpc.php" && x.r.Method != "POST":
		p := status("xmlrpc", 405, observe.Field{Name: "Allow", Value: "POST"})
		p.Type, p.Body = plain, []byte("XML-RPC server accepts POST requests only.")
		return p
	case path == "/xmlrpc.php":
		p := h.dynamic("xmlrpc", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse>\n  <fault>\n    <value>\n      <struct>\n        <member>\n          <name>faultCode</name>\n          <value><int>403</int></value>\n        </member>\n        <member>\n          <name>faultString</name>\n          <value><string>Incorrect username or password.</string></value>\n        </member>\n      </struct>\n    </value>\n  </fault>\n</methodResponse>\n")
		p.Type = "text/xml; charset=UTF-8"
		return p
	case path == "/wp-admin" || strings.HasPrefix(path, "/wp-admin/") && !strings.Contains(path, "admin-ajax") && !strings.Contains(path, "install.php"):
		if strings.Contains(x.r.Header("Cookie"), "wordpress_logged_in_"+h.p.MachineID) {
			return h.dynamic("dashboard", "<!DOCTYPE html>\n<html><head><title>Dashboard &lsaquo; "+h.p.SiteName+" &#8212; WordPress</title></head>\n<body class=\"wp-admin\"><h1>Dashboard</h1>\n<form method=\"post\" enctype=\"multipart/form-data\" action=\"/wp-admin/update.php?action=upload-plugin\"><input type=\"file\" name=\"pluginzip\" accept=\".zip\"><input type=\"submit\" value=\"Install Now\"></form></body></html>\n")
		}
		return redirect("login", "http://"+h.p.Domain+"/wp-login.php?redirect_to=http%3A%2F%2F"+h.p.Domain+"%2Fwp-admin%2F&reauth=1", observe.Field{Name: "Cache-Control", Value: "no-cache, must-revalidate, max-age=0"})
	case strings.HasSuffix(path, "/admin-ajax.php"):
		p := status("wordpress", 400)
		p.Type, p.Body, p.Dynamic = "text/html; charset=UTF-8", []byte("0"), true
		return p
	case strings.HasPrefix(path, "/wp-json/wp/v2/users"):
		return h.json("wordpress", wpUsers(h.p))
	case strings.HasPrefix(path, "/wp-json"):
		return h.json("wordpress", fmt.Sprintf(`{"name":%q,"description":"","url":"https:\/\/%s","home":"https:\/\/%s","gmt_offset":"0","namespaces":["oembed\/1.0","wp\/v2","wp-site-health\/v1"]}`, h.p.SiteName, h.p.Domain, h.p.Domain))
	case path == "/wp-config.php" || path == "/wp-cron.php" || path == "/wp-load.php":
		return h.dynamic("", "")
	case strings.HasSuffix(path, "/readme.txt") && strings.Contains(path, "/plugins/"):
		return status("wordpress", 404)
	case strings.HasPrefix(path, "/wp-content/uploads") || path == "/wp-includes" || path == "/wp-content":
		return status("wordpress", 403)
	}
	return status("", 404)
}

func wpUsers(p *persona.Persona) string {
	var rows []string
	for i, u := range p.Users[min(1, len(p.Users)-1):] {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"name":%q,"url":"","description":"","link":"https:\/\/%s\/author\/%s\/","slug":%q}`, i+1, u.Name, p.Domain, u.Name, u.Name))
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func (x *visit) actuator(path string) page {
	const kind = "application/vnd.spring-boot.actuator.v3+json"
	h, s := x.site, x.site.p.Secrets
	answer := func(body string) page {
		p := page{lure: "actuator", Response: httpd.Response{Status: 200, Type: kind, Dynamic: true, Body: []byte(body)}}
		return p
	}
	base := "http://" + h.p.Domain + "/actuator"
	switch path[strings.LastIndexByte(path, '/'):] {
	case "/actuator":
		return answer(fmt.Sprintf(`{"_links":{"self":{"href":%q,"templated":false},"health":{"href":%q,"templated":false},"env":{"href":%q,"templated":false},"heapdump":{"href":%q,"templated":false},"info":{"href":%q,"templated":false}}}`,
			base, base+"/health", base+"/env", base+"/heapdump", base+"/info"))
	case "/health":
		return answer(`{"status":"UP","groups":["liveness","readiness"]}`)
	case "/info":
		return answer(fmt.Sprintf(`{"app":{"name":%q},"build":{"version":"1.4.2"}}`, brand(h.p)))
	case "/env":
		return answer(fmt.Sprintf(`{"activeProfiles":["prod"],"propertySources":[{"name":"server.ports","properties":{"local.server.port":{"value":8080}}},{"name":"systemEnvironment","properties":{"HOSTNAME":{"value":%q},"AWS_ACCESS_KEY_ID":{"value":%q},"AWS_SECRET_ACCESS_KEY":{"value":"******"},"SPRING_DATASOURCE_USERNAME":{"value":%q},"SPRING_DATASOURCE_PASSWORD":{"value":"******"}}},{"name":"applicationConfig: [classpath:/application.yml]","properties":{"legacy.db.pass":{"value":%q}}}]}`,
			h.p.Hostname, s.AWSAccessKeyID, s.DBUser, s.DBPassword))
	case "/heapdump":
		return page{lure: "actuator", Response: httpd.Response{Status: 200, Type: octet, Body: []byte(heapdump(h.p)), Headers: []observe.Field{{Name: "Content-Disposition", Value: `attachment; filename="heapdump"`}}}}
	case "/mappings", "/beans", "/configprops", "/metrics", "/loggers", "/threaddump", "/trace", "/httptrace":
		return answer(`{"contexts":{}}`)
	case "/restart", "/refresh", "/gateway", "/jolokia":
		return answer(`[]`)
	}
	return status("actuator", 404)
}

func (x *visit) solr(path string) page {
	switch path {
	case "/solr", "/solr/admin":
		return x.site.dynamic("solr", "<!doctype html>\n<html ng-app=\"solrAdminApp\">\n<head>\n  <title>Solr Admin</title>\n  <link rel=\"icon\" type=\"image/x-icon\" href=\"img/favicon.ico?_=8.11.1\">\n</head>\n<body></body>\n</html>\n")
	case "/solr/admin/info/system":
		return x.site.json("solr", fmt.Sprintf("{\n  \"responseHeader\":{\"status\":0,\"QTime\":3},\n  \"mode\":\"std\",\n  \"solr_home\":\"/var/solr/data\",\n  \"lucene\":{\"solr-spec-version\":\"8.11.1\",\"lucene-spec-version\":\"8.11.1\"},\n  \"system\":{\"name\":\"Linux\",\"arch\":\"amd64\",\"version\":%q}}\n", x.site.p.Kernel.Release))
	case "/solr/admin/cores":
		return x.site.json("solr", fmt.Sprintf("{\n  \"responseHeader\":{\"status\":0,\"QTime\":1},\n  \"initFailures\":{},\n  \"status\":{%q:{\"name\":%q,\"instanceDir\":\"/var/solr/data/%s\"}}}\n", brand(x.site.p), brand(x.site.p), brand(x.site.p)))
	}
	return x.site.json("solr", "{\n  \"responseHeader\":{\"status\":0,\"QTime\":2},\n  \"response\":{\"numFound\":0,\"start\":0,\"docs\":[]}}\n")
}

func (x *visit) api(path string) page {
	h := x.site
	if strings.HasSuffix(path, "/users") && x.r.Method == "GET" {
		return h.json("api", apiUsers(h.p))
	}
	code, body := 401, `{"error":"Unauthorized"}`
	switch {
	case loginPath(path) || strings.Contains(path, "auth"):
		body = `{"error":"Invalid credentials"}`
		if x.accepted {
			return h.json("api", fmt.Sprintf(`{"token":"eyJhbGciOiJIUzI1NiJ9.%s"}`, strings.ToLower(x.s.ID().String())))
		}
	case strings.HasSuffix(path, "/health") || strings.HasSuffix(path, "/status") || strings.HasSuffix(path, "/ping"):
		return h.json("api", `{"status":"ok"}`)
	case strings.HasSuffix(path, "/version"):
		return h.json("api", fmt.Sprintf(`{"version":%q}`, h.p.Web.AppVer))
	}
	p := h.json("api", body)
	p.Status = code
	return p
}

func apiUsers(p *persona.Persona) string {
	var rows []string
	for i, u := range p.Users {
		role := "user"
		if i == 0 {
			role = "admin"
		}
		rows = append(rows, fmt.Sprintf(`{"id":%d,"username":%q,"email":%q,"role":%q}`, i+1, u.Name, u.Name+"@"+p.Domain, role))
	}
	return "[" + strings.Join(rows, ",") + "]"
}
