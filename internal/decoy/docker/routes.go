package docker

import (
	"maps"
	"slices"
	"strings"
)

// operation is one operation of the API.
type operation struct {
	method string
	path   []string // "{id}" is one part, "{name...}" is one or more
	name   string   // as reported
	do     func(*call) error
	body   func([]byte) []string // what of a body is an argument
}

func op(name string, do func(*call) error) operation {
	method, path, _ := strings.Cut(name, " ")
	return operation{method: method, path: strings.Split(strings.Trim(path, "/"), "/"), name: name, do: do}
}

func (o operation) with(body func([]byte) []string) operation {
	o.body = body
	return o
}

// find returns the operation of a request, nil when there is none.
func find(method string, parts []string) *operation {
	for i := range operations {
		o := &operations[i]
		if (o.method == method || o.method == "GET" && method == "HEAD" && o.name == "GET /_ping") && o.matches(parts) {
			return o
		}
	}
	return nil
}

func (o *operation) matches(parts []string) bool {
	if len(parts) < len(o.path) {
		return false
	}
	extra := len(parts) - len(o.path)
	j := 0
	for _, p := range o.path {
		switch {
		case strings.HasSuffix(p, "...}"):
			j += extra
			extra = 0
		case strings.HasPrefix(p, "{"):
			if parts[j] == "" {
				return false
			}
		case parts[j] != p:
			return false
		}
		j++
	}
	return j == len(parts)
}

func sortedKeys(m map[string][]string) []string { return slices.Sorted(maps.Keys(m)) }

// operations of the Engine API 1.48 and, where they differ, its predecessors.
// The first that matches is taken.
var operations = [...]operation{
	op("GET /_ping", (*call).ping),
	op("GET /version", (*call).versions),
	op("GET /info", (*call).info),
	op("POST /auth", (*call).auth),
	op("GET /events", (*call).events),
	op("GET /system/df", (*call).diskUsage),
	op("POST /session", (*call).unavailable),
	op("POST /grpc", (*call).unavailable),

	op("GET /containers/json", (*call).list),
	op("POST /containers/create", (*call).create).with(createArgs),
	op("POST /containers/prune", (*call).prune),
	op("GET /containers/{id}/json", (*call).inspect),
	op("GET /containers/{id}/top", (*call).top),
	op("GET /containers/{id}/logs", (*call).logs),
	op("GET /containers/{id}/stats", (*call).stats),
	op("GET /containers/{id}/changes", (*call).none),
	op("GET /containers/{id}/export", (*call).export),
	op("GET /containers/{id}/archive", (*call).archive),
	op("HEAD /containers/{id}/archive", (*call).archive),
	op("PUT /containers/{id}/archive", (*call).unpack),
	op("POST /containers/{id}/start", (*call).start),
	op("POST /containers/{id}/stop", (*call).stop),
	op("POST /containers/{id}/restart", (*call).start),
	op("POST /containers/{id}/kill", (*call).kill),
	op("POST /containers/{id}/pause", (*call).pause),
	op("POST /containers/{id}/unpause", (*call).pause),
	op("POST /containers/{id}/resize", (*call).resize),
	op("POST /containers/{id}/rename", (*call).rename),
	op("POST /containers/{id}/update", (*call).update),
	op("POST /containers/{id}/attach", (*call).attach),
	op("POST /containers/{id}/wait", (*call).wait),
	op("POST /containers/{id}/exec", (*call).execCreate).with(execArgs),
	op("DELETE /containers/{id}", (*call).remove),

	op("POST /exec/{id}/start", (*call).execStart),
	op("POST /exec/{id}/resize", (*call).execResize),
	op("GET /exec/{id}/json", (*call).execInspect),

	op("GET /images/json", (*call).images),
	op("GET /images/search", (*call).none),
	op("POST /images/create", (*call).pull),
	op("POST /images/load", (*call).load),
	op("POST /images/prune", (*call).prune),
	op("POST /build", (*call).build),
	op("POST /build/prune", (*call).prune),
	op("POST /commit", (*call).commit),
	op("GET /images/{name...}/json", (*call).imageInspect),
	op("GET /images/{name...}/history", (*call).none),
	op("POST /images/{name...}/tag", (*call).tag),
	op("POST /images/{name...}/push", (*call).push),
	op("DELETE /images/{name...}", (*call).imageRemove),
	op("GET /distribution/{name...}/json", (*call).distribution),

	op("GET /volumes", (*call).volumes),
	op("POST /volumes/create", (*call).volumeCreate),
	op("POST /volumes/prune", (*call).prune),
	op("GET /volumes/{name}", (*call).volume),
	op("DELETE /volumes/{name}", (*call).gone),
	op("GET /networks", (*call).networks),
	op("POST /networks/create", (*call).networkCreate),
	op("POST /networks/prune", (*call).prune),
	op("GET /networks/{id}", (*call).network),
	op("POST /networks/{id}/connect", (*call).done),
	op("POST /networks/{id}/disconnect", (*call).done),
	op("DELETE /networks/{id}", (*call).gone),

	op("GET /swarm", (*call).noSwarm),
	op("POST /swarm/init", (*call).noSwarm),
	op("POST /swarm/join", (*call).noSwarm),
	op("GET /nodes", (*call).noSwarm),
	op("GET /services", (*call).noSwarm),
	op("POST /services/create", (*call).noSwarm).with(createArgs),
	op("GET /tasks", (*call).noSwarm),
	op("GET /secrets", (*call).noSwarm),
	op("GET /configs", (*call).noSwarm),
	op("GET /plugins", (*call).none),
	op("POST /plugins/pull", (*call).unavailable),
}
