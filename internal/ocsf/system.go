package ocsf

import (
	"strings"

	"bartizan/internal/observe"
)

const (
	classFile      int32 = 1001
	classProcess   int32 = 1007
	activityLaunch int32 = 1
	activityCreate int32 = 1
	fileRegular    int32 = 1
)

// SystemPlace is Place with the ends of the connection, which the classes of
// the category System Activity have no attribute for.
type SystemPlace struct {
	Place
	SrcEndpoint Endpoint `json:"src_endpoint" parquet:"src_endpoint"`
	DstEndpoint Endpoint `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"`
}

// System has the attributes that the classes of System Activity demand.
type System struct {
	Actor  Actor  `json:"actor" parquet:"actor"`
	Device Device `json:"device" parquet:"device"`
}

func (s *System) set(m *Mapper, o *observe.Observation, p *SystemPlace) {
	p.setPlace(m, o)
	p.SrcEndpoint, p.DstEndpoint = endpoint(o.Remote), m.localEndpoint(o.Local)
	s.Actor = actor(m.sessionText(o.Session))
	s.Device = Device{Name: p.Decoy, IP: p.DstEndpoint.IP, TypeID: deviceOther, Type: "Decoy"}
}

// Command is a command line of an emulated shell: Process Activity.
type Command struct {
	Event
	System
	Process  Process         `json:"process" parquet:"process"`
	Unmapped CommandUnmapped `json:"unmapped" parquet:"unmapped"`
}

// Process is OCSF's process object. No process exists, so its uid is the
// session's.
type Process struct {
	UID     string `json:"uid" parquet:"uid,dict"`
	CmdLine string `json:"cmd_line" parquet:"cmd_line"`
	User    User   `json:"user,omitzero" parquet:"user"`
}

// CommandUnmapped is what OCSF has no attribute for.
type CommandUnmapped struct {
	SystemPlace
}

// FromObservation implements ObservationRow.
func (r *Command) FromObservation(m *Mapper, o *observe.Observation) {
	r.head(m, classProcess, activityLaunch, o.Time, onlyTime)
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.System.set(m, o, &r.Unmapped.SystemPlace)
	r.Process = Process{UID: r.Metadata.CorrelationUID, CmdLine: text(o.Command.Line), User: User{text(o.Command.User)}}
}

// Observation implements ObservationRow.
func (r *Command) Observation() (observe.Observation, error) {
	u := &r.Unmapped
	o, err := r.observation(observe.KindCommand, &u.Place, u.SrcEndpoint, u.DstEndpoint)
	o.Command = &observe.Command{Line: r.Process.CmdLine, User: r.Process.User.Name}
	return o, err
}

// File is a file a visitor brought: File System Activity.
type File struct {
	Event
	System
	File     FileObject   `json:"file" parquet:"file"`
	Unmapped FileUnmapped `json:"unmapped" parquet:"unmapped"`
}

// FileObject is OCSF's file object.
type FileObject struct {
	Name   string `json:"name" parquet:"name,dict"` // last element of the path
	Path   string `json:"path" parquet:"path"`
	TypeID int32  `json:"type_id" parquet:"type_id,dict"`
	Size   int64  `json:"size" parquet:"size"`
	Hashes []Hash `json:"hashes,omitempty" parquet:"hashes,list"`
}

// FileUnmapped is what OCSF has no attribute for.
type FileUnmapped struct {
	SystemPlace
	How    string `json:"how,omitzero" parquet:"how,optional,dict"`
	Type   string `json:"type,omitzero" parquet:"type,optional,dict"` // by content
	Capped bool   `json:"capped,omitzero" parquet:"capped"`
}

// FromObservation implements ObservationRow.
func (r *File) FromObservation(m *Mapper, o *observe.Observation) {
	f := o.File
	r.head(m, classFile, activityCreate, o.Time, onlyTime)
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.System.set(m, o, &r.Unmapped.SystemPlace)
	path := text(f.Path)
	r.File = FileObject{Name: path[strings.LastIndexByte(path, '/')+1:], Path: path, TypeID: fileRegular, Size: f.Size, Hashes: r.File.Hashes[:0]}
	if f.SHA256 != "" {
		r.File.Hashes = append(r.File.Hashes, Hash{hashSHA256, text(f.SHA256)})
		if f.SHA1 != "" && f.MD5 != "" { // the lake's view counts on the order
			r.File.Hashes = append(r.File.Hashes, Hash{hashSHA1, text(f.SHA1)}, Hash{hashMD5, text(f.MD5)})
		}
	}
	r.Unmapped.How, r.Unmapped.Type, r.Unmapped.Capped = text(f.How), text(f.Type), f.Capped
}

// Observation implements ObservationRow.
func (r *File) Observation() (observe.Observation, error) {
	u := &r.Unmapped
	o, err := r.observation(observe.KindFile, &u.Place, u.SrcEndpoint, u.DstEndpoint)
	o.File = &observe.FileEvent{Path: r.File.Path, How: u.How, Size: r.File.Size, Type: u.Type, Capped: u.Capped}
	for _, h := range r.File.Hashes {
		switch h.AlgorithmID {
		case hashMD5:
			o.File.MD5 = h.Value
		case hashSHA1:
			o.File.SHA1 = h.Value
		default:
			o.File.SHA256 = h.Value
		}
	}
	return o, err
}
