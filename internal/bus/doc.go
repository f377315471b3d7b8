// Package bus is the nervous system of a node: durable, ordered, typed streams, a typed key-value store and
// content-addressed evidence, on NATS JetStream. By default the server runs inside this process and opens no port;
// with Config.Servers the same calls go to an existing deployment. No NATS type appears in an exported signature.
//
// What it is not: a place for observations. One message costs about 8 µs of CPU on each side, so observations are
// digested where they are seen and only conclusions (signals, decisions, receipts, findings) travel here.
//
// # What an acknowledgement means
//
// An acknowledged publish has been written to the stream's file (write(2) has returned). It survives kill -9 of the
// process at any moment. It survives a power cut only after the next fsync, which happens every Config.SyncInterval;
// with SyncAlways each acknowledgement waits for its own fsync (about a hundred times slower on an ordinary disk).
//
// # Clocks
//
// Messages carry the server's wall clock at arrival. A jump of that clock does not reorder or lose messages, because
// order is the sequence number. It does shift everything that is an age: after a jump forward, messages older than
// Limits.MaxAge by the new clock are expired at once and a key-value tombstone may vanish early; after a jump back
// they live longer by the jump. The deduplication window is likewise measured on the wall clock: after a jump
// forward by more than Limits.Dedup a repeated id is stored a second time, so a consumer must tolerate a repeat
// (it must anyway: delivery is at least once). From.Time selects by the stored times, whatever the clock was then.
//
// # Disk full
//
// Publishing stops with ErrNoSpace while the file system has less than Config.MinFree left, before JetStream meets
// the full disk, so that reading, acknowledging and expiring go on. Should the disk fill up behind our back, the
// embedded server is restarted inside the process as soon as there is room; publishing then works again.
package bus
