package node

import "github.com/primebft/prime/internal/core"

// Repair is what this replica sent and got to bring requests to those who lack them, since it started.
type Repair struct {
	SentParts      uint64  `json:"sent_parts"`       // one for each receiver
	SentBytes      uint64  `json:"sent_bytes"`       // of these, without the messages around them
	BytesPerUpdate float64 `json:"bytes_per_update"` // of these, for each record delivered
	Received       uint64  `json:"received_parts"`
	Unneeded       uint64  `json:"unneeded_parts"` // of these, parts of requests that were here already
	Reconciled     uint64  `json:"reconciled"`     // requests that came together from parts
	Spoiled        uint64  `json:"spoiled"`        // groups of parts that gave nothing
}

// CatchUp is how this replica was told what others executed while it was away. What it was given again from its log does not count.
type CatchUp struct {
	Target   uint64 `json:"target"`   // ordinal that others are known to have executed; at most executed if this replica is not behind
	Rounds   uint64 `json:"rounds"`   // times that f+1 others agreed on what was executed up to some ordinal
	Ordinals uint64 `json:"ordinals"` // executed from what they told
	Bytes    uint64 `json:"bytes"`    // of requests that they told
	Wrong    uint64 `json:"wrong"`    // answers that were wrong
	Late     uint64 `json:"late"`     // questions that were not answered in time
}

// caughtUp is what catching up did.
func caughtUp(c *core.Status) CatchUp {
	u := &c.CatchUp
	return CatchUp{Target: c.Target, Rounds: u.Rounds, Ordinals: u.Ordinals, Bytes: u.Bytes, Wrong: u.Wrong, Late: u.Late}
}

// repaired is what reconciliation did while so many records were delivered.
func repaired(c *core.Status, records uint64) Repair {
	r := &c.Repair
	return Repair{
		SentParts: r.Sent, SentBytes: r.SentBytes, Received: r.Received, Unneeded: r.Unneeded, Reconciled: r.Joined, Spoiled: r.Spoiled,
		BytesPerUpdate: float64(r.SentBytes) / float64(max(1, records)),
	}
}
