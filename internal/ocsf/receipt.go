package ocsf

import (
	"fmt"

	"bartizan/internal/model"
)

// Receipt is one enforcer's word on one decision: Remediation Activity.
type Receipt struct {
	Event
	CommandUID   string          `json:"command_uid" parquet:"command_uid,dict"`          // the decision
	StatusCode   string          `json:"status_code" parquet:"status_code,optional,dict"` // the receipt's status
	StatusDetail string          `json:"status_detail,omitzero" parquet:"status_detail,optional"`
	Unmapped     ReceiptUnmapped `json:"unmapped" parquet:"unmapped"`
}

// ReceiptUnmapped is what OCSF has no attribute for.
type ReceiptUnmapped struct {
	Enforcer string `json:"enforcer" parquet:"enforcer,dict"`
}

// FromReceipt overwrites the row.
func (r *Receipt) FromReceipt(m *Mapper, x *model.Receipt) {
	activity := activityIsolate
	if x.Status == model.Expired {
		activity = activityRestore
	}
	r.head(m, classRemediation, activity, x.Time, onlyTime)
	switch x.Status {
	case model.Applied, model.Verified, model.Expired:
		r.StatusID = statusSuccess
	case model.Refused:
		r.StatusID = statusFailure
	case model.Delivered: // nobody can say
	}
	r.Metadata.UID = x.ID.String()
	r.CommandUID = x.Decision.String()
	r.Metadata.CorrelationUID = r.CommandUID
	r.StatusCode, r.StatusDetail = text(string(x.Status)), text(x.Detail)
	r.Unmapped.Enforcer = text(x.Enforcer)
}

// Receipt is the way back. It fails on a row that no receipt makes.
func (r *Receipt) Receipt() (model.Receipt, error) {
	x := model.Receipt{Enforcer: r.Unmapped.Enforcer, Status: model.ReceiptStatus(r.StatusCode), Time: r.TimeDT.At(), Detail: r.StatusDetail}
	var err error
	if x.ID, err = model.ParseULID(r.Metadata.UID); err != nil {
		return model.Receipt{}, fmt.Errorf("read row of receipt: %w", err)
	}
	if x.Decision, err = model.ParseULID(r.CommandUID); err != nil {
		return model.Receipt{}, fmt.Errorf("read row of receipt %s: %w", x.ID, err)
	}
	return x, nil
}
