//go:build race

package socket_test

// underRace: the race detector makes pools forget on purpose, so that allocation budgets cannot be met.
const underRace = true
