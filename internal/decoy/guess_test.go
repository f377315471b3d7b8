package decoy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/decoy"
)

// firsts are what clients of each protocol really send first.
var firsts = map[string][]string{
	"http":            {"GET / HTTP/1.1\r\n", "POST /cgi-bin/x HTTP/1.0\r\n", "CONNECT example.com:443 HTTP/1.1\r\n", "OPTIONS / HTTP/1.1\r\n\r\n", "PROPFIND / HTTP/1.1\r\n"},
	"http2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	"ssh":             {"SSH-2.0-OpenSSH_9.2p1\r\n"},
	"tls":             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
	"sslv2":           {"\x80\x2e\x01\x03\x01\x00\x15"},
	"redis":           {"*1\r\n$4\r\nPING\r\n", "PING\r\n", "INFO\r\n", "info\r\n"},
	"rdp":             {"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"},
	"smb":             {"\x00\x00\x00\x85\xffSMBr\x00", "\x00\x00\x00\xc0\xfeSMB@\x00"},
	"postgresql":      {"\x00\x00\x00\x54\x00\x03\x00\x00user\x00postgres\x00", "\x00\x00\x00\x08\x04\xd2\x16\x2f"},
	"mssql":           {"\x12\x01\x00\x34\x00\x00\x00\x00"},
	"mongodb":         {"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00", "\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00"},
	"socks5":          {"\x05\x01\x00", "\x05\x02\x00\x02"},
	"socks4":          {"\x04\x01\x00\x50\xc0\x00\x02\x01\x00"},
	"mqtt":            {"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test"},
	"telnet":          {"\xff\xfb\x1f\xff\xfd\x03"},
	"smtp":            {"EHLO x\r\n", "HELO x\r\n", "ehlo x\r\n", "MAIL FROM:<a@b>\r\n"},
	"ftp":             {"USER anonymous\r\n"},
	"memcached":       {"stats\r\n", "version\r\n"},
	"vnc":             {"RFB 003.008\n"},
	"imap":            {"A001 LOGIN a b\r\n"},
	"pop3":            {"CAPA\r\n"},
	"jdwp":            {"JDWP-Handshake"},
	"adb":             {"CNXN\x00\x00\x00\x01"},
	"giop":            {"GIOP\x01\x00"},
	"rmi":             {"JRMI\x00\x02K"},
	"java-serialized": {"\xac\xed\x00\x05"},
	"t3":              {"t3 12.2.1\nAS:255\n"},
	"json-rpc":        {`{"id":1,"method":"mining.subscribe"}`, `{"method":"login"}`},
	"ldap":            {"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"},
	"sip":             {"OPTIONS sip:nm SIP/2.0\r\n"},
	"rtsp":            {"OPTIONS / RTSP/1.0\r\n", "RTSP/1.0 200 OK\r\n"},
	"":                {"", "hello", "\x00", "\x00\x01\x02\x03", "GETTING", "A", "*", "* 1", "\x05\x05\x05"},
}

func TestGuessProtocol(t *testing.T) {
	for want, list := range firsts {
		for _, first := range list {
			if got := decoy.GuessProtocol([]byte(first)); got != want {
				t.Errorf("%q is guessed to be %q, want %q", first, got, want)
			}
		}
	}
	for _, name := range decoy.Protocols() {
		if len(firsts[name]) == 0 {
			t.Errorf("nothing shows that %q can be guessed", name)
		}
	}
	if !slices.IsSorted(decoy.Protocols()) {
		t.Error("the names are not sorted")
	}
}

func FuzzGuess(f *testing.F) {
	for _, list := range firsts {
		for _, first := range list {
			f.Add([]byte(first))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		keep := bytes.Clone(b)
		got := decoy.GuessProtocol(b)
		if got != "" && !slices.Contains(decoy.Protocols(), got) {
			t.Errorf("%q is guessed to be %q, which is no known name", b, got)
		}
		if !bytes.Equal(b, keep) {
			t.Error("the input was changed")
		}
		if len(b) > 257 && decoy.GuessProtocol(b[:257]) != got {
			t.Error("what comes after 257 bytes makes a difference")
		}
	})
}

func TestFileType(t *testing.T) {
	tar := append(bytes.Repeat([]byte{'x'}, 257), "ustar\x0000"...)
	for content, want := range map[string]string{
		"": "empty", "\x7fELF\x02": "elf", "MZ\x90": "pe", "#!/bin/sh\n": "script", "PK\x03\x04": "zip", "\x1f\x8b\x08": "gzip", "BZh9": "bzip2", "\xfd7zXZ\x00": "xz",
		"7z\xbc\xaf\x27\x1c": "7z", "%PDF-1.7": "pdf", "<?php x": "php", "\x89PNG\r\n": "png", "\xff\xd8\xff\xe0": "jpeg", "GIF89a": "gif", "ssh-rsa AAAA": "ssh-key",
		"-----BEGIN RSA": "pem", "\xca\xfe\xba\xbe": "java", "\xcf\xfa\xed\xfe": "macho", "hello": "text", "grüße": "text", "a\x00b": "data", "\x80\x81\x82": "data", string(tar): "tar",
		strings.Repeat("x", 1023) + "ü": "text", // cut in the middle of a letter
	} {
		if got := decoy.FileType([]byte(content)); got != want {
			t.Errorf("%.20q is %q, want %q", content, got, want)
		}
	}
}
