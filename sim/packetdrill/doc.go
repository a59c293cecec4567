// Package packetdrill interprets packet scripts: tests of a TCP/IP stack that
// say, line by line, which system call the application makes, which packet
// arrives from the wire and which packet must leave by it, and when.
//
// The language is that of the packetdrill tool. See [Kernel] for what the
// stack under test must offer.
package packetdrill
