package prime_test

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/primebft/prime"
	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
)

// counter is an application: it adds up the numbers that it is given.
type counter struct{ total int }

// Deliver is called with the same records in the same order at every replica.
func (c *counter) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i, record := range batch {
		if !record.Update() {
			continue
		}
		if n, err := strconv.Atoi(string(record.Payload)); err == nil {
			c.total += n
		}
		results[i] = strconv.AppendInt(nil, int64(c.total), 10)
	}
	return results
}

// A program that embeds one replica loads the folder that `prime init` or `prime join` made, and opens it. Here four do so
// in one process.
func Example() {
	dir, err := os.MkdirTemp("", "prime-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	folders := makeCluster(filepath.Join(dir, "cluster"))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var replicas []*prime.Replica
	for _, folder := range folders {
		cfg, err := prime.LoadConfig(folder)
		if err != nil {
			log.Fatal(err)
		}
		r, err := prime.Open(cfg, new(counter))
		if err != nil {
			log.Fatal(err)
		}
		defer r.CloseNow()
		replicas = append(replicas, r)
	}

	// Updates submitted at different replicas take effect at all of them, in one order.
	for i, number := range []string{"1", "20", "300"} {
		result, err := replicas[i].Submit(ctx, []byte(number))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("total:", string(result.Result))
	}

	// The fourth replica has the same stream.
	seen := 0
	for record, err := range replicas[3].Watch(ctx, 1) {
		if err != nil {
			log.Fatal(err)
		}
		if record.Update() {
			fmt.Printf("update of r%d: %s\n", record.Origin, record.Payload)
			seen++
		}
		if seen == 3 {
			break
		}
	}
	// Output:
	// total: 1
	// total: 21
	// total: 321
	// update of r1: 1
	// update of r2: 20
	// update of r3: 300
}

// makeCluster does what `prime init` does, on ports that are free, and returns the replicas' folders.
func makeCluster(dir string) []string {
	c := config.Cluster{Name: "example", F: 1, Auth: config.AuthReplica, AnyClient: true, Limits: config.DefaultLimits()}
	for id := 1; id <= 4; id++ {
		c.Replicas = append(c.Replicas, config.Replica{ID: id, PeerAddress: freeAddress(), ClientAddress: freeAddress()})
	}
	if _, err := config.Create(dir, c, prime.LocalConfig()); err != nil {
		log.Fatal(err)
	}
	var folders []string
	for _, r := range c.Replicas {
		folders = append(folders, filepath.Join(dir, fmt.Sprint("r", r.ID)))
	}
	return folders
}

// freeAddress is an address on this machine that nobody listens on, below the ports that systems give to outgoing connections.
func freeAddress() string {
	for range 1000 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(10000))))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	panic("no port is free")
}
