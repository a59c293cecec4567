//go:build !linux

package transport

import "net"

// growReceiveBuffer asks for size bytes. A window of datagrams that does not fit is found, and
// made smaller, by the workload.
func growReceiveBuffer(c *net.UDPConn, size int) { _ = c.SetReadBuffer(size) }
