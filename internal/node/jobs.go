package node

import (
	"runtime"
	"sync"

	"github.com/primebft/prime/internal/core/effect"
)

// jobs does the heavy work that the core hands out, off its goroutine. How much can wait here is bounded by the core: it hands
// out one job for each of its own parts, and a few for each request that it lacks.
type jobs struct {
	do   func(effect.Job) effect.Done
	in   *mailbox[effect.Job]
	back *mailbox[effect.Done] // to the loop
}

func newJobs(do func(effect.Job) effect.Done) *jobs {
	return &jobs{do: do, in: newMailbox[effect.Job](), back: newMailbox[effect.Done]()}
}

// run does jobs until stop, at most as many at once as there are processors.
func (j *jobs) run(stop <-chan struct{}) {
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var working sync.WaitGroup
	defer working.Wait()
	var spare []effect.Job
	for {
		select {
		case <-j.in.ready:
		case <-stop:
			return
		}
		spare, _ = j.in.take(spare)
		for _, job := range spare {
			select {
			case slots <- struct{}{}:
			case <-stop:
				return
			}
			working.Go(func() {
				j.back.put(1, j.do(job))
				<-slots
			})
		}
	}
}
