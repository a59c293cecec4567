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
//	-loopback.shrink        look for the fewest decisions of the network with which the test still fails
//	-loopback.only=LIST     carry out those decisions alone, as the search has printed them; @FILE reads them
//	-loopback.artifacts=DIR where captures of failed runs are kept; testing's -artifacts works as well
//
// The seeds of -loopback.seeds are shared out to machines by the environment variables TEST_SHARD_INDEX and
// TEST_TOTAL_SHARDS (Bazel's), or JOB_COMPLETION_INDEX and JOB_COMPLETIONS, of which Kubernetes sets the first in the
// pods of an indexed Job and the Job's author the second.
//
// # Limits
//
// Equal seeds give equal runs of programs whose goroutines do not race among themselves for a connection: see sim.Net for
// what is left. Measured were the captures of 1000 runs with one seed on each of 1, 2 and 8 processors, with loss,
// duplicates, reordering and jitter: one capture each of 8 clients of net/http, 4 of HTTPS with HTTP/1.1, 100 connections
// of raw TCP, requests by UDP, 8 hosts at the very same instants and a session of x/crypto/ssh. HTTP/2, whose streams do
// race, has tens of captures on two processors and a handful with OneProcessor; sim/README.md has the numbers and the
// command.
//
// For programs with such races of their own there is Config.OneProcessor, or go test -cpu=1 (which the processes of
// -loopback.seeds run with).
//
// A program's own randomness is its own affair, except that crypto/rand is fixed as well. That is a property of the
// process, so that tests that call Run cannot be parallel ones; seeds are spread over processes instead.
//
// The rules of testing/synctest hold: time stands still while a goroutine of the bubble waits for something outside of
// it, and all of them must end before the test does. Run closes the network when the test returns, which ends those that
// wait for it.
package simtest
