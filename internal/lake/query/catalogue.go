package query

import (
	"slices"

	"bartizan/internal/model"
)

// all is every view, one line per class of the lake below its columns. A new kind of observation is one more entry here: the
// name of its class and where each column is found in its rows (OCSF, see package ocsf). Where a lake is older than a
// column, or has nothing of a class, the column is NULL and the view is empty; the types stay.
func all() []*view {
	return slices.Concat(visits(), services(), logs(), guarded(), conclusions())
}

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
			{"sha1", "VARCHAR", "{file.hashes}[2].value", "", model.TypeSHA1},
			{"md5", "VARCHAR", "{file.hashes}[3].value", "", model.TypeMD5},
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

// twoEnds are the ends of what a log says.
func twoEnds() []column {
	return []column{
		{"src_ip", "VARCHAR", "nullif({src_endpoint.ip}, '::')", "who sent, or asked", model.TypeIP},
		{"src_port", "INTEGER", "{src_endpoint.port}", "", ""},
		{"dst_ip", "VARCHAR", "nullif({dst_endpoint.ip}, '::')", "whom", model.TypeIP},
		{"dst_port", "INTEGER", "{dst_endpoint.port}", "", ""},
		{"protocol", "INTEGER", "{connection_info.protocol_num}", "IP protocol number: 6 TCP, 17 UDP", ""},
	}
}

// logged is the view of a class of what logs say.
func logged(name, class, doc string, own []column) *view {
	cols := moment(append(own, []column{
		{"sensor", "VARCHAR", "{unmapped.sensor}", "the source in the configuration", ""},
		{"format", "VARCHAR", "{unmapped.format}", "what read it", ""},
		{"input", "VARCHAR", "{unmapped.input}", "file, object or connection it came from", ""},
		{"record", "BIGINT", "{unmapped.record}", "index in the input, from 0", ""},
		{"spoofable", "BOOLEAN", "{unmapped.spoofable}", "nothing proves who sent it", ""},
		{"arrived", "BOOLEAN", "{unmapped.arrived}", "time is that of its arrival: the record names none that can be believed", ""},
	}...))
	return &view{name: name, class: class, doc: doc, columns: cols}
}

// logs are the views of what logs and exporters say.
func logs() []*view {
	whole := []column{
		{"raw", "VARCHAR", "{raw_data}", "the record as it came: raw->>'$.field'", ""},
		{"raw_size", "BIGINT", "{raw_data_size}", "of the whole; raw is cut at 256 KiB", ""},
		{"product", "VARCHAR", "{unmapped.product}", "log source in the words of Sigma", ""},
		{"category", "VARCHAR", "{unmapped.category}", "", ""},
		{"service", "VARCHAR", "{unmapped.service}", "", ""},
	}
	return []*view{
		logged("flows", "flow", "Flows, one direction a row, as exporters sum them up", append(twoEnds(), []column{
			{"bytes", "BIGINT", "{traffic.bytes}", "", ""},
			{"packets", "BIGINT", "{traffic.packets}", "", ""},
			{"action", "VARCHAR", "CASE WHEN {activity_id} = 5 THEN 'reject' WHEN {status_id} = 1 THEN 'accept' END", "what the firewall did", ""},
			{"tcp_flags", "INTEGER", "CASE WHEN {unmapped.flags} THEN {connection_info.tcp_flags} END", "of all packets: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK", ""},
			{"start", "TIMESTAMPTZ", "to_timestamp({start_time} / 1000.0)", "", ""},
			{"end", "TIMESTAMPTZ", "to_timestamp({end_time} / 1000.0)", "", ""},
		}...)),
		logged("queries", "query", "Questions to name servers", append(twoEnds(), []column{
			{"name", "VARCHAR", "{query.hostname}", "as asked, in lower case, without the last dot", model.TypeDomain},
			{"type", "VARCHAR", "{query.type}", "A, TXT, …", ""},
			{"answered", "BOOLEAN", "{activity_id} = 6", "the answer was seen", ""},
			{"rcode", "VARCHAR", "{unmapped.rcode}", "NOERROR, NXDOMAIN, …", ""},
			{"answers", "VARCHAR[]", "list_transform({answers}, lambda a: a.rdata)", "addresses, names, texts", typeHostPort},
			{"ttl", "BIGINT", "{unmapped.ttl}", "smallest of the answers', in seconds", ""},
		}...)),
		logged("api_calls", "cloudcall", "Calls to a cloud's API, as CloudTrail has them", append([]column{
			{"id", "VARCHAR", "{metadata.uid}", "eventID", ""},
			{"operation", "VARCHAR", "{api.operation}", "eventName", ""},
			{"api", "VARCHAR", "{api.service.name}", "eventSource", ""},
			{"actor", "VARCHAR", "{actor.user.uid}", "ARN, or what else names the identity", ""},
			{"key", "VARCHAR", "{api.token.uid}", "access key", model.TypeAccessKey},
			{"src_ip", "VARCHAR", "{src_endpoint.ip}", "", model.TypeIP},
			{"caller", "VARCHAR", "{unmapped.source}", "sourceIPAddress, which can be the name of a service", ""},
			{"user_agent", "VARCHAR", "{http_request.user_agent}", "", typeUserAgent},
			{"error", "VARCHAR", "{api.response.error}", "errorCode", ""},
			{"read_only", "BOOLEAN", "{activity_id} = 2", "", ""},
			{"region", "VARCHAR", "{cloud.region}", "", ""},
			{"account", "VARCHAR", "{cloud.account.uid}", "", ""},
		}, whole...)),
		logged("messages", "message", "Entries of system logs", []column{
			{"host", "VARCHAR", "{unmapped.host}", "who wrote it, as it calls itself", ""},
			{"program", "VARCHAR", "{unmapped.program}", "sshd, sudo, kernel, …", ""},
			{"message", "VARCHAR", "{message}", "", ""},
		}),
		logged("records", "record", "Other records of logs that rules look at (Windows, Suricata, Zeek, any JSON), whole", whole),
	}
}

// The kinds of value an indicator is compared with that are no entity by themselves.
const (
	typeUserAgent model.EntityType = "user-agent"
	typeHostPort  model.EntityType = "host-port"
)

// exchange are the columns that both views of the guard begin with.
func exchange(own []column) []column {
	return moment(append([]column{
		{"id", "VARCHAR", "{metadata.uid}", "of the exchange, as in the audit log and in Bartizan-Exchange", ""},
		{"route", "VARCHAR", "{api.service.name}", "", ""},
		{"model", "VARCHAR", "{ai_model.name}", "gen_ai.request.model", ""},
		{"src_ip", "VARCHAR", "{src_endpoint.ip}", "the client", model.TypeIP},
		{"key", "VARCHAR", "{actor.user.uid}", "id of the client's key", model.TypeAccessKey},
		{"action", "VARCHAR", "{unmapped.action}", "allow, flag, throttle, mask, rewrite, block", ""},
		{"category", "VARCHAR", "{unmapped.category}", "injection, secret, pii, …", ""},
	}, own...))
}

// guarded are the views of what the guard saw. Token counts are named as in OpenTelemetry's conventions.
func guarded() []*view {
	return []*view{
		{name: "llm_calls", class: "llmcall", doc: "Exchanges with language models through the guard, without what was said", columns: exchange([]column{
			{"user", "VARCHAR", "{actor.user.name}", "of the key, or as the request names its end user", ""},
			{"key_name", "VARCHAR", "{unmapped.key_name}", "", ""},
			{"operation", "VARCHAR", "{api.operation}", "method and path", ""},
			{"stream", "BOOLEAN", "{unmapped.stream}", "", ""},
			{"outcome", "VARCHAR", "{unmapped.outcome}", "forwarded, refused, failed, abandoned", ""},
			{"status", "BIGINT", "{unmapped.status}", "HTTP, given to the client", ""},
			{"code", "VARCHAR", "{status_code}", "blocked_by_guard, …", ""},
			{"reason", "VARCHAR", "{status_detail}", "", ""},
			{"decision", "VARCHAR", "{unmapped.decision}", "for which the client was refused", ""},
			{"took_ms", "DOUBLE", "{unmapped.took_ms}", "", ""},
			{"request_bytes", "BIGINT", "{unmapped.request_bytes}", "", ""},
			{"answer_bytes", "BIGINT", "{unmapped.answer_bytes}", "", ""},
			{"input_tokens", "BIGINT", "{unmapped.usage.input_tokens}", "gen_ai.usage.input_tokens; -1 or NULL: not said", ""},
			{"output_tokens", "BIGINT", "{unmapped.usage.output_tokens}", "gen_ai.usage.output_tokens", ""},
			{"dollars", "DOUBLE", "{unmapped.dollars}", "", ""},
			{"found", "STRUCT(\"where\" VARCHAR, direction VARCHAR, category VARCHAR, score DOUBLE, note VARCHAR, action VARCHAR)[]", "{unmapped.found}", "", ""},
			{"inspectors", "STRUCT(name VARCHAR, clean BIGINT, found BIGINT, skipped BIGINT, failed BIGINT, off BIGINT)[]", "{unmapped.inspectors}", "texts by what each inspector did", ""},
		})},
		{name: "llm_traffic", class: "llmtraffic", doc: "What was said through the guard on routes that are recorded, masked", columns: exchange([]column{
			{"prompt", "VARCHAR", "list_filter({unmapped.messages}, lambda t: t.kind = 'prompt')[-1].text", "last text of a person", ""},
			{"answer", "VARCHAR", "list_filter({unmapped.messages}, lambda t: t.direction = 'response')[-1].text", "last text of the model", ""},
			{"messages", "STRUCT(direction VARCHAR, kind VARCHAR, tool VARCHAR, size BIGINT, text VARCHAR, withheld VARCHAR)[]", "{unmapped.messages}", "all texts; withheld says why one is not here", ""},
			{"masked", "BIGINT", "{unmapped.masked}", "pieces that were replaced", ""},
			{"withheld", "BIGINT", "{unmapped.withheld}", "texts that could not be masked and are not here", ""},
		})},
	}
}

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
