package core

import (
	"time"

	"github.com/primebft/prime/internal/core/catchup"
	"github.com/primebft/prime/internal/core/recon"
	"github.com/primebft/prime/internal/group"
)

// Config is what one replica of the protocol is made with. Sizes and windows must be equal at all replicas; Timing need not.
type Config struct {
	Self         group.ID
	Group        group.Group
	Epoch        uint32
	Incarnations []uint32 // current incarnation of each replica, by group.ID.Index
	Limits       Limits
	Timing       Timing
	Wall         int64    // calendar time at Instant 0, Unix nanoseconds
	Seed         [32]byte // of the jitter
	Check        bool     // verify costly invariants too
}

// Limits bounds everything that a peer or a client can grow.
type Limits struct {
	UpdateBytes    int // payload of one update
	RequestBytes   int // payloads of one request together
	RequestUpdates int // updates of one request
	EagerBytes     int // payloads of one of the first requests in flight; 0 is RequestBytes; need not be equal at all replicas
	InFlight       int // own requests introduced and not yet executed; receivers take more ahead, see LaneWindow
	PendingBytes   int // payloads of own clients that wait to be introduced
	Sessions       int // client sessions remembered
	SessionWindow  int // sequence numbers a session remembers
	OrdinalWindow  int // ordinals proposed and not executed; receivers take more ahead, see ViewWindow
	History        int // executed ordinals kept for peers that are behind, at least 1
	HistoryBytes   int // and their bytes; 0 is 64 MiB; need not be equal at all replicas
	// A checkpoint is due after so many ordinals, so many bytes of requests, or so much ordered time, whichever comes first; 0 is never for
	// that reason.
	CheckpointOrdinals int
	CheckpointBytes    int
	CheckpointTime     time.Duration
	Recon              bool // holders send those who lack a request their parts of it (5.3); otherwise it is fetched whole
}

// Timing is how long this replica aggregates, and when it repeats itself. A message goes out at once if the last of its
// kind is at least the interval ago.
type Timing struct {
	Request, Ack, Summary, Matrix, Propose time.Duration
	Retransmit                             time.Duration // before what is not superseded is repeated; jittered by up to a quarter
	Fetch                                  time.Duration // before a missing request is asked for
	Recon                                  time.Duration // before parts are sent to those who have not acknowledged a request yet
	Suspect                                Suspect
}

// Suspect is how the leader is judged; see package suspect. With Ping 0 it is not, and never replaced.
type Suspect struct {
	KLat     int           // acceptable variability of TIMELY latency, in thousandths
	Delta    time.Duration // longest pause that a correct leader makes between proposals, and what batching adds to it
	Floor    time.Duration // least acceptable turnaround
	Ping     time.Duration // between measurements of round trips
	Check    time.Duration // how often a waiting challenge is looked at; also what tells an own standstill
	Window   time.Duration // how long a turnaround counts at least
	MaxStall time.Duration // own standstill that may be discounted in a Window
}

// Status is where a replica is.
type Status struct {
	View      uint64
	Installed bool // the view is; otherwise it is being changed
	Leader    group.ID
	Executed  uint64 // last ordinal executed
	Stable    uint64 // ordinal of the newest stable checkpoint; 0: none is known
	Ordered   uint64 // last ordinal of the gap-free prefix that is ordered
	Proposed  uint64 // highest ordinal with a proposal
	Lanes     []Lane // by origin
	Pending   int    // updates that wait to be introduced
	Bytes     int    // payload bytes that wait to be introduced
	Sessions  int
	Blacklist group.Set
	Judgement Judgement
	Repair    Repair
	Target    uint64           // last ordinal that a correct replica is known to have executed, from what others say
	CatchUp   catchup.Counters // since the start
	// What the replica holds, to watch that it stays within limits.
	Collected    uint64 // last ordinal that is no longer held
	HistoryBytes int    // bytes of executed ordinals that are held
	OrdinalSlots int
}

// Lane is one origin's preorder lane.
type Lane struct {
	Held       uint64 // requests 1..Held are here
	Preordered uint64 // requests 1..Preordered have a certificate
	Executed   uint64 // requests 1..Executed have been executed
	Slots      int    // slots held
}

// Repair is what reconciliation did since the start. Stored is the bytes of parts kept now of the sender that has most.
type Repair struct {
	recon.Counters
	Stored int
}

// Judgement is what the replica thinks of the leader. Acceptable and Limit are very large while they are not known.
type Judgement struct {
	Turnaround, Acceptable, Limit time.Duration
	Stalled                       time.Duration // own standstill that was discounted so far
	Voted                         bool          // for the next view
}
