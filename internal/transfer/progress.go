package transfer

import (
	"fmt"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// stats is what is counted of a transfer.
type stats struct {
	begun    clock.Instant
	fetched  uint64 // useful bytes
	blocks   int
	copied   int
	lies     int
	silences int
}

// Progress is how far a transfer is, for status and logs.
type Progress struct {
	Ordinal  uint64           `json:"ordinal"` // of the checkpoint; 0: nothing is fetched, nor was
	Phase    string           `json:"phase"`   // idle, manifest, leaves, local blocks, blocks, sync, failed
	Strategy string           `json:"strategy"`
	Blocks   int              `json:"blocks"`   // of the checkpoint; 0: not known yet
	Done     int              `json:"done"`     // of those, how many are there
	Copied   int              `json:"copied"`   // of those, how many were found in files of this replica
	Bytes    uint64           `json:"bytes"`    // useful ones that have come
	PerS     float64          `json:"per_s"`    // of those, by second since the transfer began
	Total    uint64           `json:"total"`    // useful bytes of all transfers of this process
	Lies     int              `json:"lies"`     // replicas that have sent what no correct one sends
	Silences int              `json:"silences"` // times that a replica was silent for too long
	Why      string           `json:"why,omitempty"`
	Peers    []HelperProgress `json:"peers,omitempty"`
}

// HelperProgress is what came of asking one replica.
type HelperProgress struct {
	ID      group.ID `json:"id"`
	State   string   `json:"state"`  // asked, liar, not held, resting
	Share   int      `json:"share"`  // blocks that it may be asked for at once
	Asked   int      `json:"asked"`  // and is, spares too
	Useful  uint64   `json:"useful"` // bytes
	Wasted  uint64   `json:"wasted"` // bytes that had come from others, or that nobody had asked for
	PaceMS  float64  `json:"pace_ms"`
	Expects float64  `json:"limit_ms"` // how long it may be silent
}

// String is a line for logs.
func (p Progress) String() string {
	if p.Ordinal == 0 {
		return "nothing is fetched"
	}
	return fmt.Sprintf("checkpoint of ordinal %d: %s, %d of %d blocks, %.1f MB at %.1f MB/s, %d found here, %d lies, %d silences",
		p.Ordinal, p.Phase, p.Done, p.Blocks, float64(p.Bytes)/1e6, p.PerS/1e6, p.Copied, p.Lies, p.Silences)
}

// Progress is how far the transfer is.
func (f *Fetcher) Progress(now clock.Instant) Progress {
	p := Progress{Ordinal: f.target.Ordinal, Phase: f.phase.String(), Strategy: f.o.Strategy.String(), Copied: f.stats.copied,
		Bytes: f.stats.fetched, Total: f.total, Lies: f.stats.lies, Silences: f.stats.silences}
	if f.err != nil {
		p.Why = f.err.Error()
	}
	if f.phase == idle || f.phase == failed {
		return p
	}
	if f.incoming != nil {
		m := f.incoming.Manifest()
		p.Blocks = m.Count()
		p.Done = p.Blocks - f.incoming.Left()
	}
	if passed := now.Sub(f.stats.begun).Seconds(); passed > 0 {
		p.PerS = float64(p.Bytes) / passed
	}
	for i := range f.helpers {
		h, id := &f.helpers[i], group.ID(i+1)
		if id == f.o.Self {
			continue
		}
		state := "asked"
		switch {
		case h.liar:
			state = "liar"
		case now < h.away:
			state = "not held"
		case now < h.rest:
			state = "resting"
		}
		p.Peers = append(p.Peers, HelperProgress{ID: id, State: state, Share: h.window(), Asked: len(h.asks), Useful: h.useful,
			Wasted: h.wasted, PaceMS: float64(h.pace) / 1e6, Expects: float64(h.limit()) / 1e6})
	}
	return p
}
