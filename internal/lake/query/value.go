//go:build cgo

package query

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// appendValue appends a value of the engine as JSON, losing nothing: numbers keep all digits, times are RFC 3339 in UTC,
// bytes are base64, structs keep the order of their fields.
func appendValue(b []byte, v any, info duckdb.TypeInfo) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, x)
	case int8:
		return strconv.AppendInt(b, int64(x), 10)
	case int16:
		return strconv.AppendInt(b, int64(x), 10)
	case int32:
		return strconv.AppendInt(b, int64(x), 10)
	case int64:
		return strconv.AppendInt(b, x, 10)
	case uint8:
		return strconv.AppendUint(b, uint64(x), 10)
	case uint16:
		return strconv.AppendUint(b, uint64(x), 10)
	case uint32:
		return strconv.AppendUint(b, uint64(x), 10)
	case uint64:
		return strconv.AppendUint(b, x, 10)
	case float32:
		return appendFloat(b, float64(x), 32)
	case float64:
		return appendFloat(b, x, 64)
	case *big.Int:
		return x.Append(b, 10)
	case duckdb.Decimal:
		return append(b, decimalText(x)...)
	case string:
		return appendText(b, x)
	case []byte:
		if info != nil && info.InternalType() == duckdb.TYPE_UUID && len(x) == 16 {
			id := duckdb.UUID(x)
			return appendText(b, id.String())
		}
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, x)
		return append(b, '"')
	case time.Time:
		return appendText(b, timeText(x, info))
	case duckdb.Interval:
		return appendText(b, intervalText(x))
	}
	return appendNested(b, v, info)
}

func appendNested(b []byte, v any, info duckdb.TypeInfo) []byte {
	switch x := v.(type) {
	case []any:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e, childOf(info))
		}
		return append(b, ']')
	case map[string]any:
		if d, ok := details(info).(*duckdb.StructDetails); ok {
			return appendStruct(b, x, d)
		}
	case duckdb.OrderedMap:
		return appendMap(b, x, info)
	case duckdb.UUID:
		return appendText(b, x.String())
	case duckdb.Union:
		b = append(appendText(append(b, '{'), x.Tag), ':')
		return append(appendValue(b, x.Value, nil), '}')
	case fmt.Stringer:
		return appendText(b, x.String())
	}
	raw, err := json.Marshal(v) // JSON columns, and what later versions of the engine may bring
	if err != nil {
		return appendText(b, fmt.Sprint(v))
	}
	return append(b, raw...)
}

func details(info duckdb.TypeInfo) duckdb.TypeDetails {
	if info == nil {
		return nil
	}
	return info.Details()
}

func childOf(info duckdb.TypeInfo) duckdb.TypeInfo {
	switch d := details(info).(type) {
	case *duckdb.ListDetails:
		return d.Child
	case *duckdb.ArrayDetails:
		return d.Child
	}
	return nil
}

func appendStruct(b []byte, m map[string]any, d *duckdb.StructDetails) []byte {
	b = append(b, '{')
	for i, f := range d.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.Name()), ':')
		b = appendValue(b, m[f.Name()], f.Info())
	}
	return append(b, '}')
}

// appendMap writes a map as a list of {"key", "value"}: keys may be of any type.
func appendMap(b []byte, m duckdb.OrderedMap, info duckdb.TypeInfo) []byte {
	var key, value duckdb.TypeInfo
	if d, ok := details(info).(*duckdb.MapDetails); ok {
		key, value = d.Key, d.Value
	}
	keys, values := m.Keys(), m.Values()
	b = append(b, '[')
	for i := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(append(b, `{"key":`...), keys[i], key)
		b = appendValue(append(b, `,"value":`...), values[i], value)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendText(b []byte, s string) []byte {
	raw, err := json.Marshal(s) // a string always can be
	if err != nil {
		return append(b, `""`...)
	}
	return append(b, raw...)
}

// appendFloat writes what JSON has no number for as text.
func appendFloat(b []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendText(b, strconv.FormatFloat(f, 'g', -1, bits))
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, bits)
}

// decimalText keeps the scale: 1.50 stays 1.50.
func decimalText(d duckdb.Decimal) string {
	s, sign := d.Value.String(), ""
	if s[0] == '-' {
		s, sign = s[1:], "-"
	}
	scale := int(d.Scale)
	if scale == 0 {
		return sign + s
	}
	for len(s) <= scale {
		s = "0" + s
	}
	return sign + s[:len(s)-scale] + "." + s[len(s)-scale:]
}

func timeText(t time.Time, info duckdb.TypeInfo) string {
	kind := duckdb.TYPE_TIMESTAMP_TZ
	if info != nil {
		kind = info.InternalType()
	}
	if t.Year() > 9999 || t.Year() < 0 { // the engine's ±infinity are the ends of 64 bits
		return strconv.FormatInt(t.UnixMicro(), 10) + "us"
	}
	switch kind {
	case duckdb.TYPE_DATE:
		return t.Format("2006-01-02")
	case duckdb.TYPE_TIME:
		return t.Format("15:04:05.999999")
	case duckdb.TYPE_TIME_TZ:
		return t.Format("15:04:05.999999Z07:00")
	case duckdb.TYPE_TIMESTAMP, duckdb.TYPE_TIMESTAMP_S, duckdb.TYPE_TIMESTAMP_MS, duckdb.TYPE_TIMESTAMP_NS:
		return t.UTC().Format("2006-01-02T15:04:05.999999999") // no zone was stored
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func intervalText(i duckdb.Interval) string {
	return fmt.Sprintf("%d months %d days %s", i.Months, i.Days, (time.Duration(i.Micros) * time.Microsecond).String())
}
