package llm

import (
	"encoding/hex"
	"strings"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
)

// named is a request about a model.
type named struct {
	Model    string `json:"model"`
	Name     string `json:"name"`
	Stream   *bool  `json:"stream"`
	Insecure bool   `json:"insecure"`
	From     string `json:"from"`
	System   string `json:"system"`
	File     string `json:"modelfile"`
	Source   string `json:"source"`
	Dest     string `json:"destination"`
}

// about reads a request about a model and reports it; ok is false when it was
// answered with a fault.
func (c *call) about() (n named, ok bool, err error) {
	if bad := c.decode(&n); bad != "" {
		if err := c.exchange(ollama, nil, ""); err != nil {
			return n, false, err
		}
		return n, false, c.reply(400, fault{bad})
	}
	if n.Model == "" {
		n.Model = n.Name
	}
	if n.Model == "" {
		n.Model = n.Source
	}
	q := &question{model: n.Model, system: n.System, stream: n.Stream == nil || *n.Stream}
	for _, f := range [][2]string{{"from", n.From}, {"destination", n.Dest}, {"modelfile", n.File}} {
		if f[1] != "" {
			q.options = strings.TrimSpace(q.options + " " + f[0] + "=" + f[1])
		}
	}
	return n, true, c.exchange(ollama, q, "")
}

type status struct {
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// progress answers with lines of progress, the last of which may be an error.
func (c *call) progress(n named, lines ...status) error {
	if n.Stream != nil && !*n.Stream {
		last := lines[len(lines)-1]
		if last.Error != "" {
			return c.reply(500, last)
		}
		return c.reply(200, last)
	}
	return c.lines(func(say func(any) error) error {
		for _, l := range lines {
			if err := say(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// pull has what the persona has; everything else cannot be reached. A name
// with a host in it is a server the visitor wants us to talk to.
func (c *call) pull() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	host, rest := "registry.ollama.ai", "library/"+n.Model
	name := strings.TrimPrefix(strings.TrimPrefix(n.Model, "https://"), "http://")
	if h, r, ok := strings.Cut(name, "/"); ok && strings.ContainsAny(h, ".:") {
		host, rest = h, r
		scheme := "https://"
		if n.Insecure || strings.HasPrefix(n.Model, "http://") {
			scheme = "http://"
		}
		if err := c.s.Fetch(scheme+cut(name, 2000), "ollama"); err != nil {
			return err
		}
	}
	if m, ok := c.model(n.Model); ok {
		return c.progress(n, status{Status: "pulling manifest"}, status{Status: "pulling " + m.Digest[:12]}, status{Status: "verifying sha256 digest"}, status{Status: "writing manifest"}, status{Status: "success"})
	}
	repo, tag, ok := strings.Cut(rest, ":")
	if !ok {
		tag = "latest"
	}
	return c.progress(n, status{Status: "pulling manifest"},
		status{Error: "pull model manifest: Get \"https://" + cut(host, 200) + "/v2/" + cut(repo, 200) + "/manifests/" + cut(tag, 100) + "\": net/http: TLS handshake timeout"})
}

func (c *call) push() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	return c.progress(n, status{Status: "retrieving manifest"}, status{Error: "open /usr/share/ollama/.ollama/id_ed25519: permission denied"})
}

func (c *call) create() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	return c.progress(n, status{Status: "reading model metadata"}, status{Error: "mkdir /usr/share/ollama/.ollama/models/manifests: no space left on device"})
}

func (c *call) copy() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	if _, ok := c.model(n.Model); !ok {
		return c.reply(404, notFound(n.Model))
	}
	return c.reply(500, fault{"open /usr/share/ollama/.ollama/models/manifests: permission denied"})
}

func (c *call) remove() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	m, ok := c.model(n.Model)
	if !ok {
		return c.reply(404, notFound(n.Model))
	}
	base, tag, _ := strings.Cut(m.Name, ":")
	return c.reply(500, fault{"remove /usr/share/ollama/.ollama/models/manifests/registry.ollama.ai/library/" + base + "/" + tag + ": permission denied"})
}

// blob takes a file that is to become a model.
func (c *call) blob() error {
	name := strings.TrimPrefix(c.r.Path, "/api/blobs/")
	if err := c.s.File(observe.FileEvent{Path: "/usr/share/ollama/.ollama/models/blobs/" + cut(name, 512), How: "http-upload", Size: c.r.BodyLen, Capped: c.r.Cut}, c.r.Body); err != nil {
		return err
	}
	if sum, ok := strings.CutPrefix(name, "sha256:"); !ok || len(sum) != 64 || !isHex(sum) {
		return c.reply(400, fault{"invalid digest format"})
	}
	return style.Write(c.s, c.r, httpd.Response{Status: 201})
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func (c *call) noBlob() error { return style.Write(c.s, c.r, httpd.Response{Status: 404}) }
