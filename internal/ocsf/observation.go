package ocsf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Place says where an observation was made and by what; it is a part of
// unmapped in every class of observations.
type Place struct {
	Sensor    string     `json:"sensor" parquet:"sensor,dict"`
	Decoy     string     `json:"decoy" parquet:"decoy,dict"`
	Service   string     `json:"service" parquet:"service,dict"`
	Spoofable bool       `json:"spoofable,omitzero" parquet:"spoofable"`
	Evidence  []Evidence `json:"evidence,omitempty" parquet:"evidence,list"`
}

// Evidence is a piece of raw evidence. Data is its beginning when it is longer
// than what is kept; Size and SHA256 are those of the whole.
type Evidence struct {
	What   string `json:"what" parquet:"what,dict"`
	SHA256 string `json:"sha256,omitzero" parquet:"sha256,optional"`
	Size   int64  `json:"size" parquet:"size"`
	Data   []byte `json:"data,omitempty" parquet:"data,optional"`
}

// Actor is OCSF's actor object with what is known of a visitor: the session.
type Actor struct {
	Session Session `json:"session" parquet:"session"`
}

// Session is OCSF's session object.
type Session struct {
	UID      string `json:"uid" parquet:"uid,dict"`
	IsRemote bool   `json:"is_remote" parquet:"is_remote"`
}

// Device is OCSF's device object: the host that the decoy plays.
type Device struct {
	Name   string `json:"name" parquet:"name,dict"` // the decoy's name in the configuration
	IP     string `json:"ip,omitzero" parquet:"ip,optional,dict"`
	TypeID int32  `json:"type_id" parquet:"type_id,dict"`
	Type   string `json:"type" parquet:"type,dict"`
}

const deviceOther = 99 // no type of OCSF's is a decoy

// Service is OCSF's service object.
type Service struct {
	Name string `json:"name" parquet:"name,dict"`
}

// ObservationRow is a row of a class of observations.
type ObservationRow interface {
	// FromObservation overwrites the row. The observation must have the body of
	// the row's kind. The row shares its bytes until it is overwritten.
	FromObservation(m *Mapper, o *observe.Observation)
	// Observation is the way back. It fails on a row that no observation makes.
	Observation() (observe.Observation, error)
}

// setPlace sets the part of unmapped that all observations have; the list of
// evidence is used again.
func (p *Place) setPlace(m *Mapper, o *observe.Observation) {
	p.Sensor, p.Decoy, p.Service, p.Spoofable = text(o.Sensor), text(o.Decoy), text(o.Service), o.Spoofable
	p.Evidence = slices.Grow(p.Evidence[:0], len(o.Evidence))
	left := m.MaxEvidence
	for i := range o.Evidence {
		b := &o.Evidence[i]
		e := Evidence{What: text(b.What), SHA256: text(b.SHA256), Size: int64(b.Size)}
		if e.SHA256 == "" && len(b.Data) > 0 {
			sum := sha256.Sum256(b.Data)
			e.SHA256 = hex.EncodeToString(sum[:])
		}
		e.Data = b.Data[:min(len(b.Data), max(left, 0))]
		left -= len(e.Data)
		p.Evidence = append(p.Evidence, e)
	}
}

// observation begins the way back of every class.
func (e *Event) observation(kind observe.Kind, p *Place, src, dst Endpoint) (o observe.Observation, err error) {
	o = observe.Observation{Kind: kind, Time: e.TimeDT.At(), Sensor: p.Sensor, Decoy: p.Decoy, Service: p.Service, Spoofable: p.Spoofable}
	var bad error
	if o.Session, err = model.ParseULID(e.Metadata.CorrelationUID); err != nil {
		bad = err
	}
	if o.Remote, err = src.AddrPort(); err != nil {
		bad = errors.Join(bad, err)
	}
	if o.Local, err = dst.AddrPort(); err != nil {
		bad = errors.Join(bad, err)
	}
	if bad != nil {
		return observe.Observation{}, fmt.Errorf("read row of %s: %w", kind, bad)
	}
	for i := range p.Evidence {
		b := &p.Evidence[i]
		o.Evidence = append(o.Evidence, observe.Blob{What: b.What, SHA256: b.SHA256, Size: int(b.Size), Data: bytesOrNil(b.Data)})
	}
	return o, nil
}

func bytesOrNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func actor(session string) Actor { return Actor{Session{UID: session, IsRemote: true}} }
