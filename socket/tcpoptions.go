package socket

import (
	"net"
	"os"
	"syscall"
	"time"

	"example.com/loopback/tcp"
)

// SetDeadline sets the read and the write deadline; zero means none.
func (c *TCPConn) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline bounds reads, pending and future ones; zero means none.
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	if c.ok() && t.IsZero() && !c.bounded.Load() {
		return nil // there was none: a server of net/http makes sure of it some times a request
	}
	return c.interruptRead(t)
}

// SetWriteDeadline bounds writes, pending and future ones; zero means none.
// A write that times out may have sent part of its data.
func (c *TCPConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

// interruptRead is SetReadDeadline for a deadline that is past, or is taken back, where there is no other: a server of
// net/http ends a read like that, and allows the next, with each request. The rest it leaves to setDeadline.
//
//go:noinline
func (c *TCPConn) interruptRead(t time.Time) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	c.mu.Lock()
	if !t.Before(c.s.epoch) || c.closed || c.due != nil {
		c.mu.Unlock()
		return c.setDeadline(t, true, false)
	}
	c.rpast = !t.IsZero()
	c.bounded.Store(c.rpast)
	var reader *waiter
	if c.rpast {
		reader = c.rd.waiters()
	}
	c.mu.Unlock()
	if reader != nil {
		reader.broadcast()
	}
	return nil
}

func (c *TCPConn) setDeadline(t time.Time, read, write bool) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if t.IsZero() && !c.bounded.Load() {
		return nil
	}
	c.mu.Lock()
	if c.closed {
		defer c.mu.Unlock()
		return c.localError(net.ErrClosed)
	}
	due, now := c.s.until(t)
	rdue, wdue := c.readDue(), c.writeDue()
	var w wakes
	if read {
		c.rpast, rdue = due <= now, due
		if c.rpast {
			rdue = never
			w.rd = c.rd.waiters()
		}
		c.s.arm(&c.timer, rdue) // for those who wait already, too
	}
	if write {
		wdue = due
		w.wr = c.wr.waiters() // they look at the new deadline and wait again
	}
	c.setDue(rdue, wdue)
	c.bounded.Store(c.due != nil || c.rpast)
	c.mu.Unlock()
	w.run()
	return nil
}

// set runs f on the TCB of an open connection, as setsockopt does, and wraps
// an error as package net does for most options.
func (c *TCPConn) set(f func(t *tcp.TCB, now time.Duration)) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if err := c.setsockopt(f); err != nil {
		return c.opError("set", err)
	}
	return nil
}

func (c *TCPConn) setsockopt(f func(t *tcp.TCB, now time.Duration)) error {
	c.lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	now := c.s.now()
	f(&c.tcb, now)
	w := c.settleUser(now)
	c.mu.Unlock()
	w.run()
	c.s.kick(int(c.node.queue), now)
	return nil
}

// localError is the error of a deadline or a buffer size that was not set:
// package net gives it one address only.
func (c *TCPConn) localError(err error) error {
	return &net.OpError{Op: "set", Net: c.network.String(), Addr: tcpAddr(c.node.key.localAddr(), c.network.wide()), Err: err}
}

var errInvalidOption = os.NewSyscallError("setsockopt", syscall.EINVAL)

// setDefaults gives a new connection the options package net gives its own;
// the lock is held.
func (c *TCPConn) setDefaults(now time.Duration, ka net.KeepAliveConfig) {
	c.tcb.SetNoDelay(true)
	if ka.Enable {
		c.tcb.SetKeepAlive(now, keepAlive(ka))
	}
}

// Defaults of package net for keep-alive.
const (
	defaultKeepAlive      = 15 * time.Second
	defaultKeepAliveCount = 9
)

// The most that Linux takes (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT).
const (
	maxKeepAlive      = 32767 * time.Second
	maxKeepAliveCount = 127
)

// keepAlive fills in package net's defaults: zero means the default, negative
// leaves the stack's own.
func keepAlive(c net.KeepAliveConfig) tcp.KeepAliveConfig {
	k := tcp.KeepAliveConfig{Enable: c.Enable, Idle: c.Idle, Interval: c.Interval, Count: c.Count}
	if k.Idle == 0 {
		k.Idle = defaultKeepAlive
	}
	if k.Interval == 0 {
		k.Interval = defaultKeepAlive
	}
	if k.Count == 0 {
		k.Count = defaultKeepAliveCount
	}
	k.Idle, k.Interval, k.Count = max(k.Idle, 0), max(k.Interval, 0), max(k.Count, 0)
	return k
}

// SetNoDelay sets TCP_NODELAY: true, the default of connections made here,
// sends data at once; false lets Nagle's algorithm (RFC 9293 §3.7.4) gather it.
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.set(func(t *tcp.TCB, _ time.Duration) { t.SetNoDelay(noDelay) })
}

// SetLinger sets what Close does with data not yet acknowledged: sec < 0 sends
// it in the background, 0 discards it and resets, sec > 0 makes Close wait up
// to that long, as on Linux.
func (c *TCPConn) SetLinger(sec int) error {
	return c.set(func(*tcp.TCB, time.Duration) { c.linger = int32(max(sec, -1)) })
}

// SetKeepAlive sets SO_KEEPALIVE.
func (c *TCPConn) SetKeepAlive(on bool) error {
	return c.set(func(t *tcp.TCB, now time.Duration) {
		k := t.KeepAlive()
		k.Enable = on
		t.SetKeepAlive(now, k)
	})
}

// SetKeepAlivePeriod sets the idle time before the first probe, as package
// net does; d is rounded up to a second.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if roundUp(d) > maxKeepAlive {
		return c.opError("set", errInvalidOption)
	}
	return c.set(func(t *tcp.TCB, now time.Duration) {
		k := t.KeepAlive()
		switch {
		case d == 0:
			k.Idle = defaultKeepAlive
		case d > 0:
			k.Idle = roundUp(d)
		}
		t.SetKeepAlive(now, k)
	})
}

// SetKeepAliveConfig sets all of keep-alive.
func (c *TCPConn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if roundUp(config.Idle) > maxKeepAlive || roundUp(config.Interval) > maxKeepAlive || config.Count > maxKeepAliveCount {
		return c.opError("set", errInvalidOption)
	}
	return c.set(func(t *tcp.TCB, now time.Duration) { t.SetKeepAlive(now, keepAlive(config)) })
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1) / time.Second * time.Second
}

// SetReadBuffer sets SO_RCVBUF in bytes; like Linux, twice that is reserved,
// and the buffer no longer adjusts itself.
func (c *TCPConn) SetReadBuffer(bytes int) error {
	return c.setBuffer(bytes, (*tcp.TCB).SetRcvBuf)
}

// SetWriteBuffer sets SO_SNDBUF in bytes; like Linux, twice that is reserved,
// and the buffer no longer adjusts itself.
func (c *TCPConn) SetWriteBuffer(bytes int) error {
	return c.setBuffer(bytes, (*tcp.TCB).SetSndBuf)
}

// minBuffer is the least Linux gives (SOCK_MIN_RCVBUF).
const minBuffer = 2304

func (c *TCPConn) setBuffer(bytes int, set func(*tcp.TCB, int)) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	err := errInvalidOption
	if bytes >= 0 {
		err = c.setsockopt(func(t *tcp.TCB, _ time.Duration) { set(t, max(2*bytes, minBuffer)) })
	}
	if err != nil {
		return c.localError(err)
	}
	return nil
}

// Beyond package net: what people reach by SyscallConn on a real socket.

// SetUserTimeout sets TCP_USER_TIMEOUT (RFC 5482): how long data may stay
// unacknowledged before the connection is given up; 0 means tcp_retries2.
func (c *TCPConn) SetUserTimeout(d time.Duration) error {
	return c.set(func(t *tcp.TCB, _ time.Duration) { t.SetUserTimeout(d) })
}

// SetCork sets TCP_CORK: partial segments are held back until it is cleared.
func (c *TCPConn) SetCork(on bool) error {
	return c.set(func(t *tcp.TCB, _ time.Duration) { t.SetCork(on) })
}

// SetTOS sets the upper six bits of the type of service or traffic class of packets (IP_TOS, IPV6_TCLASS); the
// lower two belong to ECN.
func (c *TCPConn) SetTOS(tos uint8) error {
	return c.set(func(*tcp.TCB, time.Duration) { c.tos = tos &^ 3 })
}

// TOS returns what SetTOS has set.
func (c *TCPConn) TOS() uint8 {
	c.lock()
	defer c.mu.Unlock()
	return c.tos
}

// SetTTL sets the time to live or hop limit of packets (IP_TTL, IPV6_UNICAST_HOPS); 0: that of the Stack.
func (c *TCPConn) SetTTL(ttl uint8) error {
	return c.set(func(t *tcp.TCB, _ time.Duration) { t.SetTTL(ttl) })
}

// SetQuickAck sets TCP_QUICKACK: acknowledgments are not delayed.
func (c *TCPConn) SetQuickAck(on bool) error {
	return c.set(func(t *tcp.TCB, now time.Duration) { t.SetQuickAck(now, on) })
}

// SetCongestionControl chooses the algorithm by name (see tcp.CongestionNames), as
// TCP_CONGESTION does.
func (c *TCPConn) SetCongestionControl(name string) error {
	var bad error
	err := c.set(func(t *tcp.TCB, _ time.Duration) { bad = t.SetCongestion(name) })
	if err == nil && bad != nil {
		err = c.opError("set", os.NewSyscallError("setsockopt", syscall.ENOENT))
	}
	return err
}

// Info returns the connection's TCP_INFO.
func (c *TCPConn) Info() tcp.Info {
	c.lock()
	defer c.mu.Unlock()
	return c.tcb.Info(c.s.now())
}
