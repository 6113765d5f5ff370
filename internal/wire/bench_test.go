package wire

import "testing"

// benchmarks are the two messages that replicas spend their time on: the leader's proposal in a group of seven, and a full
// request of 32 updates of 200 bytes.
func benchmarks() (Limits, []sample) {
	l := Limits{N: 7, UpdateBytes: 200, RequestBytes: 6400, RequestUpdates: 32, AckParts: 64, Wants: 64}
	s := &sampler{n: 7}
	full := make([]int, 32)
	for i := range full {
		full[i] = 200
	}
	return l, []sample{
		{"PrePrepare7", s.seal(1, 1, &PrePrepare{1, 2, s.digest(), s.vector(), s.rows(0)})},
		{"Request32x200", s.seal(1, 8, s.request(full...))},
		{"Commit", s.seal(1, 8, &Commit{s.vote()})},
	}
}

func BenchmarkBody(b *testing.B) {
	_, all := benchmarks()
	for _, s := range all {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, len(s.env.Raw))
			for b.Loop() {
				buf = s.env.Msg.appendBody(buf[:0])
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	_, all := benchmarks()
	for _, s := range all {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s.env.Raw)))
			for b.Loop() {
				e := NewEnvelope(s.env.Header, s.env.Msg)
				e.Finish(s.env.Proof)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	l, all := benchmarks()
	for _, s := range all {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s.env.Raw)))
			for b.Loop() {
				if _, err := l.Decode(s.env.Raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkContentDigest(b *testing.B) {
	_, all := benchmarks()
	for _, s := range all {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s.env.Content)))
			for b.Loop() {
				contentDigest(s.env.Content)
			}
		})
	}
}
