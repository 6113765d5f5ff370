package node

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/primebft/prime/internal/core/effect"
)

// jobsLimit is how many jobs may wait before the loop takes nothing new. The core hands out few for each request, but it can execute
// requests faster than parts of them are cut.
const jobsLimit = 4096

// jobs does the heavy work that the core hands out, off its goroutine.
type jobs struct {
	do   func(effect.Job) effect.Done
	in   *mailbox[effect.Job]
	back *mailbox[effect.Done] // to the loop

	waiting atomic.Int64 // handed out and not done
}

func newJobs(do func(effect.Job) effect.Done) *jobs {
	return &jobs{do: do, in: newMailbox[effect.Job](), back: newMailbox[effect.Done]()}
}

// put hands out jobs.
func (j *jobs) put(list []effect.Job) {
	j.waiting.Add(int64(len(list)))
	j.in.put(len(list), list...)
}

// congested reports whether so many wait that nothing new should be taken.
func (j *jobs) congested() bool { return j.waiting.Load() > jobsLimit }

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
				done := j.do(job)
				j.waiting.Add(-1)
				j.back.put(1, done)
				<-slots
			})
		}
	}
}
