package device

// An Opener is a Link by which packets may leave this computer. A link that
// wraps another one answers as that does.
type Opener interface {
	Open() bool
}

// Open reports whether the link of n leads anywhere but back: on a link that
// does not, packets with FlagOutside are unreachable.
func (n *NIC) Open() bool {
	o, ok := (*n.link.Load()).(Opener)
	return ok && o.Open()
}

// Link returns the link n is plugged into.
func (n *NIC) Link() Link { return *n.link.Load() }

// Open implements Opener.
func (w *Wire) Open() bool { return true }

// Open implements Opener.
func (t *Port) Open() bool { return true }
