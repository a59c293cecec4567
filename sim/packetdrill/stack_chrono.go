package packetdrill

import (
	"time"

	"example.com/loopback/tcp"
)

// What TCP_INFO says of the time that a connection spends waiting (tcpi_busy_time, tcpi_rwnd_limited and
// tcpi_sndbuf_limited). The TCB does not keep it, since it would have to look at the time for each segment. On a virtual
// clock nothing changes but at events, so that it is enough to look between them.

// chrono is why a connection is not idle.
type chrono uint8

const (
	chronoIdle chrono = iota
	chronoBusy
	chronoPeer   // the peer's window holds data back
	chronoBuffer // the send buffer holds the application back
	numChronos
)

// Advance implements Clock.
func (k *stackKernel) Advance(to time.Duration) {
	for {
		next := min(to, max(k.Driver.Deadline(), k.Now()))
		k.account(next - k.Now())
		k.Driver.Advance(next)
		if next >= to {
			return
		}
	}
}

// account adds time that is about to pass to what connections are at.
func (k *stackKernel) account(d time.Duration) {
	if d <= 0 {
		return
	}
	for _, f := range k.fds {
		if f.typ == Stream && f.Listener() == nil {
			f.chronos[f.chrono()] += d
		}
	}
}

// chrono tells what a connection is at.
func (d *descriptor) chrono() chrono {
	i := d.Conn().Info()
	if i.State == tcp.StateSynSent || i.State == tcp.StateSynReceived || i.State == tcp.StateClosed || i.SndQueue == 0 && i.Unacked == 0 {
		return chronoIdle
	}
	unsent := i.NotsentBytes
	flight := uint32(i.SndQueue) - unsent
	if i.Unacked >= i.SndCwnd {
		return chronoBusy
	}
	if unsent > 0 && flight+min(uint32(i.SndMSS), unsent) > i.SndWnd {
		return chronoPeer
	}
	if d.noSpace {
		_, writable, _, _ := d.Ready()
		d.noSpace = !writable
	}
	if d.noSpace && unsent == 0 && (i.State == tcp.StateEstablished || i.State == tcp.StateCloseWait) {
		return chronoBuffer
	}
	return chronoBusy
}

// waits adds to TCP_INFO what account has counted.
func (d *descriptor) waits(info map[string]int64) {
	us := func(c chrono) int64 { return int64(d.chronos[c] / time.Microsecond) }
	info["tcpi_rwnd_limited"], info["tcpi_sndbuf_limited"] = us(chronoPeer), us(chronoBuffer)
	info["tcpi_busy_time"] = us(chronoBusy) + us(chronoPeer) + us(chronoBuffer)
}
