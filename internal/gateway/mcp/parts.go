package mcp

import (
	"encoding/base64"
	"slices"
	"strings"

	"bartizan/internal/mcp"

	"github.com/go-json-experiment/json/jsontext"
)

// messagesIn are the messages of a line or of an array of them; what cannot be read is none.
func messagesIn(raw []byte) []mcp.Message {
	if mcp.IsBatch(raw) {
		all, err := mcp.ParseBatch(raw)
		if err != nil {
			return nil
		}
		return all
	}
	m, err := mcp.ParseMessage(raw)
	if err != nil {
		return nil
	}
	return []mcp.Message{m}
}

// requestsIn are the ids of the requests in what a client says.
func requestsIn(raw []byte) (ids []string) {
	for _, m := range messagesIn(raw) {
		if m.Kind == mcp.Request {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// answersIn are the ids of the answers in what a server says. One that is malformed counts
// too, when it says what it answers.
func answersIn(raw []byte) (ids []string) {
	all := messagesIn(raw)
	for _, m := range all {
		if m.Kind == mcp.Response {
			ids = append(ids, m.ID)
		}
	}
	if all == nil {
		ids = append(ids, mcp.GuessID(raw))
	}
	return ids
}

func without(ids, done []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(done, id) })
}

// tokenOf is the token by which the progress of a request is told, or of which one progress
// is told; "" without one.
func tokenOf(m mcp.Message) (token string) {
	if m.Params == nil {
		return ""
	}
	visit := func(name string, v jsontext.Value, _ int) error {
		if name == "progressToken" && len(v) <= 256 {
			token = string(v)
		}
		return nil
	}
	if m.Kind == mcp.Notification {
		_ = mcp.Members(m.Params, visit) // it was read before
		return token
	}
	_ = mcp.Members(m.Params, func(name string, v jsontext.Value, _ int) error {
		if name == "_meta" && v.Kind() == '{' {
			return mcp.Members(v, visit)
		}
		return nil
	})
	return token
}

// headerValue is a text as the value of a header, coded where it could not stand there.
func headerValue(s string) string {
	if strings.Trim(s, " ") == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.HasPrefix(s, "=?base64?") {
		return s
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

func plainVersion(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "0123456789-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.") == ""
}
