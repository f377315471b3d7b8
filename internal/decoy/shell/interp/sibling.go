package interp

// Sibling starts another session of user on the same files, such as a second
// channel of one SSH connection. Shells that share files may run at the same
// time when s itself runs nothing: then it only owns the files.
func (s *Shell) Sibling(user string) *Shell {
	n := &Shell{P: s.P, Img: s.Img, Fs: s.Fs, Limits: s.Limits, sink: s.sink, Clock: s.Clock, Begun: s.Clock(), Tty: s.Tty}
	n.NextPID = 2000 + int(s.P.Uptime(n.Begun).Minutes())%28000
	n.Pid = n.newPID()
	n.aliases = map[string]string{}
	for k, v := range s.aliases {
		n.aliases[k] = v
	}
	n.Top = newEnv(n)
	n.Become(n.loginAccount(user))
	return n
}
