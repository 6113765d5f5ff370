package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// watcher adds an answer of its own to what a machine hears.
type watcher struct {
	core.Machine
	hears func(env *wire.Envelope, put func(effect.Send))
}

// Step implements core.Machine.
func (w *watcher) Step(now clock.Instant, in core.Input, out *effect.Output) {
	w.Machine.Step(now, in, out)
	if in.Message != nil {
		w.hears(in.Message, func(s effect.Send) {
			if s.To != 0 {
				out.Sends = append(out.Sends, s)
			}
		})
	}
}
