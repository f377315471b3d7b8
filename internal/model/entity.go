package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EntityType names what an Entity is; the words follow STIX 2.1 observables
// where one exists.
type EntityType string

// The kinds of thing an indicator can be about.
const (
	TypeIP        EntityType = "ip"         // an IPv4 address, or an IPv6 /64; also any wider prefix
	TypeDomain    EntityType = "domain"     // lower case, no trailing dot
	TypeURL       EntityType = "url"        // scheme and host lower case, no fragment
	TypeSHA256    EntityType = "sha256"     // 64 lower-case hex digits
	TypeSHA1      EntityType = "sha1"       // 40 lower-case hex digits, of a file
	TypeMD5       EntityType = "md5"        // 32 lower-case hex digits, of a file
	TypeJA3       EntityType = "ja3"        // 32 lower-case hex digits (MD5)
	TypeJA4       EntityType = "ja4"        // a_b_c form of JA4 (TLS client)
	TypeHASSH     EntityType = "hassh"      // 32 lower-case hex digits (MD5)
	TypeAccessKey EntityType = "access-key" // an identifier of a credential, never the secret part
	TypePrompt    EntityType = "prompt"     // fingerprint of a normalised prompt, 16 hex digits
	TypeUser      EntityType = "user"       // an account as its log names it (DOMAIN\name, an ARN, a mail address)
	TypeHost      EntityType = "host"       // a computer as its own log names it, lower case
)

// Entity is a canonical value of one type. Only a parser makes one, so two
// entities are the same thing exactly when they are ==.
type Entity struct {
	kind  EntityType
	value string
}

// Type returns what the entity is; "" for the zero Entity.
func (e Entity) Type() EntityType { return e.kind }

// Value returns the canonical text without the type.
func (e Entity) Value() string { return e.value }

// IsZero reports whether the entity names nothing.
func (e Entity) IsZero() bool { return e.kind == "" }

// String returns "type:value".
func (e Entity) String() string {
	if e.IsZero() {
		return ""
	}
	return string(e.kind) + ":" + e.value
}

// MaxEntity is the longest accepted value in bytes; longer ones are refused, so
// that a hostile peer cannot grow state with one name.
const MaxEntity = 2048

// ParseEntity reads a value of a named type into its canonical form.
func ParseEntity(t EntityType, s string) (Entity, error) {
	if len(s) > MaxEntity {
		return Entity{}, fmt.Errorf("parse %s: %d bytes, at most %d", t, len(s), MaxEntity)
	}
	switch t {
	case TypeIP:
		return ParseIP(s)
	case TypeDomain:
		return parseDomain(s)
	case TypeURL:
		return parseURL(s)
	case TypeSHA256:
		return parseHex(t, s, 64)
	case TypeSHA1:
		return parseHex(t, s, 40)
	case TypeMD5, TypeJA3, TypeHASSH:
		return parseHex(t, s, 32)
	case TypePrompt:
		return parseHex(t, s, 16)
	case TypeJA4:
		return parseToken(t, s, 64)
	case TypeAccessKey:
		return parseToken(t, s, 256)
	case TypeUser:
		return parseName(t, s)
	case TypeHost:
		return parseName(t, strings.ToLower(s))
	}
	return Entity{}, fmt.Errorf("parse entity: unknown type %.32q", string(t))
}

// ParseNamed reads what a person names: an address or a prefix as it is, anything
// else as type:value, such as user:alice. key: stands for access-key:.
func ParseNamed(s string) (Entity, error) {
	if e, err := ParseIP(s); err == nil {
		return e, nil
	}
	kind, value, ok := strings.Cut(s, ":")
	if !ok {
		return Entity{}, fmt.Errorf("parse entity: %.64q is neither an address nor type:value (types: ip domain url sha256 ja3 ja4 hassh access-key prompt user host)", s)
	}
	if kind == "key" {
		kind = string(TypeAccessKey)
	}
	return ParseEntity(EntityType(kind), value)
}

// ParseIP reads an address or prefix. Addresses are unmapped from their
// v4-in-v6 form; a single IPv6 address becomes its /64, because one host
// commonly owns the whole of it (RFC 7421, RFC 4291 §2.5.4).
func ParseIP(s string) (Entity, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return PrefixEntity(p), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return Entity{}, fmt.Errorf("parse ip: %.64q is neither an address nor a prefix", s)
	}
	return AddrEntity(a), nil
}

// ActorBits6 is the width at which IPv6 sources are judged.
const ActorBits6 = 64

// ActorPrefix is the unit an address is judged by: itself for IPv4, its /64 for IPv6.
func ActorPrefix(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = ActorBits6
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// AddrEntity is the entity an address is judged by; zero for an invalid address.
func AddrEntity(a netip.Addr) Entity {
	if !a.IsValid() {
		return Entity{}
	}
	return PrefixEntity(ActorPrefix(a))
}

// PrefixEntity is the entity of a prefix, masked and unmapped. An IPv6 prefix
// narrower than /64 is widened to it; full-length IPv4 prints as an address.
func PrefixEntity(p netip.Prefix) Entity {
	p = CanonicalPrefix(p)
	if !p.IsValid() {
		return Entity{}
	}
	if p.Addr().Is4() && p.Bits() == 32 {
		return Entity{TypeIP, p.Addr().String()}
	}
	return Entity{TypeIP, p.String()}
}

// CanonicalPrefix unmaps, masks, and widens IPv6 to at least /64.
func CanonicalPrefix(p netip.Prefix) netip.Prefix {
	if !p.IsValid() {
		return netip.Prefix{}
	}
	a, bits := p.Addr().WithZone(""), p.Bits()
	if a.Is4In6() {
		if bits < 96 {
			return netip.PrefixFrom(a, bits).Masked()
		}
		a, bits = a.Unmap(), bits-96
	}
	if a.Is6() && bits > ActorBits6 {
		bits = ActorBits6
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// Prefix returns the network of an ip entity; false for every other type.
func (e Entity) Prefix() (netip.Prefix, bool) {
	if e.kind != TypeIP {
		return netip.Prefix{}, false
	}
	if p, err := netip.ParsePrefix(e.value); err == nil {
		return p, true
	}
	a, err := netip.ParseAddr(e.value)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

func parseDomain(s string) (Entity, error) {
	d := strings.ToLower(strings.TrimSuffix(s, "."))
	if d == "" || len(d) > 253 {
		return Entity{}, errors.New("parse domain: empty or longer than 253 bytes")
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 {
			return Entity{}, fmt.Errorf("parse domain: bad label in %.64q", s)
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c >= 0x80) {
				return Entity{}, fmt.Errorf("parse domain: bad character in %.64q", s)
			}
		}
	}
	return Entity{TypeDomain, d}, nil
}

func parseURL(s string) (Entity, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Host == "" || u.Scheme == "" {
		return Entity{}, fmt.Errorf("parse url: %.64q has no scheme and host", s)
	}
	u.Scheme, u.Host, u.Fragment, u.RawFragment = strings.ToLower(u.Scheme), strings.ToLower(u.Host), "", ""
	v := u.String()
	if len(v) > MaxEntity {
		return Entity{}, fmt.Errorf("parse url: %d bytes, at most %d", len(v), MaxEntity)
	}
	return Entity{TypeURL, v}, nil
}

func parseHex(t EntityType, s string, n int) (Entity, error) {
	v := strings.ToLower(s)
	if len(v) != n || strings.Trim(v, "0123456789abcdef") != "" {
		return Entity{}, fmt.Errorf("parse %s: %.80q is not %d hex digits", t, s, n)
	}
	return Entity{t, v}, nil
}

func parseToken(t EntityType, s string, max int) (Entity, error) {
	if s == "" || len(s) > max {
		return Entity{}, fmt.Errorf("parse %s: empty or longer than %d bytes", t, max)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return Entity{}, fmt.Errorf("parse %s: %.64q has a character that is not printable ASCII", t, s)
		}
	}
	return Entity{t, s}, nil
}

// parseName takes a name that people give: any printable text up to 256 bytes.
func parseName(t EntityType, s string) (Entity, error) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Entity{}, fmt.Errorf("parse %s: empty, longer than 256 bytes, or not printable", t)
	}
	return Entity{t, s}, nil
}

type entityJSON struct {
	Type  EntityType `json:"type"`
	Value string     `json:"value"`
}

// MarshalJSON writes {"type","value"}, or null for the zero Entity.
func (e Entity) MarshalJSON() ([]byte, error) {
	if e.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(entityJSON{e.kind, e.value})
}

// UnmarshalJSON parses and canonicalises; it refuses what ParseEntity refuses.
func (e *Entity) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*e = Entity{}
		return nil
	}
	var j entityJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("parse entity: %w", err)
	}
	v, err := ParseEntity(j.Type, j.Value)
	if err == nil {
		*e = v
	}
	return err
}
