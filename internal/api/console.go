package api

import (
	"net/http"
)

// consoleHelp is served where a web console would be; there is none yet.
const consoleHelp = `<!doctype html><meta charset="utf-8"><title>Bartizan</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}code{background:#eee;padding:.1em .3em}</style>
<h1>Bartizan is running</h1>
<p>This version has no web console. Everything is available on the command line of this host:</p>
<p><code>bartizan status</code> · <code>bartizan drill</code> · <code>bartizan decisions list</code> · <code>bartizan intel list</code> · <code>bartizan why ID</code></p>
<p>For programs: the <a href="https://www.openapis.org/">OpenAPI</a> interface that <code>bartizan status</code> names; <a href="/health">/health</a>, <a href="/metrics">/metrics</a>.</p>
`

func consolePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write([]byte(consoleHelp)) // the client has gone when this fails
}
