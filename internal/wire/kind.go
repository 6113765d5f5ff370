package wire

var kindNames = [...]string{"", "PO-REQUEST", "PO-ACK", "PO-SUMMARY", "SUMMARY-MATRIX", "PRE-PREPARE", "PREPARE", "COMMIT",
	"FETCH", "STATUS", "CERTIFICATE", "EVIDENCE", "RTT-PING", "RTT-PONG", "RTT-MEASURE", "TAT-UB", "TAT-MEASURE", "NEW-LEADER",
	"NEW-LEADER-PROOF", "REPORT", "RB-ECHO", "RB-READY", "VC-LIST", "VC-PARTIAL-SIG", "VC-PROOF", "REPLAY", "REPLAY-PREPARE",
	"REPLAY-COMMIT", "WINDOW", "RECALL", "RECON", "CHECKPOINT", "CHECKPOINT-PROOF", "OUTLINE-ASK", "OUTLINE", "SEGMENT-ASK", "SEGMENT"}

// Alone reports whether messages of this kind are signed alone and never in a batch, because others carry their proofs.
func (k Kind) Alone() bool { return k == KindSummary || k == KindStateShare }

// Yields reports whether messages of this kind let others of their class and sender go first. Requests are most of what a replica
// sends; what says which of them are ordered must not wait for them.
func (k Kind) Yields() bool { return k == KindPreorderRequest }

// String is the name that the papers use, or "unknown".
func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}
