package core_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// attack rI NAME…: from now on replica I does this to the rest, see internal/attack. A second line replaces the first; "attack rI none"
// ends it.
func (s *script) attack(t *testing.T, d *datadriven.TestData) {
	var me group.ID
	for id := range parseSet(t, []string{d.CmdArgs[0].Key}).All() {
		me = id
	}
	if s.attackers == nil {
		s.attackers = make([]core.Machine, s.group.N())
	}
	s.attackers[me.Index()] = nil
	var machine core.Machine = s.machines[me.Index()]
	host := &attack.Host{
		Self: me, Group: s.group, Incarnations: slices.Repeat([]uint32{1}, s.group.N()), Limits: core.Limits{InFlight: 8},
		Pause: 10 * time.Millisecond, Rand: rand.New(rand.NewPCG(uint64(me), 1)), Allies: group.SetOf(me),
		Sign: func(m wire.Message) *wire.Envelope { return s.sign(me, m) },
	}
	for _, a := range d.CmdArgs[1:] {
		if a.Key == "none" {
			return
		}
		b, ok := attack.Named(a.Key)
		if !ok {
			t.Fatalf("%s: there is no attack %q", d.Pos, a.Key)
		}
		machine = b.Wrap(host, machine)
	}
	s.attackers[me.Index()] = machine
}

// machine is what a replica is: its core, or an attack around it.
func (s *script) machine(id group.ID) core.Machine {
	if s.attackers != nil && s.attackers[id.Index()] != nil {
		return s.attackers[id.Index()]
	}
	return s.machines[id.Index()]
}

// TestEveryAttackFitsIntoAScript: all behaviours can be used in golden scripts, and a small quiet world survives each, whether it is
// at the leader or not.
func TestEveryAttackFitsIntoAScript(t *testing.T) {
	t.Parallel()
	for _, b := range attack.Behaviours() {
		if b.Name == "forged-proofs" {
			continue // receivers refuse what it forges, and scripts verify nothing
		}
		for _, at := range []string{"r1", "r3"} {
			c := newClaim(t, "group f=1 judged"+quietly, "advance 60ms", "attack "+at+" "+b.Name)
			log := c.do("submit r2 a") + c.do("advance 400ms") + c.do("submit r4 b") + c.do("advance 800ms")
			var first string
			for _, id := range []string{"r2", "r4"} {
				got := delivered(log, id)
				if !strings.Contains(got, "a(r2)") || !strings.Contains(got, "b(r4)") || first != "" && got != first {
					t.Errorf("%s at %s: %s delivers\n%s\nafter\n%s", b.Name, at, id, got, first)
				}
				first = got
			}
		}
	}
}

// delivered is what a replica delivers, without the instants.
func delivered(log, id string) (all string) {
	for line := range strings.Lines(log) {
		if _, what, ok := strings.Cut(line, id+": deliver "); ok {
			all += what
		}
	}
	return all
}
