package tcp

// Error is why a connection failed. The socket layer maps each to the errno of Linux.
type Error uint8

// The errors.
const (
	ErrReset         Error = iota + 1 // the peer reset the connection: ECONNRESET
	ErrRefused                        // the peer refused it: ECONNREFUSED
	ErrTimeout                        // the peer does not answer: ETIMEDOUT
	ErrPipe                           // reset after the peer had closed its side: EPIPE
	ErrAborted                        // aborted by this side: ECONNABORTED
	ErrNetUnreach                     // ICMP says so: ENETUNREACH
	ErrHostUnreach                    // ICMP says so: EHOSTUNREACH
	ErrProtoUnreach                   // ICMP says so: ENOPROTOOPT
	ErrProto                          // ICMP parameter problem: EPROTO
	ErrAccess                         // ICMP administratively prohibited: EACCES (v6), EHOSTUNREACH (v4)
	ErrMessageSize                    // the path's MTU shrank: EMSGSIZE, soft only
	ErrNotSupported                   // ICMP says that a source route failed: EOPNOTSUPP
	ErrHostDown                       // ICMP says that the host is unknown: EHOSTDOWN
	ErrNoNet                          // ICMP says that the host is isolated: ENONET
	ErrNotConnected                   // not in a state for this call: ENOTCONN
	ErrWouldNotClose                  // sending side is already closed: ENOTCONN
	ErrNoUrgent                       // no urgent byte to be read apart: EINVAL
	ErrUrgentAhead                    // the urgent byte has not come yet: EAGAIN
	numErrors
)

var errorTexts = [numErrors]string{
	0:                "tcp: no error",
	ErrReset:         "tcp: connection reset by peer",
	ErrRefused:       "tcp: connection refused",
	ErrTimeout:       "tcp: connection timed out",
	ErrPipe:          "tcp: broken pipe",
	ErrAborted:       "tcp: connection aborted",
	ErrNetUnreach:    "tcp: network is unreachable",
	ErrHostUnreach:   "tcp: no route to host",
	ErrProtoUnreach:  "tcp: protocol not available",
	ErrProto:         "tcp: protocol error",
	ErrAccess:        "tcp: permission denied",
	ErrMessageSize:   "tcp: message too long",
	ErrNotSupported:  "tcp: operation not supported",
	ErrHostDown:      "tcp: host is down",
	ErrNoNet:         "tcp: machine is not on the network",
	ErrNotConnected:  "tcp: not connected",
	ErrWouldNotClose: "tcp: sending side is closed",
	ErrNoUrgent:      "tcp: no urgent text",
	ErrUrgentAhead:   "tcp: urgent text has not arrived",
}

// Error returns a text such as "tcp: connection refused".
func (e Error) Error() string {
	if e < numErrors {
		return errorTexts[e]
	}
	return "tcp: unknown error"
}

// asError turns e into an error, nil for none. Small integers in interfaces are not allocated.
func (e Error) asError() error {
	if e == 0 {
		return nil
	}
	return e
}
