package ocsf

import "bartizan/internal/observe"

// The classes of the category Network Activity.
const (
	classNetwork int32 = 4001
	classHTTP    int32 = 4002
	classTunnel  int32 = 4014

	activityOpen   int32 = 1
	activityClose  int32 = 2
	directionIn    int32 = 1
	fingerprintJA4 int32 = 1
)

var onlyTime = []string{profileTime}

// Network has the attributes of all network classes that are used.
type Network struct {
	SrcEndpoint    Endpoint   `json:"src_endpoint" parquet:"src_endpoint"`          // the visitor
	DstEndpoint    Endpoint   `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"` // the decoy
	ConnectionInfo Connection `json:"connection_info" parquet:"connection_info"`
}

// Connection is OCSF's network_connection_info object.
type Connection struct {
	DirectionID int32 `json:"direction_id" parquet:"direction_id,dict"`
}

func (n *Network) set(m *Mapper, o *observe.Observation) {
	n.SrcEndpoint, n.DstEndpoint = endpoint(o.Remote), m.localEndpoint(o.Local)
	n.ConnectionInfo = Connection{directionIn}
}

// Interaction is a connection: Network Activity.
type Interaction struct {
	Event
	Network
	AppProtocolName string              `json:"app_protocol_name,omitzero" parquet:"app_protocol_name,optional,dict"`
	StatusDetail    string              `json:"status_detail,omitzero" parquet:"status_detail,optional,dict"`
	Traffic         Traffic             `json:"traffic" parquet:"traffic"`
	JA4             []JA4               `json:"ja4_fingerprint_list,omitempty" parquet:"ja4_fingerprint_list,list"`
	Unmapped        InteractionUnmapped `json:"unmapped" parquet:"unmapped"`
}

// Traffic is OCSF's network_traffic object; in its words out is from the source
// to the destination.
type Traffic struct {
	BytesIn  int64 `json:"bytes_in" parquet:"bytes_in"`
	BytesOut int64 `json:"bytes_out" parquet:"bytes_out"`
}

// JA4 is OCSF's ja4_fingerprint object.
type JA4 struct {
	TypeID int32  `json:"type_id" parquet:"type_id,dict"`
	Value  string `json:"value" parquet:"value,dict"`
}

// InteractionUnmapped is what OCSF has no attribute for.
type InteractionUnmapped struct {
	Place
	Duration float64 `json:"duration,omitzero" parquet:"duration"` // seconds
	First    []byte  `json:"first,omitempty" parquet:"first,optional"`
	Client   string  `json:"client,omitzero" parquet:"client,optional,dict"`
	JA3      string  `json:"ja3,omitzero" parquet:"ja3,optional,dict"`
	HASSH    string  `json:"hassh,omitzero" parquet:"hassh,optional,dict"`
	SNI      string  `json:"sni,omitzero" parquet:"sni,optional,dict"`
	ALPN     string  `json:"alpn,omitzero" parquet:"alpn,optional,dict"`
	Persona  string  `json:"persona,omitzero" parquet:"persona,optional,dict"`
	Shed     int64   `json:"shed,omitzero" parquet:"shed"`
}

// FromObservation implements ObservationRow.
func (r *Interaction) FromObservation(m *Mapper, o *observe.Observation) {
	i := o.Interaction
	activity := activityOpen
	if i.Ended {
		activity = activityClose
	}
	r.head(m, classNetwork, activity, o.Time, onlyTime)
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.Network.set(m, o)
	r.AppProtocolName, r.StatusDetail = text(i.Protocol), text(i.CloseError)
	r.Traffic = Traffic{BytesIn: i.BytesOut, BytesOut: i.BytesIn}
	r.JA4 = r.JA4[:0]
	if i.Prints.JA4 != "" {
		r.JA4 = append(r.JA4, JA4{fingerprintJA4, text(i.Prints.JA4)})
	}
	u := &r.Unmapped
	u.setPlace(m, o)
	u.Duration, u.First, u.Client, u.Persona, u.Shed = i.Duration, i.First, text(i.Client), text(i.Persona), int64(i.Shed)
	u.JA3, u.HASSH, u.SNI, u.ALPN = text(i.Prints.JA3), text(i.Prints.HASSH), text(i.Prints.SNI), text(i.Prints.ALPN)
}

// Observation implements ObservationRow.
func (r *Interaction) Observation() (observe.Observation, error) {
	u := &r.Unmapped
	o, err := r.observation(observe.KindInteraction, &u.Place, r.SrcEndpoint, r.DstEndpoint)
	o.Interaction = &observe.Interaction{
		Ended: r.ActivityID == activityClose, Duration: u.Duration, BytesIn: r.Traffic.BytesOut, BytesOut: r.Traffic.BytesIn, First: bytesOrNil(u.First),
		Protocol: r.AppProtocolName, Client: u.Client, Persona: u.Persona, Shed: int(u.Shed), CloseError: r.StatusDetail,
		Prints: observe.Fingerprints{JA3: u.JA3, HASSH: u.HASSH, SNI: u.SNI, ALPN: u.ALPN},
	}
	for _, f := range r.JA4 {
		o.Interaction.Prints.JA4 = f.Value
	}
	return o, err
}

// Fetch is a download that a visitor wanted and that was not made: Network Activity.
type Fetch struct {
	Event
	Network
	URL      URL           `json:"url" parquet:"url"`
	Unmapped FetchUnmapped `json:"unmapped" parquet:"unmapped"`
}

// FetchUnmapped is what OCSF has no attribute for.
type FetchUnmapped struct {
	Place
	Tool string `json:"tool" parquet:"tool,dict"`
}

// FromObservation implements ObservationRow.
func (r *Fetch) FromObservation(m *Mapper, o *observe.Observation) {
	r.head(m, classNetwork, activityOther, o.Time, onlyTime)
	r.other("Fetch")
	r.StatusID = statusFailure // nothing is ever fetched
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.Network.set(m, o)
	r.URL = wholeURL(text(o.Fetch.URL))
	r.Unmapped.setPlace(m, o)
	r.Unmapped.Tool = text(o.Fetch.Tool)
}

// Observation implements ObservationRow.
func (r *Fetch) Observation() (observe.Observation, error) {
	o, err := r.observation(observe.KindFetch, &r.Unmapped.Place, r.SrcEndpoint, r.DstEndpoint)
	o.Fetch = &observe.Fetch{URL: r.URL.URLString, Tool: r.Unmapped.Tool}
	return o, err
}

// Forward is a wish to use the host as a relay: Tunnel Activity.
type Forward struct {
	Event
	Network
	ProtocolName string          `json:"protocol_name,omitzero" parquet:"protocol_name,optional,dict"`
	Unmapped     ForwardUnmapped `json:"unmapped" parquet:"unmapped"`
}

// ForwardUnmapped is what OCSF has no attribute for.
type ForwardUnmapped struct {
	Place
	Target string `json:"target" parquet:"target,dict"` // host:port asked for
}

// FromObservation implements ObservationRow.
func (r *Forward) FromObservation(m *Mapper, o *observe.Observation) {
	r.head(m, classTunnel, activityOpen, o.Time, onlyTime)
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.Network.set(m, o)
	r.ProtocolName = text(o.Forward.Kind)
	r.Unmapped.setPlace(m, o)
	r.Unmapped.Target = text(o.Forward.Target)
}

// Observation implements ObservationRow.
func (r *Forward) Observation() (observe.Observation, error) {
	o, err := r.observation(observe.KindForward, &r.Unmapped.Place, r.SrcEndpoint, r.DstEndpoint)
	o.Forward = &observe.Forward{Kind: r.ProtocolName, Target: r.Unmapped.Target}
	return o, err
}
