package source

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// inner takes the record out of what collectors put around it: the JSON of
// container runtimes and shippers (log, message, _raw), the words that CRI and
// "aws logs tail" write in front. It is asked only about what no format read as
// it stands, and its memory is good until it is asked again.
type inner struct {
	parser fastjson.Parser
}

// members under which a record stands, in the words of Docker, Filebeat and CloudWatch Logs, journald, Splunk.
var members = [...][]string{{"message"}, {"log"}, {"@message"}, {"MESSAGE"}, {"_raw"}, {"result", "_raw"}, {"event", "original"}, {"line"}}

// of returns the records that a line may hold, the likeliest first.
func (n *inner) of(line []byte) (out [2][]byte) {
	if line[0] == '{' {
		v, err := n.parser.ParseBytes(line)
		if err != nil {
			return out
		}
		for _, path := range members {
			if s := bytes.TrimRight(v.GetStringBytes(path...), "\r\n"); len(s) > 0 {
				out[0] = s
				return out
			}
		}
		return out
	}
	if !stamped(line) {
		return out
	}
	_, rest, _ := bytes.Cut(line, []byte(" "))
	out[0] = rest
	word, rest, _ := bytes.Cut(rest, []byte(" "))
	if string(word) == "stdout" || string(word) == "stderr" { // CRI: time, stream, F or P, text
		_, rest, _ = bytes.Cut(rest, []byte(" "))
	}
	out[1] = rest
	return out
}

// stamped reports a line that begins with a time of RFC 3339 and has something behind it.
func stamped(line []byte) bool {
	if len(line) < 22 || line[4] != '-' || line[7] != '-' || line[10] != 'T' || line[13] != ':' {
		return false
	}
	i := bytes.IndexByte(line, ' ')
	return i >= 20 && i <= 35
}
