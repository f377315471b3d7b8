package source

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"bartizan/internal/safe"
)

// magics are the beginnings of files that are no logs.
var magics = [...]struct{ magic, name string }{
	{"\x1f\x8b", "gzip-compressed data; unpack it first"},
	{"PK\x03\x04", "a ZIP archive; unpack it first"},
	{"\x28\xb5\x2f\xfd", "zstd-compressed data; unpack it first"},
	{"BZh91AY&SY", "bzip2-compressed data; unpack it first"},
	{"\xfd7zXZ\x00", "xz-compressed data; unpack it first"},
	{"PAR1", "a Parquet file"},
	{"Obj\x01", "an Avro file"},
	{"ElfFile\x00", "a Windows event log (EVTX); export it as JSON"},
	{"\x7fELF", "a program (ELF)"},
	{"\x89PNG", "a PNG image"},
	{"\xff\xd8\xff", "a JPEG image"},
	{"%PDF-", "a PDF document"},
	{"\xd4\xc3\xb2\xa1", "a packet capture; format pcap reads it"},
	{"\xa1\xb2\xc3\xd4", "a packet capture; format pcap reads it"},
	{"\x4d\x3c\xb2\xa1", "a packet capture; format pcap reads it"},
	{"\x0a\x0d\x0d\x0a", "a packet capture; format pcap reads it"},
	{"SQLite format 3\x00", "an SQLite database"},
	{"LPKSHHRH", "a binary journal of systemd; export it with journalctl -o json"},
}

// Looks says what the first bytes of an input look like.
func Looks(head []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.name
		}
	}
	if len(head) > tarAt && bytes.HasPrefix(head[tarAt:], []byte("ustar")) {
		return "a tar archive; unpack it first"
	}
	t := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(t) == 0:
		return "white space"
	case utf16(head) != "":
		return "UTF-16 text; convert it to UTF-8, as with iconv -f " + utf16(head)
	case bytes.IndexByte(head, 0) >= 0:
		return "binary data"
	case bytes.HasPrefix(t, []byte("{")):
		return "JSON" + fields(t)
	case bytes.HasPrefix(t, []byte("[")) && (bytes.HasPrefix(bytes.TrimLeft(t[1:], " \t\r\n"), []byte("{"))):
		return "a JSON array"
	case bytes.HasPrefix(t, []byte("<?xml")), bytes.HasPrefix(t, []byte("<Event")):
		return "XML"
	case bytes.HasPrefix(bytes.ToLower(t), []byte("<!doctype html")), bytes.HasPrefix(bytes.ToLower(t), []byte("<html")):
		return "an HTML page"
	case !utf8.Valid(t[:max(0, len(t)-utf8.UTFMax)]):
		return "text in another encoding than UTF-8, or binary data"
	case bytes.HasPrefix(t, []byte("#separator")):
		return "a Zeek log"
	}
	line, _, _ := bytes.Cut(t, []byte("\n"))
	if n := bytes.Count(line, []byte(",")); n >= 3 {
		return "comma-separated text"
	}
	if n := bytes.Count(line, []byte("\t")); n >= 3 {
		return "tab-separated text"
	}
	return "plain text"
}

// tarAt is where a tar archive has its magic (POSIX ustar).
const tarAt = 257

// utf16 says which order of bytes UTF-16 text has, "" when it is none. Without a
// mark every other byte of what people and programs write is 0, and no other is.
func utf16(head []byte) string {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return "UTF-16"
	}
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i&1]++
		}
	}
	most := max(zeros[0], zeros[1])
	switch {
	case most < 8 || most*8 < len(head)*3: // three quarters of a side
		return ""
	case zeros[0] == 0:
		return "UTF-16LE"
	case zeros[1] == 0:
		return "UTF-16BE"
	}
	return ""
}

// fields names the first fields of an object, so that its owner can write the
// mapping that type json needs; "" when there are none.
func fields(object []byte) string {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return ""
	}
	var names []string
	for len(names) < 6 && d.More() {
		name, err := d.Token()
		if err != nil {
			break
		}
		if s, ok := name.(string); ok {
			names = append(names, strconv.Quote(safe.Clean(s, 40)))
		}
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			break
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " with the fields " + strings.Join(names, ", ") + "; --map FILE says where in it what stands (docs/sources/json.md)"
}
