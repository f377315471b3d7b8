package redis

import (
	"regexp"
	"strings"

	"bartizan/internal/decoy"
)

// cronLine is a schedule of five fields, or a word that stands for one,
// followed by a command.
var cronLine = regexp.MustCompile(`(?m)^[ \t]*(@(reboot|hourly|daily|weekly|monthly|yearly|annually|midnight)|([0-9*,/-]+[ \t]+){4}[0-9*,/A-Za-z-]+)[ \t]+\S`)

// popen finds the command in a script that has left its sandbox.
var popen = regexp.MustCompile(`(?:io\.popen|os\.execute|popen|execute)\s*\(\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")`)

// maxInspected is how much of a value is searched.
const maxInspected = 256 << 10

// payload names what a value would be as a file, or "" when it looks like data.
func payload(v string) string {
	if len(v) < 8 {
		return ""
	}
	text := strings.TrimLeft(cut(v, maxInspected), "\r\n\t \x00")
	switch kind := decoy.FileType([]byte(cut(text, 4096))); kind {
	case "elf", "pe", "macho", "java", "script", "zip", "gzip", "bzip2", "xz", "7z", "tar", "php", "ssh-key", "pem":
		return kind
	}
	for _, m := range [...]struct{ mark, kind string }{
		{"ssh-rsa AAAA", "ssh-key"}, {"ssh-ed25519 AAAA", "ssh-key"}, {"ecdsa-sha2-", "ssh-key"}, {"<?php", "php"}, {"<?=", "php"}, {"<%@", "jsp"}, {"<%eval", "asp"},
		{"\x7fELF", "elf"}, {"#!/", "script"},
	} {
		if strings.Contains(text, m.mark) {
			return m.kind
		}
	}
	if cronLine.MatchString(text) {
		return "cron"
	}
	for _, mark := range [...]string{"/bin/sh", "/bin/bash", "/dev/tcp/", "curl http", "curl -", "wget http", "wget -", "base64 -d", "| sh", "|sh", "| bash", "|bash", "powershell"} {
		if strings.Contains(text, mark) {
			return "script"
		}
	}
	return ""
}
