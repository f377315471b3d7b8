// Package text holds what log formats written as text have in common: times
// and addresses, read from bytes without allocating.
package text

import (
	"net/netip"
	"strconv"
	"time"
)

// Month reads a month's English name of three letters; 0 when it is none.
func Month(b []byte) time.Month {
	if len(b) != 3 {
		return 0
	}
	switch string(b) {
	case "Jan":
		return time.January
	case "Feb":
		return time.February
	case "Mar":
		return time.March
	case "Apr":
		return time.April
	case "May":
		return time.May
	case "Jun":
		return time.June
	case "Jul":
		return time.July
	case "Aug":
		return time.August
	case "Sep":
		return time.September
	case "Oct":
		return time.October
	case "Nov":
		return time.November
	case "Dec":
		return time.December
	}
	return 0
}

// Int reads 1 to 9 decimal digits.
func Int(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// Addr reads an address, in brackets or not, without a zone; IPv4 in IPv6 form
// comes out as IPv4.
func Addr(s string) (netip.Addr, bool) {
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		s = s[1 : n-1]
	}
	if len(s) < 2 || len(s) > 45 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// RFC3339 reads a timestamp such as 2023-08-17T16:55:35.689651+02:00; the
// colon of the zone and the fraction may be missing, and the T may be a blank.
func RFC3339(s string) (time.Time, bool) {
	if len(s) < 19 || len(s) > 40 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != ' ') {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return plausible(t)
		}
	}
	return time.Time{}, false
}

// Unix reads seconds since 1970, with a fraction, or milli- or microseconds,
// told apart by size.
func Unix(v float64) (time.Time, bool) {
	switch {
	case !(v > 0) || v > 1e17:
		return time.Time{}, false
	case v > 1e14:
		return plausible(time.UnixMicro(int64(v)))
	case v > 1e11:
		return plausible(time.UnixMilli(int64(v)))
	}
	return plausible(time.UnixMicro(int64(v * 1e6)))
}

// plausible keeps times that the rest of the program can write as RFC 3339.
func plausible(t time.Time) (time.Time, bool) {
	y := t.UTC().Year()
	return t.UTC(), y >= 1970 && y < 9999
}

// CLF reads the time of a Common Log Format line without its brackets:
// 10/Oct/2000:13:55:36 -0700.
func CLF(b []byte) (time.Time, bool) {
	if len(b) != 26 || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' || b[20] != ' ' {
		return time.Time{}, false
	}
	day, ok1 := Int(b[0:2])
	year, ok2 := Int(b[7:11])
	hour, ok3 := Int(b[12:14])
	minute, ok4 := Int(b[15:17])
	sec, ok5 := Int(b[18:20])
	zh, ok6 := Int(b[22:24])
	zm, ok7 := Int(b[24:26])
	mon := Month(b[3:6])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || mon == 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || sec > 60 || zh > 18 || zm > 59 {
		return time.Time{}, false
	}
	off := zh*3600 + zm*60
	switch b[21] {
	case '+':
		off = -off
	case '-':
	default:
		return time.Time{}, false
	}
	return plausible(time.Date(year, mon, day, hour, minute, sec+off, 0, time.UTC))
}

// Lower returns s with ASCII letters in lower case; its length stays the same,
// so that positions found in it hold in s as well.
func Lower(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] |= 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

// Seconds reads a time since 1970 in decimal digits, as Unix does.
func Seconds(s string) (time.Time, bool) {
	if len(s) > 24 {
		return time.Time{}, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}, false
	}
	return Unix(v)
}
