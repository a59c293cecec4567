// Package floor is the cheapest thing that can still be called a connection: one mutex, one ring
// buffer, two copies, and no packets.
//
// Nothing that has the semantics of Write and Read on a buffered connection can be much faster,
// so it is the floor under every number of the comparison, and a stack's distance to it is what
// real packets, sequence numbers and windows cost. It is complete enough to run net/http (half
// close, deadlines, close wakes sleepers), and nothing more: it knows no addresses, no loss and
// no limits beside its buffer's size.
//
//	client, server := floor.Pipe()
//	go client.Write([]byte("hello"))
//	io.ReadFull(server, make([]byte, 5))
package floor
