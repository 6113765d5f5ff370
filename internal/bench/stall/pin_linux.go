package stall

import (
	"time"

	"golang.org/x/sys/unix"
)

// processors are those that this process may run on.
func processors() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return []int{0}
	}
	var list []int
	for cpu := 0; len(list) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list
}

// pin keeps the calling thread on one processor, before anything that would merely be load. If the system refuses the first,
// the thread runs anywhere, which finds a stall of the whole machine just as well; if it refuses the second, all threads
// would have to wait for load at once before that looked like a stall.
func pin(cpu int) {
	var set unix.CPUSet
	set.Set(cpu)
	_ = unix.SchedSetaffinity(0, &set)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // of the calling thread
}

// nap blocks the calling thread itself, so that nothing but the system has to wake it.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
