package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bartizan/internal/model"

	"golang.org/x/sys/unix"
)

// SocketName is the administration socket inside the data folder.
const SocketName = "admin.sock"

// maxRequest bounds what a client may send.
const maxRequest = 4 << 20

// ErrNotFound is what Node functions wrap when the thing asked for does not exist.
var ErrNotFound = errors.New("not found")

// ErrRefused is what Node functions wrap when the answer is a reasoned no.
var ErrRefused = errors.New("refused")

// ErrInput is what Node functions wrap when the request itself is wrong.
var ErrInput = errors.New("bad request")

// Problem is the one shape of errors (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// ListenAdmin opens the administration socket: mode 0600, and every connection
// is checked against the peer's user id as well, because file modes alone do
// not survive a careless chmod.
func ListenAdmin(data string) (net.Listener, error) {
	path := filepath.Join(data, SocketName)
	if len(path) > 100 {
		return nil, fmt.Errorf("open administration socket: path %s is longer than a unix socket allows (100 bytes): use a shorter --data", path)
	}
	// The bus holds a lock on the data folder, so a socket found here is a dead one.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open administration socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open administration socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open administration socket: %w", err)
	}
	return &checked{UnixListener: l, uid: os.Geteuid()}, nil
}

// checked accepts only the node's own user and root.
type checked struct {
	*net.UnixListener
	uid int
}

func (c *checked) Accept() (net.Conn, error) {
	for {
		conn, err := c.UnixListener.AcceptUnix()
		if err != nil {
			return nil, err
		}
		cred, err := peer(conn)
		if err == nil && (int(cred.Uid) == c.uid || cred.Uid == 0) {
			return conn, nil
		}
		conn.Close()
	}
}

func peer(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return nil, cerr
	}
	return cred, err
}

type whoKey struct{}

// ServeAdmin answers on the administration socket until ctx ends.
func ServeAdmin(ctx context.Context, l net.Listener, n Node) error {
	mux := http.NewServeMux()
	n.routes(mux)
	mux.Handle("GET /metrics", n.Metrics)
	mux.Handle("GET /health", n.Health)
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			who := "admin socket"
			if u, ok := c.(*net.UnixConn); ok {
				if cred, err := peer(u); err == nil {
					who = fmt.Sprintf("uid=%d pid=%d", cred.Uid, cred.Pid)
				}
			}
			return context.WithValue(ctx, whoKey{}, who)
		},
	}
	return serve(ctx, srv, l)
}

// ServePublic answers /metrics, /health and the console page on a TCP address.
// None of it changes anything or shows evidence.
func ServePublic(ctx context.Context, l net.Listener, n Node) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.Metrics)
	mux.Handle("GET /health", n.Health)
	mux.HandleFunc("GET /{$}", consolePage)
	return serve(ctx, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}, l)
}

func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	})
	err := srv.Serve(l)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func (n Node) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { reply(w, n.Status(r.Context()), nil) })
	mux.HandleFunc("GET /v1/decisions", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		out, err := n.Decisions(r.Context(), DecisionQuery{State: model.State(q.Get("state")), Target: q.Get("target"), All: q.Get("all") == "true", Limit: number(q.Get("limit"))})
		reply(w, out, err)
	})
	mux.HandleFunc("POST /v1/decisions", func(w http.ResponseWriter, r *http.Request) {
		var c DecisionChange
		if !body(w, r, &c) {
			return
		}
		out, err := n.Change(r.Context(), c, who(r))
		reply(w, out, err)
	})
	mux.HandleFunc("POST /v1/verified", func(w http.ResponseWriter, r *http.Request) {
		var v Verification
		if !body(w, r, &v) {
			return
		}
		out, err := n.Verified(r.Context(), v, who(r))
		reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/intel", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		least, _ := strconv.ParseFloat(q.Get("min"), 64)
		out, err := n.Intel(r.Context(), IntelQuery{Type: model.EntityType(q.Get("type")), Value: q.Get("value"), MinConfidence: least, Limit: number(q.Get("limit"))})
		reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/signals", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		since, _ := time.Parse(time.RFC3339Nano, q.Get("since"))
		out, err := n.Signals(r.Context(), SignalQuery{Since: since, Actor: q.Get("actor"), Kind: q.Get("kind"), Limit: number(q.Get("limit"))})
		reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/why", func(w http.ResponseWriter, r *http.Request) {
		out, err := n.Why(r.Context(), r.URL.Query().Get("id"))
		reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/evidence/{sha}", func(w http.ResponseWriter, r *http.Request) {
		b, err := n.Evidence(r.Context(), r.PathValue("sha"))
		if err != nil {
			reply(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b) // the client has gone when this fails
	})
	mux.HandleFunc("POST /v1/replay", func(w http.ResponseWriter, r *http.Request) {
		var q ReplayRequest
		if !body(w, r, &q) {
			return
		}
		out, err := n.Replay(r.Context(), q)
		reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/export", n.export)
	mux.HandleFunc("POST /v1/lease", n.lease)
}

// lease holds the lease for as long as the request is open, so that it ends
// with the drill however the drill ends.
func (n Node) lease(w http.ResponseWriter, r *http.Request) {
	var q LeaseRequest
	if !body(w, r, &q) {
		return
	}
	lease, end, err := n.Lease(r.Context(), q, who(r))
	if err != nil {
		reply(w, nil, err)
		return
	}
	reason := "the drill has gone"
	defer func() { end(reason) }()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(lease); err != nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	timer := time.NewTimer(time.Until(lease.Until))
	defer timer.Stop()
	select {
	case <-r.Context().Done():
	case <-timer.C:
		reason = "its time is over"
	}
}

func who(r *http.Request) string {
	w, _ := r.Context().Value(whoKey{}).(string)
	return w
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func body(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		reply(w, nil, fmt.Errorf("%w: %w", ErrInput, err))
		return false
	}
	return true
}

func reply(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	switch {
	case err == nil:
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrRefused):
		status = http.StatusConflict
	case errors.Is(err, ErrInput):
		status = http.StatusBadRequest
	default:
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.Header().Set("Content-Type", "application/problem+json")
		v = Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: err.Error()}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone when this fails
}
