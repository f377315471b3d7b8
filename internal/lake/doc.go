// Package lake keeps what was seen and concluded as Parquet files that any tool
// can read, for months. It writes, checks, compacts and ages them; questions are
// asked by package query.
//
// # Layout
//
//	<lake>/class=<class>/day=2026-11-27/hour=09/<ulid>-<n>.parquet
//
// Classes are those of package ocsf, times are of the event and in UTC. n is how
// often the rows have been rewritten: 0 as written, 1 and more compacted. Columns
// are OCSF's. Names that begin with a dot are ours and no data: readers that take
// *.parquet see whole, committed files and nothing else.
//
// # What a crash leaves
//
// A file is encoded in memory, written as .<name>.tmp, flushed to the disk, renamed,
// and the folder flushed. So a kill, or a power cut, at any moment costs the rows
// that were in memory (at most Options.Every, 5 s) and damages nothing.
//
// What comes from a durable stream is filed exactly once. The files of a batch
// are written under their temporary names, then .streams/<stream>.json records,
// atomically, how far the stream is filed and which names have to be given; then
// they are given, and only then the stream is told. A crash before the record
// repeats the batch, one after it is finished by the next Open, and repeated
// messages are recognised by their place and time in the stream.
//
// Compaction replaces several files by one. The new file is complete on the disk
// before .replace-<ulid>.json names it and the old ones; then it gets its name, the
// old ones go, the record goes. Whoever lists files through this package sees the
// old ones or the new one, never both and never neither, also after a crash in
// between, and the next Compact finishes what is recorded (a node: within minutes of
// its start). A foreign reader that lists *.parquet in the moment between
// (milliseconds; after a crash until then) sees those rows twice: they have the same metadata.uid, or
// the same correlation_uid and time_dt.
//
// # Damage
//
// Every file carries the SHA-256 of itself in its key-value metadata
// ("bartizan.sha256", 64 hexadecimal digits that count as zeros), so that one changed byte
// anywhere is found by Check; Parquet's own page checksums are there too.
//
// # Disk full
//
// Below Options.MinFree nothing is written. Encoded files wait in memory up to
// Options.Waiting bytes, then the oldest are dropped and counted; streams wait in
// the bus. It goes on by itself when there is room.
package lake
