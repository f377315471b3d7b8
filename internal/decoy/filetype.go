package decoy

import (
	"bytes"
	"unicode/utf8"
)

// FileType names what a file is by its first bytes: "elf", "pe", "macho",
// "script", "zip", "gzip", "bzip2", "xz", "7z", "tar", "pdf", "java", "php",
// "ssh-key", "png", "jpeg", "gif", "text", "empty" or "data".
func FileType(b []byte) string {
	magics := [...]struct{ magic, name string }{
		{"\x7fELF", "elf"}, {"MZ", "pe"}, {"\xcf\xfa\xed\xfe", "macho"}, {"\xca\xfe\xba\xbe", "java"},
		{"#!", "script"}, {"PK\x03\x04", "zip"}, {"\x1f\x8b", "gzip"}, {"BZh", "bzip2"}, {"\xfd7zXZ\x00", "xz"},
		{"7z\xbc\xaf\x27\x1c", "7z"}, {"%PDF-", "pdf"}, {"<?php", "php"}, {"\x89PNG", "png"}, {"\xff\xd8\xff", "jpeg"},
		{"GIF8", "gif"}, {"ssh-rsa ", "ssh-key"}, {"ssh-ed25519 ", "ssh-key"}, {"ecdsa-sha2-", "ssh-key"}, {"-----BEGIN", "pem"},
	}
	if len(b) == 0 {
		return "empty"
	}
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return m.name
		}
	}
	if len(b) > 262 && string(b[257:262]) == "ustar" {
		return "tar"
	}
	head := b[:min(len(b), 1024)]
	if len(head) < len(b) { // the cut may have gone through a letter
		for n := 1; n < utf8.UTFMax; n++ {
			if last := head[len(head)-n:]; utf8.RuneStart(last[0]) {
				if !utf8.FullRune(last) {
					head = head[:len(head)-n]
				}
				break
			}
		}
	}
	if utf8.Valid(head) && !bytes.ContainsRune(head, 0) {
		return "text"
	}
	return "data"
}
