package sim

import (
	"strings"
	"testing"

	"github.com/primebft/prime/app"
)

// TestApplicationsMustAgree gives every replica an application that answers in its own way, and expects a violation.
func TestApplicationsMustAgree(t *testing.T) {
	t.Parallel()
	selfish := func(replica int) app.Application {
		return app.Func(func(app.Record) []byte { return []byte{byte(replica)} })
	}
	r := run(&Options{Seed: 1, App: selfish}, quietPlan(1, 0), newReplica)
	if r.Violation == nil || !strings.Contains(r.Violation.What, "differently") {
		t.Fatalf("%+v", r)
	}
}

// TestApplicationsSeeEverything counts what the applications get.
func TestApplicationsSeeEverything(t *testing.T) {
	t.Parallel()
	seen := map[int]uint64{}
	count := func(replica int) app.Application {
		return app.Func(func(r app.Record) []byte {
			if r.Ordinal < seen[replica] || r.Ordinal > seen[replica]+1 {
				t.Errorf("r%d: ordinal %d after %d", replica, r.Ordinal, seen[replica])
			}
			seen[replica] = r.Ordinal
			return r.Payload
		})
	}
	r := run(&Options{Seed: 1, App: count}, quietPlan(1, 1), newReplica)
	if r.Violation != nil || len(seen) != 6 {
		t.Fatalf("%d applications saw something: %+v", len(seen), r)
	}
	for replica, last := range seen {
		if last != uint64(r.Ordinals) {
			t.Errorf("r%d's application saw %d of %d ordinals", replica, last, r.Ordinals)
		}
	}
}

// TestRealSignatures runs worlds with Ed25519 and expects the same outcome as with checksums.
func TestRealSignatures(t *testing.T) {
	t.Parallel()
	for _, auth := range []bool{false, true} {
		for _, byzantine := range []string{"frame", "equivocate", ""} {
			if underRace && byzantine != "frame" {
				continue
			}
			p := quietPlan(1, 0)
			p.auth, p.roundTrip = auth, true
			if byzantine != "" {
				p.replicas[3].attacks = []string{byzantine}
			}
			r := run(&Options{Seed: 1, RealSignatures: true}, p, newReplica)
			if r.Violation != nil || !r.Converged {
				t.Errorf("client signatures %v, attacker %q: %+v", auth, byzantine, r)
			}
		}
	}
}
