package mesh

import "github.com/primebft/prime/transport"

// Differentiated services code points.
const (
	codeExpedited = 46 // EF, RFC 3246
	codeAssured   = 18 // AF21, RFC 2597
	codeLower     = 1  // LE, RFC 8622
)

// trafficClass is the value of the IP header's traffic class byte: the code point and two bits that are not ours.
func trafficClass(c transport.Class) int {
	switch c {
	case transport.Timely:
		return codeExpedited << 2
	case transport.Bounded:
		return codeAssured << 2
	}
	return codeLower << 2
}
