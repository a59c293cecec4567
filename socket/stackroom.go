package socket

// growStack makes sure that the caller's goroutine has stack for a call into
// the stack, all the way down to the peer's reception of what it sends. Such a
// path is a dozen frames deep, some 800 bytes in all. A new goroutine's stack of 2 KiB holds them
// unless the user's own functions need much of it; a server that starts a goroutine for each short connection
// saves a tenth of all its work if that goroutine's stack need not grow. Where it must, growing
// copies every frame that is on it: the sooner the cheaper.
//
// Therefore what is seldom used or has a large frame is a function of its own beside that path, not on it, and the packets
// of a call are polled when the functions that made them have returned (writeLone, beginClose). TestShortConnectionStack
// tells when it has become too much.
//
// Writes of a steady dialogue do without: they are not the first. Read does without: it mostly has nothing to send, and a server of net/http
// starts a goroutine for each request that only reads (700 ns of the 9 µs that a
// request takes, were its stack to grow).
func growStack() { reserve(false) }

// reserve has a frame of stackRoom bytes, of which it uses none unless asked to. Who grows the stack looks for the
// largest frame in a table of all places where this one changes: so there is one return.
//
//go:noinline
func reserve(use bool) (b byte) {
	if use {
		var room [stackRoom]byte
		b = last(&room)
	}
	return b
}

const stackRoom = 832

//go:noinline
func last(room *[stackRoom]byte) byte { return room[stackRoom-1] }
