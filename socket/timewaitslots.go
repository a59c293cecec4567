package socket

// twSlots finds stand-ins by the hashes of their names: an open table with linear probing. A slot has the whole hash, so that
// to find out that there is none, what every new connection asks, does not take a look at any stand-in, each of which
// would be a cache miss.
type twSlots []twSlot // as many as a power of two

type twSlot struct {
	hash uint32
	i    twIndex // 0: free
}

// minSlots is how many there are at least, if there are any.
const minSlots = 16

// fits reports whether there is room for n stand-ins; more than three quarters of the slots make long ways.
func (s twSlots) fits(n int) bool { return n <= len(s)/4*3 }

// larger returns slots for n stand-ins, those of s among them.
func (s twSlots) larger(n int) twSlots {
	size := max(len(s), minSlots)
	for size/4*3 < n {
		size *= 2
	}
	t := make(twSlots, size)
	for _, one := range s {
		if one.i != 0 {
			t.enter(one.hash, one.i)
		}
	}
	return t
}

// enter enters i under hash h. There must be a free slot.
func (s twSlots) enter(h uint32, i twIndex) {
	mask := uint32(len(s) - 1)
	at := h & mask
	for s[at].i != 0 {
		at = (at + 1) & mask
	}
	s[at] = twSlot{h, i}
}

// remove takes out i, which was entered under hash h. Those behind it that could not be where it was move up.
func (s twSlots) remove(h uint32, i twIndex) {
	mask := uint32(len(s) - 1)
	free := h & mask
	for s[free].i != i {
		free = (free + 1) & mask
	}
	for at := (free + 1) & mask; s[at].i != 0; at = (at + 1) & mask {
		if home := s[at].hash & mask; (at-home)&mask >= (at-free)&mask {
			s[free] = s[at]
			free = at
		}
	}
	s[free] = twSlot{}
}
