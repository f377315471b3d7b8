package mcp

import "bartizan/internal/model"

// rule is what is said about one kind of mistake. Controls: OWASP Top 10 for LLM
// Applications (LLM…), OWASP Top 10 for Agentic Applications 2026 (ASI…), MITRE ATLAS.
type rule struct {
	id       string
	severity model.Severity
	title    string
	fix      string
	controls []string
}

// ruleID names a rule; the table below has one line for each.
type ruleID int

const (
	rootFiles ruleID = iota
	homeFiles
	shellStart
	pipeToShell
	dockerSocket
	container
	sudo
	loaderEnv
	noVerify
	keptSecret
	unpinned
	clearText
	runsPrograms
	autoApprove
	combination
	hiddenText
	orders
	judged
	shadowed
	lookalike
	mentions
	broadSchema
	unreadable
	notStarted
	turnedOff
	notReached
	badTool
)

func (r ruleID) get() rule {
	const critical, high, medium, low, info = model.Critical, model.High, model.Medium, model.Low, model.Info
	excess := []string{"LLM06:2025", "ASI03:2026"}
	supply := []string{"LLM03:2025", "ASI04:2026", "AML.T0010"}
	poison := []string{"LLM01:2025", "ASI01:2026", "AML.T0051.001"}
	return map[ruleID]rule{
		rootFiles:    {"mcp.root-filesystem", high, "a server gets the whole file system", "name the folders that the task needs, read-only where reading is enough", excess},
		homeFiles:    {"mcp.secret-folder", high, "a server gets a folder with credentials or a whole home folder", "name a folder that holds only what the task needs", excess},
		shellStart:   {"mcp.shell", medium, "a server is started through a shell", "name the program and its arguments; a shell runs whatever the line becomes", []string{"ASI05:2026"}},
		pipeToShell:  {"mcp.pipe-to-shell", critical, "what is downloaded is run at once", "install a pinned version that you have looked at", supply},
		dockerSocket: {"mcp.docker-socket", critical, "a server controls the container engine, which is root on the host", "leave the socket out; a proxy of it can allow single operations", excess},
		container:    {"mcp.privileged-container", high, "a container keeps the rights or the namespaces of the host", "leave out --privileged, host namespaces, added capabilities and mounts of /", excess},
		sudo:         {"mcp.sudo", high, "a server runs as another, more powerful user", "run it as an ordinary user; give that user what it needs", excess},
		loaderEnv:    {"mcp.loader-environment", high, "a variable makes the server load other code than its own", "remove the variable; it is how code gets into a process without its file being changed", []string{"ASI05:2026"}},
		noVerify:     {"mcp.no-verification", high, "certificates are not checked", "remove the setting; add the authority's certificate instead", []string{"ASI07:2026"}},
		keptSecret:   {"mcp.secret", high, "a secret is written into the configuration", "move it to the client's secret input, a keychain or the environment, and make a new one: this one has been in a file", []string{"LLM02:2025", "ASI03:2026", "AML.T0055"}},
		unpinned:     {"mcp.unpinned", medium, "the version is chosen anew at each start", "name an exact version, better with a lock file or a digest: a new release would run without anybody looking at it", supply},
		clearText:    {"mcp.clear-text", high, "the connection is not encrypted", "use https: whoever is on the way reads and changes what the model gets", []string{"ASI07:2026"}},
		runsPrograms: {"mcp.runs-programs", high, "a server runs programs for the model", "put it into a container without network and secrets, and let a person approve each call", []string{"LLM06:2025", "ASI02:2026", "ASI05:2026"}},
		autoApprove:  {"mcp.no-question", high, "calls or servers are approved without a person", "approve by name and only what reads", []string{"LLM06:2025", "ASI09:2026"}},
		combination:  {"mcp.combination", high, "private data, texts of strangers and a way out come together", "split the agent, or put one of the three behind approval: an order hidden in a text can carry the data out", []string{"LLM01:2025", "LLM06:2025", "ASI01:2026", "ASI02:2026", "AML.T0086"}},
		hiddenText:   {"mcp.hidden-text", critical, "a definition has characters that people do not see", "do not use the server; ask who wrote it", poison},
		orders:       {"mcp.orders", critical, "a definition gives the model orders it should not have", "do not use the server; ask who wrote it", poison},
		judged:       {"mcp.judged", medium, "the guard takes a definition for an attack", "read it; a definition should say what the tool does and nothing else", poison},
		shadowed:     {"mcp.shadowing", high, "two servers have a tool of the same name", "leave one out, or rename it: which one is called depends on the client", []string{"ASI02:2026", "ASI04:2026"}},
		lookalike:    {"mcp.look-alike", high, "two tools have names that look the same", "leave one out; look at which one imitates", []string{"ASI02:2026", "ASI04:2026"}},
		mentions:     {"mcp.cross-reference", high, "a definition speaks of another server's tool", "read it: a server has no business with the tools of another", poison},
		broadSchema:  {"mcp.broad-schema", low, "a tool takes anything", "describe the arguments, with patterns or a list of values where they reach a shell, a path, an address or a database", []string{"LLM06:2025", "ASI02:2026"}},
		unreadable:   {"mcp.unreadable", medium, "could not be read", "correct the file; nothing is known about what is in it", nil},
		notStarted:   {"mcp.not-started", info, "tools were not looked at", "--start starts the servers of a configuration and looks at what they offer", nil},
		turnedOff:    {"mcp.disabled", info, "a server is turned off, its tools were not looked at", "remove the entry when nobody needs it: one word turns it on again", nil},
		notReached:   {"mcp.not-reached", high, "a server could not be started or reached, its tools were not looked at", "see the detail; try it by itself", nil},
		badTool:      {"mcp.bad-definition", medium, "a definition could not be read", "report it to the server's authors; the tool was not looked at", nil},
	}[r]
}
