package vpcflow

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

func make2(t testing.TB, fields string) source.Format {
	t.Helper()
	f, err := New(Config{Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var foreign = []string{
	`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326`,
	`Feb 12 14:10:21 host sshd[1]: Invalid user a from 192.0.2.1 port 1`,
	`{"eventVersion":"1.05","eventSource":"s3.amazonaws.com"}`,
	`2 123456789010 eni-1 192.0.2.1`,
}

const v2 = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"

func TestSuiteDefault(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: make2(t, ""), Foreign: foreign, Records: []string{
		v2,
		"2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK",
		"2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK",
	}})
}

func TestSuiteCustom(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: make2(t, ""), Foreign: foreign,
		Header: "dstaddr interface-id srcaddr protocol srcport dstport end start tcp-flags bytes packets action field-of-2031 version\n",
		Records: []string{
			"10.0.0.62 eni-1 52.213.180.42 6 43418 5001 1566848933 1566848875 2 568 8 ACCEPT x 3",
			"52.213.180.42 eni-1 10.0.0.62 6 5001 43418 1566848933 1566848875 18 376 7 REJECT - 10",
			"52.213.180.42 eni-1 10.0.0.62 17 5001 43418 1566848933 1566848875 - 376 7 ACCEPT - 3",
		}})
}

func one(t *testing.T, f source.Format, lines ...string) []observe.Flow {
	t.Helper()
	d := f.Decoder()
	var b observe.LogBatch
	for i, l := range lines {
		if err := d.Decode([]byte(l), uint64(i), &b); err != nil && err != source.ErrHeader {
			t.Fatalf("%s: %v", l, err)
		}
	}
	return b.Flows
}

func TestFields(t *testing.T) {
	addr := func(s string) observe.Addr { return observe.AddrOf(netip.MustParseAddr(s)) }
	want := observe.Flow{Src: addr("172.31.16.139"), Dst: addr("172.31.16.21"), SrcPort: 20641, DstPort: 22, Proto: 6,
		Action: observe.FlowAccept, Start: 1418530010, End: 1418530070, Packets: 20, Bytes: 4249}
	if got := one(t, make2(t, ""), v2); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// The packet's addresses count only where the interface's are missing.
	got := one(t, make2(t, "${version} ${pkt-srcaddr} ${srcaddr} ${pkt-dstaddr} ${tcp-flags} ${protocol}"), "3 192.0.2.9 192.0.2.1 192.0.2.2 19 6")
	if len(got) != 1 || got[0].Src != addr("192.0.2.1") || got[0].Dst != addr("192.0.2.2") || !got[0].HasFlags || got[0].Flags != 19 {
		t.Errorf("got %+v", got)
	}
	for _, empty := range []string{
		"2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA",
		"2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA",
	} {
		if got := one(t, make2(t, ""), empty); len(got) != 0 {
			t.Errorf("a record without a flow gave %+v", got)
		}
	}
}

func TestBroken(t *testing.T) {
	head := "version srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
	cases := map[string]error{
		"5 192.0.2.1 192.0.2.2 1 2 6 1 40 1 2 ACCEPT":                    errCount,
		"5 192.0.2.1 192.0.2.2 1 2 6 1 40 1 2 ACCEPT OK more":            errCount,
		"5 192.0.2.256 192.0.2.2 1 2 6 1 40 1 2 ACCEPT OK":               errAddress,
		"5 192.0.2. 192.0.2.2 1 2 6 1 40 1 2 ACCEPT OK":                  errAddress,
		"5 fe80::1%eth0 192.0.2.2 1 2 6 1 40 1 2 ACCEPT OK":              errAddress,
		"5 192.0.2.1 192.0.2.2 65536 2 6 1 40 1 2 ACCEPT OK":             errNumber,
		"5 192.0.2.1 192.0.2.2 1 -2 6 1 40 1 2 ACCEPT OK":                errNumber,
		"5 192.0.2.1 192.0.2.2 1 2 256 1 40 1 2 ACCEPT OK":               errNumber,
		"5 192.0.2.1 192.0.2.2 1 2 6 1 40 1 99999999999999999 ACCEPT OK": errNumber,
		"5 192.0.2.1 192.0.2.2 1 2 6 1 40 1 2 MAYBE OK":                  errWord,
		"5 192.0.2.1  192.0.2.2 1 2 6 1 40 1 2 ACCEPT OK":                errAddress,
	}
	d := make2(t, "").Decoder()
	var b observe.LogBatch
	if err := d.Decode([]byte(head), 0, &b); err != source.ErrHeader {
		t.Fatalf("header: %v", err)
	}
	for line, want := range cases {
		if err := d.Decode([]byte(line), 0, &b); err != want {
			t.Errorf("%s: %v, want %v", line, err, want)
		}
	}
	if len(b.Flows) != 0 {
		t.Errorf("broken records left %d flows", len(b.Flows))
	}
	if err := make2(t, "").Decoder().Decode([]byte("5 123456789010 eni-1 192.0.2.1 192.0.2.2 1 2 6 1 40 1 2 ACCEPT OK vpc-1"), 0, &b); err != errVersion {
		t.Errorf("version 5 without a header: %v", err)
	}
	for _, bad := range []string{"version action", "srcaddr srcaddr dstaddr", "one two three srcaddr dstaddr x y"} {
		if _, err := New(Config{Fields: bad}); err == nil {
			t.Errorf("fields %q were taken", bad)
		}
	}
}

// FuzzNumber: a number reads as strconv reads it, wherever it stands.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "7", "65535", "1418530010", "12345678", "1234567", "123456789", "9999999999999999999", "12345678901234567890", "", "-", "1x", "12345678x", "1 2"} {
		f.Add(s, " ACCEPT OK")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, s, rest string) {
		tok, _, blank := strings.Cut(s+rest, " ")
		want, err := strconv.ParseUint(tok, 10, 64)
		good := err == nil && len(tok) <= 19 && tok[0] != '+'
		v, next := numberAt([]byte(s+rest), 0)
		if good != (next > 0) || good && (v != want || next != len(tok)+1) {
			t.Fatalf("%q: %d, %d; want %d %v (%v)", s+rest, v, next, want, good, blank)
		}
	})
}

// FuzzDecode: no input panics, what is taken obeys its types, and a good record
// reads the same after any other.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(v2), []byte("2 x"))
	f.Add([]byte("version srcaddr dstaddr"), []byte("5 192.0.2.1 ::1"))
	f.Add([]byte("${srcaddr} ${dstaddr} ${bytes}"), []byte("1.2.3.4 ::ffff:1.2.3.4 18446744073709551615"))
	format, err := New(Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := format.Decoder()
		var batch observe.LogBatch
		for i, line := range [][]byte{a, b, a} {
			if len(line) == 0 || bytes.IndexByte(line, '\n') >= 0 {
				continue
			}
			before := len(batch.Flows)
			err := d.Decode(line, uint64(i), &batch)
			if n := len(batch.Flows) - before; n < 0 || n > 1 || err != nil && n != 0 {
				t.Fatalf("%d flows with %v", n, err)
			}
			if len(batch.Flows) > before && (batch.Flows[before].Src.IsZero() && !bytes.Contains(line, []byte("::"))) {
				t.Fatalf("a flow without a source from %q", line)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d := make2(b, "").Decoder()
	line := []byte(v2)
	batch := observe.LogBatch{Flows: make([]observe.Flow, 0, source.BatchLen)}
	b.SetBytes(int64(len(line) + 1))
	b.ReportAllocs()
	for b.Loop() {
		if len(batch.Flows) == cap(batch.Flows) {
			batch.Reset()
		}
		if err := d.Decode(line, 1, &batch); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllFieldsKnown(t *testing.T) {
	all := strings.Fields("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id reject-reason resource-id encryption-status")
	for _, name := range all {
		if _, known := columnOf(name); !known {
			t.Errorf("%s is not known", name)
		}
	}
}
