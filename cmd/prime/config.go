package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/primebft/prime/config"
)

// configCmd is prime config.
type configCmd struct {
	Check  configCheckCmd  `cmd:"" help:"Name every fault of a cluster's or a replica's folder."`
	Show   configShowCmd   `cmd:"" help:"Show the settings that hold, presets included."`
	Import configImportCmd `cmd:"" help:"Make a cluster folder of the original's address files."`
}

// configCheckCmd is prime config check.
type configCheckCmd struct {
	Dir  string `required:"" help:"A cluster's folder or a replica's."`
	JSON bool   `name:"json" help:"Print the faults as a JSON list."`
}

// Help is shown below the flags.
func (*configCheckCmd) Help() string {
	return `Exits 2 and names file, line, field and remedy of each fault, settings that do not exist included; 0 if there is none.

Example:
  prime config check --dir demo
  prime config check --dir demo/r1 --json`
}

// Run checks.
func (c *configCheckCmd) Run(g *globals) error {
	err := errors.Join(config.Check(c.Dir), checkShares(c.Dir))
	if !c.JSON {
		if err == nil {
			_, err = fmt.Fprintf(g.out, "%s: no fault\n", c.Dir)
		}
		return err
	}
	problems := config.Problems(err)
	if err != nil && len(problems) == 0 {
		return err
	}
	if printed := g.printJSON(problems); printed != nil {
		return printed
	}
	if len(problems) > 0 {
		return usageError(errReported)
	}
	return nil
}

// configShowCmd is prime config show.
type configShowCmd struct {
	Dir  string `required:"" help:"A cluster's folder or a replica's."`
	JSON bool   `name:"json" help:"Print it as JSON."`
}

// Help is shown below the flags.
func (*configShowCmd) Help() string {
	return `Example:
  prime config show --dir demo/r1`
}

// Run shows what holds.
func (c *configShowCmd) Run(g *globals) error {
	cluster, err := config.LoadCluster(filepath.Join(c.Dir, config.ClusterFile))
	if err != nil {
		return err
	}
	view := struct {
		clusterView
		Settings map[string]any `json:"settings"`
		Node     map[string]any `json:"node,omitempty"` // not for a cluster's folder
	}{clusterView: describe(c.Dir, cluster), Settings: cluster.Settings()}
	var node *config.Node
	if _, err := os.Stat(filepath.Join(c.Dir, config.NodeFile)); !errors.Is(err, os.ErrNotExist) {
		loaded, err := config.Load(c.Dir)
		if err != nil {
			return err
		}
		node = &loaded.Node
		view.Node = node.Settings()
	}
	if c.JSON {
		return g.printJSON(view)
	}
	fmt.Fprintf(g.out, "# digest %s\n%s", view.Digest, cluster.Encode())
	if node != nil {
		fmt.Fprintf(g.out, "\n# %s\n%s", config.NodeFile, node.EncodeAll())
	}
	return nil
}

// configImportCmd is prime config import.
type configImportCmd struct {
	Address  string `required:"" placeholder:"FILE" help:"The original's address.config."`
	Spines   string `placeholder:"FILE" help:"The original's spines_address.config."`
	Dir      string `required:"" help:"Folder to make; it must not exist."`
	Name     string `default:"prime" help:"What to call the cluster."`
	F        *int   `help:"How many replicas may be compromised; the most that their number allows if not given."`
	K        *int   `help:"How many more may be unavailable; what is left if not given."`
	BasePort int    `default:"7100" help:"Replica i listens on BASE+2(i-1) for replicas and on the next port for clients."`
	Preset   string `enum:"local,lan,wan" default:"lan" help:"Kind of network: local, lan or wan."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
	clusterFlags
}

// Help is shown below the flags.
func (*configImportCmd) Help() string {
	return `Replicas connect directly: there is no Spines daemon between them. The address of a daemon that served one replica alone
becomes that replica's address for its peers; those of shared daemons are left out.

Example:
  prime config import --address bin/address.config --spines bin/spines_address.config --dir cluster`
}

// Run imports.
func (c *configImportCmd) Run(g *globals) error {
	hosts, err := config.ReadHosts(c.Address)
	if err != nil {
		return err
	}
	var spines []config.Host
	if c.Spines != "" {
		if spines, err = config.ReadHosts(c.Spines); err != nil {
			return err
		}
	}
	sizes, replicas, notes, err := config.Import(c.BasePort, hosts, spines, [2]string{c.Address, c.Spines})
	if err != nil {
		return err
	}
	cluster := config.Cluster{Name: c.Name, F: sizes.F(), K: sizes.K(), Limits: config.DefaultLimits(), Replicas: replicas}
	if c.F != nil || c.K != nil {
		cluster.F, cluster.K = 0, 0
		if c.F != nil {
			cluster.F = *c.F
		}
		if c.K != nil {
			cluster.K = *c.K
		}
	}
	preset := config.Preset(c.Preset)
	if err := c.apply(&cluster, preset); err != nil {
		return err
	}
	return create(g, c.Dir, cluster, c.node(preset), c.JSON, notes)
}
