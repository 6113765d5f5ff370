package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// defaults are the limits that docs/wire.md gives sizes for.
func defaults(n int) Limits {
	return Limits{N: n, UpdateBytes: 64 << 10, RequestBytes: 256 << 10, RequestUpdates: 1024, AckParts: 512, Wants: 64,
		Window: 128, Recalls: 16, Enough: (n-1)/3 + 1, Lane: 128, Links: 1024, SegmentBytes: 256 << 10}
}

// The page that others implement from has every kind, every domain, and sizes that are true.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("| version | `u8` | %d |", Version), fmt.Sprintf("ALPN name `prime/%d`", Version),
		fmt.Sprintf("has %d bytes besides its body", aloneSize), fmt.Sprintf("batch adds %d", MaxPath*digestSize),
		fmt.Sprintf("`update`, %d bytes", UpdateStatementSize),
	}
	shared := defaults(64)
	shared.Threshold = true
	want = append(want, fmt.Sprintf("a VC-PARTIAL-SIG has %d bytes, a VC-PROOF and a REPLAY %d", shared.MaxFrame(KindStateShare),
		shared.MaxFrame(KindReplay)))
	for _, domain := range []string{domainContent, domainIncarnations, domainUpdate, domainResolution, domainWindow,
		domainPart, domainPartNode} {
		want = append(want, `"`+strings.TrimSuffix(domain, "\x00")+`\0"`)
	}
	for k := KindPreorderRequest; k <= LastKind; k++ {
		if !topLevel.has(k) {
			continue
		}
		want = append(want, fmt.Sprintf("%d %v", k, k), fmt.Sprintf("| %v | %d | %d | %d | %d |", k,
			defaults(4).MaxFrame(k), defaults(7).MaxFrame(k), defaults(16).MaxFrame(k), defaults(64).MaxFrame(k)))
	}
	for _, line := range want {
		if !strings.Contains(string(page), line) {
			t.Errorf("docs/wire.md lacks %q", line)
		}
	}
}
