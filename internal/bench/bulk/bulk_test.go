package bulk

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/group"
)

// asNode makes the test program a process of a transfer.
const asNode = "PRIME_TEST_BULK_NODE"

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

// TestTransfers: real processes, both strategies, f replicas of each kind; the process that fetches is killed in the middle and another
// one goes on. Every process checks that what it has is what the others have; how long it takes is of no interest here.
func TestTransfers(t *testing.T) {
	t.Setenv(asNode, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	o := Options{
		Dir: filepath.Join(t.TempDir(), "c"), Command: []string{self}, Group: group.MustNew(1, 0), Bytes: 20<<20 + 17, Lies: Lies,
		Strategies: Strategies()[:2], Rounds: 1, Kill: true, Rate: 8 << 20, Say: func(string) {},
	}
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Transfers) != 10 || len(r.Copies) != 11 || r.WorstRatio <= 0 {
		t.Errorf("%+v", r)
	}
	for _, row := range r.Transfers {
		if row.Lies > 1 || row.Liars == Wrong && row.Lies != 1 || (row.Liars == None || row.Liars == Silent) && row.Lies > 0 {
			t.Errorf("%s, %s: %d lies", row.Strategy, row.Liars, row.Lies)
		}
	}
	for _, k := range r.Resumed {
		if k.Before < k.Blocks/2 || k.Copied < k.Before || k.Bytes > uint64((k.Blocks-k.Copied+1)*(piece+100)) {
			t.Errorf("after the kill: %+v", k)
		}
	}
	var text strings.Builder
	r.Print(&text)
	if !strings.Contains(text.String(), "| bandwidth 1 | slow |") || !strings.Contains(text.String(), "the next process found") {
		t.Error(text.String())
	}
}
