package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/catchup"
	"github.com/primebft/prime/internal/core/preorder"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/transfer"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/threshold"
	"github.com/primebft/prime/transport"
)

// firstIncarnations is the membership of a cluster whose replicas have all started once: this version knows no other.
func firstIncarnations(g group.Group) []uint32 {
	all := make([]uint32, g.N())
	for i := range all {
		all[i] = 1
	}
	return all
}

// openShares is the key shares of a cluster whose proofs are threshold signatures, and this replica's; nil in others.
func openShares(cfg config.Config, g group.Group, scheme threshold.Scheme) (threshold.Group, error) {
	c := cfg.Cluster
	if c.Proof == "" || c.Proof == config.ProofList {
		return nil, nil
	}
	if scheme == nil || scheme.Name() != string(c.Proof) {
		return nil, fmt.Errorf("proof = %q in %s, but this program has no such threshold signatures: open the replica with "+
			"prime.WithThreshold and the scheme, or make the cluster with proof = \"list\"", c.Proof, config.ClusterFile)
	}
	s := threshold.Setup{Cluster: c.ID, Quorum: g.Quorum(), Self: cfg.Node.ID, Secret: cfg.Share.Secret}
	for _, r := range c.Replicas {
		s.Keys = append(s.Keys, r.ShareKey)
	}
	opened, err := scheme.Open(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(cfg.Dir, config.ShareFile), err)
	}
	return opened, nil
}

// newKeyring is the keys of the cluster.
func newKeyring(c config.Cluster, g group.Group, incarnations []uint32, shares threshold.Group) (*sign.Keyring, error) {
	m := sign.Membership{
		Cluster: c.ID, Config: c.Digest(), Group: g, Epoch: c.Epoch, Incarnations: incarnations,
		Replicas: make([]ed25519.PublicKey, g.N()), AnyClient: c.AnyClient, ClientAuth: c.Auth == config.AuthClient,
		Threshold: shares,
	}
	for _, r := range c.Replicas {
		m.Replicas[r.ID-1] = r.PublicKey
	}
	for _, id := range c.Clients {
		m.Clients = append(m.Clients, id)
	}
	return sign.NewKeyring(m)
}

// newCoreConfig is what the protocol core is made with.
func newCoreConfig(cfg config.Config, g group.Group, incarnations []uint32, wall int64, check bool) core.Config {
	l, t := cfg.Cluster.Limits, cfg.Node.Timing
	c := core.Config{
		Self: group.ID(cfg.Node.ID), Group: g, Epoch: cfg.Cluster.Epoch, Incarnations: incarnations,
		Limits: core.Limits{
			UpdateBytes: l.UpdateBytes, RequestBytes: l.RequestBytes, RequestUpdates: l.RequestUpdates,
			EagerBytes: cfg.Node.Queues.RequestBytes, InFlight: l.InFlight,
			PendingBytes: submitLimit(cfg), Sessions: l.Sessions, SessionWindow: l.SessionWindow,
			OrdinalWindow: l.OrdinalWindow, History: l.History, HistoryBytes: cfg.Node.Queues.HistoryBytes, Recon: l.Recon,
			CheckpointOrdinals: l.CheckpointOrdinals, CheckpointBytes: l.CheckpointBytes, CheckpointTime: checkpointTime(l),
		},
		Timing: core.Timing{
			Request: t.Request, Ack: t.Ack, Summary: t.Summary, Matrix: t.Matrix, Propose: t.Propose, Retransmit: t.Retransmit,
			Fetch: t.Fetch, Recon: t.Recon, Suspect: suspectConfig(cfg.Node.Suspect),
		},
		Wall: wall, Check: check,
	}
	_, _ = rand.Read(c.Seed[:]) // never fails
	return c
}

// quietCheckpoint is the ordered time after which a checkpoint is due although little was executed: what replicas say to each other in an
// hour in which nothing is ordered is some 30 MB of log.
const quietCheckpoint = time.Hour

// checkpointTime is after how much ordered time a checkpoint is due; 0 if none ever is.
func checkpointTime(l config.Limits) time.Duration {
	if l.CheckpointOrdinals == 0 {
		return 0
	}
	return quietCheckpoint
}

func suspectConfig(s config.Suspect) core.Suspect {
	return core.Suspect{
		KLat: int(s.KLat * 1000), Delta: s.Delta, Floor: s.Floor, Ping: s.Ping, Check: s.Check, Window: s.Window,
		MaxStall: s.MaxStall,
	}
}

// submitLimit is how many bytes of own clients' updates may wait: as configured, and room for one of the largest.
func submitLimit(cfg config.Config) int {
	return max(cfg.Node.Queues.SubmitBytes, cfg.Cluster.Limits.UpdateBytes+updateOverhead)
}

// wireLimits is what is accepted from peers.
func wireLimits(c config.Cluster, g group.Group) wire.Limits {
	return wire.Limits{
		N: g.N(), UpdateBytes: c.Limits.UpdateBytes, RequestBytes: c.Limits.RequestBytes, RequestUpdates: c.Limits.RequestUpdates,
		AckParts: preorder.MaxAckParts, Wants: preorder.MaxWants, SignedUpdates: c.Auth == config.AuthClient,
		Threshold: c.Proof != "" && c.Proof != config.ProofList,
		Window:    core.ViewWindow(core.Limits{OrdinalWindow: c.Limits.OrdinalWindow}), Recalls: core.MaxRecalls,
		Enough: g.OneCorrect(), Lane: core.LaneWindow(core.Limits{InFlight: c.Limits.InFlight}),
		Links: catchup.MaxLinks, SegmentBytes: catchup.SegmentBytes,
	}
}

// MaxFrame is the largest frame of each class that replicas of a cluster exchange, in bytes. Faults of c make it 1.
func MaxFrame(c config.Cluster) func(transport.Class) int {
	g, err := c.Group()
	if err != nil {
		return func(transport.Class) int { return 1 }
	}
	l := wireLimits(c, g)
	all := 0
	for k := wire.KindPreorderRequest; k <= wire.LastKind; k++ {
		all = max(all, l.MaxFrame(k))
	}
	timely := l.MaxTimely()
	return func(class transport.Class) int {
		switch class {
		case transport.Timely:
			return timely
		case transport.Bulk:
			return transfer.MaxFrame(blocks.Size)
		}
		return all
	}
}
