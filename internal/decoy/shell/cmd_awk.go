package shell

func cmdAwk(c *call) int { return c.fail(2, "not yet") }
