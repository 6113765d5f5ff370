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

// repaired is what reconciliation did while so many records were delivered.
func repaired(c *core.Status, records uint64) Repair {
	r := &c.Repair
	return Repair{
		SentParts: r.Sent, SentBytes: r.SentBytes, Received: r.Received, Unneeded: r.Unneeded, Reconciled: r.Joined, Spoiled: r.Spoiled,
		BytesPerUpdate: float64(r.SentBytes) / float64(max(1, records)),
	}
}
