package config

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"github.com/primebft/prime/internal/group"
)

// The files of a cluster folder and of a replica's folder.
const (
	ClusterFile = "cluster.toml" // in both: the same everywhere
	NodeFile    = "node.toml"    // in a replica's folder
	KeyFile     = "replica.key"  // in a replica's folder: the private key, mode 0600
	ShareFile   = "share.key"    // in a replica's folder, if proofs are threshold signatures: its key share, mode 0600
)

// Group is the sizes of the cluster's group.
func (c Cluster) Group() (group.Group, error) { return group.New(c.F, c.K) }

// Replica finds a replica by its id.
func (c Cluster) Replica(id int) (Replica, bool) {
	for _, r := range c.Replicas {
		if r.ID == id {
			return r, true
		}
	}
	return Replica{}, false
}

// Validate names every fault of the configuration, joined; each is a *Problem. It needs no files; Load checks those too.
func (c Config) Validate() error {
	problems := named(ClusterFile, Problems(c.Cluster.Validate()))
	problems = append(problems, named(NodeFile, Problems(c.Node.Validate()))...)
	return join(append(problems, c.crossCheck()...))
}

// crossCheck finds where the cluster, the node and the key do not fit each other.
func (c Config) crossCheck() []*Problem {
	if c.Node.ID < 1 {
		return nil // already a fault of the node
	}
	self, ok := c.Cluster.Replica(c.Node.ID)
	if !ok {
		return named(NodeFile, []*Problem{fault("id", "write the id of a replica in "+ClusterFile,
			"r%d is not a replica of cluster %q", c.Node.ID, short(c.Cluster.Name))})
	}
	var problems []*Problem
	peers, clients := c.Node.listen(self)
	if sameAddress(peers) == sameAddress(clients) {
		problems = append(problems, named(NodeFile, []*Problem{fault("listen_clients", "use another port",
			"replicas and clients are both to be served at %s", peers)})...)
	}
	problems = append(problems, named(NodeFile, c.checkRoom())...)
	problems = append(problems, c.checkShare(self)...)
	if len(c.Key) != ed25519.PrivateKeySize {
		return append(problems, &Problem{File: KeyFile, What: "there is no private key", Remedy: "make one with prime keygen"})
	}
	if !bytes.Equal(c.Key.Public().(ed25519.PublicKey), self.PublicKey) {
		problems = append(problems, &Problem{File: KeyFile,
			What:   fmt.Sprintf("wrong key: it does not belong to the public_key of r%d in %s", self.ID, ClusterFile),
			Remedy: "put the right key there, or correct id in " + NodeFile})
	}
	return problems
}

// checkRoom finds queues of the node that could never hold the largest message or update of the cluster.
func (c Config) checkRoom() []*Problem {
	const header = 256 // more than what a request adds to each update
	limits := c.Cluster.Limits
	message := 2 * (limits.RequestBytes + header*limits.RequestUpdates) // evidence carries two requests
	n := len(c.Cluster.Replicas)
	message = max(message, (max(2*limits.OrdinalWindow, limits.OrdinalWindow+16)+2)*(n+1)*384) // a report carries as many certificates of n signers each
	var problems []*Problem
	for _, q := range []struct {
		field       string
		bytes, need int
		what        string
	}{
		{"network.budget_bytes", c.Node.Network.BudgetBytes, message, "the largest message"},
		{"queues.ingress_bytes", c.Node.Queues.IngressBytes, message, "the largest message"},
		{"queues.submit_bytes", c.Node.Queues.SubmitBytes, limits.UpdateBytes + header, "the largest update"},
		{"queues.deliver_bytes", c.Node.Queues.DeliverBytes, limits.UpdateBytes + header, "the largest update"},
		{"queues.watch_bytes", c.Node.Queues.WatchBytes, limits.UpdateBytes + header, "the largest update"},
	} {
		if q.bytes < q.need {
			problems = append(problems, fault(q.field, "make it at least "+sizeText(q.need)+", or lower the limits in "+ClusterFile,
				"%s has no room for %s of this cluster", sizeText(q.bytes), q.what))
		}
	}
	return problems
}

// listen is where the node listens.
func (n Node) listen(self Replica) (peers, clients string) {
	peers, clients = n.ListenPeers, n.ListenClients
	if peers == "" {
		peers = self.PeerAddress
	}
	if clients == "" {
		clients = self.ClientAddress
	}
	return peers, clients
}

// Listen is where the replica listens for peers and for clients: what its node.toml says, else the addresses that the
// cluster knows.
func (c Config) Listen() (peers, clients string) {
	self, _ := c.Cluster.Replica(c.Node.ID)
	return c.Node.listen(self)
}

// named says which file faults belong to.
func named(file string, problems []*Problem) []*Problem {
	for _, p := range problems {
		p.File = file
	}
	return problems
}

// Validate names every fault of a node's settings, joined.
func (n Node) Validate() error {
	if n.Preset == "" {
		n.Preset = PresetLAN
	}
	problems := checkAll(&n, nodeSettings, "")
	if n.Network.DialMax < n.Network.DialMin {
		problems = append(problems, fault("network.dial_max", "make it at least dial_min", "%s is less than dial_min, %s",
			spanText(n.Network.DialMax), spanText(n.Network.DialMin)))
	}
	return join(append(problems, n.checkSuspect()...))
}

// checkSuspect finds where the judgement of the leader does not fit the periods with which a correct one works.
func (n Node) checkSuspect() []*Problem {
	var problems []*Problem
	s := n.Suspect
	if s.Ping == 0 {
		return nil // nobody is judged
	}
	least := func(field string, got time.Duration, ok bool, remedy, what string) {
		if !ok {
			problems = append(problems, fault("suspect."+field, remedy, "%s is %s", spanText(got), what))
		}
	}
	least("delta", s.Delta, s.Delta > n.Timing.Propose+s.Check, "make it more than "+spanText(n.Timing.Propose+s.Check)+
		", or shorten timing.propose or suspect.check", "not more than timing.propose and suspect.check together: correct "+
		"leaders would be replaced")
	least("ping", s.Ping, s.Ping >= s.Check, "make it at least suspect.check, or 0s so that leaders are not judged",
		"less than suspect.check, "+spanText(s.Check))
	least("window", s.Window, s.Window >= s.Ping, "make it at least suspect.ping", "less than suspect.ping, "+spanText(s.Ping))
	least("max_stall", s.MaxStall, s.MaxStall <= s.Window, "make it at most suspect.window",
		"more than suspect.window, "+spanText(s.Window)+": a standstill could be without end")
	return problems
}

// checkAll checks every setting by itself.
func checkAll[T any](v *T, settings []setting[T], prefix string) []*Problem {
	var problems []*Problem
	for _, s := range settings {
		if p := s.at(v).check(); p != nil {
			p.Field = dotted(prefix, s.path())
			problems = append(problems, p)
		}
	}
	return problems
}

// Validate names every fault of a cluster's settings, joined.
func (c Cluster) Validate() error {
	problems := checkAll(&c, clusterSettings, "")
	if c.Limits.RequestBytes < c.Limits.UpdateBytes {
		problems = append(problems, fault("limits.request_bytes", "make it at least update_bytes",
			"%s is less than update_bytes, %s", sizeText(c.Limits.RequestBytes), sizeText(c.Limits.UpdateBytes)))
	}
	if c.Limits.History < c.Limits.OrdinalWindow {
		problems = append(problems, fault("limits.history", "make it at least ordinal_window",
			"%d is less than ordinal_window, %d", c.Limits.History, c.Limits.OrdinalWindow))
	}
	if o := c.Limits.CheckpointOrdinals; o != 0 && o < c.Limits.OrdinalWindow {
		problems = append(problems, fault("limits.checkpoint_ordinals", "make it at least ordinal_window, or 0",
			"%d is less than ordinal_window, %d", o, c.Limits.OrdinalWindow))
	}
	if b := c.Limits.CheckpointBytes; b != 0 && b < mib {
		problems = append(problems, fault("limits.checkpoint_bytes", "make it at least 1MiB, or 0", "%s is less than 1MiB", sizeText(b)))
	} else if b != 0 && c.Limits.CheckpointOrdinals == 0 {
		problems = append(problems, fault("limits.checkpoint_ordinals", "write a number of ordinals, or checkpoint_bytes = 0",
			"checkpoints by bytes alone can be too many ordinals apart to be kept in memory"))
	}
	problems = append(problems, c.checkClients()...)
	problems = append(problems, c.checkShares()...)
	return join(append(problems, c.checkReplicas()...))
}

// checkClients finds contradictions and repetitions among the clients.
func (c Cluster) checkClients() []*Problem {
	var problems []*Problem
	if c.AnyClient && len(c.Clients) > 0 {
		problems = append(problems, fault("clients", "choose one", "\"any\" and a list exclude each other"))
	}
	seen := map[[32]byte]int{}
	for i, key := range c.Clients {
		if first, again := seen[key]; again {
			problems = append(problems, fault(element("clients", i+1), "remove it", "it is the same key as %s", element("clients", first)))
			continue
		}
		seen[key] = i + 1
	}
	return problems
}

// checkReplicas finds what is wrong with the list of replicas: its length, ids, keys and addresses.
func (c Cluster) checkReplicas() []*Problem {
	var problems []*Problem
	g, err := c.Group()
	if err != nil {
		problems = append(problems, fault("f", "make n = 3f + 2k + 1 at most 64", "%v", err))
	} else if len(c.Replicas) != g.N() {
		problems = append(problems, fault("replica", fmt.Sprintf("list %d replicas%s", g.N(), fitting(len(c.Replicas))),
			"%d replicas are listed, but f = %d and k = %d need %d", len(c.Replicas), c.F, c.K, g.N()))
	}
	ids, keys, addresses := map[int]string{}, map[string]string{}, map[string]string{}
	for i := range c.Replicas {
		r, at := &c.Replicas[i], element("replica", i+1)
		problems = append(problems, checkAll(r, replicaSettings, at)...)
		if r.ID < 1 {
			continue
		}
		if first, again := ids[r.ID]; again {
			problems = append(problems, fault(at+".id", "number the replicas 1 to n", "%d is the id of %s too", r.ID, first))
		} else if r.ID > len(c.Replicas) {
			problems = append(problems, fault(at+".id", fmt.Sprintf("number the replicas 1 to %d", len(c.Replicas)),
				"%d is not the id of any of %d replicas", r.ID, len(c.Replicas)))
		} else if i > 0 && r.ID < c.Replicas[i-1].ID {
			problems = append(problems, fault(at+".id", "list the replicas by ascending id", "%d comes after %d", r.ID, c.Replicas[i-1].ID))
		}
		ids[r.ID] = at
		problems = append(problems, repeated(keys, string(r.PublicKey), at+".public_key", "give every replica its own key")...)
		problems = append(problems, repeated(addresses, sameAddress(r.PeerAddress), at+".peers", "use another port")...)
		problems = append(problems, repeated(addresses, sameAddress(r.ClientAddress), at+".clients", "use another port")...)
	}
	return problems
}

// repeated finds a value that another field has already; an empty one is not a value.
func repeated(seen map[string]string, v, at, remedy string) []*Problem {
	if v == "" {
		return nil
	}
	if first, again := seen[v]; again {
		return []*Problem{fault(at, remedy, "it is the same as %s", first)}
	}
	seen[v] = at
	return nil
}

// fitting says for which f and k n replicas would be right.
func fitting(n int) string {
	var fits []string
	for f := 0; 3*f < n; f++ {
		if rest := n - 1 - 3*f; rest%2 == 0 {
			if g, err := group.New(f, rest/2); err == nil {
				fits = append(fits, fmt.Sprintf("f = %d, k = %d", g.F(), g.K()))
			}
		}
	}
	if len(fits) == 0 {
		return ""
	}
	return fmt.Sprintf(", or for %d: %s", n, strings.Join(fits, "; or "))
}
