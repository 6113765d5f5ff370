// Command own-transfer is a replica whose application transfers its state in its own way (docs/state-transfer.md): a counter for each
// word. When the replica of one application was away until the others no longer hold what it missed, a transfer point is ordered; at
// that place in the order the other applications sign their state and send it, over connections of their own, and the one that needs it
// takes what f+1 of them send alike.
//
//	prime init --dir demo
//	for i in 1 2 3 4; do go run ./examples/own-transfer demo/r$i 127.0.0.1:790{1,2,3,4} & done
//
// The addresses are where the applications of r1, r2, … take states. Type words: each is ordered, and the count is printed.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/primebft/prime"
)

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, "usage: own-transfer REPLICA-FOLDER ADDRESS-OF-R1 ADDRESS-OF-R2 …")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "own-transfer:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and submits every line of in.
func run(ctx context.Context, folder string, addresses []string, in io.Reader, out io.Writer) error {
	cfg, err := prime.LoadConfig(folder)
	if err != nil {
		return err
	}
	w := newWords(cfg.Node.ID, cfg.Cluster.F, cfg.Key, addresses)
	for _, r := range cfg.Cluster.Replicas {
		w.keys = append(w.keys, r.PublicKey)
	}
	listener, err := net.Listen("tcp", addresses[cfg.Node.ID-1])
	if err != nil {
		return err
	}
	defer listener.Close()
	go w.listen(listener)
	replica, err := prime.Open(cfg, w, prime.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	if err != nil {
		return err
	}
	go submit(ctx, replica, in, out)
	select {
	case <-ctx.Done():
		return replica.Close()
	case <-replica.Done():
		return replica.Err()
	}
}

// submit submits every line. A line "!" has a transfer point ordered, although nothing is missing.
func submit(ctx context.Context, replica *prime.Replica, in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if lines.Text() == "!" {
			replica.RequestTransfer()
			continue
		}
		result, err := replica.Submit(ctx, lines.Bytes())
		if err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(out, "error:", err)
		} else if err == nil {
			fmt.Fprintf(out, "%s: %s\n", lines.Text(), result.Result)
		}
	}
}
