package device

// An Error is a reason why the device refused something. Errors compare with ==.
type Error string

// Error returns the text.
func (e Error) Error() string { return string(e) }

const (
	// ErrEmpty: an injected packet has no bytes.
	ErrEmpty = Error("device: empty packet")
	// ErrTooLong: an injected packet is longer than MaxPacket.
	ErrTooLong = Error("device: packet longer than 65535 bytes")
	// ErrDown: the NIC is down.
	ErrDown = Error("device: network is down")
	// ErrRingFull: the RX ring is full.
	ErrRingFull = Error("device: ring full")
	// ErrMTU: an MTU is out of range.
	ErrMTU = Error("device: MTU out of range")
	// ErrPrefix: a prefix is invalid or IPv4-mapped, or the address to add is multicast or unspecified.
	ErrPrefix = Error("device: invalid prefix")
	// ErrExists: the address is there already.
	ErrExists = Error("device: address exists")
	// ErrNoAddr: there is no such address.
	ErrNoAddr = Error("device: no such address")
)
