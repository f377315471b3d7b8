package mcp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"bartizan/internal/mcp"
	"bartizan/internal/model"

	"github.com/go-json-experiment/json/jsontext"
)

// together says when the powers of servers that one agent uses make a way for data
// to get out.
func (r *run) together(all []power, at place) {
	const dangerous = mcp.Private | mcp.Untrusted | mcp.Out
	var union mcp.Power
	var who []string
	for _, p := range all {
		union |= p.has
		if p.has&dangerous != 0 {
			who = append(who, p.name+": "+strings.Join((p.has&dangerous).Names(), ", "))
		}
	}
	if union&dangerous == dangerous {
		slices.Sort(who)
		r.fail(combination, at, at.asset.Name, strings.Join(slices.Compact(who), "; "))
	}
}

// text looks at something that a server puts before a model.
func (r *run) text(what, text string, at place) {
	if n := mcp.Invisible(text); n > 0 {
		r.fail(hiddenText, at, what, fmt.Sprintf("%d invisible characters", n))
	}
	said, err := mcp.Orders(text)
	if err != nil {
		r.unknown(badTool, at, what, err.Error())
	}
	for _, s := range said {
		r.fail(orders, at, what, s)
	}
	if r.job.Judge == nil || len(said) > 0 {
		return
	}
	notes, err := r.job.Judge.Judge(text)
	if err != nil {
		r.unknown(badTool, at, what, "the guard could not look: "+err.Error())
		return
	}
	for _, n := range notes {
		r.fail(judged, at, what, n)
	}
}

// definition looks at one tool.
func (r *run) definition(t mcp.Tool, at place) mcp.Power {
	what := "tool " + t.Name
	r.text(what, t.Texts(), at)
	p, err := mcp.ToolPower(t)
	if err != nil {
		r.unknown(badTool, at, what, err.Error())
	}
	if p&mcp.Exec != 0 {
		r.fail(runsPrograms, at, what, "its name says so")
	}
	if why := broad(t); why != "" {
		r.fail(broadSchema, at, what, why)
	}
	r.tools = append(r.tools, offered{t, at})
	return p
}

// dangerousArgument names arguments that reach something that interprets them.
var dangerousArgument = regexp.MustCompile(`(?i)^(?:cmd|command|commands|script|code|shell|sql|query|statement|expression|eval|url|uri|path|file_?path|args)$`)

// broad says why a schema takes anything, or "". Only what reaches a shell, a
// database, a path or an address is asked to be described.
func broad(t mcp.Tool) string {
	if t.Schema == nil || t.Schema.Kind() != '{' {
		return "no schema"
	}
	properties, open := 0, false
	var free []string
	err := mcp.Members(t.Schema, func(name string, v jsontext.Value, _ int) error {
		switch name {
		case "additionalProperties":
			open = v.Kind() == 't' || string(v) == "{}"
		case "properties":
			if v.Kind() != '{' {
				return errors.New("properties are no object")
			}
			return mcp.Members(v, func(name string, v jsontext.Value, _ int) error {
				properties++
				if dangerousArgument.MatchString(name) && freeString(v) {
					free = append(free, name)
				}
				return nil
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return "a schema that cannot be read"
	case open && properties == 0:
		return "any arguments"
	case len(free) > 0:
		slices.Sort(free)
		return "any text as " + strings.Join(free[:min(len(free), 5)], ", ")
	}
	return ""
}

// freeString: a string without pattern, list of values, format or length.
func freeString(schema jsontext.Value) bool {
	if schema.Kind() != '{' {
		return schema.Kind() == 't'
	}
	free := false
	err := mcp.Members(schema, func(name string, v jsontext.Value, _ int) error {
		switch name {
		case "type":
			free = string(v) == `"string"`
		case "pattern", "enum", "const", "format", "maxLength":
			return errors.New("bounded")
		}
		return nil
	})
	return err == nil && free
}

// across looks at what concerns the tools of several servers. One server that
// offers a name twice is the same to a model.
func (r *run) across(client place) {
	byName, byLook := map[string][]offered{}, map[string][]offered{}
	var names, looks []string
	for _, o := range r.tools {
		look := mcp.Plain(o.tool.Name)
		if byName[o.tool.Name] == nil {
			names = append(names, o.tool.Name)
		}
		if byLook[look] == nil {
			looks = append(looks, look)
		}
		byName[o.tool.Name] = append(byName[o.tool.Name], o)
		byLook[look] = append(byLook[look], o)
	}
	for _, n := range names {
		if all := byName[n]; len(all) > 1 {
			r.fail(shadowed, r.shared(client, all), "tool "+n, "offered by "+servers(all))
		}
	}
	for _, l := range looks {
		var different []string
		for _, o := range byLook[l] {
			different = append(different, o.tool.Name)
		}
		slices.Sort(different)
		if different = slices.Compact(different); len(different) > 1 {
			r.fail(lookalike, r.shared(client, byLook[l]), "tools "+strings.Join(different, ", "), "offered by "+servers(byLook[l]))
		}
	}
	for _, o := range r.tools {
		var foreign []string
		for _, n := range names {
			if !slices.ContainsFunc(byName[n], func(x offered) bool { return x.place.asset == o.place.asset }) {
				foreign = append(foreign, n)
			}
		}
		for _, n := range mcp.Mentions(o.tool.Texts(), foreign) {
			r.fail(mentions, o.place, "tool "+o.tool.Name, "names the tool "+n+" of "+servers(byName[n]))
		}
	}
}

func (r *run) shared(client place, all []offered) place {
	if client.asset == (model.AssetRef{}) {
		return all[0].place
	}
	return client
}

func servers(all []offered) string {
	var out []string
	for _, o := range all {
		out = append(out, o.place.asset.Name)
	}
	slices.Sort(out)
	if one := slices.Compact(slices.Clone(out)); len(one) == 1 {
		return fmt.Sprintf("%s (%d times)", one[0], len(out))
	}
	return strings.Join(slices.Compact(out), ", ")
}
