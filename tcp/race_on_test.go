//go:build race

package tcp

// raceEnabled: under the race detector sync.Pool forgets at random.
const raceEnabled = true
