package main

import (
	"encoding/hex"
	"fmt"

	"github.com/primebft/prime/config"
)

// joinCmd is prime join.
type joinCmd struct {
	Dir     string   `required:"" help:"The replica's folder, made by prime keygen."`
	Cluster string   `default:"prime" help:"What to call the cluster."`
	F       int      `default:"1" help:"How many replicas may be compromised."`
	K       int      `default:"0" help:"How many more may be unavailable."`
	Preset  string   `enum:"local,lan,wan" default:"lan" help:"Kind of network: local, lan or wan."`
	JSON    bool     `name:"json" help:"Print the result as JSON."`
	Files   []string `arg:"" name:"file" help:"Everybody's public files, this replica's own among them; with --proof bls everybody's dealings too."`
	clusterFlags
}

// Help is shown below the flags.
func (*joinCmd) Help() string {
	return `Writes DIR/cluster.toml and DIR/node.toml. Run it on every machine with the same files and flags (but for --dir and
--preset): then every cluster.toml is the same. With --proof bls, give the dealings that prime deal made on every machine too: it
writes DIR/share.key, this replica's key share. Compare the digests that it prints before you start.

Example:
  prime join --dir /var/lib/prime/r2 --cluster plant-7 --f 1 --k 0 public/*.public.toml`
}

// Run joins.
func (c *joinCmd) Run(g *globals) error {
	preset := config.Preset(c.Preset)
	cluster := config.Cluster{Name: c.Cluster, F: c.F, K: c.K, Limits: config.DefaultLimits()}
	if c.Clients == "" {
		c.Clients = "none" // must not follow from --preset, in which machines may differ
	}
	if err := c.apply(&cluster, preset); err != nil {
		return err
	}
	public, dealt := dealings(c.Files)
	if cluster.Proof != config.ProofBLS && len(dealt) > 0 {
		return usageError(fmt.Errorf("%s: dealings are for --proof bls: add that, on every machine, or leave them out", dealt[0]))
	}
	joined, err := config.JoinWith(c.Dir, cluster, c.node(preset), public, finishing(dealt))
	if err != nil {
		return err
	}
	view := describe(c.Dir, joined.Cluster)
	if c.JSON {
		return g.printJSON(struct {
			Replica int `json:"replica"`
			clusterView
		}{joined.Node.ID, view})
	}
	digest := joined.Cluster.Digest()
	fmt.Fprintf(g.out, "r%d joined cluster %s: %d replicas (f=%d, k=%d)\ndigest %s\ncompare it on every machine, then: prime run --dir %s\n",
		joined.Node.ID, view.Name, len(view.Replicas), view.F, view.K, hex.EncodeToString(digest[:]), c.Dir)
	return nil
}
