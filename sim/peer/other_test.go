//go:build !linux

package peer

import "testing"

func TestKernelIsThePeer(t *testing.T) {
	t.Skip("the kernel cannot be the peer: it takes Linux's TUN devices and network namespaces")
}
