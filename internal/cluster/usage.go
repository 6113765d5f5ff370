package cluster

import (
	"fmt"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	CPU time.Duration // since its start, in user and system mode; some systems charge time in which the machine stood still
	RSS int64         // resident memory now, bytes
}

// Usage asks the system what the replica has used so far. It fails once the process has ended.
func (r *Replica) Usage() (Usage, error) {
	pid := r.Pid()
	if pid == 0 || !r.Running() {
		return Usage{}, fmt.Errorf("r%d: its process is not known or has ended", r.ID)
	}
	return usage(pid)
}
