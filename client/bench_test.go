package client_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/primebft/prime/client"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
)

// BenchmarkSubmit is the whole path of a client's updates but for the ordering: 4 client ports and the client in one process,
// over loopback TLS, each update with a reply from each replica.
func BenchmarkSubmit(b *testing.B) {
	for _, signed := range []bool{false, true} {
		for _, outstanding := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("signed=%v/outstanding=%d", signed, outstanding), func(b *testing.B) {
				cluster := gatewaytest.New(b, four(), nil)
				cfg := configOf(cluster, "alice")
				cfg.SignedReplies = signed
				cfg.Retry = 0
				c := dial(b, cfg)
				all(b, c)
				payload := make([]byte, 300)
				window := make(chan *client.Pending, outstanding)
				done := make(chan error)
				go func() {
					var failed error
					for p := range window {
						if _, err := p.Result(); err != nil {
							failed = err
						}
					}
					done <- failed
				}()
				b.ReportAllocs()
				for b.Loop() {
					p, err := c.SubmitAsync(context.Background(), payload)
					if err != nil {
						b.Fatal(err)
					}
					window <- p
				}
				close(window)
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
