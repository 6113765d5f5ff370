// Package config is what a cluster and a replica are configured with: the types, presets for kinds of network, the checks,
// and the TOML files that hold them (cluster.toml, the same at every replica, and node.toml, each replica's own).
package config

import (
	"crypto/ed25519"
	"time"
)

// Config is everything that a replica is started with.
type Config struct {
	Cluster Cluster // the same at every replica
	Node    Node    // this replica's own
	Key     ed25519.PrivateKey
	Share   Share  // this replica's key share; only in a cluster whose proofs are threshold signatures
	Dir     string // the replica's folder: marker, lock, socket
}

// Auth is who vouches for updates.
type Auth string

// The two ways to authenticate updates.
const (
	AuthReplica Auth = "replica" // the replica that introduces an update vouches for it: the paired model
	AuthClient  Auth = "client"  // every update is signed by its client and every replica verifies it
)

// VerificationRule is the one rule by which the whole cluster decides whether an Ed25519 signature is valid. There is one
// choice in this version; it is part of the configuration because replicas that differ in it could be split by a signature
// that only some of them accept.
const VerificationRule = "ed25519-go-std"

// Cluster is the configuration that all replicas share. Its Digest covers every field but the addresses.
type Cluster struct {
	Name         string     // for people
	ID           [32]byte   // random, chosen when the cluster was made: signatures of one cluster mean nothing in another
	Epoch        uint32     // number of this configuration, from 1
	F, K         int        // f compromised, k unavailable
	Auth         Auth       //
	Verification string     // VerificationRule
	Proof        Proof      // what challenges a new leader; empty is ProofList
	AnyClient    bool       // any key may be a client; otherwise only those listed
	Clients      [][32]byte // Ed25519 public keys admitted as clients; replicas' own keys always are
	Limits       Limits
	Replicas     []Replica // by ascending ID, 1..n
}

// Replica is one member of the cluster.
type Replica struct {
	ID            int
	PeerAddress   string // host:port for other replicas
	ClientAddress string // host:port for clients
	PublicKey     ed25519.PublicKey
	ShareKey      []byte // public key share, in a cluster whose proofs are threshold signatures
	DealingKey    []byte // in a public file only: what others encrypt dealings of key shares to
}

// Limits are sizes that all replicas must agree on.
type Limits struct {
	UpdateBytes    int // largest update, bytes; at most 1 MiB
	RequestBytes   int // updates batched into one request, bytes of payload; at least UpdateBytes
	RequestUpdates int // updates batched into one request
	InFlight       int // requests that an origin may have introduced and not yet executed
	Sessions       int // client sessions remembered
	SessionWindow  int // sequence numbers that a session remembers, 1024
	OrdinalWindow  int // ordinals that may be proposed and not yet executed
	History        int // executed ordinals kept for peers that are behind
	// A checkpoint is made after so many ordinals, or so many bytes of requests, whichever comes first; 0 is never for that reason.
	CheckpointOrdinals int
	CheckpointBytes    int
	Recon              bool // replicas send each other parts of requests that some lack; otherwise these are asked for, whole
}

// Node is the configuration of one replica; nothing in it has to agree with other replicas'.
type Node struct {
	Preset        Preset // whose values hold where node.toml is silent; empty is PresetLAN
	ID            int    // which of the cluster's replicas this is
	ListenPeers   string // host:port to listen on, if not PeerAddress
	ListenClients string // host:port to listen on, if not ClientAddress
	App           App
	Timing        Timing
	Suspect       Suspect
	Network       Network
	Queues        Queues
	Crypto        Crypto
	Storage       Storage
	Transfer      Transfer
}

// App says where the application runs.
type App struct {
	Kind       string // "echo", "digest" or "store", which are built in; or "socket": a process that owns the application socket
	Socket     string // path of that socket; "app.sock" in the replica's folder if empty
	StoreBytes int    // of the state of "store"; equal at all replicas
}

// Strategy is which replicas send what of a state that is transferred. Either way every block is checked by itself, against leaves whose
// root is in the checkpoint that a quorum signed.
type Strategy string

// The strategies.
const (
	StrategyBandwidth Strategy = "bandwidth" // one replica is asked for a block, and others when it fails
	StrategyLatency   Strategy = "latency"   // f+1 are asked at once, f of them for a spare
)

// Transfer is how this replica gets the state of a checkpoint from others, when what it missed is held by nobody any more.
type Transfer struct {
	Strategy Strategy
	Variant  int // of the bandwidth strategy, when a replica fails: 1 asks one more for the block, 2 asks f more
}

// Timing is how long this replica aggregates and when it repeats itself. At light load nothing waits: a message goes out at
// once if the last of its kind is at least the interval ago.
type Timing struct {
	Request    time.Duration // between PO-REQUESTs of this replica
	Ack        time.Duration // between PO-ACKs
	Summary    time.Duration // between PO-SUMMARYs
	Matrix     time.Duration // between SUMMARY-MATRIXes
	Propose    time.Duration // between PRE-PREPAREs, when leading
	Retransmit time.Duration // before what is not superseded is repeated, with jitter
	Fetch      time.Duration // before a missing request is asked for, and between askings
	Recon      time.Duration // before parts of a request are sent to those who have not acknowledged it
	Drain      time.Duration // how long a stop waits for accepted work
}

// Suspect is how this replica judges the leader: it votes to replace one whose turnaround is longer than
// KLat x max(Floor, what a correct leader would need by the round trips measured) + Delta.
type Suspect struct {
	KLat     float64       // acceptable variability of the latency of urgent messages: longest over shortest
	Delta    time.Duration // longest pause that a correct leader makes between proposals; more than Timing.Propose + Check
	Floor    time.Duration // least turnaround that a correct leader is taken to need
	Ping     time.Duration // between two measurements of round trips; 0: leaders are not judged, and never replaced
	Check    time.Duration // how often what the leader owes is looked at
	Window   time.Duration // how long a turnaround counts at least; twice as long at most
	MaxStall time.Duration // own standstill that may be taken out of the measurements in a Window
}

// Network is this replica's use of its links.
type Network struct {
	RateBits        int64         // how fast each link is written, bits/s; 0: as fast as it goes
	ReconShare      float64       // largest share of a link for RECON, 0..1; links without a rate have no share
	BudgetBytes     int           // queued per peer and class
	DialMin         time.Duration // first pause before reconnecting
	DialMax         time.Duration // longest pause before reconnecting
	Handshake       time.Duration // a handshake that takes longer is cut off
	HandshakeRate   float64       // handshakes per second for each peer configured at an address
	ClientConns     int           // connections that clients may hold, in all
	ClientHandshake int           // client handshakes under way at once
	DSCP            bool          // mark packets with their class's code point
	Datagrams       Datagrams     // whether frames go over sealed datagrams
}

// Datagrams says whether replicas speak to each other in sealed UDP datagrams.
type Datagrams string

// The choices for Network.Datagrams.
const (
	DatagramsAuto Datagrams = "auto" // where they get through, else over TLS
	DatagramsOff  Datagrams = "off"  // always over TLS
)

// Queues bounds what waits inside this replica, in bytes.
type Queues struct {
	SubmitBytes  int // updates of own clients not yet introduced; full: ErrOverloaded
	RequestBytes int // payloads of one PO-REQUEST while few are on their way; the cluster's limit holds in any case
	DeliverBytes int // records that the application has not taken; full: own clients get ErrOverloaded
	IngressBytes int // messages of one peer waiting to be verified
	ReplyBytes   int // results remembered for clients that ask again
	HistoryBytes int // executed ordinals, with their requests, kept for replicas that are behind
	WatchBytes   int // records kept for watchers
}

// StorageMode is whether a replica remembers across its starts.
type StorageMode string

// The storage modes.
const (
	StorageDurable   StorageMode = "durable"   // the default: what it is given is on disk before a promise leaves; it can start again
	StorageEphemeral StorageMode = "ephemeral" // nothing is remembered but that it has started: a second start is refused
)

// Storage is what this replica remembers.
type Storage struct {
	Mode     StorageMode
	MaxBytes int // of the log, when durable; checkpoints shorten it, and when it is full the replica stops
}

// Crypto is how this replica spends its processors.
type Crypto struct {
	Workers int // goroutines that verify; 0: one per processor
	Cache   int // verified summaries remembered
}
