package transport

import (
	"net"
	"syscall"
)

// growReceiveBuffer asks for size bytes, past net.core.rmem_max where the process may. A window
// of datagrams that does not fit is found, and made smaller, by the workload.
func growReceiveBuffer(c *net.UDPConn, size int) {
	_ = c.SetReadBuffer(size)
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		// Needs CAP_NET_ADMIN; without it the buffer above stays.
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, size)
	})
}
