package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that has to happen.
const patience = 60 * time.Second

// cluster is a cluster in memory whose replicas are opened one by one.
type cluster struct {
	tb    testing.TB
	group group.Group
	dir   string
	net   *memory.Network
	nodes []*Node // nil until opened
	seqs  []uint64
	logs  []*logBuffer
}

func newCluster(tb testing.TB, f, k int, change func(*config.Cluster, *config.Node)) *cluster {
	tb.Helper()
	g := group.MustNew(f, k)
	c := &cluster{tb: tb, group: g, dir: filepath.Join(tb.TempDir(), "c"), net: memory.NewNetwork(g.N()),
		nodes: make([]*Node, g.N()), seqs: make([]uint64, g.N()), logs: make([]*logBuffer, g.N())}
	shared := config.Cluster{Name: "test", F: f, K: k, Auth: config.AuthReplica, AnyClient: true, Limits: config.DefaultLimits()}
	own := config.Local()
	for i := range g.N() {
		shared.Replicas = append(shared.Replicas, config.Replica{ID: i + 1,
			PeerAddress: fmt.Sprint("127.0.0.1:", 10001+2*i), ClientAddress: fmt.Sprint("127.0.0.1:", 10002+2*i)})
		c.logs[i] = new(logBuffer)
	}
	if change != nil {
		change(&shared, &own)
	}
	if _, err := config.Create(c.dir, shared, own); err != nil {
		tb.Fatal(err)
	}
	return c
}

// config is the configuration of replica id.
func (c *cluster) config(id int) config.Config {
	c.tb.Helper()
	cfg, err := config.Load(filepath.Join(c.dir, "r"+strconv.Itoa(id)))
	if err != nil {
		c.tb.Fatal(err)
	}
	return cfg
}

// open starts replica id, which is closed when the test ends.
func (c *cluster) open(id int, a app.Application, o Options) *Node {
	c.tb.Helper()
	o.Transport = c.net.Endpoint(id)
	o.Log = slog.New(slog.NewTextHandler(c.logs[id-1], nil))
	n, err := Open(c.config(id), a, o)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.nodes[id-1] = n
	c.tb.Cleanup(func() { n.CloseNow() })
	return n
}

// openAll starts all replicas that have not been started.
func (c *cluster) openAll() {
	c.tb.Helper()
	for i, n := range c.nodes {
		if n == nil {
			c.open(i+1, echo, Options{Check: true})
		}
	}
}

var echo = app.Func(func(r app.Record) []byte { return r.Payload })

// update is the next update of replica id's own client.
func (c *cluster) update(id int, payload []byte) wire.Update {
	c.seqs[id-1]++
	key := c.nodes[id-1].keyring.PublicKey(group.ID(id))
	return wire.Update{Client: wire.ClientID(key), Seq: c.seqs[id-1], Payload: payload}
}

// submit hands an update in at replica id and returns where its outcome will be.
func (c *cluster) submit(id int, payload []byte) (<-chan reply.Reply, error) {
	u := c.update(id, payload)
	outcome := make(chan reply.Reply, 1)
	cancel := c.nodes[id-1].Replies().Wait(reply.Key{Client: u.Client, Seq: u.Seq}, func(r reply.Reply) { outcome <- r })
	if err := c.nodes[id-1].Submit(u); err != nil {
		cancel()
		return nil, err
	}
	return outcome, nil
}

// run hands in updates at replica id, some under way at once, and waits until all have been executed and answered.
func (c *cluster) run(id, count int) error {
	const together = 100
	for done := 0; done < count; {
		var outcomes []<-chan reply.Reply
		var payloads [][]byte
		for range min(together, count-done) {
			payload := fmt.Appendf(nil, "r%d-%d", id, done)
			outcome, err := c.submit(id, payload)
			if err != nil {
				return fmt.Errorf("update %d of r%d: %w", done, id, err)
			}
			outcomes, payloads = append(outcomes, outcome), append(payloads, payload)
			done++
		}
		for i, outcome := range outcomes {
			select {
			case r := <-outcome:
				if r.Refused != 0 || !bytes.Equal(r.Result, payloads[i]) {
					return fmt.Errorf("%q at r%d: %+v", payloads[i], id, r)
				}
			case <-time.After(patience):
				return fmt.Errorf("%q at r%d: no result; %+v", payloads[i], id, c.nodes[id-1].Status())
			}
		}
	}
	return nil
}

// runAll runs updates at several replicas at once.
func (c *cluster) runAll(count int, ids ...int) {
	c.tb.Helper()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			if err := c.run(id, count); err != nil {
				c.tb.Error(err)
			}
		})
	}
	wg.Wait()
}

// agree waits until these replicas have as many records as the furthest, and checks that their streams are equal.
func (c *cluster) agree(ids ...int) {
	c.tb.Helper()
	var top Position
	for _, id := range ids {
		if p := c.nodes[id-1].Records().Position(); p.Ordinal > top.Ordinal {
			top = p
		}
	}
	for _, id := range ids {
		n := c.nodes[id-1]
		await(c.tb, func() string {
			if p := n.Records().Position(); p.Ordinal < top.Ordinal {
				return fmt.Sprintf("r%d is at ordinal %d of %d", id, p.Ordinal, top.Ordinal)
			}
			return ""
		})
		if sum, ok := n.Records().DigestAt(top.Ordinal); !ok || sum != top.Digest {
			c.tb.Errorf("r%d: digest at %d is %x (%v), want %x", id, top.Ordinal, sum, ok, top.Digest)
		}
	}
}

// await waits until missing returns nothing.
func await(tb testing.TB, missing func() string) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		what := missing()
		if what == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.String()
}

var errTest = errors.New("test")
