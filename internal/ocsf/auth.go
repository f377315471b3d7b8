package ocsf

import "bartizan/internal/observe"

const (
	classAuth     int32 = 3002
	activityLogon int32 = 1
	logonNetwork  int32 = 3

	protocolBasic int32 = 11
	protocolOther int32 = 99
	captionBasic        = "Basic Authentication"
	methodBasic         = "basic"
)

// Auth is an offered credential: Authentication.
type Auth struct {
	Event
	SrcEndpoint    Endpoint     `json:"src_endpoint" parquet:"src_endpoint"`
	DstEndpoint    Endpoint     `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"`
	Service        Service      `json:"service" parquet:"service"`
	User           User         `json:"user" parquet:"user"`
	AuthProtocolID int32        `json:"auth_protocol_id" parquet:"auth_protocol_id,dict"`
	AuthProtocol   string       `json:"auth_protocol,omitzero" parquet:"auth_protocol,optional,dict"` // the method, in OCSF's words when it has one
	IsRemote       bool         `json:"is_remote" parquet:"is_remote"`
	LogonTypeID    int32        `json:"logon_type_id" parquet:"logon_type_id,dict"`
	Unmapped       AuthUnmapped `json:"unmapped" parquet:"unmapped"`
}

// User is OCSF's user object. The name may be empty: some protocols ask for a
// password only.
type User struct {
	Name string `json:"name" parquet:"name,dict"`
}

// AuthUnmapped is what OCSF has no attribute for.
type AuthUnmapped struct {
	Place
	Password string `json:"password,omitzero" parquet:"password,optional,dict"`
	Key      string `json:"key,omitzero" parquet:"key,optional,dict"` // fingerprint of a public key, or identifier of an access key
}

// FromObservation implements ObservationRow.
func (r *Auth) FromObservation(m *Mapper, o *observe.Observation) {
	a := o.Auth
	r.head(m, classAuth, activityLogon, o.Time, onlyTime)
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.StatusID = status(a.Accepted)
	r.SrcEndpoint, r.DstEndpoint = endpoint(o.Remote), m.localEndpoint(o.Local)
	r.User.Name = text(a.User)
	switch a.Method {
	case "":
		r.AuthProtocolID, r.AuthProtocol = 0, ""
	case methodBasic:
		r.AuthProtocolID, r.AuthProtocol = protocolBasic, captionBasic
	default:
		r.AuthProtocolID, r.AuthProtocol = protocolOther, text(a.Method)
	}
	r.IsRemote, r.LogonTypeID = true, logonNetwork
	r.Unmapped.setPlace(m, o)
	r.Service.Name = r.Unmapped.Service
	r.Unmapped.Password, r.Unmapped.Key = text(a.Password), text(a.Key)
}

// Observation implements ObservationRow.
func (r *Auth) Observation() (observe.Observation, error) {
	o, err := r.observation(observe.KindAuth, &r.Unmapped.Place, r.SrcEndpoint, r.DstEndpoint)
	o.Auth = &observe.AuthAttempt{Method: r.AuthProtocol, User: r.User.Name, Password: r.Unmapped.Password, Key: r.Unmapped.Key, Accepted: r.StatusID == statusSuccess}
	if r.AuthProtocolID == protocolBasic {
		o.Auth.Method = methodBasic
	}
	return o, err
}
