package shell

// Sibling starts another session of user on the same files, such as a second
// channel of one SSH connection. Shells that share files may run at the same
// time when s itself runs nothing: then it only owns the files.
func (s *Shell) Sibling(user string) *Shell {
	n := &Shell{p: s.p, img: s.img, fs: s.fs, limits: s.limits, sink: s.sink, clock: s.clock, begun: s.clock(), tty: s.tty}
	n.nextPID = 2000 + int(s.p.Uptime(n.begun).Minutes())%28000
	n.pid = n.newPID()
	n.aliases = map[string]string{}
	for k, v := range s.aliases {
		n.aliases[k] = v
	}
	n.top = newEnv(n)
	n.become(n.loginAccount(user))
	return n
}
