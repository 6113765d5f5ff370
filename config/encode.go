package config

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

const clusterHeading = `# The configuration that all replicas of this cluster share. This file is the same at every replica: those whose copies
# differ in anything but addresses refuse to talk to each other.
# Check it with: prime config check --dir DIR
`

const nodeHeading = `# The configuration of one replica. Only [app] has to be the same at every replica.
# What is commented out shows the value of the preset, which holds; remove the # to choose your own.
# Check it with: prime config check --dir DIR
`

// Encode writes c as a commented cluster.toml. ParseCluster reads it back to an equal value if c is valid.
func (c Cluster) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(clusterHeading)
	settings := clusterSettings
	for len(settings) > 0 && settings[0].table == "" {
		writeSetting(&b, &c, settings[0], false)
		settings = settings[1:]
	}
	b.WriteString("\n# Public keys of clients, or \"any\". The replicas' own keys may always submit.\n")
	switch {
	case c.AnyClient:
		b.WriteString("clients = \"any\"\n")
	case len(c.Clients) == 0:
		b.WriteString("clients = []\n")
	default:
		b.WriteString("clients = [\n")
		for _, key := range c.Clients {
			fmt.Fprintf(&b, "  %s,\n", quote(hex.EncodeToString(key[:])))
		}
		b.WriteString("]\n")
	}
	table := ""
	for _, s := range settings {
		writeTable(&b, &table, s.table)
		writeSetting(&b, &c, s, false)
	}
	b.WriteString("\n# The replicas, by ascending id: where others find each, where clients find it, and its public key.\n")
	for i := range c.Replicas {
		b.WriteString("[[replica]]\n")
		writeReplica(&b, &c.Replicas[i], replicaSettings)
		b.WriteString("\n")
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

// Encode writes n as a commented node.toml. ParseNode reads it back to an equal value if n is valid.
func (n Node) Encode() []byte {
	if n.Preset == "" {
		n.Preset = PresetLAN
	}
	preset, _ := n.Preset.Node()
	var b bytes.Buffer
	b.WriteString(nodeHeading)
	table := ""
	for _, s := range nodeSettings {
		writeTable(&b, &table, s.table)
		silent := s.key != "preset" && !s.required && s.at(&n).literal() == s.at(&preset).literal()
		writeSetting(&b, &n, s, silent)
	}
	return b.Bytes()
}

// writeTable begins a table if the next setting is in another one than the last.
func writeTable(b *bytes.Buffer, current *string, next string) {
	if next != *current {
		fmt.Fprintf(b, "\n[%s]\n", next)
		*current = next
	}
}

// writeSetting writes one setting with its comment; silent comments the setting itself out.
func writeSetting[T any](b *bytes.Buffer, v *T, s setting[T], silent bool) {
	if s.table == "" {
		b.WriteString("\n")
	}
	for line := range strings.Lines(s.doc) {
		fmt.Fprintf(b, "# %s\n", strings.TrimSuffix(line, "\n"))
	}
	if silent {
		b.WriteString("#")
	}
	fmt.Fprintf(b, "%s = %s\n", s.key, s.at(v).literal())
}

// writeReplica writes the settings of one replica, without comments, and without those that it does not need and does not
// have.
func writeReplica(b *bytes.Buffer, r *Replica, settings []setting[Replica]) {
	for _, s := range settings {
		if literal := s.at(r).literal(); s.required || literal != quote("") {
			fmt.Fprintf(b, "%s = %s\n", s.key, literal)
		}
	}
}

// EncodePublic writes a replica's public file, which it hands to the others: see Join.
func (r Replica) EncodePublic() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The public file of replica r%d: hand it to every machine of the cluster, then run prime join on each.\n", r.ID)
	b.WriteString("# Nothing in it is secret, but whoever can change it on the way can put another key in its place: compare hashes.\n")
	writeReplica(&b, &r, publicSettings)
	return b.Bytes()
}

// ParsePublic reads a replica's public file.
func ParsePublic(file string, data []byte) (Replica, error) {
	const most = 16 * kib
	if len(data) > most {
		return Replica{}, &Problem{File: file, What: "it is larger than " + sizeText(most), Remedy: "is it a public file?"}
	}
	d, err := parse(file, data)
	if err != nil {
		return Replica{}, err
	}
	var r Replica
	fill(d, &r, publicSettings, d.tree, "")
	d.check(join(checkAll(&r, publicSettings, "")))
	return r, join(d.problems)
}
