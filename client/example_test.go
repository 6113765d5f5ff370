package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/primebft/prime/client"
)

// A client of the cluster whose configuration is in cluster.toml.
func Example() {
	cfg, err := client.Load("cluster.toml", "client.key")
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Dial(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := c.Submit(ctx, []byte("open breaker 7"), client.Urgent())
	var unknown *client.OutcomeUnknownError
	switch {
	case errors.As(err, &unknown):
		fmt.Println("ask again with Resume:", unknown.Seq)
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Printf("%d.%d: %s\n", r.Ordinal, r.Index, r.Value)
	}
}
