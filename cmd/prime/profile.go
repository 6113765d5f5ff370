package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profileFlag is a hidden flag of commands that are worth profiling.
type profileFlag struct {
	CPUProfile string `name:"cpuprofile" hidden:"" help:"Write a CPU profile of the whole run to this file."`
}

// start begins the profile, if one is wanted; the result ends it.
func (f profileFlag) start() (stop func(), err error) {
	if f.CPUProfile == "" {
		return func() {}, nil
	}
	file, err := os.Create(f.CPUProfile)
	if err != nil {
		return nil, usageError(fmt.Errorf("--cpuprofile: %w", err))
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}, nil
}
