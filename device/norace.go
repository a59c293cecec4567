//go:build !race

package device

// raceEnabled says that the race detector watches; pools then always keep account.
const raceEnabled = false
