package node

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/transfer"
	"github.com/primebft/prime/transport"
)

// Status is where a replica is, for people and scripts. Lists are never nil. Replica ids are 1..n.
type Status struct {
	Replica      int     `json:"replica"`
	State        string  `json:"state"` // see Node.State
	View         uint64  `json:"view"`
	Leader       int     `json:"leader"`
	Installed    bool    `json:"installed"`    // the view is; otherwise it is being changed
	ViewChanges  uint64  `json:"view_changes"` // views that this replica has installed since it started
	Epoch        uint32  `json:"epoch"`
	Ordinal      uint64  `json:"ordinal"`       // last one in the stream of records
	Delivered    uint64  `json:"delivered"`     // records since ordinal 1 of the epoch, no-ops included
	StreamDigest string  `json:"stream_digest"` // SHA-256 chain over all records up to Ordinal, in hex
	Oldest       uint64  `json:"oldest"`        // oldest ordinal that watchers can still read
	Connected    int     `json:"connected"`     // replicas that this one is connected to, itself included
	UptimeS      float64 `json:"uptime_s"`

	Application Application       `json:"application"`
	Peers       []transport.Peer  `json:"peers"`
	Lanes       []Lane            `json:"lanes"`
	Executed    uint64            `json:"executed"` // last ordinal that the protocol core has executed
	Ordered     uint64            `json:"ordered"`  // last ordinal of the gap-free prefix that is ordered
	Proposed    uint64            `json:"proposed"` // highest ordinal with a proposal
	Sessions    int               `json:"sessions"`
	Blacklist   []int             `json:"blacklist"` // replicas proven faulty
	Judgement   Judgement         `json:"judgement"`
	Storage     Storage           `json:"storage"`
	Repair      Repair            `json:"repair"`
	CatchUp     CatchUp           `json:"catch_up"`
	Checkpoints Checkpoints       `json:"checkpoints"`
	Transfer    transfer.Progress `json:"transfer"` // of the state of others, if this replica lacks it
	Queues      Queues            `json:"queues"`
	Counters    Counters          `json:"counters"`
}

// Judgement is what this replica thinks of the leader, in milliseconds. What it does not know yet is left out.
type Judgement struct {
	TurnaroundMS float64  `json:"turnaround_ms"`           // the leader's, as a quorum sees it
	AcceptableMS *float64 `json:"acceptable_ms,omitempty"` // what a correct leader would need
	LimitMS      *float64 `json:"limit_ms,omitempty"`      // a leader whose turnaround is longer is suspected
	StalledMS    float64  `json:"stalled_ms"`              // own standstill that was taken out of the measurements, since the start
	Suspected    bool     `json:"suspected"`               // this replica votes to replace the leader
}

// Application is how far this replica's application is.
type Application struct {
	Ordinal       uint64 `json:"ordinal"`        // last one that it has dealt with
	BacklogBytes  int    `json:"backlog_bytes"`  // records that wait for it
	MissedFrom    uint64 `json:"missed_from"`    // first ordinal that it will not be given, or not as long as it is too slow; 0 if there is none
	MissedRecords uint64 `json:"missed_records"` // records that it was not given
	Way           string `json:"way"`            // how it comes to state that it lacks: none, engine, own
}

// Lane is one origin's preorder lane.
type Lane struct {
	Origin     int    `json:"origin"`
	Held       uint64 `json:"held"`
	Preordered uint64 `json:"preordered"`
	Executed   uint64 `json:"executed"`
}

// Storage is what the replica remembers.
type Storage struct {
	Mode     string `json:"mode"`      // ephemeral or durable
	LogBytes int64  `json:"log_bytes"` // 0 if it is ephemeral
	MaxBytes int64  `json:"max_bytes"` // at which it stops; 0 if it is ephemeral
	// Start is how a durable replica that had run before came to what it had been; nil for others, and until it has.
	Start *Start `json:"start,omitempty"`
}

// Start is how a replica went through its log.
type Start struct {
	LogBytes   int64   `json:"log_bytes"`
	Ordinal    uint64  `json:"ordinal"`     // that the image of the core had executed which it began with; 0: there was none
	ImageBytes int     `json:"image_bytes"` // of that
	ImageMS    float64 `json:"image_ms"`    // to read it
	Inputs     uint64  `json:"inputs"`      // that the core was given again after that
	MS         float64 `json:"ms"`          // for all of it, with waiting for the application
}

// Queues is what waits inside the replica.
type Queues struct {
	SubmitBytes    int `json:"submit_bytes"`    // own clients' updates that have not been introduced
	SubmitUpdates  int `json:"submit_updates"`  //
	IngressBytes   int `json:"ingress_bytes"`   // peers' messages that wait to be verified or handled
	EgressMessages int `json:"egress_messages"` // messages that wait to be signed and sent
	DeliverBytes   int `json:"deliver_bytes"`   // executed updates that wait to become records
	ReplyBytes     int `json:"reply_bytes"`     // results remembered
	Replies        int `json:"replies"`         //
}

// Counters count since the start.
type Counters struct {
	Steps      map[string]uint64 `json:"steps"`      // of the protocol core, by kind of input
	StepTimes  []Bucket          `json:"step_times"` // how long they took
	StepNanos  int64             `json:"step_ns"`    // all of them together
	Batches    uint64            `json:"batches"`    // batches of messages signed
	Signed     uint64            `json:"signed"`     // messages signed
	Ignored    []Drop            `json:"ignored"`    // messages that the protocol core ignored
	Refused    []Drop            `json:"refused"`    // messages refused before the protocol core saw them
	Submitted  uint64            `json:"submitted"`  // own clients' updates accepted
	Overloaded uint64            `json:"overloaded"` // own clients' updates refused because a queue was full
}

// Drop is messages of one peer that were dropped for one reason.
type Drop struct {
	Peer   int    `json:"peer"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// Status returns where the replica is. It works after Close too, and then says where it was.
func (n *Node) Status() Status {
	c := n.coreStatus()
	p := n.records.Position()
	s := Status{
		Replica: int(n.self), State: n.State(), View: c.View, Leader: int(c.Leader), Epoch: n.epoch,
		Ordinal: p.Ordinal, Delivered: p.Count, StreamDigest: hex.EncodeToString(p.Digest[:]), Oldest: n.records.Oldest(),
		UptimeS: time.Since(n.started).Seconds(), Application: n.application(), Peers: n.Peers(), Lanes: []Lane{},
		Executed: c.Executed, Ordered: c.Ordered, Proposed: c.Proposed, Sessions: c.Sessions, Blacklist: []int{},
		Storage: n.storage(), Queues: n.queues(), Counters: n.counters(), Installed: c.Installed, ViewChanges: n.outlet.installed.Load(),
		Judgement: judgement(c.Judgement), Repair: repaired(&c, p.Count),
	}
	s.CatchUp = caughtUp(&c)
	s.Checkpoints, s.Transfer = n.checkpoints.status()
	s.Checkpoints.Stable = max(s.Checkpoints.Stable, c.Stable) // that of the core remembers what was before this start
	s.Queues.SubmitUpdates += c.Pending
	s.Queues.SubmitBytes += c.Bytes
	s.Connected = connected(s.Peers)
	for i, lane := range c.Lanes {
		s.Lanes = append(s.Lanes, Lane{int(group.FromIndex(i)), lane.Held, lane.Preordered, lane.Executed})
	}
	for id := range c.Blacklist.All() {
		s.Blacklist = append(s.Blacklist, int(id))
	}
	return s
}

func judgement(j core.Judgement) Judgement {
	return Judgement{
		TurnaroundMS: milliseconds(j.Turnaround), AcceptableMS: known(j.Acceptable), LimitMS: known(j.Limit),
		StalledMS: milliseconds(j.Stalled), Suspected: j.Voted,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// known is d in milliseconds, nil if it stands for what is not known: no measurement is as long as a day.
func known(d time.Duration) *float64 {
	if d > 24*time.Hour {
		return nil
	}
	ms := milliseconds(d)
	return &ms
}

// coreStatus asks the loop where the machine is, or, when the loop has ended, what it said last.
func (n *Node) coreStatus() core.Status {
	answer := make(chan core.Status, 1)
	select {
	case n.loop.ask <- answer:
		select {
		case s := <-answer:
			return s
		case <-n.loopDone:
		}
	case <-n.loopDone:
	}
	return n.final
}

func (n *Node) application() Application {
	b := n.records.app()
	a := Application{Ordinal: b.taken, BacklogBytes: b.bytes, MissedRecords: b.missed, Way: n.deliver.calls.way().String()}
	if b.absent() {
		a.Ordinal, a.MissedFrom = min(b.taken, b.until), b.until+1
	}
	return a
}

// Peers is the state of every link, by ascending peer; never nil.
func (n *Node) Peers() []transport.Peer {
	return append([]transport.Peer{}, n.net.Peers()...)
}

// Connected is how many replicas this one is connected to, itself included.
func (n *Node) Connected() int { return connected(n.net.Peers()) }

func connected(peers []transport.Peer) int {
	count := 1
	for i := range peers {
		if peers[i].Connected {
			count++
		}
	}
	return count
}

func (n *Node) queues() Queues {
	updates, bytes := n.loop.submits.load()
	_, deliver := n.executed.load()
	replies, replyBytes := n.replies.Len()
	ingress := 0
	for _, peer := range n.pool.Stats() {
		ingress += peer.Bytes
	}
	return Queues{
		SubmitBytes: bytes, SubmitUpdates: updates, IngressBytes: ingress, EgressMessages: n.egress.load(),
		DeliverBytes: deliver, ReplyBytes: replyBytes, Replies: replies,
	}
}

func (n *Node) counters() Counters {
	c := Counters{
		Steps: map[string]uint64{}, StepTimes: n.loop.steps.snapshot(), StepNanos: n.loop.steps.total.Load(),
		Batches: n.egress.batches.Load(), Signed: n.egress.signed.Load(), Ignored: n.outlet.ignored(), Refused: n.refused(),
		Submitted: n.submitted.Load(), Overloaded: n.overloaded.Load(),
	}
	for kind, name := range inputNames {
		c.Steps[name] = n.loop.inputs[kind].Load()
	}
	return c
}

// refused is what the pool refused, by peer and reason.
func (n *Node) refused() []Drop {
	list := []Drop{}
	for i, peer := range n.pool.Stats() {
		for reason, count := range peer.Refused {
			if reason != 0 && count > 0 {
				list = append(list, Drop{int(group.FromIndex(i)), sign.Reason(reason).String(), count})
			}
		}
	}
	return list
}

// ignored is what the core dropped, by peer and reason.
func (o *outlet) ignored() []Drop {
	o.mu.Lock()
	list := make([]Drop, 0, len(o.drops))
	for key, count := range o.drops {
		list = append(list, Drop{int(key.peer), string(key.reason), count})
	}
	o.mu.Unlock()
	slices.SortFunc(list, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}
