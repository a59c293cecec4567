package capture

// Directions says which packets of a NIC are recorded.
type Directions uint8

const (
	TX Directions = iota
	RX
	Both
)
