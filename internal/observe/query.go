package observe

import "strconv"

// Query is one question to a name server, with what was seen of the answer.
// Strings in it may be kept.
type Query struct {
	Client, Server         Addr // Server is zero where it is not said
	ClientPort, ServerPort uint16
	Proto                  uint8 // ProtoUDP or ProtoTCP; 0: not said
	// Answered: the reply was seen, and RCode is that of it.
	Answered bool
	// Spoofable: nothing proves that Client asked; it is true for datagrams.
	Spoofable bool
	Time      int64  // Unix seconds; 0: not said
	Record    uint64 // index of the record in its input, from 0
	Name      string // as asked, ASCII letters in lower case, without the last dot; "" is the root
	Type      string // "A", "TXT", …; one without a name as RFC 3597 §5 has it, "TYPE65280"; "" when not said
	RCode     string // "NOERROR", "NXDOMAIN", … (RFC 6895 §2.3); "" when not said
	// Answers are the data of the answer section, at most MaxAnswers: addresses,
	// names, texts.
	Answers []string
	TTL     uint32 // smallest of the answers', in seconds; 0: not said
}

// Caps on a query; what is longer is cut by who makes it.
const (
	MaxAnswers   = 16
	MaxQueryName = 1024 // a name has up to 253 characters, with escapes four times as many
	MaxAnswer    = 1024
)

// RecordType names a type of resource record (IANA "DNS Parameters").
func RecordType(n uint16) string {
	switch n {
	case 1:
		return "A"
	case 2:
		return "NS"
	case 5:
		return "CNAME"
	case 6:
		return "SOA"
	case 10:
		return "NULL"
	case 12:
		return "PTR"
	case 13:
		return "HINFO"
	case 15:
		return "MX"
	case 16:
		return "TXT"
	case 25:
		return "KEY"
	case 28:
		return "AAAA"
	case 33:
		return "SRV"
	case 35:
		return "NAPTR"
	case 39:
		return "DNAME"
	case 41:
		return "OPT"
	case 43:
		return "DS"
	case 46:
		return "RRSIG"
	case 47:
		return "NSEC"
	case 48:
		return "DNSKEY"
	case 64:
		return "SVCB"
	case 65:
		return "HTTPS"
	case 99:
		return "SPF"
	case 251:
		return "IXFR"
	case 252:
		return "AXFR"
	case 255:
		return "ANY"
	case 257:
		return "CAA"
	}
	return "TYPE" + strconv.Itoa(int(n))
}

// ResponseCode names a response code (IANA "DNS Parameters").
func ResponseCode(n uint8) string {
	switch n {
	case 0:
		return "NOERROR"
	case 1:
		return "FORMERR"
	case 2:
		return "SERVFAIL"
	case 3:
		return "NXDOMAIN"
	case 4:
		return "NOTIMP"
	case 5:
		return "REFUSED"
	}
	return "RCODE" + strconv.Itoa(int(n))
}
