package floor

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
)

// asNode makes the test program a process of the floor.
const asNode = "PRIME_TEST_FLOOR_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(asNode) == "1" {
		if err := Serve(os.Args[len(os.Args)-1], os.Stdin, os.Stdout); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestLegs: each kind of leg does some work, and legs can follow each other in any order.
func TestLegs(t *testing.T) {
	t.Setenv(asNode, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	f, err := Start(ctx, filepath.Join(t.TempDir(), "c"), group.MustNew(1, 0), config.AuthClient, config.DefaultLimits(), self)
	if err != nil {
		t.Fatal(err)
	}
	const d = 200 * time.Millisecond
	for range 2 {
		updates, window, err := f.Broadcast(ctx, 3, 50, d)
		if err != nil || updates < 3 || window.To-window.From < int64(d) {
			t.Errorf("broadcast: %v updates in %v, %v", updates, window, err)
		}
		lap, err := f.Rounds(ctx, d)
		if err != nil || lap <= 0 {
			t.Errorf("rounds: %v, %v", lap, err)
		}
		if updates, _, err := f.Copy(ctx, 3, 50, d); err != nil || updates < 3 {
			t.Errorf("copy: %v updates, %v", updates, err)
		}
	}
	if _, _, err := f.run(ctx, order{Kind: "dance"}, d); err == nil {
		t.Error("an unknown leg was run")
	}
	if said := f.Close(); said != "" {
		t.Errorf("the processes said %q", said)
	}
}
