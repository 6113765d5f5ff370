package main

import (
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
)

// clusterFlags is what a new cluster is made with, however it is made.
type clusterFlags struct {
	Auth    string `enum:"replica,client" default:"replica" help:"Who vouches for updates: the replica that introduces them, or each client by signature."`
	Storage string `enum:"durable,ephemeral" default:"ephemeral" help:"Whether replicas keep a log, so that they can be killed and started again."`
	Proof   string `enum:"list,bls" default:"list" help:"What challenges a new leader: a list of signatures, or one threshold signature (bls) for which every replica has a key share."`
	Clients string `placeholder:"FILE|any|none" help:"Who may be a client: a file with one public key a line, any, or none but the replicas. By default any with the preset local, else none."`
}

// apply puts the flags into a cluster.
func (f clusterFlags) apply(c *config.Cluster, preset config.Preset) error {
	c.Auth, c.Proof = config.Auth(f.Auth), config.Proof(f.Proof)
	switch f.Clients {
	case "":
		c.AnyClient = preset == config.PresetLocal
	case "any":
		c.AnyClient = true
	case "none":
	default:
		var err error
		c.Clients, err = config.ReadClients(f.Clients)
		return err
	}
	return nil
}

// node is what a replica's own settings begin with.
func (f clusterFlags) node(preset config.Preset) config.Node {
	node, _ := preset.Node()
	node.Storage.Mode = config.StorageMode(f.Storage)
	return node
}

// initCmd is prime init.
type initCmd struct {
	Dir      string `required:"" help:"Folder to make; it must not exist."`
	Name     string `default:"prime" help:"What to call the cluster."`
	F        int    `default:"1" help:"How many replicas may be compromised."`
	K        int    `default:"0" help:"How many more may be unavailable."`
	BasePort int    `default:"7100" help:"Replica i listens on BASE+2(i-1) for replicas and on the next port for clients."`
	Hosts    string `placeholder:"FILE" help:"A line \"id host\" or \"id host:port\" for each replica, as the original's address.config. This machine if not given."`
	Preset   string `enum:"local,lan,wan," default:"" help:"Kind of network: local, lan or wan. By default local without --hosts, else lan."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
	clusterFlags
}

// Help is shown below the flags.
func (*initCmd) Help() string {
	return `Makes DIR/cluster.toml and one self-contained folder DIR/r1 … DIR/rn, each with a private key (and with --proof bls a key share). Hand each folder to its
machine over a channel that keeps secrets; with prime keygen and prime join, no private key travels at all.

Example:
  prime init --dir demo --f 1 --k 0
  prime run --dir demo/r1`
}

// Run makes the cluster.
func (c *initCmd) Run(g *globals) error {
	sizes, err := group.New(c.F, c.K)
	if err != nil {
		return usageError(fmt.Errorf("--f, --k: %w", err))
	}
	preset := config.Preset(c.Preset)
	var hosts []config.Host
	if c.Hosts != "" {
		if hosts, err = config.ReadHosts(c.Hosts); err != nil {
			return err
		}
	}
	if preset == "" {
		preset = config.PresetLocal
		if hosts != nil {
			preset = config.PresetLAN
		}
	}
	replicas, err := config.Layout(sizes, c.BasePort, hosts, c.Hosts)
	if err != nil {
		return err
	}
	cluster := config.Cluster{Name: c.Name, F: c.F, K: c.K, Limits: config.DefaultLimits(), Replicas: replicas}
	if err := c.apply(&cluster, preset); err != nil {
		return err
	}
	return create(g, c.Dir, cluster, c.node(preset), c.JSON, nil)
}

// create makes a cluster folder and tells what it made; notes are shown in text.
func create(g *globals, dir string, cluster config.Cluster, node config.Node, asJSON bool, notes []string) error {
	secrets, err := dealtHere(&cluster)
	if err != nil {
		return err
	}
	cluster, err = config.CreateWith(dir, cluster, node, secrets)
	if err != nil {
		return err
	}
	made := describe(dir, cluster)
	for i := range made.Replicas {
		made.Replicas[i].Dir = filepath.Join(dir, fmt.Sprintf("r%d", made.Replicas[i].ID))
	}
	if asJSON {
		return g.printJSON(made)
	}
	for _, note := range notes {
		fmt.Fprintln(g.out, note)
	}
	fmt.Fprintf(g.out, "made %s: cluster %s, %d replicas (f=%d, k=%d), preset %s\n",
		dir, cluster.Name, len(cluster.Replicas), cluster.F, cluster.K, node.Preset)
	if cluster.AnyClient {
		fmt.Fprintln(g.out, "any client may submit: clients = \"any\"")
	}
	fmt.Fprintf(g.out, "start each replica with: prime run --dir %s\n", made.Replicas[0].Dir)
	return nil
}

// clusterView is a cluster as scripts see it.
type clusterView struct {
	Dir      string        `json:"dir"`
	Name     string        `json:"name"`
	ID       string        `json:"cluster_id"`
	Digest   string        `json:"digest"`
	F        int           `json:"f"`
	K        int           `json:"k"`
	Auth     string        `json:"auth"`
	Proof    string        `json:"proof"`
	Any      bool          `json:"any_client"`
	Clients  []string      `json:"clients"` // those listed
	Replicas []replicaView `json:"replicas"`
}

type replicaView struct {
	ID        int    `json:"id"`
	Dir       string `json:"dir,omitempty"`
	Peers     string `json:"peer_address"`
	Clients   string `json:"client_address"`
	PublicKey string `json:"public_key"`
}

// describe makes the view of a cluster.
func describe(dir string, c config.Cluster) clusterView {
	digest := c.Digest()
	v := clusterView{Dir: dir, Name: c.Name, ID: hex.EncodeToString(c.ID[:]), Digest: hex.EncodeToString(digest[:]),
		F: c.F, K: c.K, Auth: string(c.Auth), Proof: string(c.Proof), Any: c.AnyClient, Clients: []string{}, Replicas: []replicaView{}}
	for _, key := range c.Clients {
		v.Clients = append(v.Clients, hex.EncodeToString(key[:]))
	}
	for _, r := range c.Replicas {
		v.Replicas = append(v.Replicas, viewOf(r))
	}
	return v
}

func viewOf(r config.Replica) replicaView {
	return replicaView{ID: r.ID, Peers: r.PeerAddress, Clients: r.ClientAddress, PublicKey: hex.EncodeToString(r.PublicKey)}
}
