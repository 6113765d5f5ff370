package lab

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/group"
)

// slowOutage is outage in obvious lines: it looks at every moment.
func slowOutage(l *Log, deliveries []int64, window stall.Span, limit int64, slack time.Duration) spell {
	var longest spell
	from := window.From
	for t := window.From; t <= limit; t++ {
		if !slices.Contains(deliveries, t) && t != limit {
			continue
		}
		if t < window.From || from >= window.To {
			continue
		}
		stalled := func(t int64) (count int64) {
			for _, s := range l.Stalls {
				for at := max(s.From, from); at < min(s.To, t); at++ {
					count++
				}
			}
			return count
		}
		end := t
		if t > window.To && window.To-from-stalled(window.To) <= int64(slack) {
			end = window.To
		}
		if d := time.Duration(end - from); d-time.Duration(stalled(end)) > longest.unstalled {
			longest = spell{d, d - time.Duration(stalled(end))}
		}
		from = t
	}
	return longest
}

// TestOutageTwin: the fast search agrees with the obvious one.
func TestOutageTwin(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		l := &Log{Window: stall.Span{From: 10, To: 10 + random.Int64N(90)}}
		for at := int64(0); at < 110; at += 1 + random.Int64N(30) {
			l.Stalls = append(l.Stalls, stall.Span{From: at, To: at + 1 + random.Int64N(10)})
		}
		l.Stalls = union(l.Stalls)
		var deliveries []int64
		for range random.IntN(12) {
			deliveries = append(deliveries, random.Int64N(110))
		}
		slices.Sort(deliveries)
		window := stall.Span{From: l.Window.From + random.Int64N(20), To: l.Window.From + random.Int64N(100)}
		limit := max(window.To, l.Window.To)
		slack := time.Duration(random.IntN(20))
		got, want := l.outage(deliveries, window, limit, slack), slowOutage(l, deliveries, window, limit, slack)
		if window.From < window.To && got.unstalled != want.unstalled {
			t.Fatalf("deliveries %v, stalls %v, window %v, limit %d: %v, want %v", deliveries, l.Stalls, window, limit, got, want)
		}
	}
}

// TestDeliveriesOfCorrectReplicas: what a killed, attacked, paused or cut off replica delivers does not end an outage.
func TestDeliveriesOfCorrectReplicas(t *testing.T) {
	t.Parallel()
	l := &Log{Group: group.MustNew(1, 0), Window: stall.Span{From: 0, To: 1000}, Deliveries: map[int][]bench.Delivery{
		1: {{At: 10, Ordinal: 1}, {At: 50, Ordinal: 2}}, 2: {{At: 11, Ordinal: 1}, {At: 60, Ordinal: 2}},
		3: {{At: 12, Ordinal: 1}, {At: 70, Ordinal: 2}, {At: 90, Ordinal: 3}}, 4: {{At: 13, Ordinal: 1}, {At: 80, Ordinal: 3}},
	}}
	l.Happened = []Happened{
		{Event: Event{Verb: Attack}, At: 20, Replicas: []int{1}},
		{Event: Event{Verb: Pause}, At: 20, Replicas: []int{2}},
		{Event: Event{Verb: Partition}, At: 20, Sides: [][]int{{3}, {1, 2, 4}}},
		{Event: Event{Verb: Heal}, At: 85},
	}
	if got := l.deliveries(); !slices.Equal(got, []int64{10, 11, 12, 13, 80, 90}) {
		t.Errorf("deliveries at %v", got)
	}
}

// TestAway: a replica is back when it has caught up with what others had when it came back, and never after an attack.
func TestAway(t *testing.T) {
	t.Parallel()
	l := &Log{Group: group.MustNew(1, 0), Deliveries: map[int][]bench.Delivery{
		1: {{At: 10, Ordinal: 1}, {At: 40, Ordinal: 9}, {At: 100, Ordinal: 20}},
		2: {{At: 10, Ordinal: 1}, {At: 60, Ordinal: 5}, {At: 70, Ordinal: 9}, {At: 101, Ordinal: 20}},
		3: {{At: 10, Ordinal: 1}},
	}}
	l.Happened = []Happened{
		{Event: Event{Verb: Pause}, At: 20, Replicas: []int{2, 3}},
		{Event: Event{Verb: Resume}, At: 50, Replicas: []int{2, 3}},
		{Event: Event{Verb: Link}, At: 80, Replicas: []int{1}, To: []int{4}},
		{Event: Event{Verb: Attack, What: NoAttack}, At: 90, Replicas: []int{4}},
	}
	away := l.away(true)
	for id, want := range map[int][]stall.Span{
		1: {{From: 80, To: forever}}, 2: {{From: 20, To: 70}}, 3: {{From: 20, To: forever}}, 4: {{From: 80, To: forever}},
	} {
		if !slices.Equal(away[id], want) {
			t.Errorf("r%d is away %v, want %v", id, away[id], want)
		}
	}
	if spans := l.away(false); len(spans[1]) != 0 || spans[4][0].From != 90 {
		t.Errorf("without links: %v", spans)
	}
	if got, want := l.withoutQuorum(), []stall.Span{{From: 20, To: 70}, {From: 90, To: forever}}; !slices.Equal(got, want) {
		t.Errorf("there is no quorum %v, want %v", got, want)
	}
}
