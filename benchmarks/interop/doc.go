// Package interop has no code of its own: its tests run programs that other people wrote over our
// stack, unmodified (gRPC, QUIC), and our TCP against another TCP over a wire that loses packets
// (gVisor's netstack).
package interop
