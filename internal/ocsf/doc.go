// Package ocsf turns what the program sees and does into events of the Open
// Cybersecurity Schema Framework (OCSF, schema.ocsf.io), version 1.8.0: the
// rows of the evidence lake and the events of the export are the same types,
// tagged for JSON and for Parquet. It reads and writes nothing itself.
//
// One Go type per class of the lake; the class name is also the name of the
// partition. What each becomes, and why:
//
//   - interaction: Network Activity 4001, Open or Close. A connection and nothing more.
//   - auth: Authentication 3002, Logon. Whether the decoy let them in is status_id.
//   - command: Process Activity 1007, Launch. The shell is emulated, but the order
//     to run something is real. The class has no endpoints, so they are in unmapped.
//   - http: HTTP Activity 4002; the activity is the method.
//   - file: File System Activity 1001, Create. Like command, with endpoints in unmapped.
//   - fetch: Network Activity 4001, Other, Failure, with its url attribute. HTTP Activity
//     would claim a request; there was none, and the URL may be of FTP or TFTP.
//   - forward: Tunnel Activity 4014, Open. In that class dst_endpoint is whom the
//     visitor asked for the tunnel, the decoy; where it should lead is in unmapped.
//   - call: API Activity 6003, Other. Whether a service's operation creates, reads
//     or deletes is not guessed. The arguments are api.request.data.
//   - exchange: API Activity 6003 with profile ai_operation (ai_model); prompt and
//     answer are api.request.data and api.response.data (message_context.prompt_text
//     came with 1.9).
//   - flow: Network Activity 4001, Traffic, or Refuse when a firewall said no.
//   - query: DNS Activity 4003, Traffic when the answer was seen, else Query.
//   - cloudcall: API Activity 6003 with profile cloud, and the record in raw_data.
//     Read when the log says so, else Other.
//   - message: Base Event 0 with the text of an entry of a system log in message.
//   - record: Base Event 0 with the record in raw_data: JSON of logs that rules look
//     at and that has no class of its own. Events of Windows, EVE and Zeek are many
//     classes of OCSF; which, a search can say later, because nothing of them is lost.
//   - llmcall: API Activity 6003 with profiles ai_operation and security_control: an
//     exchange that the gateway saw. action_id and disposition_id say what was done; findings, inspectors and tokens are in unmapped.
//   - llmtraffic: API Activity 6003, what was said in such an exchange, masked, as a
//     list of messages in unmapped.
//   - signal: Detection Finding 2004, Create.
//   - decision: Remediation Activity 7001, one event per entry of the ledger. The
//     activity is the D3FEND tactic: Isolate for what keeps somebody out, Detect
//     for what only watches, Restore for the end, Other for what awaits a person.
//   - receipt: Remediation Activity 7001, one enforcer's word; status_id says whether
//     the device did it.
//
// src_endpoint is always the visitor and dst_endpoint always the decoy, in logs who
// sends and who receives, so that a
// search by address has the same column in all classes of the network. In OCSF's
// words bytes_out goes from source to destination: it is what the visitor sent.
//
// Only attributes of OCSF 1.8.0 are used, so that events are valid there and in
// later versions of the same major number. What OCSF has no attribute for is in
// unmapped, an object the schema leaves to the producer; each class has a type for
// it. Rows lose nothing: every type of a row has a way back, except that evidence
// bytes are kept up to Mapper.MaxEvidence (the size and the SHA-256 of the whole
// stay). time is in milliseconds since 1970, as OCSF wants; time_dt has the
// nanoseconds (profile datetime). An instant of exactly 1970-01-01T00:00:00Z is
// taken for none, and times outside the years 1678–2261 become the nearest that
// 64 bits of nanoseconds can hold. Text that is not UTF-8 is repaired, because
// neither form can hold it. An absent attribute is an empty string or zero in Go,
// null in Parquet and left out in JSON.
package ocsf
