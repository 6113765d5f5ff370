package bench

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/local"
)

func TestMissing(t *testing.T) {
	t.Parallel()
	a, b := [32]byte{1}, [32]byte{2}
	acknowledged, delivered := updateSet{}, updateSet{}
	for seq := uint64(1000); seq < 1200; seq++ {
		acknowledged.add(a, seq)
		acknowledged.add(b, seq)
		if seq%2 == 0 {
			delivered.add(a, seq)
		}
		delivered.add([32]byte{3}, seq) // somebody else's
	}
	if n := acknowledged.missing(delivered); n != 300 {
		t.Errorf("%d are missing, want 300", n)
	}
	if n := acknowledged.missing(acknowledged); n != 0 {
		t.Errorf("%d are missing in the set itself", n)
	}
}

// replica is one whose stream the test writes.
type replica struct {
	id      int
	mu      sync.Mutex
	changed chan struct{}
	records []app.Record
	oldest  uint64 // it has nothing before
	digest  string
}

// skip has it go on from a checkpoint: it has nothing before oldest.
func (r *replica) skip(oldest uint64, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oldest, r.digest = oldest, digest
}

func (r *replica) Info() local.Info { return local.Info{Replica: r.id, Epoch: 1, UpdateBytes: 100} }

func (r *replica) Submit(_ context.Context, payload []byte, done func(local.Result, error)) {
	done(local.Result{}, errors.New("nobody submits here"))
}

func (r *replica) Watch(ctx context.Context, from uint64, emit func([]app.Record) error) error {
	for {
		r.mu.Lock()
		var batch []app.Record
		if oldest := r.oldest; from < oldest {
			r.mu.Unlock()
			return &local.Failure{Code: local.Gone, Oldest: oldest, Text: "gone"}
		}
		if uint64(len(r.records)) >= from {
			batch = r.records[from-1:]
		}
		changed := r.changed
		r.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := emit(batch); err != nil {
			return err
		}
		from += uint64(len(batch))
	}
}

func (r *replica) Status() (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.RawMessage(mustJSON(map[string]any{"replica": r.id, "view": 1, "leader": 1, "ordinal": len(r.records),
		"delivered": len(r.records), "stream_digest": r.digest})), nil
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// deliver adds ordinals with one update of client 1 each.
func (r *replica) deliver(seqs ...uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seq := range seqs {
		r.records = append(r.records, app.Record{Epoch: 1, Ordinal: uint64(len(r.records) + 1), Index: 1, Total: 1, Origin: 1,
			Client: [32]byte{1}, Seq: seq})
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// session follows two such replicas.
func session(t *testing.T) (*Session, [2]*replica) {
	t.Helper()
	c := &cluster.Cluster{}
	var replicas [2]*replica
	for i := range replicas {
		replicas[i] = &replica{id: i + 1, changed: make(chan struct{}), digest: "same"}
		folder := t.TempDir()
		server, err := local.Serve(folder, replicas[i], slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		c.Replicas = append(c.Replicas, &cluster.Replica{ID: i + 1, Folder: folder})
	}
	s, err := Open(t.Context(), c, Clients{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, replicas
}

// TestSettle: replicas that come to one end agree; an acknowledged update that one of them lacks is lost; and different streams
// are found.
func TestSettle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		digest string // of the second
		second []uint64
		agreed bool
		lost   int
		why    string
	}{
		{"all is well", "same", []uint64{1, 2, 3}, true, 0, ""},
		{"another order", "other", []uint64{1, 3, 2}, false, 0, "r1 and r2"},
		{"an update is not what was acknowledged", "same", []uint64{1, 2, 4}, true, 1, "r2"},
		{"two are missing", "other", []uint64{1, 9, 8}, false, 2, "r2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, replicas := session(t)
			for seq := uint64(1); seq <= 3; seq++ {
				s.recorder.done(0, 0, Ack{Client: [32]byte{1}, Seq: seq}, nil)
			}
			replicas[1].skip(0, c.digest)
			replicas[0].deliver(1, 2, 3)
			time.AfterFunc(50*time.Millisecond, func() { replicas[1].deliver(c.second...) }) // it is a little behind
			o, err := s.Settle(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if o.Agreed != c.agreed || o.Lost != c.lost || !strings.Contains(o.Why, c.why) || o.Delivered[2] != 3 {
				t.Errorf("%+v; want agreed %v, lost %d, because of %q", o, c.agreed, c.lost, c.why)
			}
			if (o.Digest == "same") != c.agreed {
				t.Errorf("digest %q", o.Digest)
			}
		})
	}
}

// TestSkip: a replica that went on from a checkpoint has not delivered what was before. If its digest is that of a stream that was seen
// whole, nothing is lost with it.
func TestSkip(t *testing.T) {
	t.Parallel()
	for _, digest := range []string{"same", "other"} {
		s, replicas := session(t)
		for seq := uint64(1); seq <= 3; seq++ {
			s.recorder.done(0, 0, Ack{Client: [32]byte{1}, Seq: seq}, nil)
		}
		replicas[1].skip(3, digest)
		replicas[0].deliver(1, 2, 3)
		replicas[1].deliver(1, 2, 3)
		o, err := s.Settle(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if same := digest == "same"; o.Agreed != same || (o.Lost == 0) != same || s.streams[1].whole() {
			t.Errorf("%s: %+v", digest, o)
		}
	}
}

// TestGap: the longest time without a delivery includes that before the first and after the last.
func TestGap(t *testing.T) {
	t.Parallel()
	s := &stream{clock: stall.NewClock(), delivered: updateSet{}}
	start := s.clock.Now()
	s.begin(start - int64(time.Hour))
	_ = s.take([]app.Record{{Ordinal: 1, Origin: 1}})
	if gap := s.end(s.clock.Now()); gap < time.Hour || gap > time.Hour+time.Minute {
		t.Errorf("gap before the first delivery %v, want an hour", gap)
	}
	s.begin(s.clock.Now())
	_ = s.take([]app.Record{{Ordinal: 2, Origin: 1}})
	if gap := s.end(s.clock.Now() + int64(time.Hour)); gap < time.Hour || gap > time.Hour+time.Minute {
		t.Errorf("gap after the last delivery %v, want an hour", gap)
	}
	s.begin(s.clock.Now())
	if gap := s.end(s.clock.Now()); gap > time.Minute {
		t.Errorf("an old gap was remembered: %v", gap)
	}
}

// TestAttackReport: rounds are compared with each other, and medians taken over them.
func TestAttackReport(t *testing.T) {
	t.Parallel()
	var r AttackReport
	for _, x := range [][2]float64{{100, 50}, {400, 300}, {200, 180}} {
		r.Without = append(r.Without, &Report{ThroughputPerSUnstalled: x[0]})
		r.With = append(r.With, &Report{ThroughputPerSUnstalled: x[1], RepairBytes: map[int]float64{1: 0, 2: x[1] / 10}})
	}
	r.Compare()
	if r.WithoutPerS != 200 || r.WithPerS != 180 || r.Ratio != 0.75 || r.RepairMean != 9 || r.RepairMost != 18 {
		t.Errorf("%+v", r)
	}
}

// TestReport: what is divided by what.
func TestReport(t *testing.T) {
	t.Parallel()
	a := &Leg{Duration: 6 * time.Second, Stalled: time.Second, Updates: 700, Requests: 70, CPU: 7 * time.Millisecond, Sent: map[int]classBytes{1: {1000, 2000, 700}, 2: {1000, 2300}}, MaxGap: 3 * time.Millisecond}
	b := &Leg{Duration: 4 * time.Second, Stalled: time.Second, Updates: 300, Requests: 30, CPU: 3 * time.Millisecond, Sent: map[int]classBytes{1: {0, 2700, 300}}, RSS: map[int]int64{1: 3 << 20}}
	var r Report
	r.Fill(Merge([]*Leg{a, b}))
	if r.DurationS != 10 || r.StalledS != 2 || r.HostStallShare != 0.2 || r.ThroughputPerS != 100 || r.ThroughputPerSUnstalled != 125 {
		t.Errorf("%+v", r)
	}
	if r.CPUUsPerUpdate != 10 || r.BytesSentPerUpdate != 10 || r.UpdatesPerRequest != 10 || r.MaxGapMS != 3 || r.RSSMiB[1] != 3 {
		t.Errorf("%+v", r)
	}
	if r.SentByClass != [4]float64{2, 7, 1, 0} || r.RepairBytes[1] != 1 || r.RepairBytes[2] != 0 {
		t.Errorf("by class %v, repair %v", r.SentByClass, r.RepairBytes)
	}
	if got := PerSecond(100, Span{From: 0, To: int64(2 * time.Second)}, []Span{{From: 0, To: int64(time.Second)}}); got != 100 {
		t.Errorf("100 updates in 2 s, of which 1 s stalled: %v/s", got)
	}
	text := string(mustJSON(&Report{Delivered: map[int]uint64{}, RSSMiB: map[int]float64{}, RepairBytes: map[int]float64{}}))
	if strings.Contains(text, "null") || strings.Contains(text, "floor") {
		t.Errorf("an empty report is %s", text)
	}
}
