package sim

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/catchup"
	"github.com/primebft/prime/internal/core/checkpoint"
	"github.com/primebft/prime/internal/core/preorder"
	"github.com/primebft/prime/internal/core/suspect"
	"github.com/primebft/prime/internal/core/window"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// What a replica's core can grow is found by looking at the core itself, so that nothing that is added to it later is forgotten:
// every slice, map, list and ring in it, however deep, needs a limit here and a line in docs/operations.md. It is named by its path,
// the fields from core.Replica on; elements of what is indexed have the path of the whole and "[]".

// sizes is what a limit is computed from.
type sizes struct {
	core.Limits
	group group.Group
}

func (s sizes) lane() int { return core.LaneWindow(s.Limits) }
func (s sizes) view() int { return core.ViewWindow(s.Limits) }

// kept is how many executed ordinals are held.
func (s sizes) kept() int { return core.Kept(s.Limits) }

// perReplica is what has one place for each replica.
func perReplica(s sizes) int { return s.group.N() }

// growths are the limits, by path.
var growths = map[string]func(sizes) int{
	"cfg.Incarnations": perReplica, "preorder.cfg.Incarnations": perReplica, "recon.cfg.Incarnations": perReplica,
	"preorder.lanes": perReplica, "preorder.peers": perReplica, "recon.lanes": perReplica, "recon.lanes[].stored": perReplica,
	"recon.pinned": perReplica, "preorder.lanes[].streams": perReplica,
	"election.votes": perReplica, "reports.instances": perReplica, "change.reports": perReplica, "change.prepares": perReplica,
	"change.commits": perReplica, "change.shares[].list": perReplica, "suspect.answers": perReplica, "suspect.bounds": perReplica,
	"suspect.numbers": perReplica, "suspect.reported": perReplica, "suspect.trips": perReplica, "rounds": perReplica,
	"helpAt": perReplica, "helped": perReplica, "recallCredit": perReplica, "recallRefill": perReplica, "early": perReplica,
	"earlyBytes": perReplica, "earlyPings": perReplica, "checkpoints.votes": perReplica, "checkpoints.passed": perReplica, "checkpoints.answerAt": perReplica, "transfers.last": perReplica,
	"asked": perReplica, "catchup.peers": perReplica, "catchup.askers": perReplica, "catchup.outlines": perReplica,

	"preorder.pending":                  func(s sizes) int { return s.PendingBytes/preorder.UpdateCost + 1 },
	"preorder.lanes[].slots":            func(s sizes) int { return ringLimit((s.kept() + 2) * s.lane()) },
	"preorder.lanes[].slots[].tallies":  func(s sizes) int { return 2 * s.group.N() }, // of each replica two
	"recon.lanes[].slots":               func(s sizes) int { return ringLimit(s.lane()) },
	"recon.lanes[].slots[].parts":       perReplica,
	"recon.lanes[].slots[].tried":       func(s sizes) int { return s.group.N() / s.group.OneCorrect() },
	"recon.queue":                       func(s sizes) int { return 4 * s.group.N() * s.lane() },
	"recon.batches":                     func(s sizes) int { return 4 * s.group.N() * s.lane() },
	"recon.batches[].parts":             func(s sizes) int { return 4 * s.group.N() * s.lane() },
	"preorder.peers[].answers.list":     func(sizes) int { return preorder.MaxAnswers },
	"held":                              func(s sizes) int { return ringLimit(s.kept() + 1) },
	"order.slots":                       func(s sizes) int { return ringLimit(s.kept() + 1 + s.view()) },
	"order.slots[].commits":             func(s sizes) int { return s.group.Quorum() },
	"order.slots[].known":               func(sizes) int { return 3 }, // order.maxKnown
	"order.slots[].round.votes":         func(s sizes) int { return 2 * s.group.N() },
	"order.windows":                     func(s sizes) int { return s.kept() + s.view() + 2 },
	"sessions.sessions":                 func(s sizes) int { return s.Sessions },
	"sessions.places":                   func(s sizes) int { return s.Sessions },
	"sessions.executed":                 func(s sizes) int { return s.Sessions * s.SessionWindow / 64 },
	"suspect.challenges":                func(sizes) int { return suspect.MaxChallenges },
	"reports.instances[].held":          func(sizes) int { return 3 },
	"reports.instances[].tallies":       func(s sizes) int { return 2 * s.group.N() },
	"change.lists":                      perReplica,
	"change.resolved":                   func(s sizes) int { return s.group.N() + 2 },
	"change.shares":                     func(s sizes) int { return s.group.N() * s.group.N() },
	"checkpoints.votes[]":               func(sizes) int { return checkpoint.Kept },
	"checkpoints.made":                  func(sizes) int { return checkpoint.Kept },
	"early[]":                           func(sizes) int { return core.MaxEarly },
	"recalled":                          func(s sizes) int { return s.view() + s.group.N() },
	"catchup.askers[].asks":             func(sizes) int { return catchup.MaxAsks },
	"catchup.links":                     func(sizes) int { return catchup.MaxLinks },
	"catchup.outlines[].links":          func(sizes) int { return catchup.MaxLinks },
	"catchup.active":                    func(sizes) int { return catchup.Active },
	"catchup.active[].asked":            func(sizes) int { return catchup.MaxAsked },
	"catchup.active[].parts":            func(sizes) int { return wire.Spacing },
	"catchup.active[].parts[].ordinals": func(sizes) int { return wire.Spacing },
}

// ringLimit is the most slots that a ring takes whose newest entry is at most span after its oldest: rings double.
func ringLimit(span int) int { return max(8, 2*span) }

// sealed reports whether a type is not looked into: messages, whose sizes the decoder limits, and the like.
func sealed(t reflect.Type) bool {
	p := t.PkgPath()
	return strings.HasSuffix(p, "internal/wire") || strings.HasSuffix(p, "internal/group") || t == reflect.TypeFor[rand.Rand]()
}

// isRing reports whether a type is a window.Ring, of whatever.
func isRing(t reflect.Type) bool {
	return t.PkgPath() == reflect.TypeFor[window.Ring[int]]().PkgPath() && strings.HasPrefix(t.Name(), "Ring[")
}

// below is the path of a field.
func below(path, field string) string { return strings.TrimPrefix(path+"."+field, ".") }

// scan finds what can grow in values of a type. It reports whether there is anything; found may be nil. A type that contains itself,
// as elements of a list do, can grow.
func scan(t reflect.Type, path string, found map[string]bool, above ...reflect.Type) (grows bool) {
	note := func() {
		if grows = true; found != nil {
			found[path] = true
		}
	}
	if slices.Contains(above, t) {
		note()
		return grows
	}
	above = append(above[:len(above):len(above)], t)
	switch {
	case sealed(t):
	case isRing(t):
		note()
		field, _ := t.FieldByName("slots")
		scan(field.Type.Elem(), path+"[]", found, above...)
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Array:
		return scan(t.Elem(), path, found, above...)
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Map:
		note()
		scan(t.Elem(), path+"[]", found, above...)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			grows = scan(t.Field(i).Type, below(path, t.Field(i).Name), found, above...) || grows
		}
	}
	return grows
}

// gauge measures everything that can grow in a value; of what there is many times, the largest.
type gauge struct {
	most  map[string]int
	plain map[reflect.Type]bool // types in which nothing can grow
	seen  map[uintptr]bool      // what pointers point to, so that a circle of them has an end
}

func newGauge() *gauge { return &gauge{map[string]int{}, map[reflect.Type]bool{}, map[uintptr]bool{}} }

func (g *gauge) note(path string, n int) { g.most[path] = max(g.most[path], n) }

// isPlain reports whether nothing can grow in values of a type.
func (g *gauge) isPlain(t reflect.Type) bool {
	plain, known := g.plain[t]
	if !known {
		plain = !scan(t, "", nil)
		g.plain[t] = plain
	}
	return plain
}

// measure looks at a value.
func (g *gauge) measure(v reflect.Value, path string) {
	t := v.Type()
	if g.isPlain(t) {
		return
	}
	switch {
	case isRing(t):
		g.elements(v.FieldByName("slots"), path)
	case t.Kind() == reflect.Pointer:
		if !v.IsNil() && !g.seen[v.Pointer()] {
			g.seen[v.Pointer()] = true
			g.measure(v.Elem(), path)
		}
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		g.elements(v, path)
	case t.Kind() == reflect.Map:
		g.note(path, v.Len())
		if g.isPlain(t.Elem()) {
			return
		}
		for each := v.MapRange(); each.Next(); {
			g.measure(each.Value(), path+"[]")
		}
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if !g.isPlain(t.Field(i).Type) {
				g.measure(v.Field(i), below(path, t.Field(i).Name))
			}
		}
	}
}

// elements measures what is indexed.
func (g *gauge) elements(v reflect.Value, path string) {
	if v.Kind() != reflect.Array {
		g.note(path, v.Len())
		path += "[]"
	}
	if g.isPlain(v.Type().Elem()) {
		return
	}
	for i := range v.Len() {
		g.measure(v.Index(i), path)
	}
}

// scrutiny is after how many steps of a replica everything that it holds is looked at: often where somebody floods it.
func (p *plan) scrutiny() int {
	for i := range p.replicas {
		for _, name := range p.replicas[i].attacks {
			if b, ok := attack.Named(name); ok && b.Noisy {
				return 256
			}
		}
	}
	return 4096
}

// grown checks everything that a correct replica holds against its limit.
func (w *world) grown(n *node) {
	r, ok := n.machine.(*core.Replica)
	if !ok {
		return
	}
	if w.gauge == nil {
		w.gauge = newGauge()
	}
	clear(w.gauge.most)
	clear(w.gauge.seen)
	w.gauge.measure(reflect.ValueOf(r), "")
	s := sizes{w.plan.limits, w.plan.group}
	for path, size := range w.gauge.most {
		limit, ok := growths[path]
		if !ok {
			w.fail("%s holds %s, for which there is no limit: see growths", n.id, path)
		} else if most := limit(s); size > most {
			w.fail("%s: %s has %d entries, the limits allow %d", n.id, path, size, most)
		}
	}
}
