//go:build linux

package packetdrill

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// waitingLinux is a linuxKernel that sleeps until a packet leaves instead of
// looking at every tick. Only calls that do not block can be made on it.
type waitingLinux struct{ *linuxKernel }

func newWaitingLinux(setup Setup) (Kernel, error) {
	k, err := newLinux(setup)
	if err != nil {
		return nil, err
	}
	return waitingLinux{k.(*linuxKernel)}, nil
}

func (k waitingLinux) Deadline() time.Duration { return Never }

// Advance returns early when a packet leaves.
func (k waitingLinux) Advance(to time.Duration) {
	d := to - k.Now()
	if d <= 0 {
		return
	}
	const pollin = 1
	var p [8]byte
	binary.NativeEndian.PutUint32(p[:], uint32(k.tun))
	binary.NativeEndian.PutUint16(p[4:], pollin)
	ts := syscall.NsecToTimespec(int64(d))
	_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p[0])), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
}

// onLinux plays a plan on the kernel of this machine, on a thread of its own
// that ends with it. It is played again when something was late.
func onLinux(p plan, o Options) (pl *player, err error) {
	const tries, lateness = 5, 3 * time.Millisecond
	for range tries {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			punctual()
			pl, err = replay(newWaitingLinux, p, o)
		}()
		<-done
		if err != nil || pl.late <= lateness {
			break
		}
	}
	return pl, err
}

// punctual makes this thread one of real time, if it may be.
func punctual() {
	const fifo, priority = 1, 20
	param := int32(priority)
	_, _, _ = syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&param)))
}
