package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// scenario is one of CrowdSec's, and the Sigma rule of the same intent.
type scenario struct {
	file  string // of CrowdSec's package
	id    string // of our rule
	where string // selection of the rule; %s: the entries of the list
	list  []string
	field string // whose distinct values are counted
	span  int    // seconds
	least int
}

// scenarios are those of the collection base-http-scenarios that look at
// requests. A bucket of capacity c that leaks one in l seconds runs over when
// more than c come quicker than it leaks; here more than c within half the time
// that it takes to empty, c·l/2.
//
// Left out are the scenario of user agents, whose 591 regular expressions per
// line make CrowdSec slower still, and those that this log has nothing for.
func scenarios(l lists) []scenario {
	const page = `{cs-method: [GET, HEAD]}` + "\n  static: {'cs-uri-stem|endswith': [.jpg, .css, .js, .jpeg, .png, .svg, .map, .ico, .otf, .gif, .mp3, .mp4, .woff, .woff2, .ttf, .eot, .webp, .wav, .gz, .bmp, .ts]}"
	return []scenario{
		{"http-probing", "probing", strings.Replace(page, "cs-method: [GET, HEAD]", "sc-status: [404, 403, 400]", 1), nil, "c-uri", 50, 11},
		{"http-crawl-non_statics", "crawl", page, nil, "cs-uri-stem", 10, 41},
		{"http-sensitive-files", "sensitive", "{'cs-uri-stem|endswith': [%s]}", l.sensitive, "cs-uri-stem", 10, 5},
		{"http-path-traversal-probing", "traversal", "{'c-uri|contains': [%s]}", l.traversal, "c-uri", 15, 4},
		{"http-sqli-probing", "sqli", "{'cs-uri-query|contains': [%s]}", l.sqli, "c-uri", 5, 11},
		{"http-xss-probing", "xss", "{'cs-uri-query|contains': [%s]}", l.xss, "c-uri", 3, 6},
		{"http-backdoors-attempts", "backdoors", "{'cs-uri-stem|endswith': [%s]}", slashed(l.backdoors), "cs-uri-stem", 5, 2},
	}
}

func slashed(names []string) (out []string) {
	for _, n := range names {
		out = append(out, "/"+n)
	}
	return out
}

// writeRules writes them as a folder of Sigma rules.
func writeRules(dir string, all []scenario) error {
	dir = filepath.Join(dir, "rules")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `'`, `''`)
	for _, s := range all {
		var quoted []string
		for _, v := range s.list {
			quoted = append(quoted, "'"+escape.Replace(v)+"'")
		}
		where, condition := s.where, "s"
		if len(quoted) > 0 {
			where = fmt.Sprintf(where, strings.Join(quoted, ", "))
		} else {
			condition = "s and not static"
		}
		text := fmt.Sprintf("title: %[1]s\nname: %[1]s-request\nid: %[1]s-request\nlogsource: {category: webserver}\ndetection:\n  s: %[2]s\n  condition: %[3]s\nlevel: low\n---\n"+
			"title: %[1]s\nid: %[1]s\nlevel: high\ncorrelation:\n  type: value_count\n  rules: [%[1]s-request]\n  group-by: [c-ip]\n  timespan: %[4]ds\n  condition: {field: %[5]s, gte: %[6]d}\n",
			s.id, where, condition, s.span, s.field, s.least)
		if err := os.WriteFile(filepath.Join(dir, s.id+".yml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readLists reads CrowdSec's data files.
func readLists(dir string) (l lists, err error) {
	for name, into := range map[string]*[]string{"sensitive_data.txt": &l.sensitive, "path_traversal.txt": &l.traversal,
		"sqli_probe_patterns.txt": &l.sqli, "xss_probe_patterns.txt": &l.xss, "backdoors.txt": &l.backdoors} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return l, err
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if t := strings.TrimSpace(s.Text()); t != "" {
				*into = append(*into, t)
			}
		}
		f.Close()
		if len(*into) < 5 {
			return l, fmt.Errorf("%s has only %d entries", name, len(*into))
		}
	}
	return l, nil
}
