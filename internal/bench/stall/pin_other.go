//go:build !linux

package stall

import (
	"runtime"
	"time"
)

func processors() []int { return make([]int, runtime.NumCPU()) }

func pin(int) {}

func nap(d time.Duration) { time.Sleep(d) }
