//go:build race

package sim

// underRace: the race detector makes worlds ten times slower, and a world has one goroutine, so a few of them are enough.
const underRace = true
