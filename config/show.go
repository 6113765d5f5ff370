package config

import "bytes"

// Settings is every setting of c that is a single value, by its name in cluster.toml, for programs: durations and sizes are
// text as in the file.
func (c Cluster) Settings() map[string]any { return show(&c, clusterSettings) }

// Settings is every setting of n by its name in node.toml, presets included.
func (n Node) Settings() map[string]any { return show(&n, nodeSettings) }

// show makes plain values of settings.
func show[T any](v *T, settings []setting[T]) map[string]any {
	all := make(map[string]any, len(settings))
	for _, s := range settings {
		switch f := s.at(v).(type) {
		case integer:
			all[s.path()] = *f.p
		case epoch:
			all[s.path()] = *f.p
		case rate:
			all[s.path()] = *f.p
		case number:
			all[s.path()] = *f.p
		case toggle:
			all[s.path()] = *f.p
		case text:
			all[s.path()] = *f.p
		default: // sizes, durations, keys: text in quotes
			literal := f.literal()
			all[s.path()] = literal[1 : len(literal)-1]
		}
	}
	return all
}

// EncodeAll is Encode with every setting in force, those of the preset included.
func (n Node) EncodeAll() []byte {
	var b bytes.Buffer
	table := ""
	for _, s := range nodeSettings {
		writeTable(&b, &table, s.table)
		writeSetting(&b, &n, s, false)
	}
	return b.Bytes()
}
