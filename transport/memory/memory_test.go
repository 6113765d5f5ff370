package memory_test

import (
	"testing"

	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/memory"
	"github.com/primebft/prime/transport/transporttest"
)

func TestContract(t *testing.T) {
	transporttest.RunOrdered(t, func(_ *testing.T, s transporttest.Setup) transporttest.Opener {
		return memory.New(memory.Options{
			Replicas:    s.Replicas,
			BudgetBytes: s.BudgetBytes,
			MaxFrame:    func(transport.Class) int { return s.MaxFrame },
		}).Endpoint
	})
}

func TestCutAndHeal(t *testing.T) {
	n := memory.NewNetwork(3)
	got := make(chan int, 10)
	for id := 1; id <= 3; id++ {
		e := n.Endpoint(id)
		if err := e.Start(func(from int, _ transport.Class, _ []byte) { got <- 10*from + id }); err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if id != 3 {
			continue
		}
		n.Cut(1, 3)
		if p := e.Peers()[0]; p.Connected || p.Why == "" {
			t.Errorf("cut, and %+v", p)
		}
		e.Send(1, transport.Frame{Class: transport.Timely, Source: 3, Bytes: []byte("waits")})
		e.Send(2, transport.Frame{Class: transport.Timely, Source: 3, Bytes: []byte("goes")})
		if who := <-got; who != 32 {
			t.Errorf("first came %d, want what r3 sent to r2", who)
		}
		n.Heal(1, 3)
		if who := <-got; who != 31 {
			t.Errorf("then came %d, want what r3 sent to r1", who)
		}
		for _, p := range e.Peers() {
			if !p.Connected || p.Why != "" {
				t.Errorf("healed, and %+v", p)
			}
		}
	}
}

func TestWrongEndpoints(t *testing.T) {
	n := memory.NewNetwork(2)
	first := n.Endpoint(1)
	defer first.Close()
	for _, e := range []transport.Transport{n.Endpoint(0), n.Endpoint(3), n.Endpoint(1)} {
		if err := e.Start(nil); err == nil {
			t.Error("an endpoint that cannot be was started")
		}
		e.Send(2, transport.Frame{Class: transport.Timely, Bytes: []byte("x")})
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
