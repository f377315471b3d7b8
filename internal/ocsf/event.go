package ocsf

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"bartizan/internal/model"
)

// Version is the OCSF version the events are written in.
const Version = "1.8.0"

// Mapper makes rows. It remembers the last texts it made, because neighbours
// often share them; it must not be used by two goroutines at a time.
type Mapper struct {
	Product     string // this program's version, metadata.product.version
	MaxEvidence int    // raw bytes kept per row (all pieces together); 0 keeps hashes only

	local     netip.Addr
	localText string
	session   model.ULID
	sessText  string
	addrs     []addrText // made when a flow comes
}

// Event has the attributes that every class has.
type Event struct {
	ActivityID   int32    `json:"activity_id" parquet:"activity_id,dict"`
	ActivityName string   `json:"activity_name,omitzero" parquet:"activity_name,optional,dict"`
	CategoryUID  int32    `json:"category_uid" parquet:"category_uid,dict"`
	ClassUID     int32    `json:"class_uid" parquet:"class_uid,dict"`
	TypeUID      int64    `json:"type_uid" parquet:"type_uid,dict"`
	SeverityID   int32    `json:"severity_id" parquet:"severity_id,dict"`
	StatusID     int32    `json:"status_id,omitzero" parquet:"status_id,optional,dict"`
	Time         int64    `json:"time" parquet:"time,delta"` // milliseconds since 1970
	TimeDT       Nanos    `json:"time_dt,omitzero" parquet:"time_dt,timestamp(nanosecond),delta"`
	Metadata     Metadata `json:"metadata" parquet:"metadata"`
}

// Metadata describes the event.
type Metadata struct {
	Version        string   `json:"version" parquet:"version,dict"`
	Product        Product  `json:"product" parquet:"product"`
	Profiles       []string `json:"profiles" parquet:"profiles,list,dict"`
	UID            string   `json:"uid,omitzero" parquet:"uid,optional"`                              // of a signal, an entry or a receipt
	CorrelationUID string   `json:"correlation_uid,omitzero" parquet:"correlation_uid,optional,dict"` // the session of an observation, the decision of a receipt
	Sequence       int64    `json:"sequence,omitzero" parquet:"sequence,optional,delta"`              // place in the decision ledger
}

// Product names this program.
type Product struct {
	Name       string `json:"name" parquet:"name,dict"`
	VendorName string `json:"vendor_name" parquet:"vendor_name,dict"`
	Version    string `json:"version,omitzero" parquet:"version,optional,dict"`
}

// Nanos is an instant in nanoseconds since 1970; 0 is none. In JSON it is text
// of RFC 3339.
type Nanos int64

const second = int64(time.Second)

// NanosOf converts; what does not fit becomes the nearest that does.
func NanosOf(t time.Time) Nanos {
	switch s := t.Unix(); {
	case t.IsZero():
		return 0
	case s > math.MaxInt64/second-1:
		return math.MaxInt64
	case s < math.MinInt64/second+1:
		return math.MinInt64
	}
	return Nanos(t.UnixNano())
}

// At converts back, in UTC.
func (n Nanos) At() time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// AppendText implements encoding.TextAppender.
func (n Nanos) AppendText(b []byte) ([]byte, error) {
	return time.Unix(0, int64(n)).UTC().AppendFormat(b, time.RFC3339Nano), nil
}

// MarshalText implements encoding.TextMarshaler.
func (n Nanos) MarshalText() ([]byte, error) { return n.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Nanos) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return fmt.Errorf("parse time: %w", err)
	}
	*n = NanosOf(t)
	return nil
}

// Profiles that events use; see metadata.profiles.
const (
	profileTime    = "datetime"
	profileControl = "security_control"
	profileHost    = "host"
	profileAI      = "ai_operation"
)

// Normalised numbers that several classes share.
const (
	activityOther       = 99
	severityInfo  int32 = 1
	statusSuccess int32 = 1
	statusFailure int32 = 2
	hashMD5       int32 = 1
	hashSHA1      int32 = 2
	hashSHA256    int32 = 3
)

// head sets the attributes that every class has. An unknown time is 1970.
func (e *Event) head(m *Mapper, class, activity int32, at time.Time, profiles []string) {
	e.ActivityID, e.ActivityName = activity, ""
	e.ClassUID, e.CategoryUID, e.TypeUID = class, class/1000, int64(class)*100+int64(activity)
	e.SeverityID, e.StatusID = severityInfo, 0
	e.TimeDT = NanosOf(at)
	e.Time = 0
	if e.TimeDT != 0 {
		e.Time = at.UnixMilli()
	}
	e.Metadata = Metadata{Version: Version, Profiles: profiles, Product: Product{Name: "Bartizan", VendorName: "Bartizan", Version: text(m.Product)}}
}

// other makes the activity one that OCSF has no number for.
func (e *Event) other(name string) {
	e.ActivityID, e.ActivityName = activityOther, name
	e.TypeUID = int64(e.ClassUID)*100 + activityOther
}

// Head returns the attributes that every class has; rows of all types have it.
func (e *Event) Head() *Event { return e }

// Endpoint is one end of a connection.
type Endpoint struct {
	IP   string `json:"ip,omitzero" parquet:"ip,optional,dict"`
	Port int32  `json:"port,omitzero" parquet:"port,optional"`
}

// maxIP is OCSF's limit on the type ip_t; only a zone can make an address longer.
const maxIP = 40

func ipText(a netip.Addr) string {
	s := text(a.String())
	if len(s) > maxIP {
		return a.WithZone("").String()
	}
	return s
}

func endpoint(a netip.AddrPort) Endpoint {
	if !a.IsValid() {
		return Endpoint{}
	}
	return Endpoint{IP: ipText(a.Addr()), Port: int32(a.Port())}
}

// localEndpoint is endpoint for the address that rarely changes.
func (m *Mapper) localEndpoint(a netip.AddrPort) Endpoint {
	if !a.IsValid() {
		return Endpoint{}
	}
	if a.Addr() != m.local {
		m.local, m.localText = a.Addr(), ipText(a.Addr())
	}
	return Endpoint{IP: m.localText, Port: int32(a.Port())}
}

// AddrPort converts back; an absent address is the zero value.
func (e Endpoint) AddrPort() (netip.AddrPort, error) {
	if e.IP == "" {
		return netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddr(e.IP)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read endpoint: %w", err)
	}
	if e.Port < 0 || e.Port > math.MaxUint16 {
		return netip.AddrPort{}, fmt.Errorf("read endpoint: port %d", e.Port)
	}
	return netip.AddrPortFrom(a, uint16(e.Port)), nil
}

func (m *Mapper) sessionText(id model.ULID) string {
	if id != m.session || m.sessText == "" {
		m.session, m.sessText = id, id.String()
	}
	return m.sessText
}

// text repairs what is not UTF-8; valid text is returned as it is.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func status(ok bool) int32 {
	if ok {
		return statusSuccess
	}
	return statusFailure
}

// Hash is OCSF's fingerprint object.
type Hash struct {
	AlgorithmID int32  `json:"algorithm_id" parquet:"algorithm_id,dict"`
	Value       string `json:"value" parquet:"value"`
}

// URL is OCSF's url object. A request target is split at its first "?"; in
// absolute form it, or a URL that is not one of ours, is also URLString.
type URL struct {
	URLString   string `json:"url_string,omitzero" parquet:"url_string,optional"`
	Scheme      string `json:"scheme,omitzero" parquet:"scheme,optional,dict"`
	Hostname    string `json:"hostname,omitzero" parquet:"hostname,optional,dict"`
	Port        int32  `json:"port,omitzero" parquet:"port,optional"`
	Path        string `json:"path" parquet:"path"`
	QueryString string `json:"query_string,omitzero" parquet:"query_string,optional"`
}
