//go:build !linux

package cluster

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// usage asks ps.
func usage(pid int) (Usage, error) {
	out, err := exec.Command("ps", "-o", "rss=,time=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return Usage{}, err
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		return Usage{}, fmt.Errorf("ps says %q of process %d", out, pid)
	}
	rss, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return Usage{}, err
	}
	var cpu time.Duration
	for part := range strings.SplitSeq(fields[1], ":") { // [[hours:]minutes:]seconds, with a fraction on some systems
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return Usage{}, err
		}
		cpu = cpu*60 + time.Duration(n*float64(time.Second))
	}
	return Usage{CPU: cpu, RSS: rss << 10}, nil
}
