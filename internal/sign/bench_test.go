package sign

import (
	"fmt"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

func BenchmarkSign(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			c := newCluster(b, 2, 0, Ed25519{}, nil)
			var batch []*wire.Envelope
			for _, m := range c.statuses(size) {
				batch = append(batch, c.draft(1, m))
			}
			b.ReportAllocs()
			for b.Loop() {
				c.signers[0].Sign(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/message")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	c := newCluster(b, 2, 0, Ed25519{}, nil)
	verify := func(e *wire.Envelope, fresh func() *Verifier) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				v := fresh()
				b.StartTimer()
				if err := v.Verify(e); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	cold := func(warm ...*wire.Envelope) func() *Verifier { // one that has seen warm only
		v := c.verifier()
		return func() *Verifier {
			for i := range v.signers {
				clear(v.signers[i].roots.slots[:])
				clear(v.signers[i].summaries.slots)
			}
			for _, e := range warm {
				v.Remember(e)
			}
			return v
		}
	}
	single, batch := c.one(2, c.status(1)), c.sign(2, c.statuses(64)...)
	p := c.one(1, c.proposal(1))
	b.Run("single", verify(single, cold()))
	b.Run("proposal-7-rows-cold", verify(p, cold()))
	b.Run("proposal-7-rows-known", verify(p, cold(p.Msg.(*wire.PrePrepare).Rows...)))
	for name, e := range map[string]*wire.Envelope{"known-root-of-64": batch[5], "proposal-again": p} {
		b.Run(name, func(b *testing.B) {
			v := c.verifier()
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Verify(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPool is messages through the pool from 6 peers that sign batches of the given size; one op is one message.
func BenchmarkPool(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			c := newCluster(b, 2, 0, Ed25519{}, nil)
			p := c.pool(b, 2, 1<<20)
			const batches = 512 // more than are remembered
			var lanes [6][][]byte
			for i := range lanes {
				for j := range batches {
					var ms []wire.Message
					for k := range size {
						ms = append(ms, c.status(uint64(j*size+k)))
					}
					for _, e := range c.sign(group.FromIndex(i+1), ms...) {
						lanes[i] = append(lanes[i], e.Raw)
					}
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			each := b.N/len(lanes) + 1
			for i, raws := range lanes {
				go func() {
					for j := range each {
						p.Offer(group.FromIndex(i+1), wire.Bounded, raws[j%len(raws)])
					}
				}()
			}
			var dst []*wire.Envelope
			for taken := 0; taken < each*len(lanes); taken += len(dst) {
				if dst = p.Take(dst[:0], wire.Bounded, 64); len(dst) == 0 {
					<-p.Ready()
				}
			}
		})
	}
}
