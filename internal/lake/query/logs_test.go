//go:build cgo

package query

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bartizan/internal/ioc"
	"bartizan/internal/lake"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
)

// TestLogViews: what sources of logs bring is found by SQL and by lists of indicators.
func TestLogViews(t *testing.T) {
	l := newLake(t)
	w, err := lake.Open(l.dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	b := &observe.LogBatch{
		Flows: []observe.Flow{
			{Src: observe.Addr4(0x0a000005), Dst: observe.Addr4(0xc0000207), SrcPort: 40000, DstPort: 443, Proto: 6, Flags: 2, HasFlags: true, Action: observe.FlowReject, Start: at.Unix(), End: at.Unix() + 9, Packets: 3, Bytes: 180},
			{Src: observe.Addr4(0x0a000006), Dst: observe.Addr4(0xc6336401), SrcPort: 40001, DstPort: 53, Proto: 17, Action: observe.FlowAccept, End: at.Unix() + 10, Packets: 1, Bytes: 70, Record: 1},
		},
		Queries: []observe.Query{
			{Client: observe.Addr4(0x0a000005), Time: at.Unix(), Name: "a.evil.example", Type: "A", Answered: true, RCode: "NOERROR", Answers: []string{"alias.other.example", "192.0.2.9"}, TTL: 30},
			{Client: observe.Addr4(0x0a000005), Time: at.Unix() + 1, Name: "none.example", Type: "TXT", RCode: "NXDOMAIN", Answered: true, Record: 1},
		},
	}
	b.Messages = []observe.Message{{Time: at, Host: "h", Program: "sshd", Text: "Server listening"}}
	for i, text := range []string{`{"eventTime":"2026-11-20T07:00:00Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","sourceIPAddress":"192.0.2.44","userAgent":"aws-cli/2","errorCode":"AccessDenied","userIdentity":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","arn":"arn:aws:iam::1:user/a"}}`,
		`{"event_type":"alert","timestamp":"2026-11-20T07:00:01.5+0000","alert":{"signature":"x"}}`} {
		d, err := b.AddDocument(uint64(i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			d.Product, d.Service = "aws", "cloudtrail"
		}
	}
	w.Logs(&ocsf.From{Sensor: "vpc", Format: "auto", Now: at.Add(time.Hour)}, b)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		`SELECT src_ip, dst_port, bytes, action, tcp_flags, "end" - start AS took FROM flows WHERE dst_ip = '192.0.2.7'`: `[["10.0.0.5",443,180,"reject",2,"0 months 0 days 9s"]]`,
		`SELECT action, tcp_flags, start FROM flows WHERE protocol = 17`:                                                 `[["accept",null,null]]`,
		`SELECT type, rcode FROM queries WHERE name LIKE 'none%'`:                                                        `[["TXT","NXDOMAIN"]]`,
		`SELECT answers, dst_ip FROM queries WHERE name = 'a.evil.example'`:                                              `[[["alias.other.example","192.0.2.9"],null]]`,
		`SELECT operation, actor, error, src_ip, sensor FROM api_calls`:                                                  `[["GetObject","arn:aws:iam::1:user/a","AccessDenied","192.0.2.44","vpc"]]`,
		`SELECT raw->>'$.alert.signature' AS s, time::VARCHAR AS t FROM records`:                                         `[["x","2026-11-20 07:00:01.5+00"]]`,
		`SELECT host, program, message FROM messages`:                                                                    `[["h","sshd","Server listening"]]`,
	} {
		l.want(sql, want)
	}
	list, err := ioc.Read(strings.NewReader("192.0.2.0/24\nevil.example\nother.example\naccess-key:AKIAIOSFODNN7EXAMPLE\nuser-agent:aws-cli/2\n203.0.113.1"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.engine().Match(t.Context(), list.Indicators, Range{}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range res.Matches {
		got = append(got, fmt.Sprintf("%d %s.%s %d", m.Indicator, m.View, m.Column, m.Count))
	}
	want := "0 flows.dst_ip 1, 1 queries.name 1, 0 queries.answers 1, 2 queries.answers 1, 3 api_calls.key 1, 0 api_calls.src_ip 1, 4 api_calls.user_agent 1"
	if strings.Join(got, ", ") != want {
		t.Errorf("matches:\n%s, want\n%s", strings.Join(got, ", "), want)
	}
}
