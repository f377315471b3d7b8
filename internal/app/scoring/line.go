// Package scoring reads the lines of texts that are to be scored. They come from anywhere: each that says whose it is
// gets an answer, also when there is nothing in it that could be looked at.
package scoring

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"bartizan/internal/guard"
)

// MaxLine is the longest line that is read: a text of guard.MaxText whose
// every byte is escaped, and some. Of a longer one Read keeps the beginning.
const MaxLine = 6*guard.MaxText + 64<<10

const (
	keptOfLong = 64 << 10 // an id stands before the text in nearly every file
	maxRole    = 64
)

// Line is one text.
type Line struct {
	ID   json.RawMessage // any JSON value, as it was given; nil: there is none
	Text string
	Role string
}

// Parse reads a line. why says what is wrong with it, and then its text is not to be looked at; it may have an id all the
// same. Members are known by their exact names, and none may come twice: two readers would take the line for two texts.
func Parse(line []byte, tooLong bool) (l Line, why string) {
	line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // of files from Windows
	dec := json.NewDecoder(bytes.NewReader(line))
	hasText, why := l.members(dec)
	if len(l.ID) > 0 && !utf8.Valid(l.ID) { // it is printed as JSON
		l.ID = bytes.ToValidUTF8(l.ID, []byte("\uFFFD"))
	}
	if tooLong {
		return l, fmt.Sprintf("longer than %d bytes", MaxLine)
	}
	if why == "" && len(bytes.TrimSpace(line[dec.InputOffset():])) > 0 {
		why = "no JSON object alone: something follows it"
	}
	switch {
	case why != "":
	case l.ID == nil:
		why = "no id"
	case !hasText:
		why = "no text"
	}
	return l, why
}

func (l *Line) members(dec *json.Decoder) (hasText bool, why string) {
	const broken = "no JSON object with id, text and role"
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return false, broken
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return hasText, broken
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return hasText, broken
		}
		ours := name == "id" || name == "text" || name == "role"
		if ours && seen[name] {
			return hasText, name + " twice"
		}
		if !ours {
			continue
		}
		seen[name] = true
		switch name {
		case "id":
			l.ID = value
		case "text":
			// null is none
			if json.Unmarshal(value, &l.Text) != nil {
				return hasText, "a text that is not a string"
			}
			hasText = value[0] == '"'
		case "role":
			// One that is no word is unknown, as any other that has no meaning here.
			if len(value) <= maxRole && json.Unmarshal(value, &l.Role) != nil {
				l.Role = ""
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return hasText, broken
	}
	return hasText, ""
}

// Read reads up to a line end; of a line longer than MaxLine it returns the beginning and goes on behind it.
func Read(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			tooLong = true
			line = bytes.Clone(line[:min(len(line), keptOfLong)])
		}
		if !tooLong {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}
