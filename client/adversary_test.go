package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/primebft/prime/client"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// forger has a replica's key, and uses it for TLS only: its replies are signed by somebody else.
type forger struct{ ed25519.PrivateKey }

func (f forger) Sign(r io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if bytes.HasPrefix(message, []byte("prime-reply-v1\x00")) {
		return gatewaytest.Key("somebody else").Sign(r, message, o)
	}
	return f.PrivateKey.Sign(r, message, o)
}

// TestForgedSignatures: replies that their replica did not sign never count, though they are true and come over its own
// connection.
func TestForgedSignatures(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), func(id group.ID, cfg *gateway.Config) {
		if id <= 3 {
			cfg.Key = forger{gatewaytest.Key(id.String())}
		}
	})
	var mu sync.Mutex
	caught := map[string]bool{}
	cfg := configOf(cluster, "alice")
	cfg.SignedReplies = true
	cfg.Log = slog.New(slog.NewTextHandler(lines(func(line string) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range []string{"r1", "r2", "r3", "r4"} {
			if strings.Contains(line, "did not sign") && strings.Contains(line, "replica="+id) {
				caught[id] = true
			}
		}
	}), nil))
	c := dial(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p, err := c.SubmitAsync(ctx, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all forgers are caught", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(caught) == 3
	})
	cancel()
	if r, err := p.Result(); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("%+v, %v", r, err)
	}
	if caught["r4"] || cluster.Executed() != 1 {
		t.Errorf("caught %v, executed %d", caught, cluster.Executed())
	}
}

type lines func(string)

func (l lines) Write(b []byte) (int, error) { l(string(b)); return len(b), nil }

// TestOneForger: f forgers do not keep the others' replies from counting.
func TestOneForger(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), func(id group.ID, cfg *gateway.Config) {
		if id == 1 {
			cfg.Key = forger{gatewaytest.Key(id.String())}
		}
	})
	cfg := configOf(cluster, "alice")
	cfg.SignedReplies = true
	c := dial(t, cfg)
	for range 20 {
		if r, err := c.Submit(context.Background(), []byte("x")); err != nil || string(r.Value) != "ok:x" {
			t.Fatal(r, err)
		}
	}
}

// TestColludingLiarsFirst: f replicas tell the same lie at once, for every update, and the correct replicas speak only long
// after them.
func TestColludingLiarsFirst(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, group.MustNew(2, 0), nil)
	var mu sync.Mutex
	var late []func()
	for i, r := range cluster.Replicas {
		r.OnReply = func(p *reply.Reply) bool {
			if i < 2 {
				p.Result = []byte("the same lie")
				return true
			}
			mu.Lock()
			defer mu.Unlock()
			truth := *p
			late = append(late, func() { r.Replies().Put([]reply.Reply{truth}) })
			return false
		}
	}
	cfg := configOf(cluster, "alice")
	cfg.Retry = time.Hour
	c := dial(t, cfg)
	all(t, c)
	var pending []*client.Pending
	for range 20 {
		p, err := c.SubmitAsync(context.Background(), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	eventually(t, "the liars have lied", func() bool {
		return cluster.Replicas[0].Stats().Replies == 20 && cluster.Replicas[1].Stats().Replies == 20
	})
	eventually(t, "all others could tell", func() bool { // what comes later would never be told
		mu.Lock()
		defer mu.Unlock()
		return len(late) == 20*(len(cluster.Replicas)-2)
	})
	for _, p := range pending {
		select {
		case <-p.Done():
			t.Fatal("believed the liars")
		default:
		}
	}
	mu.Lock()
	for _, tell := range late {
		tell()
	}
	mu.Unlock()
	for _, p := range pending {
		if r, err := p.Result(); err != nil || string(r.Value) != "ok:x" {
			t.Fatal(r, err)
		}
	}
}

// TestResultLost: f+1 replicas have executed the update and nobody has its result any more.
func TestResultLost(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	for _, r := range cluster.Replicas {
		r.OnReply = func(*reply.Reply) bool { return false }
	}
	c := dial(t, configOf(cluster, "alice"))
	all(t, c)
	if _, err := c.Submit(context.Background(), []byte("x")); !errors.Is(err, client.ErrResultLost) {
		t.Fatal(err)
	}
}

// TestOverloadedIsSure: a replica that may have taken the update when it was first asked does not count as one that refused it.
func TestOverloadedIsSure(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), func(_ group.ID, cfg *gateway.Config) { cfg.Patience = time.Millisecond })
	var asked atomic.Int64
	for i, r := range cluster.Replicas {
		r.OnSubmit = func(wire.Update) error {
			if i == 0 && asked.Add(1) == 1 {
				return gatewaytest.ErrSwallow
			}
			return gateway.ErrOverloaded
		}
	}
	c := dial(t, configOf(cluster, "alice"))
	all(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p, err := c.SubmitAsync(ctx, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have refused, the first again and again", func() bool { return asked.Load() > 4 })
	cancel()
	if _, err := p.Result(); errors.Is(err, client.ErrOverloaded) || !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
}

// TestTimeout: without a deadline of its own an update gives up after Config.Timeout, and Close does not wait for it.
func TestTimeout(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	for _, r := range cluster.Replicas {
		r.OnSubmit = func(wire.Update) error { return gatewaytest.ErrSwallow }
	}
	cfg := configOf(cluster, "alice")
	cfg.Timeout = 50 * time.Millisecond
	_, err := dial(t, cfg).Submit(context.Background(), nil)
	if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
