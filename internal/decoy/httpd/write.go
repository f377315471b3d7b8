package httpd

import (
	"fmt"
	"strconv"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// Response is what to answer. Body is sent with its length; for HEAD only the
// length is.
type Response struct {
	Status  int
	Type    string          // Content-Type; "" for none
	Headers []observe.Field // more, in order
	Body    []byte
	Close   bool
	Dynamic bool // made by an application: nginx sends it in chunks
}

// Style is how a server orders and spells its headers.
type Style struct {
	Server string // value of the Server header; "" for none
	Nginx  bool   // Server before Date, Type before Length, and Connection always said
	Go     bool   // as Go's net/http: headers of the handler sorted, then Date and Content-Length
}

// Write buffers a response to r; the caller flushes.
func (st Style) Write(s *decoy.Session, r *Request, w Response) error {
	if r.Proto == "" { // HTTP/0.9 has no headers
		_, err := s.Write(w.Body)
		return err
	}
	close := w.Close || !r.KeepAlive
	chunked := w.Dynamic && st.Nginx && r.Proto != "HTTP/1.0" && len(w.Body) > 0
	h := header{b: s.Scratch()}
	if st.Go {
		h.b = append(h.b, goVersion(r)...)
	} else {
		h.b = append(h.b, "HTTP/1.1 "...)
	}
	h.b = strconv.AppendInt(h.b, int64(w.Status), 10)
	h.b = append(append(append(h.b, ' '), st.reason(w.Status)...), "\r\n"...)
	switch {
	case st.Go:
		h.b = st.goHead(h.b, r, w, strconv.Itoa(len(w.Body)), close)
	case st.Nginx:
		st.nginx(&h, w, chunked, close)
	default:
		st.apache(&h, r, w, close)
	}
	h.b = append(h.b, "\r\n"...)
	if r.Method == "HEAD" || w.Status == 204 || w.Status == 304 {
		_, err := s.Write(h.b)
		return err
	}
	if chunked {
		h.b = append(strconv.AppendInt(h.b, int64(len(w.Body)), 16), "\r\n"...)
	}
	_, err := s.Write(h.b)
	if err == nil {
		_, err = s.Write(w.Body)
	}
	if err == nil && chunked {
		_, err = s.WriteString("\r\n0\r\n\r\n")
	}
	return err
}

// header is a response head being written.
type header struct{ b []byte }

func (h *header) field(name, value string) {
	h.b = append(append(append(append(h.b, name...), ": "...), value...), "\r\n"...)
}

func (h *header) date() {
	h.b = append(time.Now().UTC().AppendFormat(append(h.b, "Date: "...), Date), "\r\n"...)
}

func (h *header) length(w *Response) {
	if w.Status >= 200 && w.Status != 204 && w.Status != 304 {
		h.b = strconv.AppendInt(append(h.b, "Content-Length: "...), int64(len(w.Body)), 10)
		h.b = append(h.b, "\r\n"...)
	}
}

// Date is the layout of HTTP dates (RFC 9110 §5.6.7), for UTC.
const Date = "Mon, 02 Jan 2006 15:04:05 GMT"

// nginx writes what ngx_http_header_filter writes, in its order: its own fields
// first, then those of applications and filters.
func (st Style) nginx(h *header, w Response, chunked, close bool) {
	early := func(name string) bool { return name == "Last-Modified" || name == "Location" }
	h.field("Server", st.Server)
	h.date()
	if w.Type != "" {
		h.field("Content-Type", w.Type)
	}
	if !chunked {
		h.length(&w)
	}
	for _, f := range w.Headers {
		if early(f.Name) {
			h.field(f.Name, f.Value)
		}
	}
	if chunked {
		h.field("Transfer-Encoding", "chunked")
	}
	if close {
		h.field("Connection", "close")
	} else {
		h.field("Connection", "keep-alive")
	}
	for _, f := range w.Headers {
		if !early(f.Name) && f.Name != "Vary" { // gzip_vary is off by default
			h.field(f.Name, f.Value)
		}
	}
}

// apache writes what Apache's core writes around the fields of handlers.
func (st Style) apache(h *header, r *Request, w Response, close bool) {
	h.date()
	if st.Server != "" {
		h.field("Server", st.Server)
	}
	vary := ""
	for _, f := range w.Headers {
		if f.Name == "Vary" { // mod_deflate adds it after the length is known
			vary = f.Value
			continue
		}
		h.field(f.Name, f.Value)
	}
	h.length(&w)
	if vary != "" {
		h.field("Vary", vary)
	}
	switch {
	case close:
		h.field("Connection", "close")
	case containsFold(r.Header("Connection"), "keep-alive"):
		h.field("Keep-Alive", "timeout=5, max=100")
		h.field("Connection", "Keep-Alive")
	}
	if w.Type != "" {
		h.field("Content-Type", w.Type)
	}
}

// reason is the phrase of a status as this server writes it.
func (st Style) reason(status int) string {
	if st.Nginx {
		switch status {
		case 302:
			return "Moved Temporarily"
		case 405:
			return "Not Allowed"
		case 414:
			return "Request-URI Too Large"
		}
	}
	return Reason(status)
}

// Reason is the phrase of a status, as nginx and Apache write it.
func Reason(status int) string {
	for _, r := range reasons {
		if r.status == status {
			return r.phrase
		}
	}
	return fmt.Sprintf("Status %d", status)
}

var reasons = []struct {
	status int
	phrase string
}{
	{200, "OK"}, {404, "Not Found"}, {302, "Found"}, {301, "Moved Permanently"}, {403, "Forbidden"}, {401, "Unauthorized"}, {400, "Bad Request"},
	{201, "Created"}, {204, "No Content"}, {304, "Not Modified"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
	{411, "Length Required"}, {413, "Request Entity Too Large"}, {414, "Request-URI Too Long"}, {415, "Unsupported Media Type"}, {422, "Unprocessable Entity"},
	{429, "Too Many Requests"}, {500, "Internal Server Error"}, {501, "Not Implemented"}, {505, "HTTP Version Not Supported"}, {431, "Request Header Fields Too Large"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {101, "UPGRADED"},
}
