package ioc

import (
	"fmt"
	"strings"

	"bartizan/internal/model"
)

// pattern takes what a STIX pattern (STIX 2.1, part 9) compares with =, IN or ISSUBSET. A pattern that wants several things
// at once, or less than equality, says more than a value can: it is reported and not looked for.
func (l *List) pattern(line int, pattern, note string) error {
	if len(pattern) > maxLine {
		l.problem(line, pattern[:maxLine], "the pattern is too long")
		return nil
	}
	found, err := parsePattern(pattern)
	if err != nil {
		l.problem(line, pattern, err.Error())
		return nil
	}
	for _, c := range found {
		t, ok := typeOfPath(c.path)
		if !ok {
			l.problem(line, pattern, cutText(c.path, 60)+" is not in what is kept")
			continue
		}
		if err := l.add(line, t, c.value, note); err != nil {
			return err
		}
	}
	return nil
}

func typeOfPath(path string) (model.EntityType, bool) {
	switch strings.ReplaceAll(path, "'", "") {
	case "ipv4-addr:value", "ipv6-addr:value", "network-traffic:src_ref.value", "network-traffic:dst_ref.value":
		return model.TypeIP, true
	case "domain-name:value":
		return model.TypeDomain, true
	case "url:value":
		return model.TypeURL, true
	case "file:hashes.SHA-256", "file:hashes.SHA256":
		return model.TypeSHA256, true
	case "file:hashes.SHA-1", "file:hashes.SHA1":
		return model.TypeSHA1, true
	case "file:hashes.MD5", "file:hashes.MD-5":
		return model.TypeMD5, true
	case "network-traffic:extensions.http-request-ext.request_header.User-Agent":
		return TypeUserAgent, true
	}
	return "", false
}

type comparison struct{ path, value string }

// parsePattern reads observation expressions of comparisons joined by OR.
func parsePattern(s string) ([]comparison, error) {
	tokens, err := patternTokens(s)
	if err != nil {
		return nil, err
	}
	var out []comparison
	for i := 0; i < len(tokens); i++ {
		switch t := tokens[i]; {
		case t == "[" || t == "]" || t == "(" || t == ")" || t == "OR":
		case t == "AND" || t == "FOLLOWEDBY" || t == "NOT" || t == "WITHIN" || t == "REPEATS" || t == "START":
			return nil, fmt.Errorf("the pattern uses %s: it is more than a list of values", t)
		case strings.Contains(t, ":") && t[0] != '\'':
			if i+2 >= len(tokens) {
				return nil, fmt.Errorf("the pattern ends early")
			}
			values, next, err := patternValues(tokens, i+1)
			if err != nil {
				return nil, err
			}
			for _, v := range values {
				out = append(out, comparison{t, v})
			}
			i = next
		default:
			return nil, fmt.Errorf("the pattern is not understood at %s", cutText(t, 40))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the pattern compares nothing")
	}
	return out, nil
}

// patternValues reads an operator and what it compares with; next is the last token used.
func patternValues(tokens []string, i int) (values []string, next int, err error) {
	literal := func(i int) (string, error) {
		if i >= len(tokens) || len(tokens[i]) < 2 || tokens[i][0] != '\'' {
			return "", fmt.Errorf("the pattern compares with something else than text")
		}
		return tokens[i][1 : len(tokens[i])-1], nil
	}
	switch tokens[i] {
	case "=", "==", "ISSUBSET":
		v, err := literal(i + 1)
		return []string{v}, i + 1, err
	case "IN":
		if tokens[i+1] != "(" {
			return nil, 0, fmt.Errorf("IN without a list")
		}
		for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
			if tokens[i] == "," {
				continue
			}
			v, err := literal(i)
			if err != nil {
				return nil, 0, err
			}
			values = append(values, v)
		}
		return values, i, nil
	}
	return nil, 0, fmt.Errorf("the pattern uses %s: it is more than a list of values", cutText(tokens[i], 20))
}

// patternTokens cuts a pattern into brackets, words, operators and quoted text (with its quotes, escapes undone).
func patternTokens(s string) (out []string, err error) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.IndexByte("[](),", c) >= 0:
			out = append(out, s[i:i+1])
			i++
		case c == '\'':
			text, end, ok := quotedText(s, i)
			if !ok {
				return nil, fmt.Errorf("the pattern has text without an end")
			}
			out = append(out, text)
			i = end
		case strings.IndexByte("=!<>", c) >= 0:
			end := i + 1
			for end < len(s) && strings.IndexByte("=<>", s[end]) >= 0 {
				end++
			}
			out = append(out, s[i:end])
			i = end
		default:
			end := i
			for end < len(s) && strings.IndexByte(" \t\r\n[](),=!<>", s[end]) < 0 {
				if s[end] == '\'' { // a quoted part of a path: file:hashes.'SHA-256'
					_, after, ok := quotedText(s, end)
					if !ok {
						return nil, fmt.Errorf("the pattern has text without an end")
					}
					end = after
					continue
				}
				end++
			}
			out = append(out, s[i:end])
			i = end
		}
	}
	return out, nil
}

func quotedText(s string, at int) (text string, end int, ok bool) {
	b := []byte{'\''}
	for i := at + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b = append(b, s[i])
			}
		case '\'':
			return string(append(b, '\'')), i + 1, true
		default:
			b = append(b, s[i])
		}
	}
	return "", 0, false
}
