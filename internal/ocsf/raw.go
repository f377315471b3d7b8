package ocsf

import (
	"net/netip"

	"bartizan/internal/observe"
)

// Record is a record of a log that rules look at and that has no class of its
// own: Base Event, with its whole text.
type Record struct {
	Event
	RawData     string         `json:"raw_data" parquet:"raw_data"`
	RawDataSize int64          `json:"raw_data_size" parquet:"raw_data_size"`
	Unmapped    RecordUnmapped `json:"unmapped" parquet:"unmapped"`
}

// RecordUnmapped is what OCSF has no attribute for.
type RecordUnmapped struct {
	Origin
	Logsource
}

// Logsource says what kind of log it is, in the words of Sigma.
type Logsource struct {
	Product  string `json:"product,omitzero" parquet:"product,optional,dict"`
	Category string `json:"category,omitzero" parquet:"category,optional,dict"`
	Service  string `json:"service,omitzero" parquet:"service,optional,dict"`
}

// FromRecord overwrites the row. It shares the record's bytes with nobody.
func (r *Record) FromRecord(m *Mapper, from *From, d *observe.LogRecord) {
	at := r.Unmapped.set(from, d.Record, d.Time)
	r.head(m, classBase, activityUnknown, at, onlyTime)
	r.RawData, r.RawDataSize = text(string(d.Raw)), int64(d.Size)
	r.Unmapped.Logsource = Logsource{text(d.Product), text(d.Category), text(d.Service)}
}

// AsRecord is the way back.
func (r *Record) AsRecord() observe.LogRecord {
	return asRecord(&r.Event, &r.Unmapped, r.RawData, r.RawDataSize)
}

func asRecord(e *Event, u *RecordUnmapped, raw string, size int64) observe.LogRecord {
	d := observe.LogRecord{Record: uint64(u.Record), Product: u.Product, Category: u.Category, Service: u.Service, Raw: bytesOrNil([]byte(raw)), Size: int(size)}
	if !u.Arrived {
		d.Time = e.TimeDT.At()
	}
	return d
}

// Message is an entry of a system log: Base Event with its message.
type Message struct {
	Event
	Message  string          `json:"message" parquet:"message"`
	Unmapped MessageUnmapped `json:"unmapped" parquet:"unmapped"`
}

// MessageUnmapped is what OCSF has no attribute for.
type MessageUnmapped struct {
	Origin
	Host    string `json:"host,omitzero" parquet:"host,optional,dict"`
	Program string `json:"program,omitzero" parquet:"program,optional,dict"`
}

// FromMessage overwrites the row.
func (r *Message) FromMessage(m *Mapper, from *From, x *observe.Message) {
	at := r.Unmapped.set(from, x.Record, x.Time)
	r.head(m, classBase, activityUnknown, at, onlyTime)
	r.Message, r.Unmapped.Host, r.Unmapped.Program = text(x.Text), text(x.Host), text(x.Program)
}

// AsMessage is the way back.
func (r *Message) AsMessage() observe.Message {
	x := observe.Message{Record: uint64(r.Unmapped.Record), Host: r.Unmapped.Host, Program: r.Unmapped.Program, Text: r.Message}
	if !r.Unmapped.Arrived {
		x.Time = r.TimeDT.At()
	}
	return x
}

var timeAndCloud = []string{profileTime, profileCloud}

const (
	profileCloud = "cloud"
	cloudAWS     = "AWS"
)

// CloudCall is a call to a cloud's API as the cloud logged it: API Activity, with
// the whole record.
type CloudCall struct {
	Event
	Cloud       Cloud             `json:"cloud" parquet:"cloud"`
	Actor       CloudActor        `json:"actor" parquet:"actor"`
	SrcEndpoint Peer              `json:"src_endpoint" parquet:"src_endpoint"`
	API         CloudAPI          `json:"api" parquet:"api"`
	HTTPRequest Agent             `json:"http_request,omitzero" parquet:"http_request"`
	RawData     string            `json:"raw_data" parquet:"raw_data"`
	RawDataSize int64             `json:"raw_data_size" parquet:"raw_data_size"`
	Unmapped    CloudCallUnmapped `json:"unmapped" parquet:"unmapped"`
}

// Cloud is OCSF's cloud object.
type Cloud struct {
	Provider string  `json:"provider" parquet:"provider,dict"`
	Region   string  `json:"region,omitzero" parquet:"region,optional,dict"`
	Account  Account `json:"account,omitzero" parquet:"account"`
}

// Account is OCSF's account object.
type Account struct {
	UID string `json:"uid" parquet:"uid,optional,dict"`
}

// CloudActor is OCSF's actor object.
type CloudActor struct {
	User CloudUser `json:"user" parquet:"user"`
}

// CloudUser is OCSF's user object.
type CloudUser struct {
	UID string `json:"uid" parquet:"uid,dict"` // the ARN, or else what names the identity
}

// Peer is OCSF's network_endpoint object: an address, or a name.
type Peer struct {
	IP       string `json:"ip,omitzero" parquet:"ip,optional,dict"`
	Hostname string `json:"hostname,omitzero" parquet:"hostname,optional,dict"`
	Name     string `json:"name,omitzero" parquet:"name,optional,dict"`
}

// CloudAPI is OCSF's api object.
type CloudAPI struct {
	Operation string        `json:"operation" parquet:"operation,dict"`
	Service   Service       `json:"service" parquet:"service"`
	Response  CloudResponse `json:"response,omitzero" parquet:"response"`
	Token     Token         `json:"token,omitzero" parquet:"token"`
}

// CloudResponse is OCSF's response object.
type CloudResponse struct {
	Error string `json:"error" parquet:"error,optional,dict"`
}

// Agent is OCSF's http_request object with the one thing that is known.
type Agent struct {
	UserAgent string `json:"user_agent" parquet:"user_agent,optional,dict"`
}

// CloudCallUnmapped is what OCSF has no attribute for.
type CloudCallUnmapped struct {
	RecordUnmapped
	Source string `json:"source,omitzero" parquet:"source,optional,dict"` // as the record names the caller
}

// FromRecord overwrites the row. d.Call must be set.
func (r *CloudCall) FromRecord(m *Mapper, from *From, d *observe.LogRecord) {
	c := d.Call
	at := r.Unmapped.set(from, d.Record, d.Time)
	r.head(m, classAPI, activityRead, at, timeAndCloud)
	if !c.ReadOnly {
		r.other("Call") // whether it creates, changes or deletes is not guessed
	}
	r.StatusID = status(c.Error == "")
	r.Metadata.UID = text(c.ID)
	r.Cloud = Cloud{cloudAWS, text(c.Region), Account{text(c.Account)}}
	r.Actor = CloudActor{CloudUser{text(c.User)}}
	r.SrcEndpoint = peer(text(c.Source))
	r.API = CloudAPI{Operation: text(c.Operation), Service: Service{text(c.Service)}, Response: CloudResponse{text(c.Error)}}
	if c.Key != "" {
		r.API.Token = Token{tokenAPI, text(c.Key)}
	}
	r.HTTPRequest = Agent{text(c.Agent)}
	r.RawData, r.RawDataSize = text(string(d.Raw)), int64(d.Size)
	r.Unmapped.Logsource = Logsource{text(d.Product), text(d.Category), text(d.Service)}
	r.Unmapped.Source = text(c.Source)
}

func peer(s string) Peer {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil:
		return Peer{IP: ipText(a.Unmap())}
	case s == "":
		return Peer{Name: "unknown"}
	}
	return Peer{Hostname: s}
}

// AsRecord is the way back.
func (r *CloudCall) AsRecord() observe.LogRecord {
	d := asRecord(&r.Event, &r.Unmapped.RecordUnmapped, r.RawData, r.RawDataSize)
	d.Call = &observe.CloudCall{ID: r.Metadata.UID, Operation: r.API.Operation, Service: r.API.Service.Name, Region: r.Cloud.Region, Account: r.Cloud.Account.UID,
		User: r.Actor.User.UID, Key: r.API.Token.UID, Agent: r.HTTPRequest.UserAgent, Source: r.Unmapped.Source, Error: r.API.Response.Error, ReadOnly: r.ActivityID == activityRead}
	return d
}
