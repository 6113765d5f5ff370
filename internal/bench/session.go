package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/primebft/prime/internal/bench/latency"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/local"
	"github.com/primebft/prime/internal/wire"
)

// Session is clients of one cluster, and a stream from each of its replicas that shows what was delivered.
type Session struct {
	Cluster  *cluster.Cluster
	Detector *stall.Detector // nil: stalls are not told apart

	clock     stall.Clock
	clients   []Submitter
	homes     []int // replicas of the clients
	streams   []*stream
	recorder  *recorder
	firstView uint64

	mu       sync.Mutex
	excluded map[int]int // see Exclude
}

// Clients says which clients a session has.
type Clients struct {
	Count   int
	Through Through
	Retry   time.Duration // through the client port, without an answer: then another replica is asked; 0: as package client does
}

// Open connects clients to the cluster and begins to follow every running replica.
func Open(ctx context.Context, c *cluster.Cluster, clients Clients, d *stall.Detector) (*Session, error) {
	s := &Session{Cluster: c, Detector: d, clock: stall.NewClock(), excluded: map[int]int{}}
	s.recorder = newRecorder(s.clock)
	for _, r := range c.Running() {
		status, err := statusOf(ctx, r)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.firstView = max(s.firstView, status.View)
		stream, err := follow(ctx, r.ID, r.Folder, status.Ordinal, s.clock)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.streams = append(s.streams, stream)
	}
	for i := range clients.Count {
		client, home, err := connect(ctx, c, clients.Through, clients.Retry, i)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("client %d: %w", i+1, err)
		}
		s.clients, s.homes = append(s.clients, client), append(s.homes, home)
	}
	return s, nil
}

// Exclude leaves a replica out of everything from now on: it is not asked for its status, and at the end it need not have
// delivered anything. Compromised replicas are.
func (s *Session) Exclude(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excluded[id]++
}

// Include undoes one Exclude.
func (s *Session) Include(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excluded[id]--
}

// Rejoin goes on following a replica that was started again and answers. What it had delivered before it need not deliver to us
// again.
func (s *Session) Rejoin(ctx context.Context, id int) error {
	for _, f := range s.streams {
		if f.id == id {
			return f.reconnect(ctx, s.Cluster.Replica(id).Folder)
		}
	}
	return fmt.Errorf("r%d was not running when the session began", id)
}

// Place is the last ordinal that a replica has delivered.
func (s *Session) Place(id int) (ordinal uint64) {
	for _, f := range s.streams {
		if f.id == id {
			ordinal, _ = f.position()
		}
	}
	return ordinal
}

// StatusOf asks one replica. It gives up when the replica is excluded, or not running.
func (s *Session) StatusOf(ctx context.Context, id int) (Status, error) {
	return s.ask(ctx, s.Cluster.Replica(id))
}

// Counted are the running replicas that are not excluded.
func (s *Session) Counted() []*cluster.Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(s.Cluster.Running(), func(r *cluster.Replica) bool { return s.excluded[r.ID] > 0 })
}

// counts reports whether a replica is running and not excluded.
func (s *Session) counts(id int) bool {
	return slices.ContainsFunc(s.Counted(), func(r *cluster.Replica) bool { return r.ID == id })
}

// Home is the replica that a client gives its updates to, as long as that answers.
func (s *Session) Home(client int) int { return s.homes[client] }

// Deliveries are, by replica, when it delivered what, since the session began.
func (s *Session) Deliveries() map[int][]Delivery {
	all := map[int][]Delivery{}
	for _, f := range s.streams {
		all[f.id] = f.history()
	}
	return all
}

// Close ends all clients and streams.
func (s *Session) Close() {
	var closing sync.WaitGroup
	for _, c := range s.clients {
		closing.Go(func() { _ = c.Close() })
	}
	for _, f := range s.streams {
		closing.Go(f.close)
	}
	closing.Wait()
}

// Status is what the benchmark reads of a replica's status.
type Status struct {
	Replica      int    `json:"replica"`
	State        string `json:"state"`
	View         uint64 `json:"view"`
	Leader       int    `json:"leader"`
	Ordinal      uint64 `json:"ordinal"`
	Delivered    uint64 `json:"delivered"`
	StreamDigest string `json:"stream_digest"`
	Peers        []struct {
		RecvBytes uint64               `json:"recv_bytes"`
		Sent      [wire.Classes]uint64 `json:"sent_bytes_by_class"`
	} `json:"peers"`
	Lanes []struct {
		Executed uint64 `json:"executed"`
	} `json:"lanes"`
	Storage struct {
		Start *Start `json:"start"` // how it went through its log when it started; nil if it had none
	} `json:"storage"`
	CatchUp struct {
		Ordinals uint64 `json:"ordinals"` // executed from what others told
	} `json:"catch_up"`
	Checkpoints struct {
		Jumps   uint64 `json:"jumps"`   // times that it went on after a checkpoint of others
		Fetched uint64 `json:"fetched"` // bytes of these
	} `json:"checkpoints"`
}

// Start is how a replica went through its log.
type Start struct {
	LogBytes   int64   `json:"log_bytes"`
	Ordinal    uint64  `json:"ordinal"` // of the image that it began with; 0: none
	ImageBytes int     `json:"image_bytes"`
	ImageMS    float64 `json:"image_ms"`
	Inputs     uint64  `json:"inputs"` // that came after the image, or all
	MS         float64 `json:"ms"`     // for all of it
}

// sent is how many bytes the replica has given to its links, by class.
func (s *Status) sent() (bytes classBytes) {
	for i := range s.Peers {
		bytes.add(s.Peers[i].Sent)
	}
	return bytes
}

// Received is how many bytes of its peers the replica has received since it was started.
func (s *Status) Received() (bytes uint64) {
	for i := range s.Peers {
		bytes += s.Peers[i].RecvBytes
	}
	return bytes
}

// requests is how many PO-REQUESTs have been executed.
func (s *Status) requests() (count uint64) {
	for i := range s.Lanes {
		count += s.Lanes[i].Executed
	}
	return count
}

// statusLimit is how long a replica may take to answer.
const statusLimit = 30 * time.Second

// statusOf asks a replica.
func statusOf(ctx context.Context, r *cluster.Replica) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	conn, err := local.Dial(ctx, r.Folder)
	if err != nil {
		return Status{}, fmt.Errorf("status of r%d: %w", r.ID, err)
	}
	defer conn.Close()
	text, err := conn.Status(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("status of r%d: %w", r.ID, err)
	}
	var s Status
	if err := json.Unmarshal(text, &s); err != nil {
		return Status{}, fmt.Errorf("status of r%d: %w", r.ID, err)
	}
	return s, nil
}

// Statuses asks every running replica that is not excluded. One that ends or is excluded meanwhile is left out.
func (s *Session) Statuses(ctx context.Context) ([]Status, error) {
	var list []Status
	for _, r := range s.Counted() {
		status, err := s.ask(ctx, r)
		if err != nil {
			if !s.counts(r.ID) {
				continue
			}
			return nil, err
		}
		list = append(list, status)
	}
	return list, nil
}

// ask is statusOf that gives up when the replica no longer counts: one that is paused would never answer.
func (s *Session) ask(ctx context.Context, r *cluster.Replica) (Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for wait(ctx, settlePeriod); ctx.Err() == nil; wait(ctx, settlePeriod) {
			if !s.counts(r.ID) {
				cancel()
			}
		}
	}()
	return statusOf(ctx, r)
}

// Snapshot is how a leg is going.
type Snapshot struct {
	Acknowledged uint64          // since the session began
	Recent       latency.Summary // of updates acknowledged since the last snapshot
	Count        uint64          // of those
	Ordinals     map[int]uint64  // last one that each replica has delivered
}

// Look tells how it is going.
func (s *Session) Look() Snapshot {
	total, recent, count := s.recorder.look()
	look := Snapshot{Acknowledged: total, Recent: recent, Count: count, Ordinals: map[int]uint64{}}
	for _, f := range s.streams {
		look.Ordinals[f.id], _ = f.position()
	}
	return look
}

// Acknowledged is how many updates were acknowledged since the session began.
func (s *Session) Acknowledged() uint64 {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.total
}

// Leg is what was measured in one window of time.
type Leg struct {
	Duration   time.Duration // of the measurement
	Stalled    time.Duration // nothing could run on this machine
	Updates    uint64        // acknowledged
	Failed     int           // ended without an acknowledgement, since the session began
	Late       int           // should have been sent at a fixed time, but were not before the end
	Histogram  latency.Histogram
	MaxGap     time.Duration
	CPU        time.Duration      // of all running replicas; 0 if not known
	RSS        map[int]int64      // bytes, by replica, at the end
	Sent       map[int]classBytes // by running replica
	Requests   uint64             // PO-REQUESTs executed
	PerRequest float64            // updates in a PO-REQUEST, on average
	Failures   map[string]int
	Unfinished bool // updates were still under way when the limit for finishing was over
}

// finishLimit is how long updates under way may take after the end of a leg.
const finishLimit = 60 * time.Second

// Run puts a load on the cluster and measures. It returns when every update has its outcome, or finishLimit is over.
func (s *Session) Run(ctx context.Context, l Load) (*Leg, error) {
	start := s.clock.Now()
	window := stall.Span{From: start + int64(l.WarmUp)}
	window.To = window.From + int64(l.Duration)
	s.recorder.begin(window, l.Acknowledged)
	if l.Began != nil {
		l.Began(window)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.generate(ctx, s.clients, s.recorder, start, window.To)
	}()
	leg, err := s.measure(ctx, window)
	if err != nil {
		return nil, err
	}
	select {
	case <-finished:
	case <-ctx.Done(): // closing the session ends what is under way
		return nil, context.Cause(ctx)
	case <-time.After(finishLimit):
		leg.Unfinished = true
	}
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	leg.Updates, leg.Late = s.recorder.count, s.recorder.late
	leg.Histogram.Merge(&s.recorder.latency)
	leg.Failed, leg.Failures = s.recorder.failed, maps.Clone(s.recorder.failures)
	leg.PerRequest = Ratio(float64(leg.Updates), float64(leg.Requests))
	return leg, nil
}

// account is what the replicas have used and sent up to some time.
type account struct {
	cpu, rss map[int]int64
	sent     map[int]classBytes
	requests map[int]uint64
}

func (s *Session) account(ctx context.Context) (account, error) {
	a := account{map[int]int64{}, map[int]int64{}, map[int]classBytes{}, map[int]uint64{}}
	statuses, err := s.Statuses(ctx)
	if err != nil {
		return a, err
	}
	for i := range statuses {
		a.sent[statuses[i].Replica] = statuses[i].sent()
		a.requests[statuses[i].Replica] = statuses[i].requests()
	}
	for _, r := range s.Cluster.Running() {
		if u, err := r.Usage(); err == nil {
			a.cpu[r.ID], a.rss[r.ID] = int64(u.CPU), u.RSS
		}
	}
	return a, nil
}

// measure waits for the window and takes what the replicas used in it.
func (s *Session) measure(ctx context.Context, window stall.Span) (*Leg, error) {
	leg := &Leg{Duration: stall.Total([]stall.Span{window}), RSS: map[int]int64{}, Sent: map[int]classBytes{}}
	wait(ctx, time.Duration(window.From-s.clock.Now()))
	for _, f := range s.streams {
		f.begin(s.clock.Now())
	}
	before, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	wait(ctx, time.Duration(window.To-s.clock.Now()))
	running := map[int]bool{}
	for _, r := range s.Counted() {
		running[r.ID] = true
	}
	for _, f := range s.streams {
		if gap := f.end(window.To); running[f.id] {
			leg.MaxGap = max(leg.MaxGap, gap)
		}
	}
	after, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	for id, rss := range after.rss {
		leg.RSS[id] = rss
		leg.CPU += time.Duration(since(after.cpu[id], before.cpu[id]))
	}
	for id, sent := range after.sent {
		leg.Sent[id] = sent.since(before.sent[id])
		leg.Requests = max(leg.Requests, since(after.requests[id], before.requests[id]))
	}
	if s.Detector != nil {
		limited, cancel := context.WithTimeout(ctx, finishLimit)
		defer cancel()
		stalls, err := s.Detector.Stalled(limited, window)
		if err != nil {
			return nil, err
		}
		leg.Stalled = stall.Total(stalls)
	}
	return leg, nil
}

// since is how much a counter has grown; one of a process that was started again has begun anew.
func since[T int64 | uint64](now, before T) T {
	if now < before {
		return now
	}
	return now - before
}
