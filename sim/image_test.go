package sim

import (
	"fmt"
	"testing"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/image"
	"github.com/primebft/prime/internal/wire"
)

// reborn is a core that becomes an image now and then, and then a core that is made of the image.
type reborn struct {
	core   *core.Replica
	layout *image.Layout[core.Replica]
	limits wire.Limits
	every  int
	steps  int
	images int
	fail   func(error)
}

func (r *reborn) Step(now clock.Instant, in core.Input, out *effect.Output) {
	r.core.Step(now, in, out)
	if r.steps++; r.steps%r.every == 0 {
		taken, err := r.layout.Take(r.core)
		if err != nil {
			r.fail(err)
			return
		}
		written := taken.Append(nil)
		again, err := r.layout.Read(written, r.limits)
		if err != nil {
			r.fail(err)
			return
		}
		second, err := r.layout.Take(again)
		if err != nil {
			r.fail(err)
		} else if string(second.Append(nil)) != string(written) {
			r.fail(fmt.Errorf("the image of what an image of %d bytes gives is another", len(written)))
		}
		r.core = again
		r.images++
	}
}

func (r *reborn) Deadline() clock.Instant { return r.core.Deadline() }
func (r *reborn) Status() core.Status     { return r.core.Status() }

// TestImages: worlds whose cores are replaced by what images of them give, in the middle of anything, are the same worlds.
func TestImages(t *testing.T) {
	t.Parallel()
	layout, err := image.Of[core.Replica](core.Behaviour)
	if err != nil {
		t.Fatal(err)
	}
	layout.Check = true
	last := uint64(24)
	if underRace {
		last = 3
	}
	images := 0
	for seed := uint64(1); seed <= last; seed++ {
		plain := Run(Options{Seed: seed})
		p := draw(seed)
		var all []*reborn
		o := Options{Seed: seed}
		again := run(&o, p, func(cfg core.Config) (core.Machine, error) {
			c, err := core.New(cfg)
			if err != nil {
				return nil, err
			}
			r := &reborn{core: c, layout: layout, limits: p.wire(), every: 97, fail: func(err error) { t.Errorf("seed %d: %v", seed, err) }}
			all = append(all, r)
			return r, nil
		})
		for _, r := range all {
			images += r.images
		}
		if again.Violation != nil || again.Hash != plain.Hash || again.Events != plain.Events {
			t.Fatalf("seed %d: %+v; hash %x after %d events, and %x after %d without images", seed, again.Violation, again.Hash, again.Events,
				plain.Hash, plain.Events)
		}
	}
	if images < 1000 {
		t.Errorf("only %d images", images)
	}
}
