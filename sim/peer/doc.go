// Package peer holds tests, no code: the real Linux kernel is the other end of
// the wire.
//
// Each test makes a network namespace of its own with a TUN device in it, and
// joins that by an open wire to the lo of a Stack: IP packets go back and forth
// between the two as they are. Nothing else is reached by them; the namespace
// is gone when the test ends, however it ends.
//
//	 the kernel, in a namespace           this process
//	┌──────────────────────────┐   ┌────────────────────────────┐
//	│ sockets ─ TCP/IP ─ tun0 ─┼─fd┼─ wire ─ NIC ─ socket.Stack │
//	└──────────────────────────┘   └────────────────────────────┘
//
// The wire can be held, so that packets of both ends cross for certain, and is
// written down, so that what the ends sent can be compared: most tests play the
// same scene between two kernels, and then with a Stack in either part, and ask
// for the same results, the same segments and the same final states.
//
// The tests need Linux, root, /dev/net/tun and iproute2, those of commands curl
// and ping, and are skipped without. With LOOPBACK_CI=1 in the environment they
// fail then, unless it is the kernel that lacks a feature.
//
// They run in real time and ask for no speed. TestGoodputOfKernel records, when
// asked to, what the kernel gets through the paths of package goodput.
package peer
