package lake_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"

	"github.com/google/go-cmp/cmp"
)

// logBatch is an hour of flows and questions, and two records of logs.
func logBatch(t *testing.T, n int, at time.Time) *observe.LogBatch {
	t.Helper()
	b := &observe.LogBatch{Input: "in", Format: "auto"}
	for i := range n {
		s := at.Unix() + int64(i)
		b.Flows = append(b.Flows, observe.Flow{Src: observe.Addr4(0xc6336400 | uint32(i%200)), Dst: observe.Addr4(0x0a000001), SrcPort: uint16(40000 + i), DstPort: 443, Proto: observe.ProtoTCP,
			Flags: observe.FlagSYN, HasFlags: i%2 == 0, Action: observe.FlowAction(i % 3), Start: s - 5, End: s, Packets: uint64(i), Bytes: uint64(100 * i), Record: uint64(i)})
		b.Queries = append(b.Queries, observe.Query{Client: observe.Addr4(0x0a000002), Proto: observe.ProtoUDP, Time: s, Record: uint64(i), Name: fmt.Sprintf("h%d.example.com", i%9), Type: "A",
			Answered: true, RCode: "NOERROR", Answers: []string{"198.51.100.1", "192.0.2.1"}, TTL: 60})
	}
	b.Messages = append(b.Messages, observe.Message{Time: at, Host: "h", Program: "sshd", Text: "Server listening on 0.0.0.0 port 22."})
	for i, text := range []string{`{"eventTime":"` + at.Format(time.RFC3339) + `","eventName":"GetObject","eventSource":"s3.amazonaws.com","sourceIPAddress":"192.0.2.44","userIdentity":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","arn":"arn:aws:iam::1:user/a"},"readOnly":true}`,
		`{"EventID":4625,"UtcTime":"` + at.Format("2006-01-02 15:04:05.000") + `"}`} {
		d, err := b.AddDocument(uint64(i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			d.Product, d.Service = "aws", "cloudtrail"
		}
	}
	return b
}

// TestLogsComeBack: flows, questions and records are filed under their own time and come back whole.
func TestLogsComeBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	b := logBatch(t, 3000, at)
	l.Logs(&ocsf.From{Sensor: "vpc", Format: "auto", Now: at.Add(time.Hour)}, b)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if r := clean(t, dir); r.Rows != int64(b.Len()) {
		t.Fatalf("%d rows of %d", r.Rows, b.Len())
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Since: at, Till: at.Add(time.Hour)})
	if err != nil || len(files) != 5 {
		t.Fatalf("files of the hour: %v, %v", files, err)
	}
	var flows []observe.Flow
	for _, r := range readRows[ocsf.Flow](t, dir, "flow") {
		f, err := r.Flow()
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
	}
	if d := cmp.Diff(b.Flows, flows); d != "" {
		t.Error(d)
	}
	if n := len(readRows[ocsf.Query](t, dir, "query")); n != len(b.Queries) {
		t.Errorf("%d questions", n)
	}
	calls := readRows[ocsf.CloudCall](t, dir, "cloudcall")
	if len(calls) != 1 || calls[0].SrcEndpoint.IP != "192.0.2.44" || calls[0].API.Token.UID != "AKIAIOSFODNN7EXAMPLE" || calls[0].TimeDT.At() != at {
		t.Errorf("%+v", calls)
	}
	texts := readRows[ocsf.Message](t, dir, "message")
	if len(texts) != 1 || texts[0].AsMessage() != b.Messages[0] {
		t.Errorf("%+v", texts)
	}
	rest := readRows[ocsf.Record](t, dir, "record")
	if len(rest) != 1 || rest[0].RawData != string(b.Documents[1].View().Text()) || rest[0].TimeDT.At() != at {
		t.Errorf("%+v", rest)
	}
	if c, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true}); err != nil || c.Rows != int64(b.Len()) || len(c.Left) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
	clean(t, dir)
}

// TestLogsWithoutTime: what names no time, or one to come, is filed when it arrived and says so.
func TestLogsWithoutTime(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	now := time.Date(2026, 11, 20, 7, 30, 0, 0, time.UTC)
	b := &observe.LogBatch{Flows: []observe.Flow{{}, {End: now.AddDate(80, 0, 0).Unix()}, {End: now.Unix()}}}
	l.Logs(&ocsf.From{Sensor: "vpc", Now: now}, b)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	var said []bool
	for _, r := range readRows[ocsf.Flow](t, dir, "flow") {
		said = append(said, r.Unmapped.Arrived)
		if r.TimeDT.At() != now {
			t.Errorf("time %v", r.TimeDT.At())
		}
	}
	if !cmp.Equal(said, []bool{true, true, false}) {
		t.Errorf("arrived: %v", said)
	}
	clean(t, dir)
}

// What was said to models has a retention of its own, and takes nothing else with it.
func TestTrafficGoesByItself(t *testing.T) {
	now := start.Truncate(time.Hour).Add(10 * time.Hour)
	var files []lake.File
	for h := range 10 {
		for _, class := range []string{"command", lake.Traffic} {
			files = append(files, lake.File{Partition: lake.Partition{Class: class, Hour: start.Truncate(time.Hour).Add(time.Duration(h) * time.Hour)}, Name: "x", Size: 10})
		}
	}
	for i, c := range []struct {
		keep                lake.Retention
		traffic, everything int
	}{
		{lake.Retention{}, 0, 0},
		{lake.Retention{Traffic: lake.Kept{Age: 3 * time.Hour}}, 6, 6},
		{lake.Retention{Traffic: lake.Kept{Bytes: 40}}, 6, 6},
		{lake.Retention{Age: 5 * time.Hour, Traffic: lake.Kept{Age: 3 * time.Hour}}, 6, 10},
		{lake.Retention{Age: 2 * time.Hour, Traffic: lake.Kept{Age: 30 * time.Hour}}, 7, 14},
	} {
		traffic := 0
		gone := c.keep.Oldest(files, now)
		for _, f := range gone {
			if f.Class == lake.Traffic {
				traffic++
			}
		}
		if traffic != c.traffic || len(gone) != c.everything {
			t.Errorf("%d: %d files go, %d of traffic; want %d, %d", i, len(gone), traffic, c.everything, c.traffic)
		}
	}
}

// TestBulkGoesFirst: when there are too many bytes, flows go before what attackers did.
func TestBulkGoesFirst(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	var files []lake.File
	for i := range 10 {
		for _, class := range []string{"flow", "command"} {
			size := int64(90)
			if class == "command" {
				size = 10
			}
			files = append(files, lake.File{Partition: lake.Partition{Class: class, Hour: at.Add(time.Duration(i) * time.Hour)}, Name: fmt.Sprint(class, i), Size: size})
		}
	}
	for _, c := range []struct {
		keep           lake.Retention
		flows, command int // that go
	}{
		{lake.Retention{}, 0, 0},
		{lake.Retention{Bytes: 1000}, 0, 0},
		{lake.Retention{Bytes: 500}, 6, 0},  // 100 of commands, 360 of flows
		{lake.Retention{Bytes: 120}, 10, 0}, // half of it is less than one file of flows
		{lake.Retention{Bytes: 50}, 10, 5},
		{lake.Retention{Age: 5 * time.Hour}, 4, 4},
	} {
		got := map[string]int{}
		for _, f := range c.keep.Oldest(files, at.Add(10*time.Hour)) {
			got[f.Class]++
		}
		if got["flow"] != c.flows || got["command"] != c.command {
			t.Errorf("%+v: %v", c.keep, got)
		}
	}
}

func BenchmarkLogs(b *testing.B) {
	l, err := lake.Open(b.TempDir(), lake.Options{})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	batch := &observe.LogBatch{}
	for i := range 128 {
		batch.Flows = append(batch.Flows, observe.Flow{Src: observe.AddrOf(netip.AddrFrom4([4]byte{10, 0, byte(i % 7), byte(i)})), Dst: observe.Addr4(0x0a000001 + uint32(i*977)), SrcPort: uint16(40000 + i*31),
			DstPort: 443, Proto: observe.ProtoTCP, Action: observe.FlowAccept, Start: at.Unix(), End: at.Unix() + int64(i), Packets: uint64(i), Bytes: uint64(100*i + i%13)})
	}
	from := &ocsf.From{Sensor: "vpc", Format: "vpcflow", Input: "vpc"}
	n := 0
	for b.Loop() {
		for i := range batch.Flows {
			f := &batch.Flows[i]
			f.SrcPort, f.Bytes, f.Record = uint16(n*7919), uint64(n*104729%1e6), uint64(n)
			n++
		}
		l.Logs(from, batch)
	}
	if err := l.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(l.Stats().Bytes)/float64(l.Stats().Rows), "B/flow")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/flow")
}
