package prime_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/primebft/prime"
	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport/memory"
)

// TestCluster: clusters of several sizes order updates of all replicas' own clients into one stream.
func TestCluster(t *testing.T) {
	for _, size := range []struct{ f, k int }{{0, 0}, {1, 0}, {1, 1}, {2, 0}} {
		t.Run(fmt.Sprintf("f=%d k=%d", size.f, size.k), func(t *testing.T) {
			t.Parallel()
			const each = 100
			all := newPlan(t, size.f, size.k, nil).openAll(t)
			submitAll(t, all, each)
			settle(t, all, each*len(all))
			for _, r := range all {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// submitAll submits at all replicas at once.
func submitAll(t *testing.T, all []*prime.Replica, each int) {
	t.Helper()
	ctx := within(t)
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			if err := r.Ready(ctx); err != nil {
				t.Error(err)
			} else if err := submitMany(ctx, r, fmt.Sprint("r", i+1), each); err != nil {
				t.Errorf("%v; %+v", err, r.Status())
			}
		})
	}
	wg.Wait()
}

// TestClientAuth: in a cluster where clients sign, a replica signs the updates of its own client.
func TestClientAuth(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 1, 0, func(c *config.Cluster, _ *config.Node) { c.Auth = config.AuthClient })
	all := p.openAll(t)
	submitAll(t, all, 20)
	settle(t, all, 20*len(all))
	for _, r := range all {
		if refused := r.Status().Counters.Refused; hasReason(refused, "bad update") || hasReason(refused, "unknown client") {
			t.Errorf("%+v", refused)
		}
	}
}

func hasReason(list []prime.Drop, reason string) bool {
	for _, d := range list {
		if d.Reason == reason {
			return true
		}
	}
	return false
}

// TestKilled: the replicas that are left go on, and those that want its service are told that it has ended.
func TestKilled(t *testing.T) {
	t.Parallel()
	all := newPlan(t, 1, 0, nil).openAll(t)
	submitAll(t, all, 50)
	if err := all[3].CloseNow(); err != nil {
		t.Fatal(err)
	}
	if _, err := all[3].Submit(within(t), nil); !errors.Is(err, prime.ErrClosed) {
		t.Errorf("update at a closed replica: %v, want ErrClosed", err)
	}
	submitAll(t, all[:3], 50)
	settle(t, all[:3], 4*50+3*50)
}

// TestOutcomeUnknown: an update that was accepted and whose result nobody can wait for any longer is neither a success nor a
// failure.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	r := newPlan(t, 1, 0, nil).open(t, 1, echo) // alone, it can accept, and not order
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan error, 2)
	r.SubmitAsync(ctx, []byte("cancelled"), func(_ prime.Result, err error) { ended <- err })
	cancel()
	if err := <-ended; !errors.Is(err, prime.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want ErrOutcomeUnknown and that the context was cancelled", err)
	}
	r.SubmitAsync(context.Background(), []byte("closed"), func(_ prime.Result, err error) { ended <- err })
	if err := r.CloseNow(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, prime.ErrOutcomeUnknown) || !errors.Is(err, prime.ErrClosed) {
		t.Errorf("%v, want ErrOutcomeUnknown and ErrClosed", err)
	}
}

// TestWindow: a session has a bounded number of updates under way; more wait, and go on when there is room.
func TestWindow(t *testing.T) {
	t.Parallel()
	window := config.DefaultLimits().SessionWindow
	p := newPlan(t, 1, 0, nil)
	all := []*prime.Replica{p.open(t, 1, echo)}
	ctx, cancel := context.WithCancel(within(t))
	outcomes := make(chan error, 2*window)
	for range window {
		all[0].SubmitAsync(ctx, nil, func(_ prime.Result, err error) { outcomes <- err })
	}
	impatient, give := context.WithCancel(ctx)
	give()
	if _, err := all[0].Submit(impatient, nil); errors.Is(err, prime.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the update was not accepted", err)
	}
	cancel() // gives all of them up, which makes room
	for range window {
		if err := <-outcomes; !errors.Is(err, prime.ErrOutcomeUnknown) {
			t.Errorf("%v, want ErrOutcomeUnknown", err)
		}
	}
	for i := 2; i <= 4; i++ {
		all = append(all, p.open(t, i, echo))
	}
	submitAll(t, all[:1], 2*window)
}

// TestWatch: watchers see the whole stream, each at its own pace.
func TestWatch(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 0, 0, nil)
	r := p.open(t, 1, echo)
	if err := submitMany(within(t), r, "a", 20); err != nil {
		t.Fatal(err)
	}
	count := func(from uint64, stop int) (records int, last app.Record, err error) {
		for rec, err := range r.Watch(within(t), from) {
			if err != nil {
				return records, last, err
			}
			if records++; records == stop {
				return records, rec, nil
			}
			last = rec
		}
		return records, last, nil
	}
	total := int(r.Status().Delivered)
	if n, last, err := count(1, total); n != total || err != nil || last.Ordinal != r.Status().Ordinal {
		t.Errorf("%d records up to %+v, %v; want all %d", n, last, err, total)
	}
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if _, err := r.Records(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if n, _, err := count(1, total+1); n != total || !errors.Is(err, prime.ErrClosed) {
		t.Errorf("after the end: %d records, %v", n, err)
	}
}

// TestRefusedStart: what is wrong is named with its remedy, and the folder stays usable.
func TestRefusedStart(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 1, 0, nil)
	for _, c := range []struct {
		whom    string
		options prime.Option
	}{
		{"peers", prime.WithListeners(nil, listen(t))},
		{"clients", prime.WithListeners(listen(t), nil)},
	} {
		_, err := prime.Open(p.config(t, 1), echo, c.options) // the plan's own listeners have the ports
		if err == nil {
			t.Fatalf("two listen on one port for %s", c.whom)
		}
		for _, want := range []string{"cannot listen for " + c.whom, "listen_" + c.whom, "127.0.0.1:", "in use"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	cfg := p.config(t, 1)
	cfg.Node.Timing.Retransmit = 0
	if _, err := prime.Open(cfg, echo, prime.WithListeners(listen(t), listen(t))); len(config.Problems(err)) != 1 {
		t.Errorf("%v, want one fault of the configuration", err)
	}
	cfg = p.config(t, 1)
	cfg.Node.Storage.Mode = config.StorageEphemeral
	r, err := prime.Open(cfg, echo, prime.WithListeners(listen(t), listen(t)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prime.Open(p.config(t, 1), echo, prime.WithListeners(listen(t), listen(t))); !errors.Is(err, prime.ErrFolderInUse) {
		t.Errorf("%v, want ErrFolderInUse", err)
	}
	if err := r.CloseNow(); err != nil {
		t.Error(err)
	}
	free := prime.WithListeners(listen(t), listen(t))
	if _, err := prime.Open(cfg, echo, free); !errors.Is(err, prime.ErrFolderUsed) || !strings.Contains(err.Error(), "prime init") {
		t.Errorf("%v, want ErrFolderUsed and the remedy", err)
	}
}

// TestListenersClosed: whatever becomes of a start, the sockets that it was given are closed.
func TestListenersClosed(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 0, 0, nil)
	for _, end := range []func(peers, clients net.Listener){
		func(peers, clients net.Listener) {
			if _, err := prime.Open(p.config(t, 1), nil, prime.WithListeners(peers, clients)); err == nil {
				t.Error("no application is no error")
			}
		},
		func(peers, clients net.Listener) {
			r, err := prime.Open(p.config(t, 1), echo, prime.WithListeners(peers, clients))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.CloseNow(); err != nil {
				t.Error(err)
			}
		},
	} {
		peers, clients := listen(t), listen(t)
		end(peers, clients)
		for _, l := range []net.Listener{peers, clients} {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s was left open: %v", l.Addr(), err)
			}
		}
	}
}

// TestInMemory: a cluster whose replicas are connected in memory and serve no other clients opens no port.
func TestInMemory(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 1, 0, nil)
	network := memory.NewNetwork(4)
	var all []*prime.Replica
	for i := 1; i <= 4; i++ {
		r, err := prime.Open(p.config(t, i), echo, prime.WithTransport(network.Endpoint(i)), prime.WithoutClients())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.CloseNow() })
		all = append(all, r)
	}
	submitAll(t, all, 100)
	settle(t, all, 400)
}

// TestHungApplication: an application that never returns cannot keep a replica from ending.
func TestHungApplication(t *testing.T) {
	t.Parallel()
	release, called, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
	hung := app.Func(func(app.Record) []byte {
		close(called)
		<-release
		close(returned)
		return nil
	})
	r := newPlan(t, 0, 0, nil).open(t, 1, hung)
	outcome := make(chan error, 1)
	r.SubmitAsync(context.Background(), nil, func(_ prime.Result, err error) { outcome <- err })
	<-called
	if err := r.CloseNow(); err == nil || !strings.Contains(err.Error(), "has not returned from Deliver") {
		t.Errorf("%v, want that the application has not returned", err)
	}
	if err := <-outcome; !errors.Is(err, prime.ErrOutcomeUnknown) || !errors.Is(err, prime.ErrClosed) {
		t.Errorf("%v, want ErrOutcomeUnknown", err)
	}
	close(release)
	<-returned
}
