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
// # Hosts in three kinds of time
//
// A Net is a network of hosts with names and addresses, between which links are bad, partitions cut and hosts crash. All that
// happens on it by itself, the arrival of packets, the timers of connections and the deadlines of sockets, is in one Queue,
// ordered by due time and, at one instant, by a key that does not depend on who came first. The Queue runs
//
//   - on the wall clock: NewNet, for a look at a program as it is;
//   - in the bubble of testing/synctest: package simtest, for tests of any program, net/http and gRPC included;
//   - in virtual time of its own: World, for programs that run as coroutines on one event loop. There a seed gives one
//     run of any program that does not itself look at real time, random numbers or the order of maps; one can go event by
//     event and be told what each was; and making one, a connection, a request, its response and the end take some 50 µs,
//     for fuzzing.
//
// A Driver is a single computer, packet by packet.
//
// Package capture writes what passes as pcapng and as text like tcpdump's; the command lo shows it all.
//
// # Measured
//
// On 2026-11-28 (2 cores of an AMD EPYC, Go 1.26.8), the speeds on a machine that was nearly idle (load 2):
//
//	                                                            LOOPBACK_REPLAY=1000 go test -run TestWorldReplays -v ./sim
//	3001 runs of a World with one seed, 5 % loss, 2 % duplicates, 2 % reordering, 20 ms ± 5 ms, on 1, 2 and 8 processors:
//	  100 connections of TCP from 8 hosts                       1 distinct capture (SHA-256 of the pcapng)
//	  questions and answers by UDP, with retries                1
//	  TCP through a partition and a crash                       1
//	                                                            go test -run xxx -bench World -benchmem ./sim
//	events a second, perfect | bad link                         1,020,000 | 970,000
//	hours a second of an idle connection, two-hour keep-alive   620,000
//	World, connection, 64-byte request and response, the end    32 µs and 31 KiB; 34 µs and 37 KiB with the recording,
//	                                                            40 µs and 40 KiB with delay and jitter
//	two-hour keep-alive death | TIME-WAIT | 15-minute back-off  0.21 | 0.16 | 0.32 ms of real time
//	                                                            go test -run 'KeepAliveDeath|TimeWaitExpiry|BackOff' -v ./sim/simtest
//	the same in a bubble of testing/synctest                    0.5 | 0.2 | 4.9 ms
//
// The captures of 1,240 runs of each built with -race were the same ones. The race detector keeps memory for every
// goroutine there ever was, some 45 MB a run of the 100 connections, so these took forty processes:
//
//	for i in $(seq 40); do LOOPBACK_REPLAY=10 go test -race -run TestWorldReplays -count=1 -v ./sim; done
//
// # Limits
//
// A World cannot run programs whose goroutines use its network, such as net/http: it says so (World).
//
// A line with a Rate is shared by the flows of its rule, as real ones are, and so is what a full queue drops; PerFlow
// divides it. Cutting divides segments but joins none. IPv6 packets are not fragmented on the way, as no router may; and
// MTUs of less than 1280, which IPv6 does not know, are reported as they are. On the wall clock, delays are as exact as
// package time's timers.
package sim
