//go:build !race

package socket_test

// raceEnabled says that the race detector watches.
const raceEnabled = false
