package packetdrill

import (
	"math"
	"net/netip"
	"time"
)

// Never is the Deadline of a kernel in which nothing will happen by itself.
const Never time.Duration = math.MaxInt64

// Kernel is the computer under test: a TCP/IP stack whose only network
// interface is an open wire, driven by one goroutine on a virtual clock.
//
// Every call is made from the goroutine that runs the script, and none may
// block. Work that a call causes (a segment that a write makes due, the answer
// to an injected packet) is done before the call returns, so that its packets
// are ready for NextOutbound at the current time; the clock stands still
// meanwhile. Errors of the socket calls are, or wrap, syscall.Errno.
type Kernel interface {
	Clock
	Wire
	Sockets

	// SetSysctl changes a setting while the script runs. Names are Linux's,
	// with dots ("net.ipv4.tcp_sack"); the value is the text that would be
	// written to the file below /proc/sys, blanks between fields.
	// An unknown name or a bad value gives an error, which fails the script.
	SetSysctl(name, value string) error

	// Close ends the kernel; the interpreter calls it once, last.
	Close() error
}

// Clock is virtual time, as an offset since the kernel's own epoch. Now may
// start anywhere at or above zero: scripts only see differences.
type Clock interface {
	// Now is the current virtual time. Only Advance changes it.
	Now() time.Duration
	// Deadline is when something will next happen by itself (a timer fires);
	// at or before Now if something is due already, Never if nothing will.
	Deadline() time.Duration
	// Advance moves the clock to the given time, running in order every timer
	// that is due on the way, each at its own time. A time in the past only
	// runs what is due now.
	Advance(to time.Duration)
}

// Wire is the raw IP side of the computer: what is not for one of its own
// addresses leaves by it, and what is injected arrives by it.
type Wire interface {
	// Inject delivers one raw IPv4 or IPv6 packet, as if it had just arrived.
	// Packets that the stack drops (bad checksum, martian) are no error.
	// The kernel may not keep the slice.
	Inject(packet []byte) error
	// NextOutbound takes the oldest packet that left by the wire and was not
	// taken yet, with all its checksums filled in, and the virtual time at
	// which it left. ok is false when there is none. The slice belongs to the
	// caller.
	NextOutbound() (packet []byte, at time.Duration, ok bool)
}

// An Explainer is a Kernel that knows why it sends what it sends. Traces say it.
type Explainer interface {
	// OutboundCause says why the packet was sent that NextOutbound gave last,
	// as in "retransmit-rto"; it is empty when the packet itself tells.
	OutboundCause() string
}

// A WriteWaiter is a Kernel to which it matters that somebody sleeps in a call that writes.
type WriteWaiter interface {
	// AwaitWrite says so, after Send gave EAGAIN or EINPROGRESS: Linux lets the ACK of a handshake wait for what
	// such a writer has to say.
	AwaitWrite(fd int)
}

// Sockets are the system calls, none of which blocks: what would block gives
// EAGAIN (accept, recv, send) or EINPROGRESS (connect, then EALREADY while
// it lasts, then 0 once, then EISCONN, as a non-blocking socket of Linux
// does). The interpreter itself builds blocking calls, O_NONBLOCK, SO_RCVTIMEO,
// SO_SNDTIMEO, poll and epoll from these.
//
// Descriptors are numbers of the kernel's choosing: the interpreter maps them
// to the script's.
type Sockets interface {
	// Socket makes a socket. ENOSYS-like errors are for kinds that are not
	// supported at all: EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT.
	Socket(domain Domain, typ SocketType, protocol int) (fd int, err error)
	// Bind, and every other call with an address: on an INET6 socket IPv4
	// peers are written as IPv4-mapped IPv6 addresses (::ffff:192.0.2.1), on
	// the way in and on the way out.
	Bind(fd int, addr netip.AddrPort) error
	Listen(fd int, backlog int) error
	Accept(fd int) (conn int, peer netip.AddrPort, err error)
	// Connect with an invalid (zero) address is AF_UNSPEC: it dissolves the
	// association.
	Connect(fd int, addr netip.AddrPort) error
	// Send sends p, or the first part of it that fits (TCP). to is the zero
	// AddrPort when the call names none. SIGPIPE does not exist: EPIPE.
	Send(fd int, p []byte, flags MsgFlags, to netip.AddrPort) (n int, err error)
	// Recv receives into p. n may be greater than len(p) with MSG_TRUNC, as in
	// recv(2); out has MSG_TRUNC, MSG_OOB and the like. from is valid for UDP.
	// End of file is n = 0 and no error.
	Recv(fd int, p []byte, flags MsgFlags) (n int, from netip.AddrPort, out MsgFlags, err error)
	Shutdown(fd int, how ShutdownHow) error
	// CloseSocket closes the descriptor. A kernel in which a lingering close
	// (SO_LINGER with a time) can be told apart returns EAGAIN while it
	// lasts and is called again; every other kernel closes at once.
	CloseSocket(fd int) error
	LocalAddr(fd int) (netip.AddrPort, error)
	RemoteAddr(fd int) (netip.AddrPort, error) // ENOTCONN

	// SetSockOpt sets an option, named as in C: level "SOL_SOCKET",
	// "IPPROTO_TCP" (SOL_TCP), "IPPROTO_IP" (SOL_IP) or "IPPROTO_IPV6"
	// (SOL_IPV6), name "SO_LINGER", "TCP_NODELAY" and so on. The value is an
	// int, a Linger (SO_LINGER), a time.Duration (struct timeval), or a string
	// (TCP_CONGESTION). Unknown options give ENOPROTOOPT.
	SetSockOpt(fd int, level, name string, value any) error
	// GetSockOpt returns the option as one of the same types. SO_ERROR is an
	// int with Linux's errno number or a syscall.Errno.
	GetSockOpt(fd int, level, name string) (any, error)
	// Ioctl answers SIOCINQ (also written FIONREAD), SIOCOUTQ, SIOCOUTQNSD and
	// SIOCATMARK with the number that the kernel would store.
	Ioctl(fd int, request string) (int, error)
	// Poll gives the events, of those asked for, that hold now; POLLERR and
	// POLLHUP are given without asking.
	Poll(fd int, events PollEvents) (PollEvents, error)
	// TCPInfo is getsockopt(TCP_INFO): the fields of Linux's struct tcp_info
	// by name with the prefix "tcpi_" ("tcpi_snd_cwnd"), in Linux's units
	// (tcpi_rtt in microseconds, tcpi_state in the kernel's numbers with
	// ESTABLISHED = 1, tcpi_ca_state with Open = 0, tcpi_options as a bit set).
	TCPInfo(fd int) (map[string]int64, error)
}

// Domain is an address family, with Linux's number.
type Domain int

// The address families of the scripts.
const (
	Inet  Domain = 2  // AF_INET
	Inet6 Domain = 10 // AF_INET6
)

// SocketType is the kind of a socket, with Linux's number and without the
// SOCK_NONBLOCK and SOCK_CLOEXEC bits.
type SocketType int

// The socket types of the scripts.
const (
	Stream SocketType = 1 // SOCK_STREAM
	Dgram  SocketType = 2 // SOCK_DGRAM
	Raw    SocketType = 3 // SOCK_RAW
)

// ShutdownHow says which half shutdown closes, with the numbers of C.
type ShutdownHow int

// The halves of a connection.
const (
	ShutRead  ShutdownHow = 0 // SHUT_RD
	ShutWrite ShutdownHow = 1 // SHUT_WR
	ShutBoth  ShutdownHow = 2 // SHUT_RDWR
)

// MsgFlags are the MSG_ flags of send and recv, with Linux's numbers.
// The kernel sees MSG_DONTWAIT but need not care: no call of it blocks.
// MSG_WAITALL is the interpreter's business as well.
type MsgFlags int

// The flags that a kernel may meet.
const (
	MsgOOB      MsgFlags = 0x1
	MsgPeek     MsgFlags = 0x2
	MsgTrunc    MsgFlags = 0x20
	MsgDontWait MsgFlags = 0x40
	MsgEOR      MsgFlags = 0x80
	MsgWaitAll  MsgFlags = 0x100
	MsgErrQueue MsgFlags = 0x2000
	MsgNoSignal MsgFlags = 0x4000
	MsgMore     MsgFlags = 0x8000
	MsgZeroCopy MsgFlags = 0x4000000
	MsgFastOpen MsgFlags = 0x20000000
)

// PollEvents are the events of poll(2), with Linux's numbers.
type PollEvents int

// The events of poll.
const (
	PollIn     PollEvents = 0x1
	PollPri    PollEvents = 0x2
	PollOut    PollEvents = 0x4
	PollErr    PollEvents = 0x8
	PollHup    PollEvents = 0x10
	PollNval   PollEvents = 0x20
	PollRdNorm PollEvents = 0x40
	PollWrNorm PollEvents = 0x100
	PollRdHup  PollEvents = 0x2000
)

// Linger is struct linger of SO_LINGER.
type Linger struct {
	On      bool
	Seconds int
}

// Setup is the computer that a script asks for: what is configured before
// the first event.
type Setup struct {
	// Script is the name of the script, for messages.
	Script string
	// Local are the addresses of the computer, to be added to its interface
	// next to loopback's own. The first is the one the script's sockets use.
	Local []netip.Prefix
	// Remote is the network on the other side of the wire: everything that is
	// not local leaves by the wire anyway.
	Remote netip.Prefix
	// MTU of the interface, including the IP header.
	MTU int
	// Sysctls are the settings made by the script's commands before its first
	// event; names and values as for SetSysctl. Errors of newKernel about them
	// should name the sysctl.
	Sysctls map[string]string
	// Seed makes the run repeatable: initial sequence numbers, timestamp
	// offsets, ephemeral ports and IP identifications are drawn from it.
	Seed uint64
}
