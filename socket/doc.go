// Package socket is one simulated computer that can talk to itself: an
// interface lo with IPv4, IPv6, ICMP, UDP and TCP, and the sockets its users
// hold, which are plain [net.Conn], [net.Listener] and [net.PacketConn].
//
//	s := socket.New(socket.Config{})
//	l, _ := s.Listen("tcp", "localhost:631")
//	go http.Serve(l, handler)
//	client := http.Client{Transport: &http.Transport{DialContext: s.DialContext}}
//	client.Get("http://localhost:631/")
//
// Nothing of the real computer is involved: no kernel, no privileges, no ports.
// What package net does on Linux is what happens here: addresses, names,
// errors, half-closes, resets, deadlines. All of 127.0.0.0/8 and ::1 are this
// computer, and nothing else is unless it is given to the interface ([Stack.NIC]).
//
// # Reading order
//
// The files follow a packet: tcpuser.go and udpuser.go are what users call;
// tcpconn.go runs the TCB; egress.go and datagram.go make packets; the NIC's
// rings carry them (package device); ingress.go, fragments.go and icmp.go take
// them in; flow.go finds their socket, or timewait.go what is left of one. ports.go, route.go, network.go,
// resolve.go and hosts.go answer the questions of bind and connect; timers.go
// and wait.go are time and waiting.
//
// # Who does the work
//
// There is no goroutine and at most one armed timer in a Stack. A call that
// puts a packet on a ring takes care of the rings itself, unless another call
// is at it (package device has the details). A Stack that is dropped is
// collected; it need not be closed.
//
// # Locks
//
// Each socket has one lock. Nobody holds two of them, or one while polling the
// NIC. Under a socket's lock the following may be taken, none of them under
// another but in this order: a listener's, the ports', the TIME-WAIT table's,
// the flow table's, the timers'.
//
// # Surroundings
//
// A Stack asks its surroundings for a clock ([Clock]) and for a way to park
// ([Parker]). By default both are the real ones, and within a testing/synctest
// bubble that is the bubble's time: a Stack made inside works as everything
// else does there.
//
// # Limits
//
// There is one interface and no routing table: what is not local leaves by the
// open wire, if lo is on one. There is no multicast, no broadcast, no IP_OPTIONS
// and no file descriptor, hence no SyscallConn, no File and no Control hook.
// Urgent data is received in line and cannot be sent. A TCPConn that is
// dropped without Close stays open, as nothing tells the Stack.
package socket
