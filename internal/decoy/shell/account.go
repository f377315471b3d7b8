package shell

import (
	"strconv"
	"strings"
)

// account is one line of the session's /etc/passwd.
type account struct {
	name, gecos, home, shell string
	uid, gid                 int
}

// accounts parses the session's /etc/passwd, so that users a visitor adds by
// any means exist.
func (s *Shell) accounts() []account {
	b, err := s.fs.slurp("/etc/passwd")
	if err != nil {
		return nil
	}
	s.spend(len(b) / 64)
	var out []account
	for _, l := range strings.Split(clip(string(b), 64<<10), "\n") {
		f := strings.Split(l, ":")
		if len(f) < 7 {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			out = append(out, account{name: f[0], uid: uid, gid: gid, gecos: f[4], home: f[5], shell: f[6]})
		}
	}
	return out
}

func (s *Shell) account(name string) (account, bool) {
	for _, a := range s.accounts() {
		if a.name == name {
			return a, true
		}
	}
	return account{}, false
}

func (s *Shell) userName(uid int) string {
	for _, a := range s.accounts() {
		if a.uid == uid {
			return a.name
		}
	}
	return itoa(uid)
}

func (s *Shell) groupName(gid int) string {
	b, err := s.fs.slurp("/etc/group")
	s.spend(len(b) / 64)
	if err == nil {
		for _, l := range strings.Split(clip(string(b), 64<<10), "\n") {
			if f := strings.Split(l, ":"); len(f) >= 3 && f[2] == itoa(gid) {
				return f[0]
			}
		}
	}
	return itoa(gid)
}

// groupsOf lists the supplementary groups of a user.
func (s *Shell) groupsOf(a account) []int {
	out := []int{a.gid}
	b, err := s.fs.slurp("/etc/group")
	if err != nil {
		return out
	}
	s.spend(len(b) / 64)
	for _, l := range strings.Split(clip(string(b), 64<<10), "\n") {
		f := strings.Split(l, ":")
		if len(f) < 4 {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil || gid == a.gid {
			continue
		}
		for _, m := range strings.Split(f[3], ",") {
			if m == a.name {
				out = append(out, gid)
			}
		}
	}
	return out
}

// loginAccount is the account a visitor logs in as. A decoy that accepts an
// unknown name shows an ordinary account of that name.
func (s *Shell) loginAccount(name string) account {
	if a, ok := s.account(name); ok {
		if strings.HasSuffix(a.shell, "nologin") || strings.HasSuffix(a.shell, "false") {
			a.shell = "/bin/bash"
		}
		return a
	}
	clean := make([]byte, 0, 32)
	for _, c := range []byte(clip(name, 32)) {
		if nameByte(c, len(clean) == 0) || c == '-' || c == '.' {
			clean = append(clean, c)
		}
	}
	if len(clean) == 0 {
		clean = []byte("guest")
	}
	n := string(clean)
	a := account{name: n, uid: 1000 + len(s.p.Users), gid: 1000 + len(s.p.Users), home: "/home/" + n, shell: "/bin/bash"}
	s.addAccount(a)
	return a
}

// addAccount writes a new account into the session's files.
func (s *Shell) addAccount(a account) {
	s.fs.mu.Lock()
	uid := s.fs.uid
	s.fs.uid, s.fs.gid = 0, 0
	s.fs.mu.Unlock()
	defer func() {
		s.fs.mu.Lock()
		s.fs.uid = uid
		s.fs.mu.Unlock()
	}()
	s.appendFile("/etc/passwd", a.name+":x:"+itoa(a.uid)+":"+itoa(a.gid)+":"+a.gecos+":"+a.home+":"+a.shell+"\n")
	s.appendFile("/etc/shadow", a.name+":!:"+itoa(int(s.now().Unix()/86400))+":0:99999:7:::\n")
	s.appendFile("/etc/group", a.name+":x:"+itoa(a.gid)+":\n")
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	s.fs.uid, s.fs.gid = a.uid, a.gid
	if dir, _, _, err := s.fs.parentOf(a.home); err == nil && dir != nil {
		s.fs.uid = 0
		if p, err := s.fs.add(a.home, &node{mode: modeDir | 0o755}); err == nil {
			n := s.fs.own(p)
			n.uid, n.gid = a.uid, a.gid
		}
	}
}

// appendFile adds text to a file without reporting it as a dropped file.
func (s *Shell) appendFile(p, text string) bool {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n, _, err := s.fs.create(p, 0o644, false, false)
	if err != nil {
		return false
	}
	_, err = s.fs.writeAt(n, []byte(text), -1)
	return err == nil
}

// become switches the session to an account.
func (s *Shell) become(a account) {
	s.who = a
	s.fs.mu.Lock()
	s.fs.uid, s.fs.gid = a.uid, a.gid
	_, _, err := s.fs.walk(a.home, true)
	s.fs.mu.Unlock()
	e := s.top
	e.setExport("HOME", a.home)
	e.setExport("USER", a.name)
	e.setExport("LOGNAME", a.name)
	e.setExport("SHELL", a.shell)
	e.setExport("MAIL", "/var/mail/"+a.name)
	e.cwd = a.home
	if err != nil {
		e.cwd = "/"
	}
}

// random is a stable sequence per session: unpredictable enough for $RANDOM
// and /dev/urandom of a machine that does not exist.
func (s *Shell) random() int {
	s.rng = s.rng*6364136223846793005 + 1442695040888963407 + uint64(s.begun.UnixNano())
	return int(s.rng >> 33)
}

func (s *Shell) killPID(pid int) bool {
	for i, j := range s.jobs {
		if j.pid == pid {
			s.jobs = append(s.jobs[:i], s.jobs[i+1:]...)
			return true
		}
	}
	for _, p := range s.p.Processes {
		if p.PID == pid && !s.killed[pid] {
			if pid == 1 || s.who.uid != 0 {
				return true
			}
			if s.killed == nil {
				s.killed = map[int]bool{}
			}
			s.killed[pid] = true
			return true
		}
	}
	return false
}

func (s *Shell) gid(name string) int {
	if n, err := strconv.Atoi(name); err == nil {
		return n
	}
	b, err := s.fs.slurp("/etc/group")
	if err != nil {
		return -1
	}
	for _, l := range strings.Split(clip(string(b), 64<<10), "\n") {
		if f := strings.Split(l, ":"); len(f) >= 3 && f[0] == name {
			if n, err := strconv.Atoi(f[2]); err == nil {
				return n
			}
		}
	}
	return -1
}
