//go:build race

package socket

// raceEnabled says that the race detector watches.
const raceEnabled = true
