package wire

import (
	"bytes"
	"reflect"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 6, 7, 64} {
		for _, signed := range []bool{false, true} {
			l := limitsFor(n)
			l.SignedUpdates = signed
			seen := kinds(0)
			for _, s := range samples(n, signed) {
				e, err := l.Decode(s.env.Raw)
				if err != nil {
					t.Fatalf("n=%d %s: %v", n, s.name, err)
				}
				if !reflect.DeepEqual(e, s.env) {
					t.Errorf("n=%d %s: decoded\n%+v\nwant\n%+v", n, s.name, e, s.env)
				}
				if again := reencode(e); !bytes.Equal(again.Raw, s.env.Raw) || again.Digest != e.Digest {
					t.Errorf("n=%d %s: encoded again it differs", n, s.name)
				}
				if len(s.env.Raw) > l.MaxFrame(e.Kind) {
					t.Errorf("n=%d %s: %d bytes, MaxFrame says %d", n, s.name, len(s.env.Raw), l.MaxFrame(e.Kind))
				}
				seen |= kindSet(e.Kind)
			}
			if seen != topLevel {
				t.Errorf("samples have kinds %b, there are %b", seen, topLevel)
			}
		}
	}
}

// reencode makes the envelope again from what was decoded.
func reencode(e *Envelope) *Envelope {
	again := NewEnvelope(e.Header, e.Msg)
	again.Finish(e.Proof)
	return again
}
