package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/configuration.md anew")

// TestConfigurationPage keeps docs/configuration.md true: its tables are made of the settings themselves.
func TestConfigurationPage(t *testing.T) {
	t.Parallel()
	page := filepath.Join("..", "docs", "configuration.md")
	want := configurationPage()
	if *rewrite {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the settings say (%v): run go test ./config -run ConfigurationPage -rewrite", page, err)
	}
}

// configurationPage is the text of the page.
func configurationPage() []byte {
	var b bytes.Buffer
	b.WriteString("# Configuration\n\n" +
		"Made from the settings by `go test ./config -run ConfigurationPage -rewrite`; do not edit.\n\n" +
		"A replica's folder holds `cluster.toml`, the same at every replica, `node.toml`, its own, and `replica.key`, its private\n" +
		"key (mode 0600); if proofs are threshold signatures, also `share.key`, its key share (mode 0600). `prime init` writes\n" +
		"them with comments, `prime config check` names every fault in them, and `prime config show` shows what holds. Durations are\n" +
		"text like `\"2ms\"`; sizes are text like `\"64KiB\"` or numbers of bytes. A setting that does not exist is an error.\n\n" +
		"## cluster.toml\n\n" +
		"Replicas compare a digest over all of it but the addresses when they connect, and refuse each other if it differs.\n\n" +
		"| setting | in a new cluster | meaning |\n|---|---|---|\n")
	c := Cluster{Name: DefaultName, Epoch: 1, F: 1, Auth: AuthReplica, Verification: VerificationRule, Limits: DefaultLimits()}
	for _, s := range clusterSettings {
		value := "`" + s.at(&c).literal() + "`"
		if s.path() == "id" {
			value = "random"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.path(), value, flat(s.doc))
	}
	b.WriteString("| `clients` | `\"any\"` on one machine, else `[]` | Public keys of clients, or `\"any\"`; the replicas' own keys may always submit. |\n" +
		"| `[[replica]]` | | Each replica, by ascending id: `id`, `peers` and `clients` (the addresses at which others reach it), `public_key`; with `proof = \"bls\"` also `share_key`, the public half of its key share. |\n\n" +
		"## node.toml\n\n" +
		"`preset` names the values that hold where the file is silent. All replicas run the same application (`app.kind`,\n" +
		"`app.store_bytes`); nothing else here has to agree between them.\n\n" +
		"| setting | local | lan | wan | meaning |\n|---|---|---|---|---|\n")
	for _, s := range nodeSettings {
		fmt.Fprintf(&b, "| `%s` |", s.path())
		for _, p := range Presets() {
			n, _ := p.Node()
			value := " `" + s.at(&n).literal() + "`"
			if s.path() == "id" {
				value = ""
			}
			fmt.Fprintf(&b, "%s |", value)
		}
		fmt.Fprintf(&b, " %s |\n", flat(s.doc))
	}
	return b.Bytes()
}

// flat makes one line of a comment.
func flat(doc string) string { return strings.ReplaceAll(doc, "\n", " ") }
