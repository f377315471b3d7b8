package ocsf

import (
	"fmt"
	"slices"

	"bartizan/internal/model"
)

const (
	classRemediation int32 = 7001

	// D3FEND tactics, as OCSF numbers them.
	activityIsolate int32 = 1
	activityRestore int32 = 3
	activityDetect  int32 = 5

	// What a control did, and how it came out (profile security_control).
	actionDenied      int32 = 2
	actionObserved    int32 = 3
	actionModified    int32 = 4
	dispositionBlock  int32 = 2
	dispositionIso    int32 = 4
	dispositionBack   int32 = 9
	dispositionDelay  int32 = 14
	dispositionNone   int32 = 16
	dispositionLog    int32 = 17
	dispositionAlert  int32 = 19
	dispositionReject int32 = 25
)

var timeAndControl = []string{profileTime, profileControl}

// Decision is one entry of the decision ledger: Remediation Activity.
// metadata.sequence is its place in the ledger, status_code what changed.
type Decision struct {
	Event
	CommandUID      string           `json:"command_uid" parquet:"command_uid,dict"` // of the decision or the lease
	StatusCode      string           `json:"status_code" parquet:"status_code,dict"` // the change
	StatusDetail    string           `json:"status_detail,omitzero" parquet:"status_detail,optional"`
	ActionID        int32            `json:"action_id,omitzero" parquet:"action_id,optional,dict"`
	DispositionID   int32            `json:"disposition_id,omitzero" parquet:"disposition_id,optional,dict"`
	Policy          Policy           `json:"policy,omitzero" parquet:"policy"`
	Remediation     Remediation      `json:"remediation,omitzero" parquet:"remediation"`
	Countermeasures []Countermeasure `json:"countermeasures,omitempty" parquet:"countermeasures,list"`
	Observables     []Observable     `json:"observables,omitempty" parquet:"observables,list"` // the target
	Unmapped        DecisionUnmapped `json:"unmapped" parquet:"unmapped"`
}

// Policy is OCSF's policy object: the rule that decided.
type Policy struct {
	Name string `json:"name" parquet:"name,optional,dict"`
}

// Remediation is OCSF's remediation object.
type Remediation struct {
	Desc string `json:"desc" parquet:"desc,optional"`
}

// Countermeasure is OCSF's d3fend object.
type Countermeasure struct {
	Technique D3FEND `json:"d3f_technique" parquet:"d3f_technique"`
}

// D3FEND is OCSF's d3f_technique object.
type D3FEND struct {
	UID  string `json:"uid" parquet:"uid,dict"`
	Name string `json:"name" parquet:"name,dict"`
}

// DecisionUnmapped is the entry as the ledger has it.
type DecisionUnmapped struct {
	ID       string         `json:"id,omitzero" parquet:"id,optional"` // as written in the entry
	Until    Nanos          `json:"until,omitzero" parquet:"until,optional,timestamp(nanosecond)"`
	By       string         `json:"by,omitzero" parquet:"by,optional,dict"`
	Decision *DecisionOrder `json:"decision,omitempty" parquet:"decision,optional"`
	Lease    *DecisionLease `json:"lease,omitempty" parquet:"lease,optional"`
}

// DecisionOrder is a model.Decision; policy and reason are attributes of the row.
type DecisionOrder struct {
	ID         string      `json:"id" parquet:"id"`
	Action     string      `json:"action" parquet:"action,dict"`
	Target     Entity      `json:"target" parquet:"target"`
	Signals    []string    `json:"signals,omitempty" parquet:"signals,list"`
	Indicator  Entity      `json:"indicator,omitzero" parquet:"indicator"`
	Confidence float64     `json:"confidence,omitzero" parquet:"confidence"`
	Classes    []string    `json:"classes,omitempty" parquet:"classes,list"`
	Sensors    []string    `json:"sensors,omitempty" parquet:"sensors,list"`
	Seen       Nanos       `json:"seen,omitzero" parquet:"seen,optional,timestamp(nanosecond)"`
	Stored     Nanos       `json:"stored,omitzero" parquet:"stored,optional,timestamp(nanosecond)"`
	Folded     Nanos       `json:"folded,omitzero" parquet:"folded,optional,timestamp(nanosecond)"`
	Guardrails []Guardrail `json:"guardrails,omitempty" parquet:"guardrails,list"`
	From       Nanos       `json:"from,omitzero" parquet:"from,optional,timestamp(nanosecond)"`
	Until      Nanos       `json:"until,omitzero" parquet:"until,optional,timestamp(nanosecond)"`
	Recurrence int64       `json:"recurrence,omitzero" parquet:"recurrence"`
	DryRun     bool        `json:"dry_run,omitzero" parquet:"dry_run"`
	Lease      string      `json:"lease,omitzero" parquet:"lease,optional"`
	Actor      string      `json:"actor,omitzero" parquet:"actor,optional"`
	State      string      `json:"state,omitzero" parquet:"state,optional"`
	Ended      Nanos       `json:"ended,omitzero" parquet:"ended,optional,timestamp(nanosecond)"`
	EndReason  string      `json:"ended_by,omitzero" parquet:"ended_by,optional"`
	Seq        uint64      `json:"seq,omitzero" parquet:"seq"`
}

// Guardrail is a model.Guarded.
type Guardrail struct {
	Name    string `json:"guardrail" parquet:"guardrail,dict"`
	Verdict string `json:"verdict" parquet:"verdict,dict"`
	Detail  string `json:"detail,omitzero" parquet:"detail,optional"`
}

// DecisionLease is a model.Lease.
type DecisionLease struct {
	ID        string   `json:"id" parquet:"id"`
	Addresses []string `json:"addresses,omitempty" parquet:"addresses,list"`
	From      Nanos    `json:"from,omitzero" parquet:"from,optional,timestamp(nanosecond)"`
	Until     Nanos    `json:"until,omitzero" parquet:"until,optional,timestamp(nanosecond)"`
	BlockFor  float64  `json:"block_for,omitzero" parquet:"block_for"` // seconds
	By        string   `json:"by,omitzero" parquet:"by,optional"`
	Signature []byte   `json:"signature,omitempty" parquet:"signature,optional"`
}

// FromEntry overwrites the row. seq is the entry's place in the ledger, 0 when
// it has none yet.
func (r *Decision) FromEntry(m *Mapper, seq uint64, e *model.Entry) {
	r.head(m, classRemediation, activityOther, e.Time, timeAndControl)
	r.ActionID, r.DispositionID, r.Countermeasures = 0, 0, r.Countermeasures[:0]
	r.StatusID = statusSuccess // it is in the ledger
	r.classify(e)
	r.Metadata.Sequence = int64(seq)
	r.StatusCode, r.StatusDetail = text(string(e.Change)), text(e.Reason)
	r.Policy, r.Remediation, r.Observables = Policy{}, Remediation{}, r.Observables[:0]
	r.Unmapped = DecisionUnmapped{ID: e.ID.String(), Until: NanosOf(e.Until), By: text(e.By)}
	r.CommandUID = r.Unmapped.ID
	if d := e.Decision; d != nil {
		r.CommandUID = d.ID.String()
		r.Unmapped.Decision = order(d)
		r.Policy.Name, r.Remediation.Desc = text(d.Policy), text(d.Reason)
		r.SeverityID = severityInfo + int32(min(d.Action, model.Isolate))
		if !d.Target.IsZero() {
			r.Observables = append(r.Observables, observable("target", d.Target))
		}
	}
	if l := e.Lease; l != nil {
		r.CommandUID = l.ID.String()
		r.Unmapped.Lease = &DecisionLease{ID: l.ID.String(), Addresses: texts(l.Addresses), From: NanosOf(l.From), Until: NanosOf(l.Until),
			BlockFor: float64(l.BlockFor), By: text(l.By), Signature: l.Signature}
	}
	r.Metadata.CorrelationUID = r.CommandUID
}

// classify sets activity, action and disposition.
func (r *Decision) classify(e *model.Entry) {
	set := func(activity, action, disposition int32) {
		r.ActivityID, r.ActivityName, r.TypeUID = activity, "", int64(classRemediation)*100+int64(activity)
		r.ActionID, r.DispositionID = action, disposition
	}
	switch e.Change {
	case model.ChangeDecide:
		r.classifyOrder(e.Decision, set)
	case model.ChangeApprove: // only what keeps somebody out is ever held
		set(activityIsolate, 0, 0)
	case model.ChangeRemove, model.ChangeExpire:
		set(activityRestore, actionModified, dispositionBack)
	case model.ChangeHold:
		r.other("Hold")
		r.DispositionID = dispositionNone
	case model.ChangeReject:
		r.other("Reject")
		r.DispositionID = dispositionReject
	case model.ChangeLease:
		r.other("Lease")
	case model.ChangeUnlease:
		r.other("Unlease")
	default:
		r.other("Unknown change")
	}
}

func (r *Decision) classifyOrder(d *model.Decision, set func(activity, action, disposition int32)) {
	switch {
	case d == nil:
		r.other("Decide")
	case d.Action == model.Alert:
		set(activityDetect, actionObserved, dispositionAlert)
	case d.DryRun || d.Action == model.Observe: // recorded, not enforced
		set(activityDetect, actionObserved, dispositionLog)
	case d.Action == model.Throttle:
		set(activityIsolate, actionModified, dispositionDelay)
	case d.Action == model.Block:
		set(activityIsolate, actionDenied, dispositionBlock)
		r.Countermeasures = append(r.Countermeasures, Countermeasure{D3FEND{"D3-ITF", "Inbound Traffic Filtering"}})
	default:
		set(activityIsolate, actionDenied, dispositionIso)
		r.Countermeasures = append(r.Countermeasures, Countermeasure{D3FEND{"D3-NI", "Network Isolation"}})
	}
}

func order(d *model.Decision) *DecisionOrder {
	o := &DecisionOrder{
		ID: d.ID.String(), Action: d.Action.String(), Target: entity(d.Target), Indicator: entity(d.Because.Indicator), Confidence: d.Because.Confidence,
		Sensors: texts(d.Because.Sensors), Seen: NanosOf(d.Because.Seen), Stored: NanosOf(d.Because.Stored), Folded: NanosOf(d.Because.Folded),
		From: NanosOf(d.From), Until: NanosOf(d.Until), Recurrence: int64(d.Recurrence), DryRun: d.DryRun, Lease: d.Lease.String(),
		Actor: text(d.Actor), State: text(string(d.State)), Ended: NanosOf(d.Ended), EndReason: text(d.EndReason), Seq: d.Seq,
	}
	for _, id := range d.Because.Signals {
		o.Signals = append(o.Signals, id.String())
	}
	for _, c := range d.Because.Classes {
		o.Classes = append(o.Classes, text(string(c)))
	}
	for _, g := range d.Guardrails {
		o.Guardrails = append(o.Guardrails, Guardrail{text(g.Guardrail), g.Verdict.String(), text(g.Detail)})
	}
	return o
}

func texts(list []string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = text(out[i])
	}
	return out
}

// Entry is the way back, with the entry's place in the ledger. It fails on a
// row that no entry makes.
func (r *Decision) Entry() (seq uint64, e model.Entry, err error) {
	u := &r.Unmapped
	e = model.Entry{Change: model.Change(r.StatusCode), Time: r.TimeDT.At(), Until: u.Until.At(), By: u.By, Reason: r.StatusDetail}
	if e.ID, err = model.ParseULID(u.ID); err != nil {
		return 0, model.Entry{}, fmt.Errorf("read row of decision: %w", err)
	}
	if u.Decision != nil {
		if e.Decision, err = u.Decision.decision(); err != nil {
			return 0, model.Entry{}, fmt.Errorf("read row of decision %s: %w", u.Decision.ID, err)
		}
		e.Decision.Policy, e.Decision.Reason = r.Policy.Name, r.Remediation.Desc
	}
	if l := u.Lease; l != nil {
		e.Lease = &model.Lease{Addresses: nilIfEmpty(l.Addresses), From: l.From.At(), Until: l.Until.At(), BlockFor: model.Seconds(l.BlockFor), By: l.By, Signature: bytesOrNil(l.Signature)}
		if e.Lease.ID, err = model.ParseULID(l.ID); err != nil {
			return 0, model.Entry{}, fmt.Errorf("read row of lease: %w", err)
		}
	}
	return uint64(r.Metadata.Sequence), e, nil
}

func nilIfEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

func (o *DecisionOrder) decision() (*model.Decision, error) {
	d := &model.Decision{From: o.From.At(), Until: o.Until.At(), Recurrence: int(o.Recurrence), DryRun: o.DryRun, Actor: o.Actor,
		State: model.State(o.State), Ended: o.Ended.At(), EndReason: o.EndReason, Seq: o.Seq,
		Because: model.Because{Confidence: o.Confidence, Sensors: nilIfEmpty(o.Sensors), Seen: o.Seen.At(), Stored: o.Stored.At(), Folded: o.Folded.At()}}
	var err error
	if d.ID, err = model.ParseULID(o.ID); err != nil {
		return nil, err
	}
	if d.Lease, err = model.ParseULID(o.Lease); err != nil {
		return nil, err
	}
	if d.Action, err = model.ParseAction(o.Action); err != nil {
		return nil, err
	}
	if d.Target, err = o.Target.entity(); err != nil {
		return nil, err
	}
	if d.Because.Indicator, err = o.Indicator.entity(); err != nil {
		return nil, err
	}
	for _, s := range o.Signals {
		id, err := model.ParseULID(s)
		if err != nil {
			return nil, err
		}
		d.Because.Signals = append(d.Because.Signals, id)
	}
	for _, c := range o.Classes {
		d.Because.Classes = append(d.Because.Classes, model.Class(c))
	}
	for _, g := range o.Guardrails {
		v := model.Guarded{Guardrail: g.Name, Detail: g.Detail}
		if err := v.Verdict.UnmarshalText([]byte(g.Verdict)); err != nil {
			return nil, err
		}
		d.Guardrails = append(d.Guardrails, v)
	}
	return d, nil
}
