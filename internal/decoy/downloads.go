package decoy

import (
	"regexp"
	"strings"

	"bartizan/internal/observe"
)

// download finds a tool that fetches, and the address it is told to fetch.
var download = regexp.MustCompile(`(?i)\b(wget|curl|tftp|lwp-download|fetch|certutil|bitsadmin)\b[^\n]{0,200}?((?:https?|ftp|tftp)://[^\s"'<>|;&)\\` + "`" + `]{4,1000})`)

// bare finds addresses without a scheme: wget and curl take them as HTTP.
var bare = regexp.MustCompile(`(?i)\b(wget|curl)\s+(?:-[A-Za-z]+\s+|-O\s*\S+\s+)*((?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?/[^\s"'<>|;&)\\` + "`" + `]{0,1000})`)

// maxDownloads bounds how many are reported from one text.
const maxDownloads = 8

// Downloads finds what a command line, a script or a request wants to fetch.
// It is for text that is executed nowhere; a shell that parses what it is told
// knows better.
func Downloads(text string) (out []observe.Fetch) {
	const most = 64 << 10
	text = clip(text, most)
	seen := map[string]bool{}
	add := func(tool, url string) {
		if !seen[url] && len(out) < maxDownloads {
			seen[url] = true
			out = append(out, observe.Fetch{URL: url, Tool: strings.ToLower(tool)})
		}
	}
	for _, m := range download.FindAllStringSubmatch(text, 4*maxDownloads) {
		add(m[1], m[2])
	}
	for _, m := range bare.FindAllStringSubmatch(text, 4*maxDownloads) {
		add(m[1], "http://"+m[2])
	}
	return out
}
