// Package sim gives simulated computers what real ones do not have: a network that misbehaves on demand and the same way
// each time, virtual time, and recordings.
//
// An Impaired link is plugged into a computer's lo in place of the loopback wire. Its rules say, in the vocabulary of
// Linux's netem, what happens to which packets:
//
//	link, err := sim.NewImpaired(sim.ImpairConfig{Seed: 42, Rules: []sim.Rule{{
//		To:   netip.MustParsePrefix("127.0.0.2/32"),
//		Both: true,
//		Impairment: sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05},
//	}}})
//	stack := socket.New(socket.Config{Link: link})
//
// Every random choice is drawn from a generator keyed by (seed, rule, flow, number of the packet in its flow), in
// integer arithmetic: a seed gives the same decisions for a flow on every machine, whatever else is sent. Decisions are
// recorded with their reasons (Impaired.Decisions) and can be vetoed one by one (ImpairConfig.Filter).
//
// A Queue orders events by due time and, at one instant, by a key that does not depend on who came first. It runs in virtual
// time or on a clock, and is what delays packets.
//
// Package capture writes what passes as pcapng and as text like tcpdump's; the command lo shows it all.
//
// # Limits
//
// A line with a Rate is shared by the flows of its rule, as real ones are, and so is what a full queue drops; PerFlow
// divides it. Cutting divides segments but joins none. IPv6 packets are not fragmented on the way, as no router may; and
// MTUs of less than 1280, which IPv6 does not know, are reported as they are. On the wall clock, delays are as exact as
// package time's timers.
package sim
