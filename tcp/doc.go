// Package tcp is the Transmission Control Protocol as a state machine without input and output of its own:
// it knows nothing of goroutines, locks, clocks, sockets and IP packets. Time comes in as an argument,
// segments come in and go out as values, and whoever holds a TCB decides when.
//
//	var c tcp.TCB
//	c.Connect(now, &tcp.Params{Local: here, Remote: there, MTU: 1500, ISS: iss})
//	for c.Output(now, &seg) { send(&seg) }      // also after each of the calls below
//	c.Input(now, &arrived)                      // a segment for this connection
//	c.Timeout(now)                              // when c.Deadline() has come
//	c.Write(now, data); c.Read(now, buf); c.CloseWrite(now)
//	events := c.TakeEvents()                    // what the owner must know
//
// # What it does
//
// The state machine is that of RFC 9293, in the order of its section 3.10.7, with RFC 5961 (challenge ACKs) and
// RFC 1337. Beside the wire format (ParseHeader, MarshalHeader) there are window scaling, timestamps and PAWS
// (RFC 7323), selective acknowledgments both ways (RFC 2018, 2883, 6675), loss detection by RACK and tail loss
// probes (RFC 8985), proportional rate reduction (RFC 6937), NewReno (RFC 5681, 6582), CUBIC and HyStart as
// Linux has them or, on request, as RFC 9438 and RFC 9406 do (Select), undoing reductions that were mistakes (RFC 3522, 3708, 4015, 5682), ECN (RFC 3168), path MTU
// discovery by ICMP (RFC 1191, 8201, with the checks of RFC 5927) and by probes (RFC 4821), SYN cookies (RFC
// 4987), initial sequence numbers (RFC 6528), keep-alives, user timeouts (RFC 5482) and buffers that size
// themselves.
//
// Where the RFCs leave a choice, and in a few places where they do not ("We differ:"), it does what Linux does:
// when it acknowledges, how it cuts segments, where it sets PSH, which windows it offers, when it gives up. The
// tests compare it with recordings of the kernel of Linux 6.18. Config reads like Linux's sysctls.
//
// # Owners
//
// A TCB is not safe for concurrent use. It holds references to payload memory (see Buffer) until the data is read
// or acknowledged; an idle connection holds none. It never looks at addresses: finding the TCB for a segment,
// checksums and ports are the owner's, and so are accept queues (ListenInput, SYN cookies) and the stand-ins of
// connections in TIME-WAIT (TCB.TimeWait).
//
// # Limits
//
// Not supported: TCP-AO and MD5 signatures, Multipath TCP, Accurate ECN, pacing, IP options and security labels.
// Text on a SYN is taken only with Fast Open (RFC 7413); else
// its sender repeats it.
package tcp
