package keeper

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"bartizan/internal/jail"
	"bartizan/internal/safe"

	"golang.org/x/sys/unix"
)

// ChildVerb is the hidden command line word under which the binary runs as the keeper.
const ChildVerb = "__keeper"

// setup is the first and only frame the keeper gets.
type setup struct {
	Routes []setupRoute `json:"routes"`
}

type setupRoute struct {
	Name   string `json:"name"`
	Host   string `json:"host"`   // as the header has it
	TLS    bool   `json:"tls"`    // else the upstream is on the loopback
	Server string `json:"server"` // the name its certificate must have
	Port   uint16 `json:"port"`
	Header string `json:"header"` // that carries the key
	Region string `json:"region"` // of AWS: requests are signed
	File   bool   `json:"file"`   // the key is in the next descriptor
	Key    string `json:"key"`    // else here
}

const (
	maxSetup  = 4 << 20
	maxRoutes = 1000
	opening   = 'C' // first byte of a message on the control connection, with two descriptors
	good      = 'K' // first byte of an answer: the connection stands
	failed    = 'E' // or it does not, and why
	answerLen = 3   // bytes of an answer before its text: kind and 16-bit length
	maxWhy    = 500
	handshake = 30 * time.Second
	chunk     = 8 << 10 // read at once, of an answer
)

// RunChild is the whole life of the keeper: read the certificates of authorities, lock in,
// read the keys, and serve connections until the gateway goes away.
func RunChild(ctx context.Context) error {
	roots, rootErr := x509.SystemCertPool() // files; nothing hostile has been read yet
	cell, err := jail.Enter(jail.Options{})
	if err != nil {
		return err
	}
	raw, err := jail.ReadFrame(cell.Conn, maxSetup)
	if err != nil {
		return fmt.Errorf("read setup from the gateway: %w", err)
	}
	var s setup
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read setup from the gateway: %w", err)
	}
	clear(raw)
	k := &child{log: os.Stderr}
	if err := k.load(s, cell.Files, roots); err != nil {
		return errors.Join(err, answer(cell.Conn, err))
	}
	if rootErr != nil {
		fmt.Fprintln(os.Stderr, "no certificates of authorities, so no provider can prove who it is:", rootErr)
	}
	if err := answer(cell.Conn, nil); err != nil {
		return err
	}
	control, ok := cell.Conn.(*net.UnixConn)
	if !ok {
		return errors.New("the connection to the gateway is no Unix socket")
	}
	return k.serve(ctx, control)
}

// child is the keeper.
type child struct {
	routes []childRoute
	log    io.Writer
	open   sync.WaitGroup
}

type childRoute struct {
	setupRoute
	key    key
	secure *tls.Config
}

func (k *child) load(s setup, files []*os.File, roots *x509.CertPool) error {
	if len(s.Routes) > maxRoutes {
		return fmt.Errorf("%d routes, at most %d", len(s.Routes), maxRoutes)
	}
	for _, r := range s.Routes {
		var file *os.File
		if r.File {
			if len(files) == 0 {
				return fmt.Errorf("route %s: the file of its key was not handed over", r.Name)
			}
			file, files = files[0], files[1:]
		}
		v, err := r.load(file)
		if file != nil {
			file.Close()
		}
		if err != nil {
			return fmt.Errorf("route %s: key: %w", r.Name, err)
		}
		r.Key = ""
		k.routes = append(k.routes, childRoute{r, v, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.Server, RootCAs: roots,
			NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(16)}})
	}
	return nil
}

// answer says how it went.
func answer(w io.Writer, err error) error {
	b := []byte{good, 0, 0}
	if err != nil {
		text := safe.Clean(err.Error(), maxWhy)
		b = append(binary.LittleEndian.AppendUint16([]byte{failed}, uint16(len(text))), text...)
	}
	_, werr := w.Write(b)
	return werr
}

// readAnswer reads what answer wrote.
func readAnswer(r io.Reader) error {
	var b [answerLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("the keeper of the keys did not answer: %w", err)
	}
	n := binary.LittleEndian.Uint16(b[1:])
	switch {
	case b[0] == good && n == 0:
		return nil
	case b[0] != failed || n > 4*maxWhy:
		return errors.New("the keeper of the keys answered nonsense")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("the keeper of the keys did not answer: %w", err)
	}
	return errors.New(safe.Clean(string(text), maxWhy))
}

// serve takes connections until the gateway closes its side.
func (k *child) serve(ctx context.Context, control *net.UnixConn) error {
	defer k.open.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { control.Close() })
	defer stop()
	for {
		r, up, data, err := k.take(control)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil // the gateway is gone, or we are told to end
		case errors.Is(err, errFull):
			fmt.Fprintln(k.log, err) // the gateway sees its end close, and tells who waits
			continue
		case err != nil:
			return err
		}
		k.open.Go(func() {
			stop := context.AfterFunc(ctx, func() { up.Close(); data.Close() })
			defer stop()
			if err := r.carry(ctx, up, data); err != nil {
				fmt.Fprintf(k.log, "route %s: %s\n", r.Name, safe.Clean(err.Error(), maxWhy))
			}
		})
	}
}

// errFull says that the kernel had no room for the descriptors of a message (it cuts them off).
var errFull = errors.New("too many connections are open: no descriptors left for another one; raise the limit of open files")

// take reads one message: two bytes of route, and two connections.
func (k *child) take(control *net.UnixConn) (r *childRoute, up, data net.Conn, err error) {
	msg, oob := make([]byte, 3), make([]byte, unix.CmsgSpace(2*4))
	n, oobn, _, _, err := control.ReadMsgUnix(msg, oob)
	if n == 0 || err != nil {
		if err == nil {
			err = io.EOF
		}
		return nil, nil, nil, err
	}
	fds, err := rights(oob[:oobn])
	if err == nil && n == len(msg) && msg[0] == opening && len(fds) < 2 {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, nil, nil, errFull
	}
	if err != nil || n != len(msg) || msg[0] != opening || len(fds) != 2 {
		return nil, nil, nil, errors.Join(errors.New("the gateway broke the protocol"), err)
	}
	i := int(binary.LittleEndian.Uint16(msg[1:]))
	up, err = connection(fds[0], "upstream")
	data, err2 := connection(fds[1], "gateway")
	if err = errors.Join(err, err2); err == nil && i >= len(k.routes) {
		err = fmt.Errorf("the gateway named route %d of %d", i, len(k.routes))
	}
	if err != nil {
		return nil, nil, nil, err
	}
	return &k.routes[i], up, data, nil
}

func rights(oob []byte) (fds []int, err error) {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range all {
		some, err := unix.ParseUnixRights(&all[i])
		if err != nil {
			return nil, err
		}
		fds = append(fds, some...)
	}
	return fds, nil
}

func connection(fd int, name string) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return net.FileConn(f)
}

// carry serves one connection until one side closes it.
func (r *childRoute) carry(ctx context.Context, up, data net.Conn) error {
	defer up.Close()
	defer data.Close()
	secure, err := r.prove(ctx, up)
	if e := answer(data, err); e != nil || err != nil {
		return nil // the gateway knows, and tells who waits
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{data}, struct{ io.Reader }{secure}, make([]byte, chunk))
		data.Close()
		up.Close()
	})
	err = r.requests(secure, data)
	data.Close()
	up.Close()
	answers.Wait()
	return err
}

// prove makes sure that the other side is the route's upstream.
func (r *childRoute) prove(ctx context.Context, up net.Conn) (net.Conn, error) {
	if !r.TLS {
		at, err := netip.ParseAddrPort(up.RemoteAddr().String())
		if err != nil || !at.Addr().Unmap().IsLoopback() || at.Port() != r.Port {
			return nil, errors.New("the key goes to the upstream on this machine only, and the connection leads elsewhere")
		}
		return up, nil
	}
	t := tls.Client(up, r.secure)
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", r.Server, err)
	}
	return t, nil
}

// requests passes requests on, each with the key.
func (r *childRoute) requests(up io.Writer, data io.Reader) error {
	in, buf, out := bufio.NewReaderSize(data, chunk), []byte(nil), []byte(nil)
	for {
		var h *head
		var err error
		if buf, h, err = readHead(in, buf); err != nil {
			if errors.Is(err, errHead) {
				return err
			}
			return nil // the gateway closed it
		}
		if host := h.field("Host"); !bytes.EqualFold(host, []byte(r.Host)) {
			return fmt.Errorf("%w: it is for another host", errHead)
		}
		drop, lines, err := r.key.fields(h, time.Now())
		if err != nil {
			return err
		}
		out = h.write(out[:0], drop, lines)
		left := h.length
		if n := min(left, int64(in.Buffered())); n > 0 { // one packet for what is here
			part, _ := in.Peek(int(n))
			out = append(out, part...)
			_, _ = in.Discard(int(n))
			left -= n
		}
		if _, err := up.Write(out); err != nil {
			return nil // the provider closed it; the gateway sees the same
		}
		if left > 0 {
			if _, err := io.CopyN(struct{ io.Writer }{up}, in, left); err != nil {
				return nil
			}
		}
		if cap(out) > maxHead {
			out = nil
		}
	}
}
