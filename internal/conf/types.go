package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as people write it: "90s", "1h30m", "7d",
// "2w", "250ms". It is never negative.
type Duration time.Duration

// D is the value as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// durationUnits from the largest; "m" is a minute.
var durationUnits = []struct {
	name string
	size time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute},
	{"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond},
}

// String prints the form ParseDuration reads, largest units first.
func (d Duration) String() string {
	if d <= 0 {
		return "0s"
	}
	var b strings.Builder
	left := time.Duration(d)
	for _, u := range durationUnits {
		if u.name == "w" {
			continue // 7d and 10d read better than 1w and 1w3d
		}
		if n := left / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			left %= u.size
		}
	}
	return b.String()
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// ParseDuration reads a sum of numbers with units: "1d12h", "1.5h". A bare
// number is refused (seconds? milliseconds?), except 0.
func ParseDuration(s string) (Duration, error) {
	text := strings.TrimSpace(s)
	if text == "0" {
		return 0, nil
	}
	bad := fmt.Errorf("%q is not a duration: write a number with a unit, such as 90s, 15m, 12h or 7d", cut(s))
	if text == "" {
		return 0, bad
	}
	var total float64
	for text != "" {
		digits := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits <= 0 {
			return 0, bad
		}
		n, err := strconv.ParseFloat(text[:digits], 64)
		if err != nil {
			return 0, bad
		}
		text = text[digits:]
		end := strings.IndexAny(text, "0123456789.")
		if end < 0 {
			end = len(text)
		}
		size, ok := unitSize(text[:end])
		if !ok {
			return 0, bad
		}
		total += n * float64(size)
		text = text[end:]
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too long a duration: the longest is 292 years", cut(s))
	}
	return Duration(math.Round(total)), nil
}

func unitSize(name string) (time.Duration, bool) {
	for _, u := range durationUnits {
		if u.name == name {
			return u.size, true
		}
	}
	return 0, false
}

// Bytes is an amount of data as people write it: "10MiB", "64KiB", "1GB",
// "1024". KiB, MiB, GiB, TiB are powers of 1024; kB, MB, GB, TB of 1000.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// String prints the largest unit that is exact.
func (b Bytes) String() string {
	if b > 0 {
		for _, u := range byteUnits {
			if int64(b)%u.size == 0 {
				return fmt.Sprintf("%d%s", int64(b)/u.size, u.name)
			}
		}
	}
	return fmt.Sprintf("%dB", int64(b))
}

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText is ParseBytes.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := ParseBytes(string(text))
	if err == nil {
		*b = v
	}
	return err
}

// ParseBytes reads an amount; a bare number counts bytes.
func ParseBytes(s string) (Bytes, error) {
	text := strings.TrimSpace(s)
	bad := fmt.Errorf("%q is not an amount of data: write for example 512KiB, 10MiB or 2GB", cut(s))
	digits := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if digits < 0 {
		digits = len(text)
	}
	n, err := strconv.ParseFloat(text[:digits], 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, bad
	}
	unit := strings.TrimSpace(text[digits:])
	size := int64(0)
	for _, u := range byteUnits {
		if strings.EqualFold(u.name, unit) || (unit == "" && u.name == "B") {
			size = u.size
		}
	}
	if size == 0 {
		return 0, bad
	}
	total := n * float64(size)
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too much: the most is 8 EiB", cut(s))
	}
	if total != math.Trunc(total) {
		return 0, fmt.Errorf("%q is not a whole number of bytes", cut(s))
	}
	return Bytes(total), nil
}

func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
