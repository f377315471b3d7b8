package detecttest

import (
	"encoding/json"
	"fmt"
	"time"

	"bartizan/internal/observe"
)

// VPCHeader is the first line of a flow log as AppendVPC writes it.
const VPCHeader = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags\n"

// AppendVPC writes a flow as a line of VPC flow logs.
func AppendVPC(b []byte, f *observe.Flow) []byte {
	action, flags := "ACCEPT", "-"
	if f.Action == observe.FlowReject {
		action = "REJECT"
	}
	if f.HasFlags {
		flags = fmt.Sprint(f.Flags)
	}
	return fmt.Appendf(b, "5 123456789012 eni-0a1b2c3d %s %s %d %d %d %d %d %d %d %s OK %s\n", f.Src.Netip(), f.Dst.Netip(), f.SrcPort, f.DstPort, f.Proto, f.Packets, f.Bytes, f.Start, f.End, action, flags)
}

type route53Answer struct {
	Rdata string `json:"Rdata"`
	Type  string `json:"Type"`
	Class string `json:"Class"`
}

type route53Line struct {
	Version   string          `json:"version"`
	Account   string          `json:"account_id"`
	Region    string          `json:"region"`
	VPC       string          `json:"vpc_id"`
	Timestamp string          `json:"query_timestamp"`
	Name      string          `json:"query_name"`
	Type      string          `json:"query_type"`
	Class     string          `json:"query_class"`
	RCode     string          `json:"rcode"`
	Answers   []route53Answer `json:"answers"`
	Address   string          `json:"srcaddr"`
	Port      string          `json:"srcport"`
	Transport string          `json:"transport"`
}

// AppendRoute53 writes a question as a line of AWS's resolver query logs.
func AppendRoute53(b []byte, q *observe.Query) []byte {
	l := route53Line{Version: "1.100000", Account: "123456789012", Region: "eu-west-1", VPC: "vpc-0a1b2c3d", Timestamp: time.Unix(q.Time, 0).UTC().Format(time.RFC3339),
		Name: q.Name + ".", Type: q.Type, Class: "IN", RCode: q.RCode, Answers: []route53Answer{}, Address: q.Client.Netip().String(), Port: fmt.Sprint(q.ClientPort), Transport: "UDP"}
	for _, a := range q.Answers {
		l.Answers = append(l.Answers, route53Answer{a, q.Type, "IN"})
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic("BUG: detecttest: " + err.Error()) // strings only
	}
	return append(append(b, text...), '\n')
}
