package query

import (
	"slices"

	"bartizan/internal/model"
)

// all is every view, one line per class of the lake below its columns. A new kind of observation is one more entry here: the
// name of its class and where each column is found in its rows (OCSF, see package ocsf). Where a lake is older than a
// column, or has nothing of a class, the column is NULL and the view is empty; the types stay.
func all() []*view { return slices.Concat(visits(), services(), conclusions()) }

// visits are the views of what a visitor does on any decoy.
func visits() []*view {
	return []*view{
		visit("interactions", "interaction", "Connections: opened (ended is false) and ended", []column{
			{"ended", "BOOLEAN", "{activity_id} = 2", "false: the connection was still open", ""},
			{"duration", "DOUBLE", "{unmapped.duration}", "seconds", ""},
			{"bytes_in", "BIGINT", "{traffic.bytes_out}", "bytes the visitor sent", ""},
			{"bytes_out", "BIGINT", "{traffic.bytes_in}", "bytes the visitor received", ""},
			{"protocol", "VARCHAR", "{app_protocol_name}", "guess from the first bytes", ""},
			{"client", "VARCHAR", "{unmapped.client}", "what the client calls itself", ""},
			{"ja3", "VARCHAR", "{unmapped.ja3}", "TLS client fingerprint", model.TypeJA3},
			{"ja4", "VARCHAR", "{ja4_fingerprint_list}[1].value", "TLS client fingerprint", model.TypeJA4},
			{"hassh", "VARCHAR", "{unmapped.hassh}", "SSH client fingerprint", model.TypeHASSH},
			{"sni", "VARCHAR", "{unmapped.sni}", "server name asked for", model.TypeDomain},
			{"alpn", "VARCHAR", "{unmapped.alpn}", "TLS application protocols offered", ""},
			{"persona", "VARCHAR", "{unmapped.persona}", "host that was played", ""},
			{"first", "BLOB", "{unmapped.first}", "first bytes sent", ""},
			{"shed", "BIGINT", "{unmapped.shed}", "connections refused for load before", ""},
			{"close_error", "VARCHAR", "{status_detail}", "how it broke", ""},
		}),
		visit("http", "http", "HTTP requests", []column{
			{"method", "VARCHAR", "coalesce({http_request.http_method}, {activity_name})", "", ""},
			{"scheme", "VARCHAR", "{http_request.url.scheme}", "http or https", ""},
			{"host", "VARCHAR", "{http_request.url.hostname}", "from the Host field", model.TypeDomain},
			{"path", "VARCHAR", "{http_request.url.path}", "target up to its first ?, undecoded", ""},
			{"query", "VARCHAR", "{http_request.url.query_string}", "", ""},
			{"url", "VARCHAR", "{http_request.url.scheme} || '://' || {http_request.url.hostname} || coalesce(':' || {http_request.url.port}, '') || " +
				"{http_request.url.path} || coalesce('?' || {http_request.url.query_string}, '')", "put together of the above", model.TypeURL},
			{"user_agent", "VARCHAR", "{http_request.user_agent}", "", typeUserAgent},
			{"status", "INTEGER", "{http_response.code}", "what the decoy answered", ""},
			{"version", "VARCHAR", "{http_request.version}", "", ""},
			{"headers", "STRUCT(name VARCHAR, value VARCHAR)[]", "{http_request.http_headers}", "in their order", ""},
			{"body_length", "BIGINT", "{http_request.body_length}", "", ""},
			{"body", "BLOB", "{unmapped.body}", "its beginning", ""},
			{"lure", "VARCHAR", "{unmapped.lure}", "which lure answered", ""},
		}),
		visit("logins", "auth", "Credentials offered", []column{
			{"username", "VARCHAR", "{user.name}", "", ""},
			{"password", "VARCHAR", "{unmapped.password}", "", ""},
			{"key", "VARCHAR", "{unmapped.key}", "fingerprint of a public key, or identifier of an access key", model.TypeAccessKey},
			{"method", "VARCHAR", "{auth_protocol}", "password, publickey, Basic Authentication, …", ""},
			{"accepted", "BOOLEAN", "{status_id} = 1", "the decoy let them in", ""},
		}),
		visit("commands", "command", "Command lines of emulated shells", []column{
			{"command", "VARCHAR", "{process.cmd_line}", "", ""},
			{"username", "VARCHAR", "{process.user.name}", "", ""},
		}, "unmapped."),
	}
}

// services are the views of what only some decoys see.
func services() []*view {
	return []*view{
		visit("prompts", "exchange", "Requests to language models", []column{
			{"api", "VARCHAR", "coalesce({ai_model.ai_provider}, {api.service.name})", "ollama, openai, …", ""},
			{"route", "VARCHAR", "{api.operation}", "", ""},
			{"model", "VARCHAR", "{ai_model.name}", "", ""},
			{"system", "VARCHAR", "{api.request.data.system}", "system prompt", ""},
			{"prompt", "VARCHAR", "{api.request.data.prompt}", "newest text of the user", ""},
			{"turns", "BIGINT", "{api.request.data.turns}", "", ""},
			{"stream", "BOOLEAN", "{api.request.data.stream}", "", ""},
			{"options", "VARCHAR", "{api.request.data.options}", "max tokens and the like", ""},
			{"answer", "VARCHAR", "{api.response.data.answer}", "its beginning", ""},
			{"key", "VARCHAR", "{api.token.uid}", "identifier of the API key offered", model.TypeAccessKey},
		}),
		visit("files", "file", "Files visitors brought", []column{
			{"path", "VARCHAR", "{file.path}", "", ""},
			{"name", "VARCHAR", "{file.name}", "last element of the path", ""},
			{"sha256", "VARCHAR", "{file.hashes}[1].value", "", model.TypeSHA256},
			{"size", "BIGINT", "{file.size}", "", ""},
			{"type", "VARCHAR", "{unmapped.type}", "by content: elf, script, …", ""},
			{"how", "VARCHAR", "{unmapped.how}", "scp, sftp, http-upload, …", ""},
			{"capped", "BOOLEAN", "{unmapped.capped}", "only its beginning was taken", ""},
		}, "unmapped."),
		visit("downloads", "fetch", "Downloads visitors asked for; nothing is ever fetched", []column{
			{"url", "VARCHAR", "{url.url_string}", "as written", model.TypeURL},
			{"host", "VARCHAR", "{url.hostname}", "", model.TypeDomain},
			{"path", "VARCHAR", "{url.path}", "", ""},
			{"tool", "VARCHAR", "{unmapped.tool}", "wget, curl, …", ""},
		}),
		visit("forwards", "forward", "Wishes to use a decoy as a relay", []column{
			{"target", "VARCHAR", "{unmapped.target}", "host:port asked for", typeHostPort},
			{"kind", "VARCHAR", "{protocol_name}", "direct-tcpip, http-connect, socks5, …", ""},
		}),
		visit("calls", "call", "Operations of service protocols (Redis commands, Docker calls)", []column{
			{"operation", "VARCHAR", "{api.operation}", "canonical name", ""},
			{"args", "VARCHAR[]", "{api.request.data.args}", "", ""},
			{"detail", "VARCHAR", "{api.request.data.detail}", "body or remainder", ""},
			{"failed", "BOOLEAN", "{status_id} = 2", "", ""},
		}),
	}
}

// conclusions are the views of what the program itself made of it.
func conclusions() []*view {
	return []*view{
		{name: "signals", class: "signal", doc: "What detectors concluded", columns: moment([]column{
			{"id", "VARCHAR", "{metadata.uid}", "", ""},
			{"kind", "VARCHAR", "{finding_info.types}[1]", "auth.brute-force, …", ""},
			{"class", "VARCHAR", "{unmapped.class}", "kind of evidence", ""},
			{"rule", "VARCHAR", "{finding_info.analytic.uid}", "", ""},
			{"title", "VARCHAR", "{finding_info.title}", "", ""},
			{"actor", "VARCHAR", "{unmapped.actor.value}", "an address, or the /64 of one", ""},
			{"src_ip", "VARCHAR", "{unmapped.address}", "exact address seen", model.TypeIP},
			{"target", "VARCHAR", "{resources}[1].name", "what was touched", ""},
			{"sensor", "VARCHAR", "{unmapped.sensor}", "", ""},
			{"confidence", "DOUBLE", "{unmapped.confidence}", "0–1", ""},
			{"severity", "INTEGER", "{severity_id}", "1 informational … 5 critical (OCSF)", ""},
			{"techniques", "VARCHAR[]", "list_transform({finding_info.attacks}, lambda a: coalesce(a.sub_technique.uid, a.technique.uid))", "ATT&CK and ATLAS", ""},
			{"count", "BIGINT", "{count}", "observations summed up", ""},
			{"session", "VARCHAR", "{evidences}[1].data.session", "of the first piece of evidence", ""},
			{"spoofable", "BOOLEAN", "{unmapped.spoofable}", "", ""},
			{"evidence", "STRUCT(session VARCHAR, time TIMESTAMPTZ, what VARCHAR, blob VARCHAR, excerpt VARCHAR)[]",
				"list_transform({evidences}, lambda e: {'session': e.data.session, 'time': e.data.time, 'what': e.data.what, 'blob': e.data.blob, 'excerpt': e.data.excerpt})", "", ""},
			{"observables", "STRUCT(name VARCHAR, type_id INTEGER, value VARCHAR)[]", "{observables}", "actor, address, and what came with it", ""},
		})},
		{name: "decisions", class: "decision", doc: "The ledger: what was decided, approved, ended and why", columns: moment([]column{
			{"id", "VARCHAR", "{command_uid}", "of the decision", ""},
			{"sequence", "BIGINT", "{metadata.sequence}", "place in the ledger", ""},
			{"change", "VARCHAR", "{status_code}", "decide, hold, approve, remove, expire, …", ""},
			{"reason", "VARCHAR", "coalesce({status_detail}, {remediation.desc})", "", ""},
			{"by", "VARCHAR", "{unmapped.by}", "who changed it", ""},
			{"action", "VARCHAR", "{unmapped.decision.action}", "observe, alert, throttle, block, isolate", ""},
			{"target", "VARCHAR", "{unmapped.decision.target.value}", "", model.TypeIP},
			{"policy", "VARCHAR", "{policy.name}", "line of the policy", ""},
			{"confidence", "DOUBLE", "{unmapped.decision.confidence}", "0–1", ""},
			{"dry_run", "BOOLEAN", "{unmapped.decision.dry_run}", "", ""},
			{"from", "TIMESTAMPTZ", "{unmapped.decision.from}", "", ""},
			{"until", "TIMESTAMPTZ", "coalesce({unmapped.until}, {unmapped.decision.until})", "", ""},
			{"recurrence", "BIGINT", "{unmapped.decision.recurrence}", "how often before", ""},
			{"signals", "VARCHAR[]", "{unmapped.decision.signals}", "why", ""},
			{"guardrails", "STRUCT(guardrail VARCHAR, verdict VARCHAR, detail VARCHAR)[]", "{unmapped.decision.guardrails}", "", ""},
		})},
		{name: "receipts", class: "receipt", doc: "What enforcers said about decisions", columns: moment([]column{
			{"id", "VARCHAR", "{metadata.uid}", "", ""},
			{"decision", "VARCHAR", "{command_uid}", "", ""},
			{"enforcer", "VARCHAR", "{unmapped.enforcer}", "nft, …", ""},
			{"status", "VARCHAR", "{status_code}", "delivered, applied, verified, refused, expired", ""},
			{"detail", "VARCHAR", "{status_detail}", "", ""},
		})},
	}
}

// The kinds of value an indicator is compared with that are no entity by themselves.
const (
	typeUserAgent model.EntityType = "user-agent"
	typeHostPort  model.EntityType = "host-port"
)

// moment is a view's own columns between those that every view has.
func moment(own []column) []column {
	// By way of text, because DuckDB 1.5.5 fails an assertion on min and max of a bare partition column when one file is read.
	head := []column{
		{"time", "TIMESTAMPTZ", "{time_dt}", "when it happened", ""},
		{"day", "DATE", "{day}::VARCHAR", "partition: a condition on it skips files", ""},
		{"hour", "INTEGER", "{hour}::VARCHAR", "partition", ""},
	}
	return append(head, own...)
}

// visit is the view of a class of observations: who, when, where, then its own columns, then the evidence. ends is where
// the endpoints are, when not at the top.
func visit(name, class, doc string, own []column, ends ...string) *view {
	at := ""
	if len(ends) > 0 {
		at = ends[0]
	}
	cols := moment([]column{
		{"session", "VARCHAR", "{metadata.correlation_uid}", "the interaction it belongs to", ""},
		{"src_ip", "VARCHAR", "{" + at + "src_endpoint.ip}", "the visitor", model.TypeIP},
		{"src_port", "INTEGER", "{" + at + "src_endpoint.port}", "", ""},
		{"dst_ip", "VARCHAR", "{" + at + "dst_endpoint.ip}", "the decoy", ""},
		{"dst_port", "INTEGER", "{" + at + "dst_endpoint.port}", "", ""},
		{"sensor", "VARCHAR", "{unmapped.sensor}", "node that saw it", ""},
		{"decoy", "VARCHAR", "{unmapped.decoy}", "instance in the configuration", ""},
		{"service", "VARCHAR", "{unmapped.service}", "ssh, http, redis, …", ""},
		{"spoofable", "BOOLEAN", "{unmapped.spoofable}", "nothing proves that src_ip exists", ""},
	})
	cols = append(cols, own...)
	cols = append(cols, column{"evidence", "STRUCT(what VARCHAR, sha256 VARCHAR, size BIGINT, data BLOB)[]", "{unmapped.evidence}", "raw bytes: hash of the whole, and its beginning", ""})
	return &view{name: name, class: class, doc: doc, columns: cols}
}
