package config

import (
	"crypto/ed25519"
	"slices"
	"time"
)

// setting is one key of a file: its place, its meaning and where its value lives. These tables are the only list of settings:
// the reader, the checks and the writer all follow them.
type setting[T any] struct {
	table, key string // table is empty at the top of the file
	required   bool
	doc        string // the comment above it, one line for each line
	at         func(*T) value
}

// path is the setting's name in messages.
func (s setting[T]) path() string {
	if s.table == "" {
		return s.key
	}
	return s.table + "." + s.key
}

// clusterSettings are the settings of cluster.toml but for clients and replicas, which are not single values.
var clusterSettings = []setting[Cluster]{
	{"", "name", true, "What people call this cluster.",
		func(c *Cluster) value { return text{&c.Name, checkName} }},
	{"", "id", true, "Random; signatures of one cluster mean nothing in another.", func(c *Cluster) value {
		return hex32{func() []byte { return c.ID[:] }, func(b []byte) { c.ID = [32]byte(b) }}
	}},
	{"", "epoch", true, "Number of this configuration of the cluster, from 1.",
		func(c *Cluster) value { return epoch{&c.Epoch} }},
	{"", "f", true, "How many replicas may be compromised. There are n = 3f + 2k + 1 replicas.",
		func(c *Cluster) value { return integer{&c.F, 0, 21} }},
	{"", "k", true, "How many more may be crashed, cut off or recovering at the same time.",
		func(c *Cluster) value { return integer{&c.K, 0, 31} }},
	{"", "auth", true, "Who vouches for an update: \"replica\", the one that introduces it, or \"client\", whose signature\n" +
		"every replica verifies.", func(c *Cluster) value {
		return text{(*string)(&c.Auth), oneOf(string(AuthReplica), string(AuthClient))}
	}},
	{"", "verification", true, "The rule by which every replica decides whether a signature is valid. This version has one.",
		func(c *Cluster) value { return text{&c.Verification, oneOf(VerificationRule)} }},
	{"", "proof", false, "What challenges a new leader: \"list\", a list of the replicas' signatures, or \"bls\", one threshold signature,\n" +
		"for which every replica has a key share (share.key in its folder).", func(c *Cluster) value {
		if c.Proof == "" {
			c.Proof = ProofList
		}
		return text{(*string)(&c.Proof), oneOf(string(ProofList), string(ProofBLS))}
	}},

	{"limits", "update_bytes", false, "Largest update; at most 1MiB.",
		func(c *Cluster) value { return size{&c.Limits.UpdateBytes, 1, mib} }},
	{"limits", "request_bytes", false, "Most payload batched into one request; at least update_bytes.",
		func(c *Cluster) value { return size{&c.Limits.RequestBytes, 1, 4 * mib} }},
	{"limits", "request_updates", false, "Most updates batched into one request.",
		func(c *Cluster) value { return integer{&c.Limits.RequestUpdates, 1, 8192} }},
	{"limits", "in_flight", false, "Requests that a replica may have introduced and not yet executed.",
		func(c *Cluster) value { return integer{&c.Limits.InFlight, 1, 4096} }},
	{"limits", "sessions", false, "Client sessions remembered; the oldest is forgotten when there are more.",
		func(c *Cluster) value { return integer{&c.Limits.Sessions, 1, 1 << 22} }},
	{"limits", "session_window", false, "Sequence numbers that a session remembers. This version has one choice.",
		func(c *Cluster) value { return integer{&c.Limits.SessionWindow, 1024, 1024} }},
	{"limits", "ordinal_window", false, "Ordinals that may be proposed and not yet executed.",
		func(c *Cluster) value { return integer{&c.Limits.OrdinalWindow, 1, 4096} }},
	{"limits", "history", false, "Executed ordinals kept for replicas that are behind, if their bytes allow it (queues.history_bytes); at least ordinal_window.",
		func(c *Cluster) value { return integer{&c.Limits.History, 1, 1 << 20} }},
	{"limits", "checkpoint_ordinals", false, "Executed ordinals after which a checkpoint is made, if not before; at least ordinal_window. One is made every hour in any case.\n" +
		"0, and checkpoint_bytes 0: never.",
		func(c *Cluster) value { return integer{&c.Limits.CheckpointOrdinals, 0, 1 << 30} }},
	{"limits", "checkpoint_bytes", false, "Bytes of executed requests after which a checkpoint is made, if not before; at least 1MiB. 0: not for that reason.",
		func(c *Cluster) value { return size{&c.Limits.CheckpointBytes, 0, 1 << 40} }},
	{"limits", "recon", false, "Replicas send parts of a request to those who lack it, before they ask; false: they ask for all of it.",
		func(c *Cluster) value { return toggle{&c.Limits.Recon} }},
}

// replicaSettings are the settings of one [[replica]] of cluster.toml.
var replicaSettings = []setting[Replica]{
	{"", "id", true, "", func(r *Replica) value { return integer{&r.ID, 1, 64} }},
	{"", "peers", true, "", func(r *Replica) value { return text{&r.PeerAddress, checkAddress} }},
	{"", "clients", true, "", func(r *Replica) value { return text{&r.ClientAddress, checkAddress} }},
	{"", "public_key", true, "", func(r *Replica) value {
		return hex32{func() []byte { return r.PublicKey }, func(b []byte) { r.PublicKey = ed25519.PublicKey(b) }}
	}},
	{"", "share_key", false, "", func(r *Replica) value { return hexBytes{&r.ShareKey, publicShare} }},
}

// publicSettings are the settings of a replica's public file: those that it knows itself.
var publicSettings = append(slices.Clone(replicaSettings[:len(replicaSettings)-1]), setting[Replica]{"", "dealing_key", false, "",
	func(r *Replica) value { return hexBytes{&r.DealingKey, 32} }})

// nodeSettings are the settings of node.toml.
var nodeSettings = []setting[Node]{
	{"", "preset", false, "The kind of network: \"local\", \"lan\" or \"wan\". Settings below that are commented out have its values.",
		func(n *Node) value {
			return text{(*string)(&n.Preset), oneOf(string(PresetLocal), string(PresetLAN), string(PresetWAN))}
		}},
	{"", "id", true, "Which of the replicas in cluster.toml this one is.",
		func(n *Node) value { return integer{&n.ID, 1, 64} }},
	{"", "listen_peers", false, "Where to listen for replicas, as \"host:port\", if not at the address in cluster.toml; \"\" for that.",
		func(n *Node) value { return text{&n.ListenPeers, checkListen} }},
	{"", "listen_clients", false, "Where to listen for clients, if not at the address in cluster.toml.",
		func(n *Node) value { return text{&n.ListenClients, checkListen} }},

	{"app", "kind", false, "The application: \"echo\" returns each payload, \"digest\" its hash, \"store\" writes it into a large array,\n" +
		"\"socket\" is a process of yours.",
		func(n *Node) value { return text{&n.App.Kind, oneOf("echo", "digest", "store", "socket")} }},
	{"app", "socket", false, "Path of the Unix socket for that process; \"\" is app.sock in the replica's folder.",
		func(n *Node) value { return text{&n.App.Socket, nil} }},

	{"app", "store_bytes", false, "Size of the array of \"store\", the same at every replica.",
		func(n *Node) value { return size{&n.App.StoreBytes, 4 * kib, 64 << 30} }},

	{"timing", "request", false, "Least time between two PO-REQUESTs: own clients' updates. At light load nothing waits.",
		func(n *Node) value { return span{&n.Timing.Request, 0, time.Minute} }},
	{"timing", "ack", false, "Between two PO-ACKs: which requests are here.",
		func(n *Node) value { return span{&n.Timing.Ack, 0, time.Minute} }},
	{"timing", "summary", false, "Between two PO-SUMMARYs: up to where every replica's requests are here.",
		func(n *Node) value { return span{&n.Timing.Summary, 0, time.Minute} }},
	{"timing", "matrix", false, "Between two SUMMARY-MATRIXes: everybody's summaries, to the leader.",
		func(n *Node) value { return span{&n.Timing.Matrix, 0, time.Minute} }},
	{"timing", "propose", false, "Between two PRE-PREPAREs: the leader's proposals.",
		func(n *Node) value { return span{&n.Timing.Propose, 0, time.Minute} }},
	{"timing", "retransmit", false, "How long before what nothing has superseded is sent again.",
		func(n *Node) value { return span{&n.Timing.Retransmit, 10 * time.Millisecond, time.Hour} }},
	{"timing", "fetch", false, "How long before a missing request is asked for, and between askings.",
		func(n *Node) value { return span{&n.Timing.Fetch, time.Millisecond, time.Minute} }},
	{"timing", "recon", false, "How long before parts of a request are sent to those who have not acknowledged it yet.",
		func(n *Node) value { return span{&n.Timing.Recon, 0, time.Second} }},
	{"timing", "drain", false, "How long a stop waits for work that was accepted.",
		func(n *Node) value { return span{&n.Timing.Drain, 0, time.Hour} }},

	{"suspect", "k_lat", false, "Acceptable variability of the latency of urgent messages: the longest over the shortest.",
		func(n *Node) value { return number{&n.Suspect.KLat, 1, 100} }},
	{"suspect", "delta", false, "Longest pause that a correct leader makes between proposals; more than timing.propose and suspect.check together.",
		func(n *Node) value { return span{&n.Suspect.Delta, time.Millisecond, time.Minute} }},
	{"suspect", "floor", false, "Least turnaround that a correct leader is taken to need. The limit is k_lat times it, or times what is measured, and delta.",
		func(n *Node) value { return span{&n.Suspect.Floor, time.Millisecond, time.Minute} }},
	{"suspect", "ping", false, "Between two measurements of round trips; \"0s\": leaders are not judged, and never replaced.",
		func(n *Node) value { return span{&n.Suspect.Ping, 0, time.Minute} }},
	{"suspect", "check", false, "How often what the leader owes is looked at; also the shortest standstill of its own that a replica notices.",
		func(n *Node) value { return span{&n.Suspect.Check, time.Millisecond, time.Second} }},
	{"suspect", "window", false, "How long a turnaround of the leader counts at least, and twice as long at most.",
		func(n *Node) value { return span{&n.Suspect.Window, 100 * time.Millisecond, time.Hour} }},
	{"suspect", "max_stall", false, "Own standstill that a replica may take out of its measurements in a window; at most window.",
		func(n *Node) value { return span{&n.Suspect.MaxStall, 0, time.Hour} }},

	{"network", "rate_bits", false, "How fast each link is written, bits per second; 0: as fast as it goes.",
		func(n *Node) value { return rate{&n.Network.RateBits} }},
	{"network", "recon_share", false, "Share of a link with a rate that repair is certain of, and gets no more than; from 0.01 to 1.",
		func(n *Node) value { return number{&n.Network.ReconShare, 0.01, 1} }},
	{"network", "budget_bytes", false, "Most that waits to be sent, for each peer and class of traffic.",
		func(n *Node) value { return size{&n.Network.BudgetBytes, 64 * kib, 1 << 30} }},
	{"network", "dial_min", false, "Shortest pause before reconnecting.",
		func(n *Node) value { return span{&n.Network.DialMin, time.Millisecond, time.Hour} }},
	{"network", "dial_max", false, "Longest pause before reconnecting; at least dial_min.",
		func(n *Node) value { return span{&n.Network.DialMax, time.Millisecond, time.Hour} }},
	{"network", "handshake", false, "A handshake that takes longer is cut off.",
		func(n *Node) value { return span{&n.Network.Handshake, 10 * time.Millisecond, 10 * time.Minute} }},
	{"network", "handshake_rate", false, "Handshakes per second for each peer configured at an address.",
		func(n *Node) value { return number{&n.Network.HandshakeRate, 0.1, 10000} }},
	{"network", "client_conns", false, "Connections that clients may hold, in all.",
		func(n *Node) value { return integer{&n.Network.ClientConns, 1, 1 << 20} }},
	{"network", "client_handshake", false, "Client handshakes under way at once.",
		func(n *Node) value { return integer{&n.Network.ClientHandshake, 1, 1 << 16} }},
	{"network", "dscp", false, "Mark packets with the code point of their class.",
		func(n *Node) value { return toggle{&n.Network.DSCP} }},
	{"network", "datagrams", false, "How replicas speak to each other: \"auto\", in sealed UDP datagrams where those get through, else over TLS;\n" +
		"\"off\": over TLS.", func(n *Node) value {
		return text{(*string)(&n.Network.Datagrams), oneOf(string(DatagramsAuto), string(DatagramsOff))}
	}},

	{"queues", "submit_bytes", false, "Updates of own clients not yet introduced; when full, clients are told that the replica is overloaded.",
		func(n *Node) value { return size{&n.Queues.SubmitBytes, 64 * kib, 1 << 30} }},
	{"queues", "request_bytes", false, "Payloads of one PO-REQUEST while fewer than 16 are on their way: n-1 copies of it should leave in less than timing.fetch.",
		func(n *Node) value { return size{&n.Queues.RequestBytes, kib, 1 << 30} }},
	{"queues", "deliver_bytes", false, "Records that the application has not taken; when full, likewise.",
		func(n *Node) value { return size{&n.Queues.DeliverBytes, mib, 1 << 30} }},
	{"queues", "ingress_bytes", false, "Messages of one peer that wait to be verified.",
		func(n *Node) value { return size{&n.Queues.IngressBytes, 64 * kib, 1 << 30} }},
	{"queues", "history_bytes", false, "Executed ordinals, with their requests, kept for replicas that are behind.",
		func(n *Node) value { return size{&n.Queues.HistoryBytes, mib, 64 << 30} }},
	{"queues", "reply_bytes", false, "Results remembered for clients that ask again.",
		func(n *Node) value { return size{&n.Queues.ReplyBytes, 64 * kib, 1 << 30} }},
	{"queues", "watch_bytes", false, "Records kept for those who watch.",
		func(n *Node) value { return size{&n.Queues.WatchBytes, 64 * kib, 1 << 30} }},

	{"crypto", "workers", false, "Threads that verify signatures; 0: one for each processor.",
		func(n *Node) value { return integer{&n.Crypto.Workers, 0, 1024} }},
	{"crypto", "cache", false, "Verified summaries remembered.",
		func(n *Node) value { return integer{&n.Crypto.Cache, 64, 1 << 22} }},

	{"storage", "mode", false, "\"durable\": the replica keeps a log in its folder, and can be killed and started again. \"ephemeral\": it\n" +
		"keeps none and can be started once; a second start is refused. The first start fixes it.", func(n *Node) value {
		return text{(*string)(&n.Storage.Mode), oneOf(string(StorageEphemeral), string(StorageDurable))}
	}},
	{"storage", "max_bytes", false, "Largest log; a durable replica whose log is full stops. It is shortened at checkpoints if the application has snapshots or a way\n" +
		"of its own to state that it lacks, or is a process of its own.",
		func(n *Node) value { return size{&n.Storage.MaxBytes, 16 * mib, 1 << 50} }},

	{"transfer", "strategy", false, "Whom a block of a state is asked of. \"bandwidth\": one replica, and others when it fails. \"latency\": f+1 at once, of\n" +
		"which f are spares. Either way each block is checked by itself, against leaves whose root f+1 replicas signed.",
		func(n *Node) value {
			return text{(*string)(&n.Transfer.Strategy), oneOf(string(StrategyBandwidth), string(StrategyLatency))}
		}},
	{"transfer", "variant", false, "Of \"bandwidth\", when a replica fails: 1, one more is asked for the block; 2, f more are.",
		func(n *Node) value { return integer{&n.Transfer.Variant, 1, 2} }},
}
