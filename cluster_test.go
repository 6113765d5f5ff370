package prime_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/primebft/prime"
	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/threshold/bls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that has to happen.
const patience = 60 * time.Second

// plan is a cluster that has not been started: its folders, and sockets that nobody else can take.
type plan struct {
	group   group.Group
	dir     string
	peers   []net.Listener
	clients []net.Listener
}

// newPlan makes the folders of a cluster on loopback.
func newPlan(tb testing.TB, f, k int, change func(*config.Cluster, *config.Node)) *plan {
	tb.Helper()
	p := &plan{group: group.MustNew(f, k), dir: filepath.Join(tb.TempDir(), "cluster")}
	c := config.Cluster{Name: "test", F: f, K: k, Auth: config.AuthReplica, AnyClient: true, Limits: config.DefaultLimits()}
	for i := range p.group.N() {
		p.peers, p.clients = append(p.peers, listen(tb)), append(p.clients, listen(tb))
		c.Replicas = append(c.Replicas, config.Replica{
			ID: i + 1, PeerAddress: p.peers[i].Addr().String(), ClientAddress: p.clients[i].Addr().String(),
		})
	}
	n := config.Local()
	if change != nil {
		change(&c, &n)
	}
	var secrets [][]byte
	if c.Proof == config.ProofBLS {
		keys, err := bls.Deal(p.group.N(), p.group.Quorum())
		if err != nil {
			tb.Fatal(err)
		}
		for i := range c.Replicas {
			c.Replicas[i].ShareKey = keys.Public[i]
		}
		secrets = keys.Secrets
	}
	if _, err := config.CreateWith(p.dir, c, n, secrets); err != nil {
		tb.Fatal(err)
	}
	return p
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// config is the configuration of replica i, 1..n.
func (p *plan) config(tb testing.TB, i int) prime.Config {
	tb.Helper()
	cfg, err := prime.LoadConfig(filepath.Join(p.dir, "r"+strconv.Itoa(i)))
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// open starts replica i, which is closed when the test ends.
func (p *plan) open(tb testing.TB, i int, a app.Application, options ...prime.Option) *prime.Replica {
	tb.Helper()
	options = append([]prime.Option{prime.WithListeners(p.peers[i-1], p.clients[i-1]), prime.WithChecks()}, options...)
	r, err := prime.Open(p.config(tb, i), a, options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.CloseNow() })
	return r
}

// openAll starts all replicas with applications that return what they are given.
func (p *plan) openAll(tb testing.TB) []*prime.Replica {
	tb.Helper()
	all := make([]*prime.Replica, p.group.N())
	for i := range all {
		all[i] = p.open(tb, i+1, echo)
	}
	return all
}

var echo = app.Func(func(r app.Record) []byte { return r.Payload })

func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// submitMany hands in count updates at a replica, all at once, and checks their results.
func submitMany(ctx context.Context, r *prime.Replica, name string, count int) error {
	type outcome struct {
		i      int
		result prime.Result
		err    error
	}
	outcomes := make(chan outcome, count)
	for i := range count {
		r.SubmitAsync(ctx, fmt.Appendf(nil, "%s-%d", name, i), func(result prime.Result, err error) {
			outcomes <- outcome{i, result, err}
		})
	}
	for range count {
		o := <-outcomes
		if o.err != nil {
			return fmt.Errorf("update %d of %s: %w", o.i, name, o.err)
		}
		if want := fmt.Sprintf("%s-%d", name, o.i); string(o.result.Result) != want || o.result.Ordinal == 0 || o.result.Index == 0 {
			return fmt.Errorf("update %d of %s: %+v, want %q", o.i, name, o.result, want)
		}
	}
	return nil
}

// settle waits until all replicas have delivered so many updates, and checks that their streams are equal.
func settle(tb testing.TB, all []*prime.Replica, updates int) {
	tb.Helper()
	ctx := within(tb)
	var lowest uint64
	for i, r := range all {
		got := 0
		for rec, err := range r.Watch(ctx, 1) {
			if err != nil {
				tb.Fatalf("replica at %d, after %d of %d updates: %v; %+v", i, got, updates, err, r.Status())
			}
			if !rec.NoOp() {
				got++
			}
			if got == updates {
				lowest = max(lowest, rec.Ordinal)
				break
			}
		}
	}
	want, ok := all[0].DigestAt(lowest)
	if !ok {
		tb.Fatalf("ordinal %d is not held", lowest)
	}
	for i, r := range all[1:] {
		if got, ok := r.DigestAt(lowest); !ok || !bytes.Equal(got[:], want[:]) {
			tb.Errorf("stream of replica at %d up to ordinal %d is %x (%v), want %x", i+1, lowest, got, ok, want)
		}
	}
}
