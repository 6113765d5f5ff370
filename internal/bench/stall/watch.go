// Package stall tells how long the whole machine stood still, as virtual machines, overcommitted hosts and laptops do.
//
// A watcher process keeps one pinned thread per processor. Each wakes every millisecond and reports when that took more than
// Threshold. The time in which every one of them was in such a gap is stalled: nothing could run, whatever it was. A gap on
// some processors only is no stall: it may be load. Where threads cannot be pinned there are as many unpinned ones.
package stall

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Threshold is the shortest gap that counts.
	Threshold = 20 * time.Millisecond

	period   = time.Millisecond      // between two looks at the clock
	progress = 50 * time.Millisecond // between two reports of a thread that has seen no gap
	backlog  = 4096                  // reports that wait to be written
)

// Now is nanoseconds on a monotonic clock that all processes of the machine share.
func Now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("stall: this system has no monotonic clock: " + err.Error())
	}
	return t.Nano()
}

// Clock reads the same clock as Now, without asking the system each time. Its use is for whoever takes many times.
type Clock struct {
	start  time.Time
	offset int64
}

// NewClock starts a clock.
func NewClock() Clock { return Clock{time.Now(), Now()} }

// Now is nanoseconds on Now's clock.
func (c Clock) Now() int64 { return c.offset + int64(time.Since(c.start)) }

// At is the time in this process at which the clock shows t.
func (c Clock) At(t int64) time.Time { return c.start.Add(time.Duration(t - c.offset)) }

// report is a gap that one thread saw, or, with From equal to To, that it was running then.
type report struct {
	thread int
	Span
}

// Watch is the watcher process: it writes to out until in ends. The first line is the number of threads; every other one is
// the number of a thread, from 0, and two times on Now's clock: a gap, or, if they are equal, a sign of life.
func Watch(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	cpus := processors()
	runtime.GOMAXPROCS(len(cpus) + 2) // no thread waits for another's place
	reports := make(chan report, backlog)
	var threads sync.WaitGroup
	for i, cpu := range cpus {
		threads.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine, as pinned ones are no use to others
			pin(cpu)
			watch(ctx, i, reports)
		})
	}
	go func() {
		threads.Wait()
		close(reports)
	}()
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, len(cpus))
	for r := range reports {
		fmt.Fprintln(w, r.thread, r.From, r.To)
		if len(reports) > 0 {
			continue
		}
		if err := w.Flush(); err != nil { // whoever started us is gone
			cancel()
		}
	}
	return w.Flush()
}

// watch looks at the clock every period. A report that finds no room is dropped rather than making a gap of its own.
func watch(ctx context.Context, thread int, reports chan<- report) {
	last := Now()
	told := last
	for ctx.Err() == nil {
		nap(period)
		now := Now()
		r := report{thread, Span{now, now}}
		if now-last > int64(Threshold) {
			r.From = last
		}
		last = now
		if r.From == now && now-told < int64(progress) {
			continue
		}
		told = now
		select {
		case reports <- r:
		default:
		}
	}
}
