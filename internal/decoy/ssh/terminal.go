package ssh

// login runs the user's shell until it ends or the visitor hangs up.
func (h *channel) login() int {
	_ = h.sh.Interactive(h.ctx, h, h.pty) // an error only says that the visitor left
	return 0
}
