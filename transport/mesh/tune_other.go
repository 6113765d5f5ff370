//go:build !linux && !darwin

package mesh

import "time"

// limitBuffers does nothing: this system has its own way.
func limitBuffers(int, time.Duration) {}

// markPackets does nothing: this system has its own way.
func markPackets(int, int) {}
