package interp

import (
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

// Account is one line of the session's /etc/passwd.
type Account struct {
	Name, Gecos, Home, Shell string
	Uid, Gid                 int
}

// Accounts parses the session's /etc/passwd, so that users a visitor adds by
// any means exist.
func (s *Shell) Accounts() []Account {
	b, err := s.Fs.Slurp("/etc/passwd")
	if err != nil {
		return nil
	}
	s.Spend(len(b) / 64)
	var out []Account
	for _, l := range strings.Split(Clip(string(b), 64<<10), "\n") {
		f := strings.Split(l, ":")
		if len(f) < 7 {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			out = append(out, Account{Name: f[0], Uid: uid, Gid: gid, Gecos: f[4], Home: f[5], Shell: f[6]})
		}
	}
	return out
}

func (s *Shell) Account(name string) (Account, bool) {
	for _, a := range s.Accounts() {
		if a.Name == name {
			return a, true
		}
	}
	return Account{}, false
}

func (s *Shell) UserName(uid int) string {
	for _, a := range s.Accounts() {
		if a.Uid == uid {
			return a.Name
		}
	}
	return Itoa(uid)
}

func (s *Shell) GroupName(gid int) string {
	b, err := s.Fs.Slurp("/etc/group")
	s.Spend(len(b) / 64)
	if err == nil {
		for _, l := range strings.Split(Clip(string(b), 64<<10), "\n") {
			if f := strings.Split(l, ":"); len(f) >= 3 && f[2] == Itoa(gid) {
				return f[0]
			}
		}
	}
	return Itoa(gid)
}

// GroupsOf lists the supplementary groups of a user.
func (s *Shell) GroupsOf(a Account) []int {
	out := []int{a.Gid}
	b, err := s.Fs.Slurp("/etc/group")
	if err != nil {
		return out
	}
	s.Spend(len(b) / 64)
	for _, l := range strings.Split(Clip(string(b), 64<<10), "\n") {
		f := strings.Split(l, ":")
		if len(f) < 4 {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil || gid == a.Gid {
			continue
		}
		for _, m := range strings.Split(f[3], ",") {
			if m == a.Name {
				out = append(out, gid)
			}
		}
	}
	return out
}

// loginAccount is the account a visitor logs in as. A decoy that accepts an
// unknown name shows an ordinary account of that name.
func (s *Shell) loginAccount(name string) Account {
	if a, ok := s.Account(name); ok {
		if strings.HasSuffix(a.Shell, "nologin") || strings.HasSuffix(a.Shell, "false") {
			a.Shell = "/bin/bash"
		}
		return a
	}
	clean := make([]byte, 0, 32)
	for _, c := range []byte(Clip(name, 32)) {
		if syntax.NameByte(c, len(clean) == 0) || c == '-' || c == '.' {
			clean = append(clean, c)
		}
	}
	if len(clean) == 0 {
		clean = []byte("guest")
	}
	n := string(clean)
	a := Account{Name: n, Uid: 1000 + len(s.P.Users), Gid: 1000 + len(s.P.Users), Home: "/home/" + n, Shell: "/bin/bash"}
	s.addAccount(a)
	return a
}

// addAccount writes a new account into the session's files.
func (s *Shell) addAccount(a Account) {
	s.Fs.Mu.Lock()
	uid := s.Fs.Uid
	s.Fs.Uid, s.Fs.Gid = 0, 0
	s.Fs.Mu.Unlock()
	defer func() {
		s.Fs.Mu.Lock()
		s.Fs.Uid = uid
		s.Fs.Mu.Unlock()
	}()
	s.AppendFile("/etc/passwd", a.Name+":x:"+Itoa(a.Uid)+":"+Itoa(a.Gid)+":"+a.Gecos+":"+a.Home+":"+a.Shell+"\n")
	s.AppendFile("/etc/shadow", a.Name+":!:"+Itoa(int(s.Now().Unix()/86400))+":0:99999:7:::\n")
	s.AppendFile("/etc/group", a.Name+":x:"+Itoa(a.Gid)+":\n")
	s.Fs.Mu.Lock()
	defer s.Fs.Mu.Unlock()
	s.Fs.Uid, s.Fs.Gid = a.Uid, a.Gid
	if dir, _, _, err := s.Fs.ParentOf(a.Home); err == nil && dir != nil {
		s.Fs.Uid = 0
		if p, err := s.Fs.Add(a.Home, &vfs.Node{Mode: vfs.ModeDir | 0o755}); err == nil {
			n := s.Fs.Own(p)
			n.Uid, n.Gid = a.Uid, a.Gid
		}
	}
}

// AppendFile adds text to a file without reporting it as a dropped file.
func (s *Shell) AppendFile(p, text string) bool {
	s.Fs.Mu.Lock()
	defer s.Fs.Mu.Unlock()
	n, _, err := s.Fs.MakeFile(p, 0o644, false, false)
	if err != nil {
		return false
	}
	_, err = s.Fs.WriteAt(n, []byte(text), -1)
	return err == nil
}

// Become switches the session to an account.
func (s *Shell) Become(a Account) {
	s.Who = a
	s.Fs.Mu.Lock()
	s.Fs.Uid, s.Fs.Gid = a.Uid, a.Gid
	_, _, err := s.Fs.Walk(a.Home, true)
	s.Fs.Mu.Unlock()
	e := s.Top
	e.SetExport("HOME", a.Home)
	e.SetExport("USER", a.Name)
	e.SetExport("LOGNAME", a.Name)
	e.SetExport("SHELL", a.Shell)
	e.SetExport("MAIL", "/var/mail/"+a.Name)
	e.Cwd = a.Home
	if err != nil {
		e.Cwd = "/"
	}
}

// Random is a stable sequence per session: unpredictable enough for $RANDOM
// and /dev/urandom of a machine that does not exist.
func (s *Shell) Random() int {
	s.rng = s.rng*6364136223846793005 + 1442695040888963407 + uint64(s.Begun.UnixNano())
	return int(s.rng >> 33)
}

func (s *Shell) KillPID(pid int) bool {
	for i, j := range s.Jobs {
		if j.Pid == pid {
			s.Jobs = append(s.Jobs[:i], s.Jobs[i+1:]...)
			return true
		}
	}
	for _, p := range s.P.Processes {
		if p.PID == pid && !s.Killed[pid] {
			if pid == 1 || s.Who.Uid != 0 {
				return true
			}
			if s.Killed == nil {
				s.Killed = map[int]bool{}
			}
			s.Killed[pid] = true
			return true
		}
	}
	return false
}

func (s *Shell) Gid(name string) int {
	if n, err := strconv.Atoi(name); err == nil {
		return n
	}
	b, err := s.Fs.Slurp("/etc/group")
	if err != nil {
		return -1
	}
	for _, l := range strings.Split(Clip(string(b), 64<<10), "\n") {
		if f := strings.Split(l, ":"); len(f) >= 3 && f[0] == name {
			if n, err := strconv.Atoi(f[2]); err == nil {
				return n
			}
		}
	}
	return -1
}
