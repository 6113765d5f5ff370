package bls

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/primebft/prime/threshold"
)

// BenchmarkProof is what a proof costs, beside Ed25519 in the same run: "list" verifies as many signatures as make a quorum.
// min-us is the shortest that it took, which a busy machine changes least.
func BenchmarkProof(b *testing.B) {
	for _, size := range [][2]int{{4, 3}, {7, 5}, {18, 13}, {31, 21}} {
		n, quorum := size[0], size[1]
		k, err := Deal(n, quorum)
		if err != nil {
			b.Fatal(err)
		}
		groups := open(b, k, quorum)
		message := make([]byte, 150)
		var ids []int
		var shares []threshold.Signature
		for id := 1; id <= quorum; id++ {
			ids, shares = append(ids, id), append(shares, groups[id-1].Sign(message))
		}
		sig, err := groups[0].Combine(ids, shares)
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, f func() bool) {
			b.Run(fmt.Sprintf("n=%d/%s", n, name), func(b *testing.B) {
				least := time.Hour
				for b.Loop() {
					start := time.Now()
					if !f() {
						b.Fatal("false")
					}
					least = min(least, time.Since(start))
				}
				b.ReportMetric(float64(least.Nanoseconds())/1000, "min-us")
			})
		}
		run("bls-sign", func() bool { groups[0].Sign(message); return true })
		run("bls-verify-share", func() bool { return groups[0].VerifyShare(1, message, &shares[0]) })
		run("bls-combine", func() bool { _, err := groups[0].Combine(ids, shares); return err == nil })
		run("bls-verify", func() bool { return groups[0].Verify(message, &sig) })
		run("bls-open", func() bool {
			_, err := Scheme{}.Open(threshold.Setup{Quorum: quorum, Keys: k.Public})
			return err == nil
		})
		public, private, _ := ed25519.GenerateKey(nil)
		one := ed25519.Sign(private, message)
		run("ed25519-sign", func() bool { ed25519.Sign(private, message); return true })
		run("list-verify", func() bool {
			ok := true
			for range quorum {
				ok = ok && ed25519.Verify(public, message, one)
			}
			return ok
		})
	}
}
