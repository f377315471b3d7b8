package detect

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"bartizan/internal/model"
)

// Related entities are what an attacker wrote, and anybody can write anybody's
// address into a command: they describe the attack and are no evidence against
// the hosts they name. Who folds signals must keep that apart.

// AppendURL adds a URL, and the domain or address in it, to a list of related
// entities. What does not parse is left out.
func AppendURL(dst []model.Entity, raw string) []model.Entity {
	if len(dst)+2 > model.MaxRelated {
		return dst
	}
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw // as wget and curl read it
	}
	e, err := model.ParseEntity(model.TypeURL, raw)
	if err != nil {
		return dst
	}
	dst = appendNew(dst, e)
	u, err := url.Parse(e.Value())
	if err != nil {
		return dst
	}
	return AppendHost(dst, u.Hostname())
}

// AppendHost adds an address or a domain (with at least one dot).
func AppendHost(dst []model.Entity, host string) []model.Entity {
	if len(dst) >= model.MaxRelated || len(host) > 253 {
		return dst
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if e := model.AddrEntity(a); !e.IsZero() {
			return appendNew(dst, e)
		}
		return dst
	}
	if !strings.Contains(strings.Trim(host, "."), ".") {
		return dst
	}
	if e, err := model.ParseEntity(model.TypeDomain, host); err == nil {
		return appendNew(dst, e)
	}
	return dst
}

func appendNew(dst []model.Entity, e model.Entity) []model.Entity {
	if slices.Contains(dst, e) {
		return dst
	}
	return append(dst, e)
}

// schemes that attacks download from or call back to.
var schemes = []string{"http", "https", "ftp", "tftp", "ldap", "ldaps", "rmi", "dns", "iiop", "gopher", "dict", "file"}

// AppendURLs adds the URLs found in a text, at most max of them.
func AppendURLs(dst []model.Entity, text string, max int) []model.Entity {
	text = text[:min(len(text), 16<<10)]
	for max > 0 {
		i := strings.Index(text, "://")
		if i < 0 {
			break
		}
		start := i
		for start > 0 && isLetter(text[start-1]) && i-start < 6 {
			start--
		}
		end := i + 3
		for end < len(text) && urlByte(text[end]) {
			end++
		}
		scheme := strings.ToLower(text[start:i])
		if slices.Contains(schemes, scheme) && end > i+3 {
			dst = AppendURL(dst, scheme+strings.TrimRight(text[i:end], ".,)"))
			max--
		}
		text = text[end:]
	}
	return dst
}

// KeyIDs adds identifiers of AWS access keys found in a text (AKIA… and ASIA…,
// 20 characters; AWS IAM User Guide, "IAM identifiers").
func KeyIDs(dst []model.Entity, text string) []model.Entity {
	text = text[:min(len(text), 16<<10)]
	for len(text) >= 20 && len(dst) < model.MaxRelated {
		i := strings.Index(text, "KIA")
		if j := strings.Index(text, "SIA"); i < 0 || j >= 0 && j < i {
			i = j
		}
		if i < 0 {
			return dst
		}
		if i > 0 && text[i-1] == 'A' && len(text) >= i+19 && keyBytes(text[i:i+19]) {
			if e, err := model.ParseEntity(model.TypeAccessKey, text[i-1:i+19]); err == nil {
				dst = appendNew(dst, e)
			}
		}
		text = text[i+3:]
	}
	return dst
}

func keyBytes(s string) bool {
	for i := range len(s) {
		if !(s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9') {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func urlByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune("\"'`<>|;\\^{}$", rune(c))
}
