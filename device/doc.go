// Package device is the simulated network interface: packet buffers, lock-free rings, the NIC, the links
// it is plugged into, counters and taps.
package device
