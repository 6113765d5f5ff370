package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile is the largest configuration file that is read, bytes: room for tens of thousands of clients.
const maxFile = 4 << 20

// maxNesting is how deep brackets may nest, and maxDots how many dots a key may have: the parser recurses. No setting has
// more than one of either; addresses and paths, which are not told from keys here, have more dots.
const (
	maxNesting = 16
	maxDots    = 256
)

// maxProblems is how many faults of one file are named.
const maxProblems = 100

// document is a TOML file that parsed, and on which line each of its keys is.
type document struct {
	file     string
	tree     map[string]any
	lines    map[string]int
	problems []*Problem
}

// parse reads a file's TOML.
func parse(file string, data []byte) (*document, error) {
	d := &document{file: file}
	if len(data) > maxFile {
		return nil, &Problem{File: file, What: fmt.Sprintf("it is larger than %s", sizeText(maxFile)), Remedy: "is it the right file?"}
	}
	if line := tooDeep(data); line > 0 {
		return nil, &Problem{File: file, Line: line, What: "tables or lists nest too deep", Remedy: "no setting needs that"}
	}
	if err := toml.Unmarshal(data, &d.tree); err != nil {
		p := &Problem{File: file, What: short(err.Error()), Remedy: "mend the syntax; see https://toml.io"}
		if at, ok := errors.AsType[toml.ParseError](err); ok {
			p.Line, p.Field, p.What = at.Position.Line, short(at.LastKey), short(at.Message)
		}
		return nil, p
	}
	d.lines = locate(string(data))
	return d, nil
}

// tooDeep returns the line on which tables or lists nest too deep; 0 if they never do. What is inside strings counts too, which
// no real file minds.
func tooDeep(data []byte) int {
	depth, dots, line := 0, 0, 1
	comment := false
	for _, b := range data {
		switch {
		case b == '\n':
			line++
			dots, comment = 0, false
		case comment:
		case b == '#':
			comment = true
		case b == '.':
			dots++
		case b == '=' || b == ',':
			dots = 0
		case b == '[' || b == '{':
			depth++
		case (b == ']' || b == '}') && depth > 0:
			depth--
		}
		if depth > maxNesting || dots > maxDots {
			return line
		}
	}
	return 0
}

var (
	headerLine = regexp.MustCompile(`^\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]`)
	keyLine    = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\s*=`)
)

// locate finds the line of each key. The parser keeps positions to itself once a file is well-formed; settings are bare keys
// at the start of a line, so looking for those is enough. A key that is written otherwise has its table's line.
func locate(source string) map[string]int {
	lines := map[string]int{}
	table := ""
	count := map[string]int{}
	for i, line := range strings.Split(source, "\n") {
		if m := headerLine.FindStringSubmatch(line); m != nil {
			table = m[2]
			if m[1] == "[[" {
				if count[m[2]]++; count[m[2]] == 1 {
					lines[m[2]] = i + 1
				}
				table = element(m[2], count[m[2]])
			}
			lines[table] = i + 1
		} else if m := keyLine.FindStringSubmatch(line); m != nil {
			lines[dotted(table, m[1])] = i + 1
		}
	}
	return lines
}

// element is the name of the i-th table of an array, from 1.
func element(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i) }

func dotted(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// line is where a field is, or the nearest thing around it that is somewhere; 0 if nothing is.
func (d *document) line(field string) int {
	for field != "" {
		if n, ok := d.lines[field]; ok {
			return n
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return 0
}

// blame records a fault of this file.
func (d *document) blame(p *Problem, field string) {
	if p == nil || len(d.problems) >= maxProblems {
		return
	}
	p.Field = field
	d.place(p)
	p.Field = short(field)
	d.problems = append(d.problems, p)
}

// place completes a fault with the file and the line of its field.
func (d *document) place(p *Problem) {
	p.File, p.Line = d.file, d.line(p.Field)
}

// fill sets the fields of dst from tree. prefix is tree's own name; extra are keys that the caller reads itself.
func fill[T any](d *document, dst *T, settings []setting[T], tree map[string]any, prefix string, extra ...string) {
	known := slices.Clone(extra)
	for _, s := range settings {
		known = append(known, s.path())
		holder, ok := tree, true
		if s.table != "" {
			holder, ok = tree[s.table].(map[string]any)
		}
		raw, present := holder[s.key]
		switch {
		case ok && present:
			d.blame(s.at(dst).set(raw), dotted(prefix, s.path()))
		case s.required:
			d.blame(fault("", "add it", "it is missing"), dotted(prefix, s.path()))
		}
	}
	tables := map[string]bool{}
	for _, s := range settings {
		tables[s.table] = true
	}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		inner, isTable := tree[key].(map[string]any)
		switch {
		case slices.Contains(known, key):
		case key != "" && tables[key] && isTable:
			for _, k := range slices.Sorted(maps.Keys(inner)) {
				if path := key + "." + k; !slices.Contains(known, path) {
					d.unknown(prefix, path, known)
				}
			}
		case key != "" && tables[key]:
			d.blame(fault("", fmt.Sprintf("write [%s] on a line of its own", key), "it is a table of settings"), dotted(prefix, key))
		default:
			d.unknown(prefix, key, slices.Concat(known, slices.Sorted(maps.Keys(tables))))
		}
	}
}

// unknown records a setting that does not exist.
func (d *document) unknown(prefix, path string, known []string) {
	if len(d.problems) >= maxProblems {
		return
	}
	remedy := "remove it"
	if near := nearest(path, known); near != "" {
		remedy = fmt.Sprintf("did you mean %s?", near)
	}
	d.blame(fault("", remedy, "there is no such setting"), dotted(prefix, path))
}

// ParseCluster reads the text of a cluster.toml; file is its name in messages. Every fault is named.
func ParseCluster(file string, data []byte) (Cluster, error) {
	d, err := parse(file, data)
	if err != nil {
		return Cluster{}, err
	}
	c := Cluster{Limits: DefaultLimits(), Proof: ProofList}
	fill(d, &c, clusterSettings, d.tree, "", "clients", "replica")
	d.clients(&c)
	for i, tree := range d.tables("replica") {
		var r Replica
		fill(d, &r, replicaSettings, tree, element("replica", i+1))
		c.Replicas = append(c.Replicas, r)
	}
	d.check(c.Validate())
	return c, join(d.problems)
}

// ParseNode reads the text of a node.toml.
func ParseNode(file string, data []byte) (Node, error) {
	d, err := parse(file, data)
	if err != nil {
		return Node{}, err
	}
	name, _ := d.tree["preset"].(string)
	n, known := Preset(name).Node()
	if !known {
		n = LAN() // the check below names the fault
	}
	fill(d, &n, nodeSettings, d.tree, "")
	d.check(n.Validate())
	return n, join(d.problems)
}

// check adds the faults of the values to those of the text, but one for each field: a value that could not be read is not
// blamed again for being empty.
func (d *document) check(err error) {
	blamed := map[string]bool{}
	for _, p := range d.problems {
		blamed[p.Field] = true
	}
	for _, p := range Problems(err) {
		if !blamed[p.Field] && len(d.problems) < maxProblems {
			d.place(p)
			d.problems = append(d.problems, p)
		}
	}
}

// clients reads who may be a client: "any", or a list of public keys.
func (d *document) clients(c *Cluster) {
	const want = `write "any", or a list of public keys, each 64 hexadecimal digits`
	raw, present := d.tree["clients"]
	if !present {
		return
	}
	list, isList := raw.([]any)
	switch {
	case raw == "any":
		c.AnyClient = true
	case !isList:
		d.blame(fault("", want, "it is neither \"any\" nor a list"), "clients")
	}
	for i, item := range list {
		s, _ := item.(string)
		key, err := hex.DecodeString(s)
		if err != nil || len(key) != 32 {
			d.blame(fault("", want, "%q is not a public key", short(s)), element("clients", i+1))
			continue
		}
		c.Clients = append(c.Clients, [32]byte(key))
	}
}

// tables returns an array of tables, written either way that TOML has.
func (d *document) tables(name string) []map[string]any {
	switch raw := d.tree[name].(type) {
	case nil:
	case []map[string]any:
		return raw
	case []any:
		var all []map[string]any
		for i, item := range raw {
			tree, ok := item.(map[string]any)
			if !ok {
				d.blame(fault("", fmt.Sprintf("write [[%s]] above each", name), "it is not a table"), element(name, i+1))
			}
			all = append(all, tree)
		}
		return all
	default:
		d.blame(fault("", fmt.Sprintf("write [[%s]] above each", name), "it is not a list of tables"), name)
	}
	return nil
}
