package sim

import (
	"fmt"
	"strings"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// Attack is a way to misbehave that Options.Attacks can name.
type Attack struct{ Name, Does string }

// Attacks lists them. "flood:KIND" is possible too, for every kind of message.
func Attacks() (all []Attack) {
	for _, b := range attack.Behaviours() {
		all = append(all, Attack{b.Name, b.Does})
	}
	return all
}

// CheckAttacks returns an error for a name that is none.
func CheckAttacks(names []string) error {
	for _, name := range names {
		if _, ok := attack.Named(name); ok {
			continue
		}
		var known []string
		for _, b := range attack.Behaviours() {
			known = append(known, b.Name)
		}
		return fmt.Errorf("there is no attack %.40q; there are %s, and flood:KIND for every kind of message, as in flood:RTT-PING", name,
			strings.Join(known, ", "))
	}
	return nil
}

// force lets the attackers of a world do what is asked for. If there are none, one becomes one; attacks that take an ally, all f.
// Who attacks as leader leads view 1 or 2.
func (p *plan) force(names []string, seed uint64) {
	if len(names) == 0 || p.group.F() == 0 {
		return
	}
	want, leads := 1, false
	for _, name := range names {
		b, _ := attack.Named(name)
		leads = leads || b.Leader
		if name == "shared-key" || name == "reconciliation" {
			want = p.group.F()
		}
	}
	attackers := 0
	for i := range p.replicas {
		if r := &p.replicas[i]; len(r.attacks) > 0 {
			r.attacks = names
			attackers++
		}
	}
	for i := int(seed % uint64(len(p.replicas))); attackers < want; i = (i + 1) % len(p.replicas) {
		if r := &p.replicas[i]; len(r.attacks) == 0 && r.crash == clock.Never {
			r.attacks = names
			attackers++
		}
	}
	if lead := p.group.Leader(1 + seed%2); leads && p.correct(lead) {
		for i := range p.replicas {
			if !p.correct(group.FromIndex(i)) {
				p.replicas[i], p.replicas[lead.Index()] = p.replicas[lead.Index()], p.replicas[i]
				return
			}
		}
	}
}
