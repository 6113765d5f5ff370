package prime_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"github.com/primebft/prime/client"
	"github.com/primebft/prime/config"
)

// TestClients: clients of their own, by TLS, get results that f+1 replicas agree on, in both ways to vouch for updates; a
// replica that ends is no reason to lose one.
func TestClients(t *testing.T) {
	t.Parallel()
	for _, auth := range []config.Auth{config.AuthReplica, config.AuthClient} {
		t.Run(string(auth), func(t *testing.T) {
			t.Parallel()
			const clients, each = 3, 8
			p := newPlan(t, 1, 0, func(c *config.Cluster, _ *config.Node) { c.Auth = auth })
			all := p.openAll(t)
			shared := p.config(t, 1).Cluster
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					if err := useClient(t, shared, i, each); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			settle(t, all, clients*each)
			if err := all[3].CloseNow(); err != nil {
				t.Error(err)
			}
			if err := useClient(t, shared, 4, each); err != nil {
				t.Errorf("with a replica less: %v", err)
			}
			settle(t, all[:3], (clients+1)*each)
		})
	}
}

// useClient submits updates as a new client, half of them to f+1 replicas at once.
func useClient(t *testing.T, shared config.Cluster, number, count int) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	c, err := client.Dial(within(t), client.FromCluster(shared, key))
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range count {
		payload := fmt.Appendf(nil, "client %d update %d", number, i)
		var options []client.Option
		if i%2 == 0 {
			options = append(options, client.Urgent())
		}
		result, err := c.Submit(within(t), payload, options...)
		if err != nil {
			return err
		}
		if !bytes.Equal(result.Value, payload) {
			return fmt.Errorf("result %q of %q", result.Value, payload)
		}
	}
	return nil
}
