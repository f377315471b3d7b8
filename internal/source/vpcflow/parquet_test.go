package vpcflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"

	pq "github.com/parquet-go/parquet-go"
)

// awsRow is the schema that AWS writes (Amazon VPC User Guide, "Query flow logs
// using Athena": the types of its table).
type awsRow struct {
	Version   *int32  `parquet:"version,optional,dict"`
	Account   *string `parquet:"account_id,optional,dict"`
	Src       *string `parquet:"srcaddr,optional,dict"`
	Dst       *string `parquet:"dstaddr,optional"`
	SrcPort   *int32  `parquet:"srcport,optional"`
	DstPort   *int32  `parquet:"dstport,optional,dict"`
	Protocol  *int64  `parquet:"protocol,optional,dict"`
	Packets   *int64  `parquet:"packets,optional"`
	Bytes     *int64  `parquet:"bytes,optional"`
	Start     *int64  `parquet:"start,optional"`
	End       *int64  `parquet:"end,optional"`
	Action    *string `parquet:"action,optional,dict"`
	LogStatus *string `parquet:"log_status,optional,dict"`
	Flags     *int32  `parquet:"tcp_flags,optional"`
}

// plainRow has required columns, names with "-" and numbers as texts, as other
// writers have them.
type plainRow struct {
	Src     string `parquet:"pkt-srcaddr"`
	Dst     string `parquet:"pkt-dstaddr"`
	SrcPort string `parquet:"srcport"`
	Action  string `parquet:"action"`
	End     int32  `parquet:"end"`
}

func write[T any](t testing.TB, rows []T, group int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pq.NewGenericWriter[T](&b, pq.MaxRowsPerRowGroup(int64(group)), pq.PageBufferSize(1<<10), pq.Compression(&pq.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func input(data []byte) *source.Input {
	return &source.Input{Head: data[:min(len(data), source.HeadLen)], Stream: bytes.NewReader(data),
		All: func() (io.ReaderAt, int64, error) { return bytes.NewReader(data), int64(len(data)), nil }}
}

// readAll reads a container through the driver.
func readAll(t testing.TB, data []byte) ([]observe.Flow, source.Counts, string, error) {
	t.Helper()
	f := make2(t, "")
	c, ok := f.(source.Container)
	if !ok {
		t.Fatal("the format reads no containers")
	}
	recs, err := c.Open(input(data))
	if err != nil {
		return nil, source.Counts{}, "", err
	}
	defer recs.Close()
	var out []observe.Flow
	var bad bytes.Buffer
	n, err := source.ReadRecords(t.Context(), source.Options{Input: "x", Format: "vpcflow", Quarantine: &bad}, data, recs, func(_ context.Context, b *observe.LogBatch) error {
		out = append(out, b.Flows...)
		return nil
	})
	return out, n, bad.String(), err
}

// random makes rows and the same as text: both must read the same.
func random(gen *rand.Rand, n int) (rows []awsRow, lines []string) {
	lines = []string{"version account-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags"}
	for range n {
		var r awsRow
		var line []string
		text := func(p **string, v string) {
			if v != "-" {
				*p = &v
			}
			line = append(line, v)
		}
		long := func(p **int64, v int64) {
			*p = &v
			line = append(line, strconv.FormatInt(v, 10))
		}
		short := func(p **int32, v int32) {
			*p = &v
			line = append(line, strconv.Itoa(int(v)))
		}
		if gen.IntN(20) == 0 {
			short(&r.Version, 5)
			line = append(line, strings.Fields("- - - - - - - - 1 2 - NODATA -")...)
			one, two, status := int64(1), int64(2), "NODATA"
			r.Start, r.End, r.LogStatus = &one, &two, &status
			rows, lines = append(rows, r), append(lines, strings.Join(line, " "))
			continue
		}
		short(&r.Version, 5)
		text(&r.Account, "123456789010")
		text(&r.Src, fmt.Sprintf("10.0.%d.%d", gen.IntN(2), gen.IntN(256)))
		text(&r.Dst, [...]string{"192.0.2.1", "2001:db8::7", fmt.Sprintf("198.51.100.%d", gen.IntN(256))}[gen.IntN(3)])
		short(&r.SrcPort, gen.Int32N(1<<16))
		short(&r.DstPort, [...]int32{22, 443, 53}[gen.IntN(3)])
		proto := [...]int64{6, 17, 1}[gen.IntN(3)]
		long(&r.Protocol, proto)
		long(&r.Packets, gen.Int64N(1000))
		long(&r.Bytes, gen.Int64N(1<<40))
		long(&r.Start, 1700000000+gen.Int64N(1000))
		long(&r.End, 1700001000+gen.Int64N(1000))
		text(&r.Action, [...]string{"ACCEPT", "REJECT"}[gen.IntN(2)])
		text(&r.LogStatus, "OK")
		if gen.IntN(3) == 0 {
			line = append(line, "-")
		} else {
			short(&r.Flags, gen.Int32N(32))
		}
		rows, lines = append(rows, r), append(lines, strings.Join(line, " "))
	}
	return rows, lines
}

// TestParquetIsText: the same records as Parquet and as text give the same flows.
func TestParquetIsText(t *testing.T) {
	rows, lines := random(rand.New(rand.NewPCG(7, 7)), 5000)
	got, n, _, err := readAll(t, write(t, rows, 1234))
	if err != nil || n.Records != 5000 || n.Malformed != 0 || int(n.Emitted) != len(got) {
		t.Fatalf("%+v, %v", n, err)
	}
	for i := range got {
		got[i].Record++ // the text has a header line, which this decoder counts
	}
	want := one(t, make2(t, ""), lines...)
	if len(got) != len(want) || len(got) < 4000 {
		t.Fatalf("%d flows, the text has %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("flow %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

func TestParquetOfOthers(t *testing.T) {
	got, n, bad, err := readAll(t, write(t, []plainRow{{"192.0.2.1", "192.0.2.2", "22", "ACCEPT", 5}, {"192.0.2", "192.0.2.2", "22", "ACCEPT", 5},
		{"192.0.2.1", "192.0.2.3", "65536", "ACCEPT", 5}, {"192.0.2.1", "192.0.2.3", "1", "MAYBE", 5}, {"192.0.2.1", "192.0.2.3", "1", "REJECT", -5}, {"2001:db8::1", "192.0.2.4", "23", "REJECT", 6}}, 4))
	if err != nil || n.Records != 6 || n.Malformed != 4 || len(got) != 2 || got[0].SrcPort != 22 || got[1].Record != 5 || got[1].Action != observe.FlowReject || got[1].End != 6 {
		t.Fatalf("%+v %+v %v", got, n, err)
	}
	for i, want := range []string{`"line":2,"why":"an address`, `"line":3,"why":"a number`, `"line":4,"why":"action`, `"line":5,"why":"a number`} {
		if lines := strings.Split(bad, "\n"); !strings.Contains(lines[i], want) {
			t.Errorf("quarantine %d: %s", i, lines[i])
		}
	}
	type other struct {
		Name string `parquet:"name"`
	}
	if _, _, _, err := readAll(t, write(t, []other{{"x"}}, 10)); !errors.Is(err, source.ErrFormat) {
		t.Errorf("a file of something else: %v", err)
	}
	if _, _, _, err := readAll(t, []byte(v2)); !errors.Is(err, source.ErrFormat) {
		t.Errorf("text: %v", err)
	}
	var w *source.WrongError
	if _, _, _, err := readAll(t, write(t, []plainRow{{"x", "y", "z", "w", 1}}, 10)); !errors.As(err, &w) || w.Looks != "a Parquet file" {
		t.Errorf("a file of broken records: %v", err)
	}
}

// TestParquetDamage: no cut and no changed byte does more than end the file.
func TestParquetDamage(t *testing.T) {
	rows, _ := random(rand.New(rand.NewPCG(1, 2)), 40)
	data := write(t, rows, 20)
	for i := 4; i < len(data); i += 7 {
		c := bytes.Clone(data)
		c[i] ^= 0x55
		flows, _, _, _ := readAll(t, c) // either is right
		if len(flows) > 40 {
			t.Fatalf("%d flows of 40 rows", len(flows))
		}
		if _, _, _, err := readAll(t, data[:i]); err == nil {
			t.Fatalf("a file cut at %d is whole", i)
		}
	}
}

func FuzzParquet(f *testing.F) {
	rows, _ := random(rand.New(rand.NewPCG(1, 2)), 30)
	f.Add(write(f, rows, 20))
	f.Add(write(f, []plainRow{{"192.0.2.1", "192.0.2.2", "22", "ACCEPT", 5}}, 10))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		flows, n, _, _ := readAll(t, data) // any error is right
		if uint64(len(flows)) > n.Records {
			t.Fatalf("%d flows of %d records", len(flows), n.Records)
		}
	})
}

func BenchmarkParquet(b *testing.B) {
	rows, lines := random(rand.New(rand.NewPCG(7, 7)), 200000)
	var buf bytes.Buffer
	w := pq.NewGenericWriter[awsRow](&buf, pq.Compression(&pq.Snappy))
	if _, err := w.Write(rows); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	f, ok := make2(b, "").(source.Container)
	if !ok {
		b.Fatal("the format reads no containers")
	}
	b.SetBytes(int64(len(strings.Join(lines, "\n"))))
	for b.Loop() {
		recs, err := f.Open(input(buf.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		n, err := source.ReadRecords(b.Context(), source.Options{Input: "x"}, nil, recs, func(context.Context, *observe.LogBatch) error { return nil })
		recs.Close()
		if err != nil || n.Records != 200000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200000, "ns/row")
}
