package mcp

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"bartizan/internal/mcp"
)

// held serves a client whose server the gateway holds, over streamable HTTP.
func (x *exchange) held(agent, name string) {
	id := x.r.Header.Get(sessionHeader)
	o := x.h.find(id, agent, name, false)
	if id != "" && o == nil { // the client begins anew, as the specification says
		http.Error(x.w, "the gateway knows no such session", http.StatusNotFound)
		return
	}
	switch x.r.Method {
	case http.MethodPost:
		body, ok := x.message()
		if !ok {
			return
		}
		if o == nil {
			m, err := mcp.ParseMessage(body)
			if err != nil || m.Method != "initialize" {
				x.reply(http.StatusBadRequest, mcp.Failure(mcp.GuessID(body), mcp.CodeMethod, "refused by the gateway: begin with initialize, and name the session then"))
				return
			}
			var status int
			if o, status, err = x.h.host(x, agent, name, false); err != nil {
				x.reply(status, mcp.Failure(m.ID, mcp.CodeInternal, err.Error()))
				return
			}
		}
		defer o.use()()
		x.s = o.session
		x.w.Header().Set(sessionHeader, o.id)
		x.heldPost(o, body)
	case http.MethodGet:
		if o == nil {
			http.Error(x.w, "begin with initialize, and name the session then; clients of 2024-11-05 use /"+name+"/sse", http.StatusBadRequest)
			return
		}
		defer o.use()()
		st := o.open(nil, true)
		if st == nil {
			http.Error(x.w, "the session has a stream", http.StatusConflict)
			return
		}
		defer o.shut(st)
		x.begin()
		x.pump(o, st, o.takeKept())
	case http.MethodDelete:
		if o == nil {
			http.Error(x.w, "name the session", http.StatusBadRequest)
			return
		}
		o.stop()
		x.w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(x.w, "use POST, GET or DELETE", http.StatusMethodNotAllowed)
	}
}

// heldPost is one message of the client.
func (x *exchange) heldPost(o *hosted, body []byte) {
	if !x.sameHeaders(body) {
		return
	}
	out, later := o.session.FromClient(body)
	if later != nil {
		out = later(x.r.Context(), o.ask)
	}
	switch {
	case out.Forward == nil && out.Answer != nil:
		x.reply(http.StatusOK, out.Answer)
		return
	case out.Forward == nil:
		x.w.WriteHeader(http.StatusAccepted)
		return
	}
	var st *stream
	if ids := requestsIn(out.Forward); len(ids) > 0 {
		st = o.open(out.Forward, strings.Contains(x.r.Header.Get("Accept"), "text/event-stream"))
		defer o.shut(st)
	}
	if err := o.server.write(out.Forward); err != nil {
		o.stop() // half a message may be out
		id := ""
		if st != nil && len(st.waits) > 0 {
			id = st.waits[0]
		}
		x.reply(http.StatusBadGateway, mcp.Failure(id, mcp.CodeInternal, "the gateway could not reach the server"))
		return
	}
	if st == nil {
		x.w.WriteHeader(http.StatusAccepted)
		return
	}
	x.answers(o, st)
}

// answers passes on what answers a request: in one piece, when nothing comes before the
// answer, else as events.
func (x *exchange) answers(o *hosted, st *stream) {
	var whole [][]byte
	for {
		select {
		case p := <-st.msgs:
			if st.events && !p.last && len(whole) == 0 {
				x.begin()
				if x.emit(p.raw) == nil {
					x.pump(o, st, nil)
				}
				return
			}
			if whole = append(whole, p.raw); !p.last {
				continue
			}
			body := whole[0]
			if len(whole) > 1 {
				body = []byte("[" + strings.Join(texts(whole), ",") + "]")
			}
			x.slow()
			x.reply(http.StatusOK, body)
			return
		case <-x.r.Context().Done():
			return
		case <-o.over:
			x.reply(http.StatusBadGateway, mcp.Failure(first(st.waits), mcp.CodeInternal, errOver.Error()))
			return
		}
	}
}

func first(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

func texts(all [][]byte) (out []string) {
	for _, b := range all {
		out = append(out, string(b))
	}
	return out
}

// begin is the head of a stream of events.
func (x *exchange) begin() {
	x.isOpen = true
	x.w.Header().Set("Content-Type", "text/event-stream")
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	x.w.Header().Set("Cache-Control", "no-cache, no-transform")
	x.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(x.w).Flush() // an error comes back with the first write
}

// slow gives a client that does not read a limit of time for what is written next.
func (x *exchange) slow() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(slowPeer)) // a writer without one is a test's
}

// emit writes one message as an event.
func (x *exchange) emit(raw []byte) error {
	x.slow()
	if err := writeEvent(x.w, &event{}, raw); err != nil {
		return err
	}
	return http.NewResponseController(x.w).Flush()
}

// pump writes the messages of a stream until it is complete, or one side is gone.
func (x *exchange) pump(o *hosted, st *stream, kept [][]byte) {
	for _, raw := range kept {
		if x.emit(raw) != nil {
			return
		}
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		select {
		case p := <-st.msgs:
			if x.emit(p.raw) != nil || p.last {
				return
			}
		case <-alive.C:
			x.slow()
			if _, err := fmt.Fprint(x.w, ":\n\n"); err != nil || http.NewResponseController(x.w).Flush() != nil {
				return
			}
		case <-x.r.Context().Done():
			return
		case <-o.over:
			return
		}
	}
}

// old serves a client of the transport of 2024-11-05: a stream that says where messages are
// sent to, and brings all that the server says. It is the session: it ends with it.
func (x *exchange) old(agent, name string) {
	id := x.r.URL.Query().Get("session")
	switch {
	case x.r.Method == http.MethodGet && id == "":
		o, status, err := x.h.host(x, agent, name, true)
		if err != nil {
			http.Error(x.w, err.Error(), status)
			return
		}
		defer o.use()()
		defer o.stop()
		st := o.open(nil, true)
		defer o.shut(st)
		x.s = o.session
		x.begin()
		x.slow()
		if _, err := strings.NewReader("event: endpoint\ndata: /" + name + "/sse?session=" + o.id + "\n\n").WriteTo(x.w); err != nil {
			return
		}
		if http.NewResponseController(x.w).Flush() == nil {
			x.pump(o, st, o.takeKept())
		}
	case x.r.Method == http.MethodPost:
		o := x.h.find(id, agent, name, true)
		if o == nil {
			http.Error(x.w, "the gateway knows no such session", http.StatusNotFound)
			return
		}
		x.s = o.session
		if body, ok := x.message(); ok && x.sameHeaders(body) {
			x.oldPost(o, body)
		}
	default:
		http.Error(x.w, "use GET, and POST with the session", http.StatusMethodNotAllowed)
	}
}

func (x *exchange) oldPost(o *hosted, body []byte) {
	out, later := o.session.FromClient(body)
	if later != nil {
		o.late.Add(1)
		go func() {
			defer o.late.Done()
			if o.deliver(later(o.ctx, o.ask)) != nil {
				o.stop()
			}
		}()
	} else if o.deliver(out) != nil {
		o.stop()
		http.Error(x.w, "the gateway could not reach the server", http.StatusBadGateway)
		return
	}
	x.w.WriteHeader(http.StatusAccepted)
}
