package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"mime/multipart"
	"regexp"
	"strings"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// maxPairs bounds the credentials reported from one request (an XML-RPC call
// can carry hundreds).
const maxPairs = 50

// The names that login forms of common applications give their fields.
var (
	userFields = []string{"log", "username", "user", "email", "login", "pma_username", "usr", "name", "userName", "j_username", "userid", "account", "loginname", "user_login", "luci_username", "auth[username]"}
	passFields = []string{"pwd", "password", "pass", "passwd", "pma_password", "psw", "psd", "j_password", "passwort", "secret", "user_pass", "luci_password", "auth[password]"}
)

// credentials collects what a visitor offers to get in with.
func (x *visit) credentials() {
	r := x.r
	if scheme, value, ok := strings.Cut(r.Header("Authorization"), " "); ok {
		value = strings.TrimSpace(value)
		switch strings.ToLower(scheme) {
		case "basic":
			b, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				b, _ = base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "=")) // what could be decoded counts
			}
			user, pass, _ := strings.Cut(string(b), ":")
			x.offer("basic", user, pass)
		case "digest":
			_, user, _ := strings.Cut(value, `username="`)
			user, _, _ = strings.Cut(user, `"`)
			x.auth = append(x.auth, observe.AuthAttempt{Method: "digest", User: user})
		default:
			x.auth = append(x.auth, observe.AuthAttempt{Method: "token", Key: observe.KeyID(value)})
		}
	}
	if r.Method != "POST" || len(r.Body) == 0 {
		return
	}
	kind, _, _ := strings.Cut(r.Header("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/json":
		x.jsonLogin()
	case "text/xml", "application/xml":
		x.xmlLogin()
	case "multipart/form-data": // a file upload; logins do not come this way
	default:
		if strings.HasSuffix(r.Path, "/xmlrpc.php") {
			x.xmlLogin()
			return
		}
		f := formOf(r.Body)
		user, pass := f.first(userFields), f.first(passFields)
		if pass != "" || user != "" && loginPath(r.Path) {
			x.offer("form", user, pass)
		}
	}
}

// offer notes one pair.
func (x *visit) offer(method, user, pass string) {
	if len(x.auth) >= maxPairs {
		return
	}
	ok := x.accepts(user, pass)
	x.accepted = x.accepted || ok
	x.auth = append(x.auth, observe.AuthAttempt{Method: method, User: user, Password: pass, Accepted: ok})
}

func (x *visit) jsonLogin() {
	var fields map[string]json.RawMessage
	if json.Unmarshal(x.r.Body[:min(len(x.r.Body), 64<<10)], &fields) != nil {
		return
	}
	get := func(names []string) string {
		for _, n := range names {
			var v string
			if json.Unmarshal(fields[n], &v) == nil && v != "" {
				return v
			}
		}
		return ""
	}
	if user, pass := get(userFields), get(passFields); pass != "" {
		x.offer("form", user, pass)
	}
}

// xmlPair finds the two parameters of the calls of WordPress that take a
// user's name and password (wp.getUsersBlogs and its siblings).
var xmlPair = regexp.MustCompile(`(?s)<value>\s*(?:<string>)?([^<]{1,256})(?:</string>)?\s*</value>(?:\s*</(?:param|data)>\s*<(?:param|data)>)?\s*<value>\s*(?:<string>)?([^<]{1,256})(?:</string>)?\s*</value>`)

func (x *visit) xmlLogin() {
	body := x.r.Body[:min(len(x.r.Body), 256<<10)]
	if !bytes.Contains(body, []byte("wp.")) && !bytes.Contains(body, []byte("metaWeblog.")) && !bytes.Contains(body, []byte("blogger.")) {
		return
	}
	for _, m := range xmlPair.FindAllSubmatch(body, maxPairs) {
		x.offer("form", string(m[1]), string(m[2]))
	}
}

// form is an urlencoded body as pairs in order.
type form []observe.Field

func formOf(body []byte) (f form) {
	text := string(body[:min(len(body), 64<<10)])
	for len(text) > 0 && len(f) < observe.MaxFields {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		k, v, ok := strings.Cut(pair, "=")
		if ok {
			f = append(f, observe.Field{Name: unescape(k), Value: unescape(v)})
		}
	}
	return f
}

func (f form) first(names []string) string {
	for _, n := range names {
		for i := range f {
			if f[i].Name == n && f[i].Value != "" {
				return f[i].Value
			}
		}
	}
	return ""
}

// uploads reports files of a form and bodies that are files by themselves.
func (x *visit) uploads() error {
	r := x.r
	if len(r.Body) == 0 || r.Method == "GET" || r.Method == "HEAD" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(r.Header("Content-Type"))
	if err == nil && kind == "multipart/form-data" && params["boundary"] != "" && len(params["boundary"]) <= 256 {
		return x.parts(params["boundary"])
	}
	t := decoy.FileType(r.Body)
	switch t {
	case "elf", "pe", "php", "java", "zip", "script":
	default:
		if r.Method != "PUT" {
			return nil
		}
	}
	return x.s.File(observe.FileEvent{Path: x.path, How: "http-upload", Size: r.BodyLen, Type: t, Capped: r.Cut}, r.Body)
}

// parts reports the files of a multipart form.
func (x *visit) parts(boundary string) error {
	m := multipart.NewReader(bytes.NewReader(x.r.Body), boundary)
	for range 16 {
		part, err := m.NextRawPart()
		if err != nil {
			return nil // the rest is no form
		}
		var content bytes.Buffer
		_, err = content.ReadFrom(part) // what was cut off is reported as far as it came
		name := part.FileName()
		if name == "" {
			if t := decoy.FileType(content.Bytes()); t != "php" && t != "elf" && t != "script" {
				continue // an ordinary field
			}
			name = part.FormName()
		}
		if err := x.s.File(observe.FileEvent{Path: name, How: "http-upload", Size: int64(content.Len()), Capped: err != nil}, content.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
