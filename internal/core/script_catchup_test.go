package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// load rI count=N every=TIME [name=X]: a client of replica I submits N updates, one each time; what happens meanwhile is not shown.
func (s *script) load(t *testing.T, d *datadriven.TestData) {
	var id group.ID
	count, every, name := 0, "", "x"
	for i := range parseSet(t, []string{d.CmdArgs[0].Key}).All() {
		id = i
	}
	d.ScanArgs(t, "count", &count)
	d.ScanArgs(t, "every", &every)
	d.MaybeScanArgs(t, "name", &name)
	span, err := time.ParseDuration(every)
	if err != nil {
		t.Fatal(err)
	}
	for range count {
		s.loaded++
		s.step(id, core.Input{Submit: []wire.Update{update(fmt.Sprintf("%s%d", name, s.loaded))}})
		s.advance(s.now.Add(span))
	}
	s.log.Reset()
}
