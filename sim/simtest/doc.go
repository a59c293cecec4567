// Package simtest tests programs on a simulated network, the same way each time: sim.Net in a testing/synctest bubble.
//
//	func TestQuorum(t *testing.T) {
//		simtest.Run(t, func(t *testing.T, n *sim.Net) {
//			a, b := n.Host("a"), n.Host("b")
//			n.Link(a, b, sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05})
//			…
//		})
//	}
//
// Time is virtual: a test of two hours takes milliseconds. What happens on the network follows from a seed, and a test
// that fails says how to see it again:
//
//	go test -run '^TestQuorum$' -loopback.seed=42
//
// # Flags
//
//	-loopback.seed=N        the seed; 1 if not given
//	-loopback.seeds=A-B     every seed from A to B, spread over the cores
//	-loopback.artifacts=DIR where captures of failed runs are kept; testing's -artifacts works as well
//
// The seeds of -loopback.seeds are shared out to machines by the environment variables TEST_SHARD_INDEX and
// TEST_TOTAL_SHARDS (Bazel's), or JOB_COMPLETION_INDEX and JOB_COMPLETIONS, of which Kubernetes sets the first in the
// pods of an indexed Job and the Job's author the second.
//
// # Limits
//
// Equal seeds give equal runs of programs whose goroutines do not race among themselves: see sim.Net for what is
// left. Measured were the captures of 50 runs with one seed, with loss, duplicates, reordering and jitter:
//
//	                                        GOMAXPROCS=1        GOMAXPROCS=2
//	8 clients of net/http                   1 distinct capture  1
//	4 clients of HTTPS with HTTP/1.1        1                   1
//	20 connections of raw TCP               1                   1
//	requests by UDP, with retries           1                   1
//	8 hosts at the very same instants       1                   1
//	a session of x/crypto/ssh               1                   1, and 2 with -race on a busy machine
//	4 clients of HTTP/2, one stream each    1                   5 to 7
//	4 clients of HTTP/2, four streams each  2 to 3              40
//
// Clients of net/http, raw TCP, UDP and the eight hosts were the same in 1000 runs on each of 1, 2 and 8 processors.
//
// For programs with such races of their own, run go test with -cpu=1; the processes of -loopback.seeds do.
//
// A program's own randomness is its own affair, except that crypto/rand is fixed as well. That is a property of the
// process, so that tests that call Run cannot be parallel ones; seeds are spread over processes instead.
//
// The rules of testing/synctest hold: time stands still while a goroutine of the bubble waits for something outside of
// it, and all of them must end before the test does. Run closes the network when the test returns, which ends those that
// wait for it.
package simtest
