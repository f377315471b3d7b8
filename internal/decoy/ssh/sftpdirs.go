package ssh

import (
	"encoding/binary"
	"fmt"
	iofs "io/fs"
	"path"
	"strings"
	"time"

	"bartizan/internal/decoy/shell"
)

func (v *sftp) opendir(id uint32, r *reader) error {
	p := v.abs(r.string())
	list, err := v.fs.ReadDir(p)
	if err != nil {
		return err
	}
	v.note("sftp ls " + p)
	return v.add(id, &handle{path: p, list: list, dir: true})
}

// named gives one entry of the file system another name.
type named struct {
	iofs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

func (v *sftp) readdir(id uint32, r *reader) error {
	h, err := v.handle(r)
	if err != nil || !h.dir {
		return statusError(fxFailure)
	}
	if h.read == 0 {
		if info, err := v.fs.Stat(h.path); err == nil {
			h.list = append([]iofs.FileInfo{named{info, "."}, named{info, ".."}}, h.list...)
		}
	}
	n := min(len(h.list)-h.read, listBatch)
	if n <= 0 {
		return statusError(fxEOF)
	}
	v.reply(fxName, id)
	v.out = binary.BigEndian.AppendUint32(v.out, uint32(n))
	for _, e := range h.list[h.read : h.read+n] {
		v.string(e.Name())
		v.string(longName(e))
		v.attrs(e)
	}
	h.read += n
	return nil
}

// name replies with one path.
func (v *sftp) name(id uint32, p string) {
	v.reply(fxName, id)
	v.out = binary.BigEndian.AppendUint32(v.out, 1)
	v.string(p)
	v.string(p)
	v.out = binary.BigEndian.AppendUint32(v.out, 0)
}

func (v *sftp) realpath(id uint32, r *reader) error {
	p := r.string()
	if p == "" {
		p = "."
	}
	v.name(id, v.fs.RealPath(v.abs(p)))
	return nil
}

func (v *sftp) readlink(id uint32, r *reader) error {
	to, err := v.fs.Readlink(v.abs(r.string()))
	if err != nil {
		return err
	}
	v.name(id, to)
	return nil
}

func (v *sftp) remove(_ uint32, r *reader) error {
	p := v.abs(r.string())
	v.note("sftp rm " + p)
	if r.kind() == fxRmdir {
		return v.fs.Rmdir(p)
	}
	return v.fs.Remove(p)
}

func (v *sftp) mkdir(_ uint32, r *reader) error {
	p := v.abs(r.string())
	a := r.attrs()
	mode := iofs.FileMode(0o755)
	if a.flags&attrMode != 0 {
		mode = iofs.FileMode(a.mode&0o777) &^ 0o022
	}
	if r.bad {
		return nil
	}
	v.note("sftp mkdir " + p)
	return v.fs.Mkdir(p, mode)
}

// rename refuses to replace, as version 3 wants it.
func (v *sftp) rename(_ uint32, r *reader) error {
	from, to := v.abs(r.string()), v.abs(r.string())
	if r.bad {
		return nil
	}
	if _, err := v.fs.Lstat(to); err == nil {
		return statusError(fxFailure)
	}
	return v.move(from, to)
}

func (v *sftp) move(from, to string) error {
	v.note("sftp mv " + from + " " + to)
	return v.fs.Rename(from, to)
}

// symlink takes target before name: OpenSSH has them the wrong way round, and
// everybody follows it.
func (v *sftp) symlink(_ uint32, r *reader) error {
	to, at := r.string(), r.string()
	if r.bad {
		return nil
	}
	v.note("sftp ln -s " + to + " " + at)
	return v.fs.Symlink(to, v.abs(at))
}

func (v *sftp) extended(id uint32, r *reader) error {
	switch r.string() {
	case "posix-rename@openssh.com":
		from, to := v.abs(r.string()), v.abs(r.string())
		if r.bad {
			return nil
		}
		return v.move(from, to)
	case "statvfs@openssh.com":
		if _, err := v.fs.Stat(v.abs(r.string())); err != nil {
			return err
		}
		v.statvfs(id)
		return nil
	case "fstatvfs@openssh.com":
		if _, err := v.handle(r); err != nil {
			return err
		}
		v.statvfs(id)
		return nil
	case "fsync@openssh.com":
		_, err := v.handle(r)
		return err
	case "lsetstat@openssh.com":
		p := v.abs(r.string())
		return v.change(p, nil, r.attrs())
	case "limits@openssh.com":
		v.reply(fxReply, id)
		for _, n := range [...]uint64{maxPacket, maxData, maxData, 1019} {
			v.out = binary.BigEndian.AppendUint64(v.out, n)
		}
		return nil
	case "expand-path@openssh.com":
		p := r.string()
		if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || rest[0] == '/') {
			p = v.home + rest
		}
		v.name(id, v.fs.RealPath(v.abs(p)))
		return nil
	case "hardlink@openssh.com":
		return statusError(fxFailure)
	}
	return statusError(fxUnsupported)
}

// statvfs describes a file system of some size with some room.
func (v *sftp) statvfs(id uint32) {
	const block, blocks, files = 4096, 10 << 20, 2 << 20
	v.reply(fxReply, id)
	for _, n := range [...]uint64{block, block, blocks, blocks / 2, blocks/2 - blocks/20, files, files - files/16, files - files/16, 0x8f31, 0x1000, 255} {
		v.out = binary.BigEndian.AppendUint64(v.out, n)
	}
}

// longName is the line that ls -l would print; clients show it as it is.
func longName(i iofs.FileInfo) string {
	owner, _ := i.Sys().(shell.Owner)
	links := 1
	if i.IsDir() {
		links = 2
	}
	at := i.ModTime().UTC()
	when := at.Format("Jan _2 15:04")
	if time.Since(at) > 180*24*time.Hour {
		when = at.Format("Jan _2  2006")
	}
	return fmt.Sprintf("%s %4d %-8d %-8d %8d %s %s", modeText(i.Mode()), links, owner.UID, owner.GID, i.Size(), when, path.Base(i.Name()))
}

// modeText is the first column of ls -l.
func modeText(m iofs.FileMode) string {
	b := []byte("----------")
	switch {
	case m.IsDir():
		b[0] = 'd'
	case m&iofs.ModeSymlink != 0:
		b[0] = 'l'
	case m&iofs.ModeCharDevice != 0:
		b[0] = 'c'
	case m&iofs.ModeDevice != 0:
		b[0] = 'b'
	}
	const rwx = "rwxrwxrwx"
	for i := range rwx {
		if m&(1<<(8-i)) != 0 {
			b[i+1] = rwx[i]
		}
	}
	special := func(flag iofs.FileMode, at int, with, without byte) {
		if m&flag != 0 {
			if b[at] == 'x' {
				b[at] = with
			} else {
				b[at] = without
			}
		}
	}
	special(iofs.ModeSetuid, 3, 's', 'S')
	special(iofs.ModeSetgid, 6, 's', 'S')
	special(iofs.ModeSticky, 9, 't', 'T')
	return string(b)
}
