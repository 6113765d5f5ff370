package wire

var kindNames = [...]string{"", "PO-REQUEST", "PO-ACK", "PO-SUMMARY", "SUMMARY-MATRIX", "PRE-PREPARE", "PREPARE", "COMMIT",
	"FETCH", "STATUS", "CERTIFICATE", "EVIDENCE"}

// String is the name that the papers use, or "unknown".
func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}
