package ssh

import (
	"encoding/binary"
	"errors"
	"io"
	iofs "io/fs"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell"
)

// Packet types of SFTP version 3 (draft-ietf-secsh-filexfer-02), which is all
// that OpenSSH speaks.
const (
	fxInit     = 1
	fxVersion  = 2
	fxOpen     = 3
	fxClose    = 4
	fxRead     = 5
	fxWrite    = 6
	fxLstat    = 7
	fxFstat    = 8
	fxSetstat  = 9
	fxFsetstat = 10
	fxOpendir  = 11
	fxReaddir  = 12
	fxRemove   = 13
	fxMkdir    = 14
	fxRmdir    = 15
	fxRealpath = 16
	fxStat     = 17
	fxRename   = 18
	fxReadlink = 19
	fxSymlink  = 20
	fxStatus   = 101
	fxHandle   = 102
	fxData     = 103
	fxName     = 104
	fxAttrs    = 105
	fxExtended = 200
	fxReply    = 201
)

// Status codes with the texts sftp-server sends.
const (
	fxOK = iota
	fxEOF
	fxNoSuchFile
	fxDenied
	fxFailure
	fxBadMessage
	_
	_
	fxUnsupported
)

var fxTexts = [...]string{
	"Success", "End of file", "No such file", "Permission denied", "Failure", "Bad message", "No connection", "Connection lost", "Operation unsupported",
}

// Limits of sftp-server.c, and ours.
const (
	maxPacket  = 256 << 10
	maxData    = 255 << 10 // of one read
	maxHandles = 64
	listBatch  = 100
)

// fxExtensions are what the server says it can do beyond version 3.
var fxExtensions = [...][2]string{
	{"posix-rename@openssh.com", "1"}, {"statvfs@openssh.com", "2"}, {"fstatvfs@openssh.com", "2"}, {"hardlink@openssh.com", "1"},
	{"fsync@openssh.com", "1"}, {"lsetstat@openssh.com", "1"}, {"limits@openssh.com", "1"}, {"expand-path@openssh.com", "1"},
}

// sftp is one SFTP conversation.
type sftp struct {
	rw      io.ReadWriter
	fs      *shell.FS
	home    string
	note    func(string)
	handles map[string]*handle
	next    uint32
	in      []byte // buffer of packets, kept between them
	out     []byte
}

// handle is an open file or directory.
type handle struct {
	path string
	file *shell.File
	list []iofs.FileInfo // of a directory
	dir  bool
	read int // entries already given
}

// serveSFTP runs the server side until the visitor stops or breaks the
// protocol. note is told what happens, for the transcript. Files still open at
// the end are closed, so that interrupted uploads are reported too.
func serveSFTP(rw io.ReadWriter, fs *shell.FS, home string, note func(string)) {
	v := &sftp{rw: rw, fs: fs, home: home, note: note, handles: map[string]*handle{}}
	defer func() {
		for _, h := range v.handles {
			h.close()
		}
	}()
	for v.packet() {
	}
}

func (h *handle) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// packet handles one request; false ends the conversation.
func (v *sftp) packet() bool {
	var head [4]byte
	if _, err := io.ReadFull(v.rw, head[:]); err != nil {
		return false
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxPacket {
		return false
	}
	// Grow with what arrives, not with what is announced.
	v.in = v.in[:0]
	for len(v.in) < int(n) {
		step := min(int(n)-len(v.in), 32<<10)
		at := len(v.in)
		v.in = append(v.in, make([]byte, step)...)
		if _, err := io.ReadFull(v.rw, v.in[at:]); err != nil {
			return false
		}
	}
	v.out = append(v.out[:0], 0, 0, 0, 0)
	if !v.answer(&reader{b: v.in}) {
		return false
	}
	if cap(v.in) > 64<<10 {
		v.in = nil
	}
	binary.BigEndian.PutUint32(v.out, uint32(len(v.out)-4))
	_, err := v.rw.Write(v.out)
	return err == nil
}

// answer writes the reply of one request into out.
func (v *sftp) answer(r *reader) bool {
	kind := r.byte()
	if kind == fxInit {
		v.out = append(v.out, fxVersion)
		v.out = binary.BigEndian.AppendUint32(v.out, 3)
		for _, e := range fxExtensions {
			v.string(e[0])
			v.string(e[1])
		}
		return true
	}
	id := r.uint32()
	if r.bad {
		return false
	}
	do, known := fxTable[kind]
	if !known {
		v.status(id, fxUnsupported)
		return true
	}
	at := len(v.out)
	err := do(v, id, r)
	if r.bad {
		return false // sftp-server gives up as well
	}
	if err != nil {
		v.out = v.out[:at]
		v.status(id, codeOf(err))
	} else if len(v.out) == at {
		v.status(id, fxOK)
	}
	return true
}

// fxTable says who handles a packet type.
var fxTable = map[byte]func(*sftp, uint32, *reader) error{
	fxOpen: (*sftp).open, fxClose: (*sftp).shut, fxRead: (*sftp).readFile, fxWrite: (*sftp).writeFile,
	fxStat: (*sftp).stat, fxLstat: (*sftp).stat, fxFstat: (*sftp).fstat, fxSetstat: (*sftp).setstat, fxFsetstat: (*sftp).fsetstat,
	fxOpendir: (*sftp).opendir, fxReaddir: (*sftp).readdir, fxRealpath: (*sftp).realpath, fxReadlink: (*sftp).readlink,
	fxRemove: (*sftp).remove, fxRmdir: (*sftp).remove, fxMkdir: (*sftp).mkdir, fxRename: (*sftp).rename, fxSymlink: (*sftp).symlink, fxExtended: (*sftp).extended,
}

// codeOf maps an error to what errno_to_portable of sftp-server gives.
func codeOf(err error) uint32 {
	var code statusError
	switch {
	case errors.As(err, &code):
		return uint32(code)
	case errors.Is(err, io.EOF):
		return fxEOF
	case errors.Is(err, iofs.ErrNotExist):
		return fxNoSuchFile
	case errors.Is(err, iofs.ErrPermission):
		return fxDenied
	case errors.Is(err, iofs.ErrInvalid):
		return fxBadMessage
	}
	return fxFailure
}

// statusError is an SFTP status as an error.
type statusError uint32

func (e statusError) Error() string { return "sftp status " + strconv.Itoa(int(e)) }

func (v *sftp) reply(kind byte, id uint32) {
	v.out = append(v.out, kind)
	v.out = binary.BigEndian.AppendUint32(v.out, id)
}

func (v *sftp) string(s string) {
	v.out = binary.BigEndian.AppendUint32(v.out, uint32(len(s)))
	v.out = append(v.out, s...)
}

func (v *sftp) status(id uint32, code uint32) {
	v.reply(fxStatus, id)
	v.out = binary.BigEndian.AppendUint32(v.out, code)
	v.string(fxTexts[code])
	v.string("")
}

func (v *sftp) abs(p string) string {
	if !strings.HasPrefix(p, "/") {
		return v.home + "/" + p
	}
	return p
}

func (v *sftp) add(id uint32, h *handle) error {
	if len(v.handles) >= maxHandles {
		_ = h.close()
		return statusError(fxFailure)
	}
	name := string(binary.BigEndian.AppendUint32(nil, v.next))
	v.next++
	v.handles[name] = h
	v.reply(fxHandle, id)
	v.string(name)
	return nil
}

func (v *sftp) handle(r *reader) (*handle, error) {
	h := v.handles[r.string()]
	if h == nil {
		return nil, statusError(fxFailure)
	}
	return h, nil
}

func (v *sftp) open(id uint32, r *reader) error {
	const read, write, appending, creat, trunc, excl = 1, 2, 4, 8, 16, 32
	name := v.abs(r.string())
	flags := r.uint32()
	a := r.attrs()
	if r.bad {
		return nil
	}
	h := &handle{path: name}
	if flags&write == 0 {
		f, err := v.fs.Open(name)
		if err != nil {
			return err
		}
		v.note("sftp get " + name)
		h.file = f
		return v.add(id, h)
	}
	if _, err := v.fs.Stat(name); err != nil && flags&creat == 0 {
		return err
	}
	perm := iofs.FileMode(0o666)
	if a.flags&attrMode != 0 {
		perm = iofs.FileMode(a.mode & 0o777)
	}
	f, err := v.fs.Create(name, perm&^0o022, flags&trunc != 0, flags&appending != 0, flags&excl != 0, "sftp")
	if err != nil {
		return err
	}
	v.note("sftp put " + name)
	h.file = f
	return v.add(id, h)
}

func (v *sftp) shut(_ uint32, r *reader) error {
	name := r.string()
	h := v.handles[name]
	if h == nil {
		return statusError(fxFailure)
	}
	delete(v.handles, name)
	return h.close()
}

func (v *sftp) readFile(id uint32, r *reader) error {
	h, err := v.handle(r)
	off, n := r.uint64(), min(r.uint32(), maxData)
	if err != nil || h.file == nil || off > 1<<62 {
		return statusError(fxFailure)
	}
	at := len(v.out)
	v.reply(fxData, id)
	v.out = append(v.out, 0, 0, 0, 0)
	body := len(v.out)
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	// Room only for what the file can give.
	n = uint32(min(int64(n), max(info.Size()-int64(off), 0)))
	v.out = append(v.out, make([]byte, n)...)
	got, err := h.file.ReadAt(v.out[body:], int64(off))
	if got == 0 {
		v.out = v.out[:at]
		if err == nil || errors.Is(err, io.EOF) {
			err = statusError(fxEOF)
		}
		return err
	}
	v.out = v.out[:body+got]
	binary.BigEndian.PutUint32(v.out[body-4:], uint32(got))
	return nil
}

func (v *sftp) writeFile(_ uint32, r *reader) error {
	h, err := v.handle(r)
	off, data := r.uint64(), r.bytes()
	if r.bad {
		return nil
	}
	if err != nil || h.file == nil || off > 1<<62 {
		return statusError(fxFailure)
	}
	_, err = h.file.WriteAt(data, int64(off))
	return err
}

func (v *sftp) stat(id uint32, r *reader) error {
	look := v.fs.Stat
	if r.kind() == fxLstat {
		look = v.fs.Lstat
	}
	info, err := look(v.abs(r.string()))
	if err != nil {
		return err
	}
	v.reply(fxAttrs, id)
	v.attrs(info)
	return nil
}

func (v *sftp) fstat(id uint32, r *reader) error {
	h, err := v.handle(r)
	if err != nil {
		return err
	}
	var info iofs.FileInfo
	if h.file != nil {
		info, err = h.file.Stat()
	} else {
		info, err = v.fs.Stat(h.path)
	}
	if err != nil {
		return err
	}
	v.reply(fxAttrs, id)
	v.attrs(info)
	return nil
}

func (v *sftp) setstat(_ uint32, r *reader) error {
	p := v.abs(r.string())
	return v.change(p, nil, r.attrs())
}

func (v *sftp) fsetstat(_ uint32, r *reader) error {
	h, err := v.handle(r)
	a := r.attrs()
	if err != nil {
		return err
	}
	return v.change(h.path, h.file, a)
}

func (v *sftp) change(p string, f *shell.File, a attributes) error {
	if _, err := v.fs.Lstat(p); err != nil {
		return err
	}
	if a.flags&attrSize != 0 {
		if f == nil {
			opened, err := v.fs.Create(p, 0o644, false, false, false, "sftp")
			if err != nil {
				return err
			}
			f = opened
		}
		if err := f.Truncate(int64(min(a.size, 1<<62))); err != nil {
			return err
		}
	}
	if a.flags&attrTimes != 0 {
		if err := v.fs.Chtimes(p, time.Unix(int64(a.mtime), 0)); err != nil {
			return err
		}
	}
	if a.flags&attrMode != 0 {
		return v.fs.Chmod(p, iofs.FileMode(a.mode&0o777))
	}
	return nil // owners stay what they are
}
