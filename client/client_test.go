package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/primebft/prime/client"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func configOf(c *gatewaytest.Cluster, name string) client.Config {
	cfg := client.Config{Cluster: c.ID, Epoch: 1, F: c.Group.F(), Key: gatewaytest.Key(name), Home: 1,
		Retry: 50 * time.Millisecond, BackoffMin: 5 * time.Millisecond}
	for _, r := range c.Replicas {
		cfg.Replicas = append(cfg.Replicas, client.Replica{ID: int(r.ID), Address: r.Address, PublicKey: r.Key.Public().(ed25519.PublicKey)})
	}
	return cfg
}

func dial(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func all(t testing.TB, c *client.Client) {
	t.Helper()
	eventually(t, "all replicas are connected", func() bool {
		for _, r := range c.Replicas() {
			if !r.Connected {
				return false
			}
		}
		return true
	})
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	gatewaytest.Eventually(t, what, cond)
}

func four() group.Group { return group.MustNew(1, 0) }

// modes are the ways to authenticate updates and replies.
var modes = []struct {
	name                         string
	signedUpdates, signedReplies bool
}{{"connections", false, false}, {"signed replies", false, true}, {"signed both", true, true}}

func TestSubmit(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			cluster := gatewaytest.New(t, four(), func(_ group.ID, cfg *gateway.Config) { cfg.SignedUpdates = mode.signedUpdates })
			cfg := configOf(cluster, "alice")
			cfg.SignedUpdates, cfg.SignedReplies = mode.signedUpdates, mode.signedReplies
			c := dial(t, cfg)
			var wg sync.WaitGroup
			var places sync.Map
			for w := range 8 {
				wg.Go(func() {
					for i := range 50 {
						payload := fmt.Appendf(nil, "%d/%d", w, i)
						r, err := c.Submit(context.Background(), payload)
						if err != nil || string(r.Value) != "ok:"+string(payload) || r.Epoch != 1 || r.Index != 1 {
							t.Errorf("%s: %+v, %v", payload, r, err)
							return
						}
						if _, again := places.LoadOrStore(r.Ordinal, true); again {
							t.Errorf("two updates at ordinal %d", r.Ordinal)
						}
					}
				})
			}
			wg.Wait()
			if n := cluster.Executed(); n != 400 {
				t.Errorf("%d updates were executed", n)
			}
		})
	}
}

// TestLiar: one replica's different result is never believed, however often it says it and however slow the others are.
func TestLiar(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			cluster := gatewaytest.New(t, four(), func(_ group.ID, cfg *gateway.Config) { cfg.SignedUpdates = mode.signedUpdates })
			var told atomic.Int64
			lie := cluster.Replicas[0]
			lie.OnReply = func(r *reply.Reply) bool {
				for range 5 {
					p := *r
					p.Result = []byte("a lie")
					lie.Replies().Put([]reply.Reply{p})
					told.Add(1)
				}
				return false
			}
			cluster.Replicas[3].OnReply = func(*reply.Reply) bool { return false }
			cfg := configOf(cluster, "alice")
			cfg.SignedUpdates, cfg.SignedReplies = mode.signedUpdates, mode.signedReplies
			c := dial(t, cfg)
			for i := range 100 {
				payload := fmt.Appendf(nil, "%d", i)
				if r, err := c.Submit(context.Background(), payload); err != nil || string(r.Value) != "ok:"+string(payload) {
					t.Fatalf("%q, %v", r.Value, err)
				}
			}
			if told.Load() == 0 {
				t.Fatal("the liar did not lie")
			}
		})
	}
}

// TestLiarsAlone: f liars with everybody else silent give no result at all.
func TestLiarsAlone(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, group.MustNew(2, 0), nil)
	for i, r := range cluster.Replicas {
		if i < 2 {
			r.OnReply = func(r *reply.Reply) bool { r.Result = []byte("a lie"); return true }
		} else {
			r.OnReply = func(*reply.Reply) bool { return false }
		}
	}
	c := dial(t, configOf(cluster, "alice"))
	all(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	r, err := c.Submit(ctx, []byte("x"))
	var unknown *client.OutcomeUnknownError
	if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &unknown) || unknown.Seq == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestRetry: an update that its replica swallows is executed through another, once.
func TestRetry(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	swallowed := atomic.Int64{}
	cluster.Replicas[0].OnSubmit = func(wire.Update) error { swallowed.Add(1); return gatewaytest.ErrSwallow }
	c := dial(t, configOf(cluster, "alice"))
	all(t, c)
	for range 5 {
		if _, err := c.Submit(context.Background(), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if swallowed.Load() == 0 || cluster.Executed() != 5 {
		t.Fatalf("swallowed %d, executed %d", swallowed.Load(), cluster.Executed())
	}
}

// TestUrgent: with an hour until a retry, only submission to f+1 at once gets past a replica that swallows.
func TestUrgent(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	cluster.Replicas[0].OnSubmit = func(wire.Update) error { return gatewaytest.ErrSwallow }
	cfg := configOf(cluster, "alice")
	cfg.Retry = time.Hour
	c := dial(t, cfg)
	all(t, c)
	if _, err := c.Submit(context.Background(), []byte("x"), client.Urgent()); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		refuse []error // by replica
		want   error
	}{
		{"one is overloaded", []error{gateway.ErrOverloaded, nil, nil, nil}, nil},
		{"three are overloaded", []error{gateway.ErrOverloaded, gateway.ErrOverloaded, gateway.ErrClosed, nil}, nil},
		{"all are overloaded", []error{gateway.ErrOverloaded, gateway.ErrOverloaded, gateway.ErrOverloaded, gateway.ErrOverloaded}, client.ErrOverloaded},
		{"one says expired", []error{gatewaytest.ErrExpired, nil, nil, nil}, nil},
		{"two say expired", []error{gatewaytest.ErrExpired, gatewaytest.ErrExpired, nil, nil}, client.ErrSessionExpired},
		{"one says oversized", []error{gateway.ErrOversized, nil, nil, nil}, nil},
		{"two say oversized", []error{gateway.ErrOversized, gateway.ErrOversized, nil, nil}, client.ErrOversized},
		{"two differ", []error{gatewaytest.ErrExpired, gateway.ErrOversized, nil, nil}, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cluster := gatewaytest.New(t, four(), func(_ group.ID, cfg *gateway.Config) { cfg.Patience = time.Millisecond })
			for i, err := range x.refuse {
				cluster.Replicas[i].OnSubmit = func(wire.Update) error { return err }
			}
			cfg := configOf(cluster, "alice")
			cfg.Retry = time.Hour // refusals alone bring the answer
			c := dial(t, cfg)
			all(t, c)
			_, err := c.Submit(context.Background(), []byte("x"))
			if !errors.Is(err, x.want) || (x.want == nil) != (err == nil) {
				t.Fatalf("have %v, want %v", err, x.want)
			}
		})
	}
}

// TestExpiredGoesOn: after an expired session the next number is above every number that may have been forgotten.
func TestExpiredGoesOn(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	floor := uint64(time.Now().Add(100 * time.Millisecond).UnixMicro())
	for _, r := range cluster.Replicas {
		r.OnSubmit = func(u wire.Update) error {
			if u.Seq <= floor {
				return gatewaytest.ErrExpired
			}
			return nil
		}
	}
	c := dial(t, configOf(cluster, "alice"))
	eventually(t, "an update after the session expired", func() bool {
		_, err := c.Submit(context.Background(), []byte("x"))
		if err != nil && !errors.Is(err, client.ErrSessionExpired) {
			t.Fatal(err)
		}
		return err == nil
	})
}

func TestOversizedIsNotSent(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	cfg := configOf(cluster, "alice")
	cfg.UpdateBytes = 10
	c := dial(t, cfg)
	if _, err := c.Submit(context.Background(), make([]byte, 11)); !errors.Is(err, client.ErrOversized) {
		t.Fatal(err)
	}
	if r, err := c.Submit(context.Background(), make([]byte, 10)); err != nil || len(r.Value) != 13 {
		t.Fatal(r, err)
	}
	cfg.UpdateBytes, cfg.Key = 0, gatewaytest.Key("bob") // does not know the limit: the replicas say so
	if _, err := dial(t, cfg).Submit(context.Background(), make([]byte, 64<<10+1)); !errors.Is(err, client.ErrOversized) {
		t.Fatal(err)
	}
}

// TestResume: an update whose outcome is unknown is asked for again by its number and executed once.
func TestResume(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	var open atomic.Bool
	for _, r := range cluster.Replicas {
		r.OnReply = func(r *reply.Reply) bool { return true }
		r.OnSubmit = func(wire.Update) error {
			if open.Load() {
				return nil
			}
			return gatewaytest.ErrSwallow
		}
	}
	c := dial(t, configOf(cluster, "alice"))
	ctx, cancel := context.WithCancel(context.Background())
	p, err := c.SubmitAsync(ctx, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err = p.Result(); !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	open.Store(true)
	for range 2 { // the second time the result is only remembered
		p, err = c.Resume(context.Background(), p.Seq(), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := p.Result(); err != nil || !bytes.Equal(r.Value, []byte("ok:x")) {
			t.Fatal(r, err)
		}
	}
	if cluster.Executed() != 1 {
		t.Fatalf("executed %d", cluster.Executed())
	}
	if _, err := c.Resume(context.Background(), p.Seq()+1, nil); err == nil {
		t.Fatal("resumed an update that does not exist")
	}
}

// TestWindow: an update without an outcome holds back numbers that would push it out of the session's window, and no others.
func TestWindow(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	var once sync.Once
	var stuck atomic.Uint64
	var free atomic.Bool
	for _, r := range cluster.Replicas {
		r.OnSubmit = func(u wire.Update) error {
			once.Do(func() { stuck.Store(u.Seq) })
			if u.Seq == stuck.Load() && !free.Load() {
				return gatewaytest.ErrSwallow
			}
			return nil
		}
	}
	c := dial(t, configOf(cluster, "alice"))
	all(t, c) // so that every update goes to the home replica, in order
	first, err := c.SubmitAsync(context.Background(), []byte("stuck"))
	if err != nil {
		t.Fatal(err)
	}
	for range 1023 {
		if _, err := c.SubmitAsync(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the others are executed", func() bool { return cluster.Executed() == 1023 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.SubmitAsync(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Fatalf("number 1025 of the window: %v", err)
	}
	free.Store(true)
	if _, err := c.Submit(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if r, err := first.Result(); err != nil || string(r.Value) != "ok:stuck" {
		t.Fatal(r, err)
	}
}

// TestReplicasComeAndGo closes and opens ports under load; every update gets its result once.
func TestReplicasComeAndGo(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	c := dial(t, configOf(cluster, "alice"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var done atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.Submit(context.Background(), []byte("x")); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	for round := range 3 {
		r := cluster.Replicas[round]
		r.Close()
		before := done.Load()
		eventually(t, "progress without a replica", func() bool { return done.Load() > before+20 || t.Failed() })
		r.Start(t)
		all(t, c)
	}
	close(stop)
	wg.Wait()
	if n := cluster.Executed(); int64(n) != done.Load() {
		t.Fatalf("executed %d, results %d", n, done.Load())
	}
}

// TestAllReplicasLost: the replica that was asked is lost with what it was asked for, and so are all others. Those that are back are
// asked, without a wait for the time after which others are asked.
func TestAllReplicasLost(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	cfg := configOf(cluster, "alice")
	cfg.Retry, cfg.Timeout = time.Hour, time.Hour
	c := dial(t, cfg)
	all(t, c)
	for _, r := range cluster.Replicas[1:] {
		r.Close()
	}
	pending, err := c.SubmitAsync(context.Background(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	cluster.Replicas[0].Close()
	for _, r := range cluster.Replicas {
		r.Start(t)
	}
	if _, err := pending.Result(); err != nil {
		t.Error(err)
	}
}

func TestDialSaysWhy(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), func(_ group.ID, cfg *gateway.Config) {
		cfg.Admit = func(id wire.ClientID) bool {
			return id == wire.ClientID(gatewaytest.Key("alice").Public().(ed25519.PublicKey))
		}
	})
	for _, x := range []struct {
		name   string
		change func(*client.Config)
		want   string
	}{
		{"not admitted", func(c *client.Config) { c.Key = gatewaytest.Key("mallory") }, "is not a client of this cluster"},
		{"other cluster", func(c *client.Config) { c.Cluster[0] ^= 1 }, "belongs to"},
		{"other epoch", func(c *client.Config) { c.Epoch = 7 }, "configuration 7"},
		{"other keys", func(c *client.Config) {
			for i := range c.Replicas {
				c.Replicas[i].PublicKey = gatewaytest.Key(fmt.Sprint(i)).Public().(ed25519.PublicKey)
			}
		}, "is expected"},
		{"other f", func(c *client.Config) { c.F = 0 }, "f is 1"},
		{"swapped ids", func(c *client.Config) {
			for i := range c.Replicas {
				c.Replicas[i].ID = 4 - i
			}
		}, "says that it is"},
		{"signs", func(c *client.Config) { c.SignedUpdates = true }, "set auth"},
		{"no key", func(c *client.Config) { c.Key = nil }, "no key"},
		{"one replica twice", func(c *client.Config) { c.Replicas[1].PublicKey = c.Replicas[0].PublicKey }, "same public key"},
		{"too few", func(c *client.Config) { c.Replicas = c.Replicas[:1] }, "at least f+1"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cfg := configOf(cluster, "alice")
			x.change(&cfg)
			// Cancelled only when the reason was heard, or rejected at once.
			for wait := 100 * time.Millisecond; ; wait *= 2 {
				ctx, cancel := context.WithTimeout(context.Background(), wait)
				c, err := client.Dial(ctx, cfg)
				cancel()
				if err == nil {
					c.Close()
					t.Fatal("connected")
				}
				if bytes.Contains([]byte(err.Error()), []byte(x.want)) {
					return
				}
				if wait > 30*time.Second {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	for _, r := range cluster.Replicas {
		r.OnSubmit = func(wire.Update) error { return gatewaytest.ErrSwallow }
	}
	c := dial(t, configOf(cluster, "alice"))
	p, err := c.SubmitAsync(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := p.Result(); !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, client.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.Submit(context.Background(), nil); !errors.Is(err, client.ErrClosed) {
		t.Fatal(err)
	}
	c.Close()
}
