package prime_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/primebft/prime"
	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport/memory"
)

// BenchmarkCluster orders updates of 300 bytes in a cluster of 4 replicas in one process, so many under way at each. An
// operation is one update, from SubmitAsync to its result.
func BenchmarkCluster(b *testing.B) {
	for _, link := range []string{"memory", "mesh"} {
		for _, auth := range []config.Auth{config.AuthReplica, config.AuthClient} {
			for _, outstanding := range []int{1, 100, 1000} {
				b.Run(fmt.Sprintf("%s/%s/outstanding=%d", link, auth, outstanding), func(b *testing.B) {
					benchmark(b, link, auth, outstanding)
				})
			}
		}
	}
}

func benchmark(b *testing.B, link string, auth config.Auth, outstanding int) {
	p := newPlan(b, 1, 0, func(c *config.Cluster, _ *config.Node) { c.Auth = auth })
	network := memory.NewNetwork(4)
	var all []*prime.Replica
	for i := 1; i <= 4; i++ {
		options := []prime.Option{prime.WithListeners(p.peers[i-1], p.clients[i-1])}
		if link == "memory" {
			options = []prime.Option{prime.WithTransport(network.Endpoint(i)), prime.WithoutClients()}
		}
		r, err := prime.Open(p.config(b, i), app.Func(func(app.Record) []byte { return nil }), options...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { r.CloseNow() })
		all = append(all, r)
	}
	for _, r := range all {
		if err := r.Ready(within(b)); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Submit(within(b), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	drive(b, all, outstanding)
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/1000/float64(b.N), "cpu-us/update")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
	s := all[0].Status()
	b.ReportMetric(float64(s.Delivered)/float64(s.Ordinal), "records/ordinal")
	b.ReportMetric(float64(s.Counters.Signed)/float64(s.Counters.Batches), "messages/signature")
}

// processorTime is what this process has used: on a busy machine it says more than the time that has passed.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// drive keeps so many updates under way at each replica until b.N have been ordered.
func drive(b *testing.B, all []*prime.Replica, outstanding int) {
	payload := make([]byte, 300)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			free := make(chan struct{}, outstanding)
			for left.Add(-1) >= 0 {
				free <- struct{}{}
				r.SubmitAsync(context.Background(), payload, func(_ prime.Result, err error) {
					if err != nil {
						b.Error(err)
					}
					<-free
				})
			}
			for range outstanding { // until the last is done
				free <- struct{}{}
			}
		})
	}
	wg.Wait()
}
