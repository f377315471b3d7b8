package decide

import (
	"net/netip"

	"bartizan/internal/model"
)

// reservedRange is a range that no source on the Internet legitimately has.
type reservedRange struct {
	prefix netip.Prefix
	what   string
}

// The IANA special-purpose registries (RFC 6890 and its updates), with the
// multicast, former class E and site-local space they leave out.
var reservedRanges = []reservedRange{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared by carrier-grade NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "IETF protocol assignments (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.31.196.0/24"), "AS112 (RFC 7535)"},
	{netip.MustParsePrefix("192.52.193.0/24"), "AMT (RFC 7450)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relays (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("192.175.48.0/24"), "AS112 (RFC 7534)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved, with the limited broadcast address (RFC 1112, RFC 8190)"},

	{netip.MustParsePrefix("::/96"), "unspecified, loopback and IPv4-compatible (RFC 4291)"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4-mapped (RFC 4291)"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64: many IPv4 hosts in one prefix (RFC 6052)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64 (RFC 8215)"},
	{netip.MustParsePrefix("100::/64"), "discard only (RFC 6666)"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "dummy prefix (RFC 9780)"},
	{netip.MustParsePrefix("2001::/32"), "Teredo: many hosts in one prefix (RFC 4380)"},
	{netip.MustParsePrefix("2001::/23"), "IETF protocol assignments (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4 (RFC 3056)"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "AS112 (RFC 7534)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing (RFC 9602)"},
	{netip.MustParsePrefix("fc00::/7"), "unique local (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link-local (RFC 4291)"},
	{netip.MustParsePrefix("fec0::/10"), "site-local (RFC 3879)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291)"},
}

var (
	globalUnicast6 = netip.MustParsePrefix("2000::/3")
	prefix6to4     = netip.MustParsePrefix("2002::/16")
	prefixTeredo   = netip.MustParsePrefix("2001::/32")

	// The only ranges a drill lease can name.
	drillRanges = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8::/32")}
)

// reserved names the special range the prefix touches, in either direction.
func reserved(p netip.Prefix) (what string, ok bool) {
	for _, r := range reservedRanges {
		if r.prefix.Overlaps(p) {
			return r.prefix.String() + ": " + r.what, true
		}
	}
	// Everything else outside 2000::/3 is not handed out to anybody (RFC 4291 §2.4).
	if p.Addr().Is6() && !(globalUnicast6.Bits() <= p.Bits() && globalUnicast6.Contains(p.Addr())) {
		return "outside " + globalUnicast6.String() + ": no global unicast", true
	}
	return "", false
}

// privateRanges are where hosts of one's own are found.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// ownHost reports whether the action would isolate a single host with a private
// address: nothing wider, and no other action.
func ownHost(a model.Action, p netip.Prefix) bool {
	if a != model.Isolate || !actor(p) {
		return false
	}
	for _, r := range privateRanges {
		if r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// drillRange reports whether the whole prefix lies in a range of drills.
func drillRange(p netip.Prefix) bool {
	for _, r := range drillRanges {
		if p.Bits() >= r.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// unmapped turns an IPv4-mapped prefix into the IPv4 one and masks. Unlike
// model.CanonicalPrefix it does not widen: a protected address is exact.
func unmapped(p netip.Prefix) netip.Prefix {
	a := p.Addr().WithZone("")
	if a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96).Masked()
	}
	return netip.PrefixFrom(a, p.Bits()).Masked()
}

// reach lists what acting on the prefix would hit: itself, and the IPv4
// address that a 6to4 or Teredo prefix carries. In the mapped, compatible and
// NAT64 forms the IPv4 address lies below the /64 that IPv6 is judged by, so
// that such a prefix stands for all of them and is reserved as a whole.
func reach(p netip.Prefix) []netip.Prefix {
	p = model.CanonicalPrefix(p)
	out := []netip.Prefix{p}
	at := 0
	switch {
	case p.Addr().Is4():
		return out
	case p.Bits() >= prefix6to4.Bits() && prefix6to4.Contains(p.Addr()):
		at = 2
	case p.Bits() >= prefixTeredo.Bits() && prefixTeredo.Contains(p.Addr()):
		at = 4
	default:
		return out
	}
	b := p.Addr().As16()
	v4 := netip.AddrFrom4([4]byte(b[at : at+4]))
	bits := min(p.Bits()-at*8, 32)
	return append(out, netip.PrefixFrom(v4, bits).Masked())
}
