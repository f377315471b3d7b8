package sigma

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

// ask answers an atom for the event: whether any value of the field passes.
func (r *Runner) ask(a *atom) bool {
	f := r.field(a.field)
	switch a.test {
	case isNull:
		for i := range f.raw {
			if f.raw[i].Kind == Null {
				return true
			}
		}
		return len(f.raw) == 0
	case isExists:
		return (len(f.raw) > 0) == a.yes
	case isField:
		return r.askField(a, f)
	case isPattern:
		for i := range f.raw {
			text := f.folded[i]
			if a.cased {
				text = f.raw[i].Text
			}
			if f.raw[i].Kind != Null && a.pattern.match(text) {
				return true
			}
		}
		return false
	}
	for i := range f.raw {
		if f.raw[i].Kind != Null && a.passes(f.raw[i].Text) {
			return true
		}
	}
	return false
}

// askField compares two fields of the event, any value with any.
func (r *Runner) askField(a *atom, f *fieldValues) bool {
	other := r.field(a.other)
	for i := range f.raw {
		for j := range other.raw {
			if f.raw[i].Kind == Null || other.raw[j].Kind == Null {
				continue
			}
			mine, theirs := f.folded[i], other.folded[j]
			if a.cased {
				mine, theirs = f.raw[i].Text, other.raw[j].Text
			}
			if a.related(mine, theirs) {
				return true
			}
		}
	}
	return false
}

func (a *atom) related(mine, theirs []byte) bool {
	switch a.shape {
	case "contains":
		return bytes.Contains(mine, theirs)
	case "startswith":
		return bytes.HasPrefix(mine, theirs)
	case "endswith":
		return bytes.HasSuffix(mine, theirs)
	}
	return bytes.Equal(mine, theirs)
}

// passes answers the tests that read a value as something else than text.
func (a *atom) passes(text []byte) bool {
	switch a.test {
	case isRegexp:
		return a.re.Match(text)
	case isIn:
		ip, err := netip.ParseAddr(string(text))
		return err == nil && a.network.Contains(ip.Unmap().WithZone(""))
	case isTime:
		t, ok := parseTime(text)
		return ok && a.unitOf(t) == int(a.number)
	}
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return false
	}
	switch a.test {
	case isGreater:
		return n > a.number
	case isGreaterEqual:
		return n >= a.number
	case isLess:
		return n < a.number
	case isLessEqual:
		return n <= a.number
	}
	return false
}

func (a *atom) unitOf(t time.Time) int {
	switch a.unit {
	case "minute":
		return t.Minute()
	case "hour":
		return t.Hour()
	case "day":
		return t.Day()
	case "week":
		_, week := t.ISOWeek()
		return week
	case "month":
		return int(t.Month())
	}
	return t.Year()
}

// parseTime reads the times that logs carry: RFC 3339 and its relatives with a
// space or without a zone (taken as UTC), and Unix seconds or milliseconds.
func parseTime(text []byte) (time.Time, bool) {
	if len(text) < 8 || len(text) > 40 {
		return time.Time{}, false
	}
	s := string(text)
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return unixTime(f)
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, inRange(t)
		}
	}
	return time.Time{}, false
}

func unixTime(f float64) (time.Time, bool) {
	switch {
	case f > 1e17 && f < 9e18: // nanoseconds
		return time.Unix(0, int64(f)), true
	case f > 1e14 && f < 9e15: // microseconds
		return time.UnixMicro(int64(f)), true
	case f > 1e11 && f < 9e12: // milliseconds
		return time.UnixMilli(int64(f)), true
	case f > 1e8 && f < 1e10:
		sec := int64(f)
		return time.Unix(sec, int64((f-float64(sec))*1e9)), true
	}
	return time.Time{}, false
}

// inRange keeps times to what 64 bits of nanoseconds can hold.
func inRange(t time.Time) bool { return t.Year() > 1970 && t.Year() < 2200 }
