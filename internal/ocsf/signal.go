package ocsf

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"bartizan/internal/model"
)

const (
	classDetection int32 = 2004
	findingCreate  int32 = 1
	findingNew     int32 = 1
	analyticRule   int32 = 1
	roleTarget     int32 = 1
)

// Signal is a detector's conclusion: Detection Finding. time is that of the
// newest evidence, so that finding and evidence lie in the same partition; the
// time it was concluded is finding_info.created_time.
type Signal struct {
	Event
	Count           int64            `json:"count" parquet:"count"`
	ConfidenceID    int32            `json:"confidence_id" parquet:"confidence_id,dict"`
	ConfidenceScore int32            `json:"confidence_score" parquet:"confidence_score,dict"` // percent
	FindingInfo     FindingInfo      `json:"finding_info" parquet:"finding_info"`
	Resources       []Resource       `json:"resources,omitempty" parquet:"resources,list"`
	Evidences       []SignalEvidence `json:"evidences,omitempty" parquet:"evidences,list"`
	Observables     []Observable     `json:"observables,omitempty" parquet:"observables,list"`
	Unmapped        SignalUnmapped   `json:"unmapped" parquet:"unmapped"`
}

// FindingInfo is OCSF's finding_info object.
type FindingInfo struct {
	UID          string   `json:"uid" parquet:"uid"`
	Title        string   `json:"title,omitzero" parquet:"title,optional,dict"`
	Types        []string `json:"types" parquet:"types,list,dict"` // the signal's kind
	Analytic     Analytic `json:"analytic" parquet:"analytic"`
	Attacks      []Attack `json:"attacks,omitempty" parquet:"attacks,list"`
	DataSources  []string `json:"data_sources" parquet:"data_sources,list,dict"` // the sensor
	CreatedTime  int64    `json:"created_time" parquet:"created_time,delta"`
	LastSeenTime int64    `json:"last_seen_time" parquet:"last_seen_time,delta"`
}

// Analytic is OCSF's analytic object: the rule.
type Analytic struct {
	UID    string `json:"uid" parquet:"uid,dict"`
	TypeID int32  `json:"type_id" parquet:"type_id,dict"`
}

// Attack is OCSF's attack object: a technique of ATT&CK or ATLAS. SubTechnique
// is nil when the technique is no part of another.
type Attack struct {
	Technique    Technique  `json:"technique" parquet:"technique"`
	SubTechnique *Technique `json:"sub_technique,omitempty" parquet:"sub_technique,optional"`
}

// Technique is OCSF's technique or sub_technique object.
type Technique struct {
	UID string `json:"uid" parquet:"uid,dict"`
}

// Resource is OCSF's resource_details object: what was touched.
type Resource struct {
	Name   string `json:"name" parquet:"name,dict"`
	Type   string `json:"type" parquet:"type,dict"`
	RoleID int32  `json:"role_id" parquet:"role_id,dict"`
}

// SignalEvidence is OCSF's evidences object.
type SignalEvidence struct {
	Data EvidenceData `json:"data" parquet:"data"`
}

// EvidenceData points at what was concluded from.
type EvidenceData struct {
	Session string `json:"session,omitzero" parquet:"session,optional,dict"`
	Time    Nanos  `json:"time,omitzero" parquet:"time,timestamp(nanosecond)"`
	What    string `json:"what" parquet:"what,dict"`
	Blob    string `json:"blob,omitzero" parquet:"blob,optional,dict"` // SHA-256 of stored bytes
	Excerpt string `json:"excerpt,omitzero" parquet:"excerpt,optional"`
}

// Observable is OCSF's observable object. Name is actor, address, target, or
// "related." and the type of the entity.
type Observable struct {
	Name   string `json:"name" parquet:"name,dict"`
	TypeID int32  `json:"type_id" parquet:"type_id,dict"`
	Type   string `json:"type,omitzero" parquet:"type,optional,dict"` // when OCSF has no number for it
	Value  string `json:"value" parquet:"value,dict"`
}

// SignalUnmapped is what OCSF has no attribute for.
type SignalUnmapped struct {
	Class      string  `json:"class,omitzero" parquet:"class,optional,dict"` // kind of evidence
	Actor      Entity  `json:"actor" parquet:"actor"`
	Address    string  `json:"address,omitzero" parquet:"address,optional,dict"`
	Sensor     string  `json:"sensor,omitzero" parquet:"sensor,optional,dict"`
	Spoofable  bool    `json:"spoofable,omitzero" parquet:"spoofable"`
	Confidence float64 `json:"confidence" parquet:"confidence"` // 0–1
}

// Entity is a model.Entity.
type Entity struct {
	Type  string `json:"type,omitzero" parquet:"type,optional,dict"`
	Value string `json:"value,omitzero" parquet:"value,optional,dict"`
}

func entity(e model.Entity) Entity { return Entity{string(e.Type()), text(e.Value())} }

func (e Entity) entity() (model.Entity, error) {
	if e == (Entity{}) {
		return model.Entity{}, nil
	}
	return model.ParseEntity(model.EntityType(e.Type), e.Value)
}

// Types of observables; the numbers are OCSF's.
const (
	observableHostname int32 = 1
	observableIP       int32 = 2
	observableURL      int32 = 6
	observableHash     int32 = 8 // of a fingerprint, too
	observableSubnet   int32 = 12
	observableOther    int32 = 99

	relatedPrefix = "related."
)

func observable(name string, e model.Entity) Observable {
	o := Observable{Name: name, TypeID: observableOther, Value: text(e.Value())}
	switch e.Type() {
	case model.TypeIP:
		o.TypeID = observableIP
		if strings.Contains(o.Value, "/") {
			o.TypeID = observableSubnet
		}
	case model.TypeDomain:
		o.TypeID = observableHostname
	case model.TypeURL:
		o.TypeID = observableURL
	case model.TypeSHA256, model.TypeSHA1, model.TypeMD5, model.TypeJA3, model.TypeJA4, model.TypeHASSH:
		o.TypeID = observableHash
	default:
		o.Type = string(e.Type())
	}
	return o
}

// FromSignal overwrites the row; its lists are used again.
func (r *Signal) FromSignal(m *Mapper, s *model.Signal) {
	r.head(m, classDetection, findingCreate, s.Time, onlyTime)
	r.SeverityID, r.StatusID = int32(min(s.Severity, model.Critical))+1, findingNew
	r.Metadata.UID = s.ID.String()
	r.Count = int64(s.Count)
	r.ConfidenceScore = int32(math.Round(s.Confidence * 100))
	r.ConfidenceID = 1 + min(int32(s.Confidence*3), 2) // low, medium, high: thirds
	f := &r.FindingInfo
	*f = FindingInfo{
		UID: r.Metadata.UID, Title: text(s.Title), Analytic: Analytic{text(s.Rule), analyticRule}, Attacks: f.Attacks[:0],
		Types: append(f.Types[:0], text(s.Kind)), DataSources: append(f.DataSources[:0], text(s.Sensor)),
		CreatedTime: s.ID.Time().UnixMilli(), LastSeenTime: r.Time,
	}
	for _, t := range s.Techniques {
		f.Attacks = append(f.Attacks, attack(text(t)))
	}
	r.Resources = r.Resources[:0]
	if s.Asset != (model.AssetRef{}) {
		r.Resources = append(r.Resources, Resource{text(s.Asset.Name), text(s.Asset.Kind), roleTarget})
	}
	r.Evidences = slices.Grow(r.Evidences[:0], len(s.Evidence))
	for _, e := range s.Evidence {
		r.Evidences = append(r.Evidences, SignalEvidence{EvidenceData{e.Session.String(), NanosOf(e.Time), text(e.What), text(e.Blob), text(e.Excerpt)}})
	}
	r.Observables = r.Observables[:0]
	if !s.Actor.IsZero() {
		r.Observables = append(r.Observables, observable("actor", s.Actor))
	}
	if s.Address != "" {
		r.Observables = append(r.Observables, Observable{Name: "address", TypeID: observableIP, Value: text(s.Address)})
	}
	for _, e := range s.Related {
		r.Observables = append(r.Observables, observable(relatedPrefix+string(e.Type()), e))
	}
	r.Unmapped = SignalUnmapped{Class: text(string(s.Class)), Actor: entity(s.Actor), Address: text(s.Address),
		Sensor: text(s.Sensor), Spoofable: s.Spoofable, Confidence: s.Confidence}
}

// attack names a technique; "T1110.001" and "AML.T0051.000" are parts of the
// technique before their last dot.
func attack(id string) Attack {
	if i := strings.LastIndexByte(id, '.'); i > 0 && strings.Trim(id[i+1:], "0123456789") == "" && id[i+1:] != "" {
		return Attack{Technique{id[:i]}, &Technique{id}}
	}
	return Attack{Technique: Technique{id}}
}

// Signal is the way back. It fails on a row that no signal makes.
func (r *Signal) Signal() (model.Signal, error) {
	u, f := &r.Unmapped, &r.FindingInfo
	s := model.Signal{Time: r.TimeDT.At(), Class: model.Class(u.Class), Rule: f.Analytic.UID, Title: f.Title, Address: u.Address, Sensor: u.Sensor,
		Confidence: u.Confidence, Severity: model.Severity(r.SeverityID - 1), Count: int(r.Count), Spoofable: u.Spoofable}
	var err error
	if s.ID, err = model.ParseULID(f.UID); err != nil {
		return model.Signal{}, fmt.Errorf("read row of signal: %w", err)
	}
	if s.Actor, err = u.Actor.entity(); err != nil {
		return model.Signal{}, fmt.Errorf("read row of signal %s: %w", s.ID, err)
	}
	for _, kind := range f.Types {
		s.Kind = kind
	}
	for _, a := range f.Attacks {
		if a.SubTechnique != nil {
			s.Techniques = append(s.Techniques, a.SubTechnique.UID)
			continue
		}
		s.Techniques = append(s.Techniques, a.Technique.UID)
	}
	for _, a := range r.Resources {
		s.Asset = model.AssetRef{Kind: a.Type, Name: a.Name}
	}
	for _, e := range r.Evidences {
		id, err := model.ParseULID(e.Data.Session)
		if err != nil {
			return model.Signal{}, fmt.Errorf("read row of signal %s: evidence: %w", s.ID, err)
		}
		s.Evidence = append(s.Evidence, model.Evidence{Session: id, Time: e.Data.Time.At(), What: e.Data.What, Blob: e.Data.Blob, Excerpt: e.Data.Excerpt})
	}
	for _, o := range r.Observables {
		t, ok := strings.CutPrefix(o.Name, relatedPrefix)
		if !ok {
			continue
		}
		e, err := model.ParseEntity(model.EntityType(t), o.Value)
		if err != nil {
			return model.Signal{}, fmt.Errorf("read row of signal %s: %w", s.ID, err)
		}
		s.Related = append(s.Related, e)
	}
	return s, nil
}
