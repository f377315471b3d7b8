package decide

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/model"
)

// NewLease makes and signs a drill lease that begins now.
func NewLease(now time.Time, addrs []netip.Addr, length, blockFor time.Duration, by string, key ed25519.PrivateKey) (model.Lease, error) {
	l := model.Lease{
		ID: model.NewULID(now), From: now.UTC(), Until: now.Add(length).UTC(),
		BlockFor: model.Seconds(blockFor.Seconds()), By: by,
	}
	for _, a := range addrs {
		l.Addresses = append(l.Addresses, a.Unmap().String())
	}
	slices.Sort(l.Addresses)
	l.Addresses = slices.Compact(l.Addresses)
	l.Signature = ed25519.Sign(key, l.SigningBytes())
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return model.Lease{}, errors.New("sign lease: not an Ed25519 key")
	}
	return l, VerifyLease(pub, &l)
}

// VerifyLease says why a lease lifts nothing; nil means that it may, between
// its From and Until. A lease is only as wide as the ranges set aside for
// drills, so that not even the node's own key can lift anything for an address
// that somebody really has.
func VerifyLease(key ed25519.PublicKey, l *model.Lease) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("check lease: "+format, args...)
	}
	length := l.Until.Sub(l.From)
	block := l.BlockFor.Duration()
	switch {
	case l.ID.IsZero():
		return fail("no id")
	case len(l.Addresses) == 0:
		return fail("names no address")
	case len(l.Addresses) > model.MaxLeaseAddresses:
		return fail("names %d addresses, at most %d", len(l.Addresses), model.MaxLeaseAddresses)
	case length <= 0 || length > model.MaxLease:
		return fail("lasts %s, at most %s", length, model.MaxLease)
	case !(float64(l.BlockFor) >= model.MinLeaseBlock.Seconds() && float64(l.BlockFor) <= model.MaxLeaseBlock.Seconds()):
		return fail("blocks for %s, between %s and %s", block, model.MinLeaseBlock, model.MaxLeaseBlock)
	case l.By == "" || len(l.By) > 128:
		return fail("does not say who asked for it in at most 128 bytes")
	case len(key) != ed25519.PublicKeySize:
		return fail("this node has no key to check it with")
	}
	for i, s := range l.Addresses {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil || a.String() != s || a.Zone() != "" || a.Is4In6():
			return fail("%.64q is not one canonical address", s)
		case !drillRange(netip.PrefixFrom(a, a.BitLen())):
			return fail("%s lies outside the ranges for drills (%s, %s)", s, drillRanges[0], drillRanges[1])
		case i > 0 && l.Addresses[i-1] >= s:
			return fail("addresses are not sorted and distinct")
		}
	}
	if !ed25519.Verify(key, l.SigningBytes(), l.Signature) {
		return fail("the signature is not this node's")
	}
	return nil
}

// leaseCovers reports whether the lease names the actor: the IPv4 address
// itself, or an address of the IPv6 /64. The /64 lies in documentation space,
// so that nobody but the drill has the rest of it.
func leaseCovers(l *model.Lease, p netip.Prefix) bool {
	if !actor(p) || !drillRange(p) {
		return false
	}
	for _, s := range l.Addresses {
		if a, err := netip.ParseAddr(s); err == nil && p.Contains(a) {
			return true
		}
	}
	return false
}
