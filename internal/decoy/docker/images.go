package docker

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

type imageSummary struct {
	Containers  int
	Created     int64
	ID          string `json:"Id"`
	Labels      map[string]string
	ParentID    string `json:"ParentId"`
	RepoDigests []string
	RepoTags    []string
	SharedSize  int64
	Size        int64
}

func (i image) repoDigest() string {
	name := i.name
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	name, _, _ = strings.Cut(name, "@")
	return name + "@" + i.digest
}

func (c *call) images() error {
	out := []imageSummary{}
	c.engine.mu.Lock()
	for _, i := range slices.Backward(c.engine.images) {
		out = append(out, imageSummary{Containers: -1, Created: i.created.Unix(), ID: i.id, Labels: map[string]string{}, RepoDigests: []string{i.repoDigest()}, RepoTags: []string{i.name}, SharedSize: -1, Size: i.size})
	}
	c.engine.mu.Unlock()
	return c.ok(out)
}

// progress is one line of a pull.
type progress struct {
	Status   string          `json:"status,omitempty"`
	Detail   *progressDetail `json:"progressDetail,omitempty"`
	Progress string          `json:"progress,omitempty"`
	ID       string          `json:"id,omitempty"`
	Stream   string          `json:"stream,omitempty"`
	Error    string          `json:"error,omitempty"`
	Why      *why2           `json:"errorDetail,omitempty"`
}

type progressDetail struct {
	Current int64 `json:"current,omitempty"`
	Total   int64 `json:"total,omitempty"`
}

type why2 struct {
	Message string `json:"message"`
}

// tell sends lines of progress, with a breath between them.
func (c *call) tell(lines []progress) error {
	out, err := c.stream("application/json")
	if err != nil {
		return err
	}
	for i, l := range lines {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(b, '\r', '\n')); err != nil {
			return err
		}
		if i%3 == 2 && !sleep(c.ctx, 4*time.Millisecond) {
			return c.ctx.Err()
		}
	}
	return out.Close()
}

// pull pretends to fetch an image: everything asked for exists.
func (c *call) pull() error {
	if src := c.query.Get("fromSrc"); src != "" {
		if strings.Contains(cut(src, 10), "://") {
			if err := c.s.Fetch(src, "docker"); err != nil {
				return err
			}
		}
		return c.tell([]progress{{Status: "sha256:" + c.engine.newID()}})
	}
	name, tag := c.query.Get("fromImage"), c.query.Get("tag")
	if tag != "" {
		sep := ":"
		if strings.HasPrefix(tag, "sha256:") {
			sep = "@"
		}
		name += sep + tag
	}
	if name == "" || len(name) > 256 || !imageShape.MatchString(name) {
		return c.fail(400, "invalid reference format")
	}
	name = canonical(name)
	e := c.engine
	e.mu.Lock()
	img, have := e.image(name)
	if !have {
		img = imageOf(c.s.Persona(), name, "")
		if len(e.images) >= maxImages {
			e.images = slices.Delete(e.images, 0, 1)
		}
		e.images = append(e.images, img)
	}
	e.mu.Unlock()
	repo := img.repoDigest()
	repo = repo[:strings.IndexByte(repo, '@')]
	label := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, repo), ":"), "@")
	lines := []progress{{Status: "Pulling from " + hubName(repo), ID: label}}
	if have {
		return c.tell(append(lines, progress{Status: "Digest: " + img.digest}, progress{Status: "Status: Image is up to date for " + name}))
	}
	e.keep(256)
	return c.tell(append(append(lines, layers(c.s.Persona().Derive("docker layers "+name, 32), img.size)...),
		progress{Status: "Digest: " + img.digest}, progress{Status: "Status: Downloaded newer image for " + name}))
}

// layers is the progress of one to three layers.
func layers(seed []byte, size int64) (out []progress) {
	n := 1 + int(seed[0])%3
	none := &progressDetail{}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = hexOf(seed[1+6*i : 7+6*i])
		out = append(out, progress{Status: "Pulling fs layer", Detail: none, ID: ids[i]})
	}
	for _, id := range ids {
		total := size / int64(n)
		for k := int64(1); k <= 3; k++ {
			out = append(out, progress{Status: "Downloading", Detail: &progressDetail{total * k / 4, total}, ID: id})
		}
		out = append(out, progress{Status: "Verifying Checksum", Detail: none, ID: id}, progress{Status: "Download complete", Detail: none, ID: id})
		out = append(out, progress{Status: "Extracting", Detail: &progressDetail{total, total}, ID: id}, progress{Status: "Pull complete", Detail: none, ID: id})
	}
	return out
}

func (c *call) load() error {
	return c.tell([]progress{{Stream: "Loaded image ID: sha256:" + c.engine.newID() + "\n"}})
}

// build records the context and fails as a build does that cannot reach its base image.
func (c *call) build() error {
	if u := c.query.Get("remote"); strings.Contains(cut(u, 10), "://") {
		if err := c.s.Fetch(u, "docker"); err != nil {
			return err
		}
	}
	msg := "failed to solve: failed to fetch anonymous token: Get \"https://auth.docker.io/token\": net/http: TLS handshake timeout"
	return c.tell([]progress{{Stream: "Step 1/1 : FROM scratch\n"}, {Error: msg, Why: &why2{msg}}})
}

func (c *call) commit() error {
	return c.reply(201, struct {
		ID string `json:"Id"`
	}{"sha256:" + c.engine.newID()})
}

// imageName is the part of the path that names an image.
func (c *call) imageName(after int) string {
	return cut(strings.Join(c.parts[1:len(c.parts)-after], "/"), 256)
}

func (c *call) withImage(after int, do func(image) error) error {
	name := c.imageName(after)
	c.engine.mu.Lock()
	i, ok := c.engine.image(name)
	c.engine.mu.Unlock()
	if !ok {
		return c.fail(404, "No such image: "+canonical(name))
	}
	return do(i)
}

func (c *call) imageInspect() error {
	return c.withImage(1, func(i image) error {
		return c.ok(struct {
			ID                       string `json:"Id"`
			RepoTags, RepoDigests    []string
			Parent, Comment, Created string
			DockerVersion, Author    string
			Config                   spec
			Architecture, Os         string
			Size                     int64
			RootFS                   struct {
				Type   string
				Layers []string
			}
		}{ID: i.id, RepoTags: []string{i.name}, RepoDigests: []string{i.repoDigest()}, Created: stamp(i.created), Architecture: "amd64", Os: "linux", Size: i.size,
			Config: spec{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: defaultCommand(i.name), Image: i.name},
			RootFS: struct {
				Type   string
				Layers []string
			}{"layers", []string{i.digest}}})
	})
}

func (c *call) tag() error {
	return c.withImage(1, func(i image) error {
		name := canonical(c.query.Get("repo") + ":" + c.query.Get("tag"))
		if len(name) > 256 || !imageShape.MatchString(name) {
			return c.fail(400, "invalid reference format")
		}
		i.name = name
		c.engine.mu.Lock()
		if len(c.engine.images) >= maxImages {
			c.engine.images = slices.Delete(c.engine.images, 0, 1)
		}
		c.engine.images = append(c.engine.images, i)
		c.engine.mu.Unlock()
		c.engine.keep(256)
		return c.empty(201)
	})
}

func (c *call) push() error {
	name := c.imageName(1)
	msg := "denied: requested access to the resource is denied"
	return c.tell([]progress{{Status: "The push refers to repository [docker.io/" + hubName(name) + "]"}, {Error: msg, Why: &why2{msg}}})
}

func (c *call) imageRemove() error {
	return c.withImage(0, func(i image) error {
		e := c.engine
		e.mu.Lock()
		used := ""
		for _, x := range e.containers {
			if x.imageID == i.id && x.running() {
				used = x.id
			}
		}
		if used == "" {
			e.images = slices.DeleteFunc(e.images, func(j image) bool { return j.name == i.name })
		}
		e.mu.Unlock()
		if used != "" {
			return c.fail(409, "conflict: unable to remove repository reference \""+i.name+"\" (must force) - container "+used[:12]+" is using its referenced image "+i.id[7:19])
		}
		return c.ok([]struct {
			Untagged string `json:",omitempty"`
			Deleted  string `json:",omitempty"`
		}{{Untagged: i.name}, {Deleted: i.id}})
	})
}

func (c *call) distribution() error {
	return c.fail(403, "distribution disabled")
}
