package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: 100 a second on every system that Go runs on.
const clockTick = 10 * time.Millisecond

// usage reads /proc.
func usage(pid int) (Usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	return parseStat(text, int64(os.Getpagesize()))
}

// parseStat reads fields 14 (utime), 15 (stime) and 24 (resident pages) of proc_pid_stat(5). The second one is the name of the
// program in brackets, which may contain anything.
func parseStat(text []byte, page int64) (Usage, error) {
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 22 { // from the third on
		return Usage{}, fmt.Errorf("/proc/PID/stat has %d fields after the name: too few", len(fields))
	}
	var numbers [3]int64
	for i, field := range []int{11, 12, 21} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		numbers[i] = n
	}
	return Usage{CPU: time.Duration(numbers[0]+numbers[1]) * clockTick, RSS: numbers[2] * page}, nil
}
