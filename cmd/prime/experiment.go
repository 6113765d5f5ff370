package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/lab"
)

// experiment is one run of a script: the hands that carry it out, and the eyes that note what follows.
type experiment struct {
	sizes    group.Group
	node     config.Node // settings of all replicas
	events   []lab.Event
	duration time.Duration
	clock    stall.Clock
	cluster  *cluster.Cluster
	session  *bench.Session
	say      func(format string, args ...any)
	started  chan struct{} // closed when the window is known
	soak     *lab.Soak     // instead of events: rounds as they come; nil: there are none
	seed     uint64        // of it
	storage  storage
	history  int
	// checkpoint is how many ordinals lie between two of them, 0: the usual number; app is the application, with no kind: the usual one.
	checkpoint int
	app        config.App
	coming     sync.WaitGroup  // who waits for replicas that come back
	life       context.Context // of those who do
	end        context.CancelFunc

	mu       sync.Mutex
	log      lab.Log
	view     uint64 // newest that a correct replica is in
	attacks  map[int]string
	cut      map[int]bool         // in a group without a quorum
	links    bool                 // were changed
	played   []lab.Played         // rounds of the soak
	sides    [][]int              // of the partition, while there is one
	behind   map[int]bool         // correct replicas that need what no other holds
	taken    map[int]bool         // the script has taken them away, or changed their links
	absences map[int]int          // how often
	before   map[int]bench.Status // of each when it was taken away; what it counts is 0 if its process has ended since
	asked    map[int]question
	numbered int
	lines    []string // what happened last, for the picture
}

// question is a command without an answer yet.
type question struct {
	to, event int
	what      string
}

func newExperiment(sizes group.Group, events []lab.Event, duration time.Duration) *experiment {
	return &experiment{
		sizes: sizes, events: events, duration: duration, clock: stall.NewClock(), started: make(chan struct{}), view: 1,
		attacks: map[int]string{}, cut: map[int]bool{}, behind: map[int]bool{}, taken: map[int]bool{}, asked: map[int]question{},
		absences: map[int]int{}, before: map[int]bench.Status{}, history: labHistory,
	}
}

// labHistory is how many executed ordinals replicas keep for those that are behind, unless it is told.
const labHistory = 1 << 15

// equip makes replicas ones whose strings can be pulled.
func (x *experiment) equip(o *cluster.Options) {
	args := o.RunArgs
	o.RunArgs = func(id int) []string { return append([]string{"--puppet"}, args(id)...) }
	o.Heard = x.heard
	o.Limits.History = x.history
	if x.checkpoint > 0 {
		o.Limits.CheckpointOrdinals = x.checkpoint
	}
	if x.app.Kind != "" {
		o.Node.App = x.app
	}
	o.Vary = func(n *config.Node) { n.Storage.Mode = x.storage.of(n.ID) }
	x.node = o.Node
}

func (x *experiment) begin(ctx context.Context, c *cluster.Cluster, s *bench.Session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cluster, x.session = c, s
	x.life, x.end = context.WithCancel(ctx)
	x.log.Group = x.sizes
}

// began is told when the measurement will be.
func (x *experiment) began(window bench.Span) {
	x.mu.Lock()
	x.log.Window = window
	x.mu.Unlock()
	close(x.started)
}

// acknowledged takes one update.
func (x *experiment) acknowledged(s bench.Sample) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.log.Samples = append(x.log.Samples, lab.NewSample(x.session.Home(s.Client), s.From, s.To))
}

// heard takes a note of a replica.
func (x *experiment) heard(id int, line []byte) {
	n, err := lab.ParseNote(line)
	if err != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if n.Kind == lab.Done {
		q, ok := x.asked[n.Number]
		delete(x.asked, n.Number)
		if ok && n.Problem != "" {
			x.complain(q.event, fmt.Sprintf("r%d: %s", id, n.Problem))
		}
		return
	}
	x.log.Notes = append(x.log.Notes, lab.Noted{By: id, Note: n})
	if x.attacks[id] != "" {
		return
	}
	switch n.Kind {
	case lab.Installed, lab.Preinstalled:
		if n.View > x.view {
			x.view = n.View
			x.tell(fmt.Sprintf("view %d: r%d leads", n.View, x.sizes.Leader(n.View)))
		}
	case lab.LeftBehind:
		if !x.behind[n.Replica] && x.attacks[n.Replica] == "" && x.session != nil {
			x.behind[n.Replica] = true
			x.tell(fmt.Sprintf("r%d needs what others no longer hold", n.Replica))
		}
	}
}

// tell remembers a line for the picture. The caller holds x.mu.
func (x *experiment) tell(line string) {
	if x.log.Window.From > 0 {
		line = fmt.Sprintf("%6.1f s  %s", time.Duration(x.clock.Now()-x.log.Window.From).Seconds(), line)
	}
	x.lines = append(x.lines, line)
}

// complain adds to why an event was not carried out. The caller holds x.mu.
func (x *experiment) complain(event int, problem string) {
	h := &x.log.Happened[event]
	if h.Problem != "" {
		h.Problem += "; "
	}
	h.Problem += problem
}

// latest are lines for below the picture.
func (x *experiment) latest() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	const most = 8
	lines := make([]string, 0, most+1)
	for _, line := range x.lines[max(0, len(x.lines)-most):] {
		lines = append(lines, "  "+line)
	}
	if next := len(x.log.Happened); next < len(x.events) {
		lines = append(lines, fmt.Sprintf("  next: at %s %s", x.events[next].At, x.events[next].Text))
	}
	return lines
}

// fate is what was done to a replica.
func (x *experiment) fate(id int) string {
	r := x.cluster.Replica(id)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case r.Killed():
		return "down: killed"
	case x.attacks[id] != "":
		return "attacks: " + x.attacks[id]
	case r.Paused():
		return "paused"
	case x.behind[id]:
		return "left behind"
	case x.cut[id]:
		return "cut off"
	}
	return ""
}

// leading is the view and its leader.
func (x *experiment) leading() (uint64, int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.view, int(x.sizes.Leader(x.view))
}

func (x *experiment) isAttacked(id int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.attacks[id] != ""
}

// moment is what roles mean now.
func (x *experiment) moment() lab.Moment {
	_, leader := x.leading()
	return lab.Moment{Replicas: x.sizes.N(), Leader: leader, Well: func(id int) bool {
		return x.cluster.Replica(id).Running() && x.fate(id) == ""
	}}
}

// play carries out the script until ctx ends.
func (x *experiment) play(ctx context.Context) {
	select {
	case <-x.started:
	case <-ctx.Done():
		return
	}
	if x.soak != nil {
		x.playSoak(ctx)
		return
	}
	for i := range x.events {
		timer := time.NewTimer(time.Until(x.clock.At(x.log.Window.From + int64(x.events[i].At))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		x.happen(&x.events[i])
	}
}

// happen carries out one event.
func (x *experiment) happen(e *lab.Event) {
	m := x.moment()
	h := lab.Happened{Event: *e, Replicas: e.Who.Resolve(m), To: e.To.Resolve(m)}
	if e.Verb == lab.Partition {
		h.Sides = e.Sides(m)
	}
	if len(e.Who) > 0 && len(h.Replicas) == 0 {
		h.Problem = "there was no such replica"
	}
	x.mu.Lock()
	h.At = x.clock.Now()
	x.log.Happened = append(x.log.Happened, h)
	number := len(x.log.Happened) - 1
	x.tell(h.Text())
	x.mu.Unlock()
	if x.soak == nil {
		x.say("at %s: %s", e.At, h.Text())
	}
	for _, id := range h.Replicas {
		if err := x.does(number, e, id, h.To); err != nil {
			x.mu.Lock()
			x.complain(number, err.Error())
			x.mu.Unlock()
		}
	}
	switch e.Verb {
	case lab.Partition:
		x.partition(number, h.Sides)
	case lab.Heal:
		x.heal(number)
	}
}

// does carries out an event at one replica.
func (x *experiment) does(number int, e *lab.Event, id int, to []int) error {
	r := x.cluster.Replica(id)
	switch e.Verb {
	case lab.Kill:
		x.leaves(id, false)
		return r.Kill()
	case lab.Pause:
		x.leaves(id, true)
		return r.Pause()
	case lab.Resume:
		if !r.Paused() {
			if slices.Contains(e.Who, lab.Target{Role: lab.All}) {
				return nil
			}
			return fmt.Errorf("r%d was not paused", id)
		}
		if err := r.Resume(); err != nil {
			return err
		}
		x.expect(number, id, nil)
	case lab.Restart:
		if x.isAttacked(id) {
			return fmt.Errorf("r%d is compromised: what it has signed does not follow from its log, so it is not started again", id)
		}
		x.leaves(id, false)
		if err := errors.Join(r.Kill(), r.Restart()); err != nil { // before the next event can kill it again
			return err
		}
		x.expect(number, id, x.restart)
	case lab.Attack:
		x.mu.Lock()
		x.attacks[id] = e.What
		if e.What == lab.NoAttack {
			x.attacks[id] = "no more, but nobody knows what it has signed"
		}
		x.mu.Unlock()
		x.session.Exclude(id)
		return x.order(number, id, lab.Attack, lab.AttackArguments(x.allies(e), e.What))
	case lab.Link:
		err := x.relink(number, id, to, e.What)
		for _, other := range to {
			if e.Both && err == nil {
				err = x.relink(number, other, []int{id}, e.What)
			}
		}
		return err
	}
	return nil
}

// allies are the replicas that are compromised when an event is, or were before.
func (x *experiment) allies(e *lab.Event) []int {
	m := x.moment()
	x.mu.Lock()
	defer x.mu.Unlock()
	all := slices.Collect(maps.Keys(x.attacks))
	for i := range x.events {
		if other := &x.events[i]; other.Verb == lab.Attack && other.At == e.At {
			all = append(all, other.Who.Resolve(m)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// order sends a replica a command.
func (x *experiment) order(event, id int, verb lab.Verb, rest string) error {
	r := x.cluster.Replica(id)
	if r.Killed() {
		return nil // it does nothing any more
	}
	x.mu.Lock()
	x.numbered++
	number := x.numbered
	x.asked[number] = question{to: id, event: event, what: string(verb) + " " + rest}
	x.mu.Unlock()
	if err := r.Tell(lab.Command{Number: number, Verb: verb, Rest: rest}.String()); err != nil {
		return fmt.Errorf("r%d: %w", id, err)
	}
	return nil
}

// relink changes the links from one replica to others.
func (x *experiment) relink(event, from int, to []int, settings string) error {
	var ids []string
	for _, id := range to {
		if id != from {
			ids = append(ids, strconv.Itoa(id))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	x.mu.Lock()
	x.links = true
	for _, id := range append(slices.Clone(to), from) {
		x.taken[id] = true
	}
	x.mu.Unlock()
	return x.order(event, from, lab.Link, strings.Join(ids, ",")+" "+settings)
}

// partition cuts the links between groups, and mends those inside them.
func (x *experiment) partition(event int, sides [][]int) {
	x.mu.Lock()
	x.sides = sides
	x.mu.Unlock()
	for _, side := range sides {
		for _, id := range side {
			x.mu.Lock()
			was, is := x.cut[id], len(side) < x.sizes.Quorum()
			x.cut[id] = is
			x.mu.Unlock()
			if is && !was {
				x.leaves(id, true)
			}
			if err := x.separate(event, id, side); err != nil {
				x.mu.Lock()
				x.complain(event, err.Error())
				x.mu.Unlock()
			}
			if was && !is && x.expects(id) {
				x.expect(event, id, nil)
			}
		}
	}
}

// separate makes a replica one of a side.
func (x *experiment) separate(event, id int, side []int) error {
	return errors.Join(x.relink(event, id, side, "up"), x.relink(event, id, others(x.sizes.N(), side), "down"))
}

// heal makes all links what they were at the beginning. event is -1 if no event asks for it.
func (x *experiment) heal(event int) {
	x.mu.Lock()
	x.sides = nil
	x.mu.Unlock()
	for id := 1; id <= x.sizes.N(); id++ {
		err := x.order(event, id, lab.Heal, "")
		x.mu.Lock()
		was := x.cut[id]
		x.cut[id] = false
		if err != nil && event >= 0 {
			x.complain(event, err.Error())
		}
		x.mu.Unlock()
		if was && event >= 0 && x.expects(id) {
			x.expect(event, id, nil)
		}
	}
}

// tidy makes it possible for correct replicas to come to one end after the load: all links are mended. Who is paused stays so.
func (x *experiment) tidy() {
	x.mu.Lock()
	links := x.links
	x.mu.Unlock()
	if links {
		x.heal(-1)
	}
	x.allBack()
}

// report puts in what the run's log says.
func (x *experiment) report(ctx context.Context, r *lab.Report) error {
	x.mu.Lock()
	window := x.log.Window
	x.mu.Unlock()
	stalls, err := x.session.Detector.Stalled(ctx, window)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.log.Stalls, x.log.Deliveries = stalls, x.session.Deliveries()
	for _, q := range x.asked {
		if !x.cluster.Replica(q.to).Killed() && q.event >= 0 {
			x.complain(q.event, fmt.Sprintf("r%d has not answered to %s", q.to, q.what))
		}
	}
	r.Attacked, r.LeftBehind = []int{}, []int{}
	for id := 1; id <= x.sizes.N(); id++ {
		if x.attacks[id] != "" {
			r.Attacked = append(r.Attacked, id)
		} else if x.behind[id] {
			r.LeftBehind = append(r.LeftBehind, id)
		}
	}
	slices.SortFunc(x.log.Samples, func(a, b lab.Sample) int { return cmp.Compare(a.To, b.To) })
	r.Fill(&x.log, &x.node)
	if x.soak != nil {
		r.Soak = x.log.Soaked(x.seed, x.played)
	}
	return nil
}
