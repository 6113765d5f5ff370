package prime_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/primebft/prime"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/emulate"
	"github.com/primebft/prime/transport/emulate/wan"
	"github.com/primebft/prime/transport/memory"
)

// TestWrappedTransport: replicas whose links are emulated order updates, and their frames have gone through the emulation.
func TestWrappedTransport(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 1, 0, nil)
	network := memory.NewNetwork(4)
	profile := wan.Profile{Link: wan.Link{Delay: 5 * time.Millisecond, Loss: wan.Bernoulli(0.01)}}
	var all []*prime.Replica
	var links []*emulate.Transport
	for i := 1; i <= 4; i++ {
		wrap := func(inner transport.Transport) (transport.Transport, error) {
			l, err := emulate.Wrap(inner, profile, emulate.Options{Self: i, Replicas: 4})
			links = append(links, l)
			return l, err
		}
		r, err := prime.Open(p.config(t, i), echo, prime.WithTransport(network.Endpoint(i)), prime.WithWrappedTransport(wrap),
			prime.WithoutClients())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.CloseNow() })
		all = append(all, r)
	}
	submitAll(t, all, 20)
	settle(t, all, 80)
	for i, l := range links {
		if c := l.Counters(1 + (i+1)%4); c.Arrived == 0 {
			t.Errorf("r%d: nothing went through the emulated link: %+v", i+1, c)
		}
	}
}

// TestFailedWrap: a transport that cannot be wrapped is closed, and the replica does not start.
func TestFailedWrap(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 0, 0, nil)
	peers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("no such network")
	_, err = prime.Open(p.config(t, 1), echo, prime.WithListeners(peers, nil), prime.WithoutClients(),
		prime.WithWrappedTransport(func(transport.Transport) (transport.Transport, error) { return nil, reason }))
	if !errors.Is(err, reason) {
		t.Errorf("%v, want %v", err, reason)
	}
	if err := peers.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was left open: %v", err)
	}
}
