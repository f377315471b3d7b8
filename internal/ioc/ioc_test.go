package ioc

import (
	"slices"
	"strings"
	"testing"

	"bartizan/internal/model"
)

const bundle = `{"type":"bundle","id":"bundle--1","objects":[
{"type":"identity","name":"somebody"},
{"type":"indicator","name":"scanner","pattern":"[ipv4-addr:value = '192.0.2.1' OR ipv4-addr:value ISSUBSET '198.51.100.0/24']","pattern_type":"stix"},
{"type":"indicator","pattern":"[file:hashes.'SHA-256' = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA']"},
{"type":"indicator","pattern":"[domain-name:value IN ('Evil.Example', 'bad.example')] OR [url:value = 'http://x.example/it\\'s']"},
{"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.9' AND domain-name:value = 'x.example']"},
{"type":"indicator","pattern":"[file:hashes.MD5 = '00']"},
{"type":"indicator","pattern":"rule x {}","pattern_type":"yara"},
{"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.8']","revoked":true}
]}`

const event = `{"response":[{"Event":{"info":"x","Attribute":[
{"type":"ip-dst|port","value":"192.0.2.1|443","comment":"c2"},
{"type":"md5","value":"00000000000000000000000000000000"},
{"type":"ja3-fingerprint-md5","value":"ABCDEF00000000000000000000000000"}],
"Object":[{"name":"file","Attribute":[
{"type":"filename|sha256","value":"x.sh|` + "bb" + `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}]}]}}]}`

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, in, format string
		want             []string // type:value@line
		problems         []int    // their lines
	}{
		{"stix", bundle, "stix", []string{"ip:192.0.2.1@3", "ip:198.51.100.0/24@3", "sha256:" + strings.Repeat("a", 64) + "@4", "domain:evil.example@5", "domain:bad.example@5", "url:http://x.example/it's@5"}, []int{6, 7, 8, 9}},
		{"observables only", `{"type":"bundle","objects":[{"type":"ipv6-addr","value":"2001:db8::1"},` + "\n" + `{"type":"file","hashes":{"MD5":"x"}}]}`, "stix", []string{"ip:2001:db8::/64@1"}, []int{2}},
		{"misp", event, "misp", []string{"ip:192.0.2.1@2", "md5:00000000000000000000000000000000@3", "ja3:abcdef00000000000000000000000000@4", "sha256:" + strings.Repeat("b", 64) + "@6"}, nil},
		{"csv with a head", "# list\nfirst_seen,type,ioc,tags\nx,domain,evil[.]example,bot\nx,sha1,00,bot\nx,ipv4,192.0.2.0/33,\n", "csv", []string{"domain:evil.example@3"}, []int{4, 5}},
		{"csv without", "192.0.2.1;a note\nhxxp://evil.example/x;other\n;\n", "csv", []string{"ip:192.0.2.1@1", "url:http://evil.example/x@2"}, []int{3}},
		{"csv of one kind", "sha256_hash,name\n" + strings.Repeat("c", 64) + ",x\n", "csv", []string{"sha256:" + strings.Repeat("c", 64) + "@2"}, nil},
		{"text", "\xef\xbb\xbf# title\n192.0.2.1 # why\n\nhassh:" + strings.Repeat("d", 32) + "\nuser-agent:zgrab/0.x (x; y)\n" + strings.Repeat("e", 32) + "\n0.0.0.0/0\n192.0.2.1\nAKIAIOSFODNN7EXAMPLE\n", "text",
			[]string{"ip:192.0.2.1@2", "hassh:" + strings.Repeat("d", 32) + "@4", "user-agent:zgrab/0.x (x; y)@5", "md5:" + strings.Repeat("e", 32) + "@6", "access-key:AKIAIOSFODNN7EXAMPLE@9"}, []int{7}},
		{"files", "sha1:" + strings.Repeat("1", 40) + "\n" + strings.Repeat("B", 40) + "\nMD5:" + strings.Repeat("2", 32) + "\nsha1:" + strings.Repeat("1", 39) + "\n", "text",
			[]string{"sha1:" + strings.Repeat("1", 40) + "@1", "sha1:" + strings.Repeat("b", 40) + "@2", "md5:" + strings.Repeat("2", 32) + "@3"}, []int{4}},
		{"files of STIX", `{"type":"bundle","objects":[{"type":"indicator","pattern":"[file:hashes.MD5 = '` + strings.Repeat("3", 32) + `' OR file:hashes.'SHA-1' = '` + strings.Repeat("4", 40) + `']"}]}`, "stix",
			[]string{"md5:" + strings.Repeat("3", 32) + "@1", "sha1:" + strings.Repeat("4", 40) + "@1"}, nil},
		{"a file observed", `{"type":"bundle","objects":[{"type":"file","hashes":{"MD5":"` + strings.Repeat("5", 32) + `"}}]}`, "stix", []string{"md5:" + strings.Repeat("5", 32) + "@1"}, nil},
	} {
		l, err := Read(strings.NewReader(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, n := range l.Indicators {
			got = append(got, string(n.Type)+":"+n.Value+"@"+itoa(n.Line))
		}
		var lines []int
		for _, p := range l.Problems {
			lines = append(lines, p.Line)
			if p.Reason == "" {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
		if l.Format != c.format || strings.Join(got, " ") != strings.Join(c.want, " ") || len(lines) != len(c.problems) || l.Unusable != len(lines) {
			t.Errorf("%s: %s\n got %v\nwant %v\nproblems %+v", c.name, l.Format, got, c.want, l.Problems)
			continue
		}
		for i := range lines {
			if lines[i] != c.problems[i] {
				t.Errorf("%s: problems at %v, want %v: %+v", c.name, lines, c.problems, l.Problems)
			}
		}
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestReadRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing": " \n", "binary": "\x7fELF\x00\x01", "json of something else": `{"a":1}`, "broken": `{"objects":[{"type":"indicator",` + "\n" + `]}`, "deep": strings.Repeat("[", 100), "a number": `[1]`,
	} {
		if l, err := Read(strings.NewReader(in)); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{bundle, event, "type,value\nip,192.0.2.1\n", "192.0.2.1\nevil[.]example\n", `[{"Event":{"Attribute":null}}]`, "a;b\n\"", `{"objects":[{"type":"indicator","pattern":"[a:b IN"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		l, err := Read(strings.NewReader(string(in)))
		if err != nil {
			return
		}
		for _, n := range l.Indicators {
			if n.Type == TypeUserAgent {
				continue
			}
			e, err := model.ParseEntity(n.Type, n.Value)
			if err != nil || e.Value() != n.Value || n.Line < 1 {
				t.Errorf("%+v is not canonical: %v", n, err)
			}
		}
		if len(l.Problems) > l.Unusable {
			t.Errorf("%d problems, %d unusable", len(l.Problems), l.Unusable)
		}
	})
}

// TestTerms: how sure a list is, and until when, in every form.
func TestTerms(t *testing.T) {
	for name, in := range map[string]string{
		"stix":       `{"type":"bundle","objects":[{"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.1']","confidence":80,"valid_until":"2026-01-02T00:00:00Z"}]}`,
		"csv":        "type,value,confidence,valid_until\nip,192.0.2.1,80,2026-01-02\n",
		"csv of one": "ip,confidence,expires\n192.0.2.1,0.8,1767312000\n",
		"json":       `[{"type":"ip","value":"192.0.2.1","confidence":0.8,"valid_until":"2026-01-02T00:00:00Z"}]`,
		"named":      `{"name":"x","indicators":[{"ioc":"192[.]0.2.1","confidence":"80","expires":1767312000}]}`,
		"json lines": `{"indicator":"192.0.2.1","confidence":80,"expiration":"2026-01-02 00:00:00"}` + "\n" + `{"indicator":"192.0.2.1","confidence":10,"expiration":"2025-01-02"}` + "\n",
	} {
		l, err := Read(strings.NewReader(in))
		if err != nil || len(l.Indicators) != 1 || l.Unusable != 0 {
			t.Errorf("%s: %v, %+v", name, err, l)
			continue
		}
		n := l.Indicators[0]
		if n.Value != "192.0.2.1" || n.Confidence != 0.8 || n.Until.Format("2006-01-02T15:04:05Z07:00") != "2026-01-02T00:00:00Z" {
			t.Errorf("%s: %+v", name, n)
		}
	}
	for name, in := range map[string]string{
		"no end that can be read": "value,valid_until\n192.0.2.1,soon\n",
		"not so sure":             "value,confidence\n192.0.2.1,101\n",
	} {
		if l, err := Read(strings.NewReader(in)); err != nil || len(l.Indicators) != 0 || l.Unusable != 1 {
			t.Errorf("%s: %v, %+v", name, err, l)
		}
	}
	l, err := Read(strings.NewReader("domain\tevil.example\tbots\nipv4-port\t192.0.2.1:8080\tx\nurl\tevil.example/x\ty\npath\t/x\tz\n"))
	if err != nil || len(l.Indicators) != 3 || l.Unusable != 1 || l.Indicators[0].Note != "bots" || l.Indicators[1].Value != "192.0.2.1" || l.Indicators[1].Port != 8080 || l.Indicators[2].Value != "http://evil.example/x" {
		t.Errorf("typed rows without a head: %v, %+v", err, l)
	}
	l, err = Read(strings.NewReader(`["192.0.2.1", "evil.example", {"domain":"bad.example","ip":"192.0.2.2"}]`))
	if err != nil || len(l.Indicators) != 4 {
		t.Errorf("a plain array: %v, %+v", err, l)
	}
}

// TestScanText: what is read in pieces says what it said as a whole: a line longer than any buffer is one problem, or what
// stands before its comment; the lines behind it keep their numbers; a binary file is found out wherever its zeros begin.
func TestScanText(t *testing.T) {
	long := strings.Repeat("x", 3*headLen)
	text := "192.0.2.1 # " + long + "\n" + long + "\n\n  198.51.100.0/24\t\r\n2001:DB8::1\nip:203.0.113.9\n192.0.2.1"
	type got struct {
		value string
		line  int
	}
	var all []got
	l, err := Scan(strings.NewReader(text), func(e *Entry) error {
		all = append(all, got{e.Value(), e.Line})
		return nil
	})
	want := []got{{"192.0.2.1", 1}, {"198.51.100.0/24", 4}, {"2001:db8::/64", 5}, {"203.0.113.9", 6}, {"192.0.2.1", 7}}
	if err != nil || !slices.Equal(all, want) || l.Unusable != 1 || l.Problems[0].Line != 2 || l.Format != "text" {
		t.Errorf("%v, %v, %+v", err, all, l)
	}
	for name, in := range map[string]string{"zeros late": strings.Repeat("192.0.2.1\n", headLen) + "\x00", "too long": strings.Repeat(" \n", MaxBytes/2+1)} {
		if _, err := Read(strings.NewReader(in)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestAddress: the short way reads an address as the long one does.
func TestAddress(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "192.0.2.7/24", "::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "2001:db8::1", "2001:db8::1/128", "2001:db8::/32", "10.0.0.0/7", "::/0", "1.2.3", "1.2.3.4:80", "01.2.3.4", "abcdef"} {
		e, err := model.ParseIP(s)
		p, ok := e.Prefix()
		ok = ok && err == nil && !tooWide(p)
		if got, read := address(s); read != ok || ok && got != p {
			t.Errorf("%s: %v %v, want %v %v", s, got, read, p, ok)
		}
	}
}
