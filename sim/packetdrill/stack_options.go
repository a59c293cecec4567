package packetdrill

import (
	"errors"
	"syscall"
	"time"

	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// SetSockOpt implements Sockets.
func (k *stackKernel) SetSockOpt(fd int, level, name string, value any) error {
	d, err := k.fd(fd)
	if err != nil {
		return err
	}
	switch v := value.(type) {
	case int:
		err = d.setInt(level, name, v)
	case Linger:
		err = d.setLinger(v)
	case time.Duration: // SO_RCVTIMEO, SO_SNDTIMEO: the interpreter's business
	case string:
		if name != "TCP_CONGESTION" {
			return syscall.ENOPROTOOPT
		}
		var bad error
		err = d.SetOption(func(t *tcp.TCB, _ time.Duration) { bad = t.SetCongestion(v) })
		if bad != nil {
			return syscall.ENOENT
		}
	default:
		return syscall.EINVAL
	}
	if err == nil {
		if n, ok := value.(int); ok && switchOption(name) {
			value = boolInt(n != 0)
		} else if ok && d.typ == Stream && (name == "IP_TOS" || name == "IPV6_TCLASS") {
			value = n &^ 3
		}
		d.opts[level+"."+name] = value
	}
	return err
}

func (d *descriptor) setLinger(v Linger) error {
	sec := -1
	if v.On {
		sec = v.Seconds
	}
	if c := d.Conn(); c != nil {
		return unwrap(c.SetLinger(sec))
	}
	return nil
}

// unwrap finds the errno in an error of package net's kind.
func unwrap(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}

// setInt sets an option that is a number or a switch.
func (d *descriptor) setInt(level, name string, v int) error {
	on := v != 0
	switch name {
	case "SO_REUSEADDR":
		d.SetReuse(on)
		return nil
	case "IPV6_V6ONLY":
		d.SetOnly6(on)
		return nil
	}
	if name == "TCP_WINDOW_CLAMP" && d.typ == Stream {
		ok := false
		err := d.SetOption(func(t *tcp.TCB, _ time.Duration) { ok = t.SetWindowClamp(v) })
		if err == nil && !ok {
			err = syscall.EINVAL
		}
		return err
	}
	if d.typ == Stream {
		if known, err := d.setFastOpen(name, v); known {
			return err
		}
		set, known := streamOption(name, v, on)
		if !known {
			set, known = streamExtra(name, v)
		}
		if known {
			if set == nil {
				return syscall.EINVAL
			}
			return d.SetOption(set)
		}
	}
	if (name == "IP_TOS" || name == "IPV6_TCLASS") && d.typ == Stream {
		return unwrap(d.Conn().SetTOS(uint8(max(v, 0))))
	}
	if (name == "IP_TTL" || name == "IPV6_UNICAST_HOPS") && d.typ == Stream {
		if v == 0 && name == "IP_TTL" || v < -1 || v > 255 {
			return syscall.EINVAL
		}
		return unwrap(d.Conn().SetTTL(uint8(max(v, 0))))
	}
	switch level {
	case "SOL_SOCKET", "IPPROTO_IP", "IPPROTO_IPV6":
		return nil // no effect here, but to be read back
	}
	return syscall.ENOPROTOOPT
}

// streamOption returns what sets the option, nil for a value that is out of range.
func streamOption(name string, v int, on bool) (set func(*tcp.TCB, time.Duration), known bool) {
	seconds := time.Duration(v) * time.Second
	keepAlive := func(change func(*tcp.KeepAliveConfig)) func(*tcp.TCB, time.Duration) {
		return func(t *tcp.TCB, now time.Duration) {
			c := t.KeepAlive()
			change(&c)
			t.SetKeepAlive(now, c)
		}
	}
	switch name {
	case "SO_KEEPALIVE":
		return keepAlive(func(c *tcp.KeepAliveConfig) { c.Enable = on }), true
	case "TCP_KEEPIDLE":
		set = keepAlive(func(c *tcp.KeepAliveConfig) { c.Idle = seconds })
	case "TCP_KEEPINTVL":
		set = keepAlive(func(c *tcp.KeepAliveConfig) { c.Interval = seconds })
	case "TCP_KEEPCNT":
		set = keepAlive(func(c *tcp.KeepAliveConfig) { c.Count = v })
	case "SO_SNDBUF":
		return func(t *tcp.TCB, _ time.Duration) { t.SetSndBuf(max(2*v, 4608)) }, true
	case "SO_RCVBUF":
		return func(t *tcp.TCB, _ time.Duration) { t.SetRcvBuf(max(2*v, 2304)) }, true
	case "TCP_NODELAY":
		return func(t *tcp.TCB, _ time.Duration) { t.SetNoDelay(on) }, true
	case "TCP_CORK":
		return func(t *tcp.TCB, _ time.Duration) { t.SetCork(on) }, true
	case "SO_OOBINLINE":
		return func(t *tcp.TCB, _ time.Duration) { t.SetUrgentInline(on) }, true
	case "TCP_QUICKACK":
		return func(t *tcp.TCB, now time.Duration) { t.SetQuickAck(now, on) }, true
	case "TCP_MAXSEG":
		if v != 0 && (v < 88 || v > 32767) {
			return nil, true
		}
		return func(t *tcp.TCB, _ time.Duration) { t.SetMaxSeg(v) }, true
	case "TCP_USER_TIMEOUT":
		if v < 0 {
			return nil, true
		}
		return func(t *tcp.TCB, _ time.Duration) { t.SetUserTimeout(time.Duration(v) * time.Millisecond) }, true
	case "TCP_SYNCNT":
		set = func(t *tcp.TCB, _ time.Duration) { t.SetSynRetries(v) }
	case "TCP_DEFER_ACCEPT":
		return func(t *tcp.TCB, _ time.Duration) { t.SetDeferAccept(max(seconds, 0)) }, true
	case "TCP_LINGER2":
		return func(t *tcp.TCB, _ time.Duration) { t.SetLinger2(seconds) }, true
	default:
		return nil, false
	}
	most := 32767 // MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
	if name == "TCP_KEEPCNT" || name == "TCP_SYNCNT" {
		most = 127
	}
	if v < 1 || v > most {
		return nil, true
	}
	return set, true
}

// GetSockOpt implements Sockets.
func (k *stackKernel) GetSockOpt(fd int, level, name string) (any, error) {
	d, err := k.fd(fd)
	if err != nil {
		return nil, err
	}
	switch name {
	case "SO_ERROR":
		var no syscall.Errno
		if errors.As(d.TakeError(), &no) {
			return no, nil
		}
		return 0, nil
	case "SO_TYPE":
		return int(d.typ), nil
	case "SO_ACCEPTCONN":
		return boolInt(d.Listener() != nil), nil
	}
	if d.typ == Stream {
		if v, ok := fastOpenValue(d.FastOpen(), name); ok {
			return v, nil
		}
		if v, ok := d.tcpValue(name); ok {
			return v, nil
		}
	}
	if v, ok := d.opts[level+"."+name]; ok {
		return v, nil
	}
	return d.defaultOption(name)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tcpValue reads an option back from the TCB.
func (d *descriptor) tcpValue(name string) (v any, ok bool) {
	ok = true
	d.SetOption(func(t *tcp.TCB, now time.Duration) {
		switch name {
		case "SO_KEEPALIVE":
			v = boolInt(t.KeepAlive().Enable)
		case "TCP_KEEPIDLE":
			v = int(t.KeepAlive().Idle / time.Second)
		case "TCP_KEEPINTVL":
			v = int(t.KeepAlive().Interval / time.Second)
		case "TCP_KEEPCNT":
			v = t.KeepAlive().Count
		case "SO_SNDBUF":
			v = t.SndBuf()
		case "SO_RCVBUF":
			v = t.RcvBuf()
		case "TCP_NODELAY":
			v = boolInt(t.NoDelay())
		case "SO_OOBINLINE":
			v = boolInt(t.UrgentInline())
		case "TCP_CORK":
			v = boolInt(t.Cork())
		case "TCP_QUICKACK":
			v = boolInt(t.QuickAck())
		case "TCP_DEFER_ACCEPT":
			v = int(t.DeferAccept() / time.Second)
		case "TCP_WINDOW_CLAMP":
			v = t.WindowClamp()
		case "TCP_MAXSEG":
			v = t.SendMSS()
		case "TCP_USER_TIMEOUT":
			v = int(t.UserTimeout() / time.Millisecond)
		case "TCP_CC_INFO":
			v = "" // neither Reno nor CUBIC has any
		case "TCP_CONGESTION":
			v = t.Congestion()
		default:
			v, ok = streamExtraValue(t, name)
		}
	})
	return v, ok
}

// Ioctl implements Sockets.
func (k *stackKernel) Ioctl(fd int, request string) (int, error) {
	d, err := k.fd(fd)
	if err != nil {
		return 0, err
	}
	if d.typ != Stream {
		return d.udpIoctl(request)
	}
	if d.Listener() != nil {
		return 0, syscall.EINVAL
	}
	n := 0
	err = d.SetOption(func(t *tcp.TCB, _ time.Duration) {
		switch request {
		case "SIOCINQ", "FIONREAD":
			n = t.Pending()
		case "SIOCOUTQ":
			n = t.Unacked()
		case "SIOCOUTQNSD":
			n = t.Unsent()
		case "SIOCATMARK":
			n = boolInt(t.AtMark())
		}
	})
	return n, err
}

// udpIoctl answers for a UDP socket: SIOCINQ is the size of the first datagram.
func (d *descriptor) udpIoctl(request string) (int, error) {
	switch {
	case request == "SIOCOUTQ":
		return 0, nil
	case request != "SIOCINQ" && request != "FIONREAD":
		return 0, syscall.EINVAL
	}
	n, _, err := d.Socket.Recv(nil, socket.MsgPeek|socket.MsgTrunc)
	if err != nil {
		return 0, nil // nothing waits
	}
	return n, nil
}

// linuxStates are the numbers of tcpi_state.
var linuxStates = [...]int64{
	tcp.StateEstablished: 1, tcp.StateSynSent: 2, tcp.StateSynReceived: 3, tcp.StateFinWait1: 4, tcp.StateFinWait2: 5,
	tcp.StateTimeWait: 6, tcp.StateClosed: 7, tcp.StateCloseWait: 8, tcp.StateLastAck: 9, tcp.StateListen: 10, tcp.StateClosing: 11,
}

// TCPInfo implements Sockets.
func (k *stackKernel) TCPInfo(fd int) (map[string]int64, error) {
	d, err := k.fd(fd)
	if err != nil {
		return nil, err
	}
	if d.Conn() == nil {
		return nil, syscall.EOPNOTSUPP
	}
	if l := d.Listener(); l != nil {
		return map[string]int64{"tcpi_state": linuxStates[tcp.StateListen]}, nil
	}
	i := d.Conn().Info()
	us := func(t time.Duration) int64 { return int64(t / time.Microsecond) }
	ms := func(t time.Duration) int64 { return int64(t / time.Millisecond) }
	info := map[string]int64{
		"tcpi_state": linuxStates[i.State], "tcpi_ca_state": int64(i.CAState), "tcpi_retransmits": int64(i.Retransmits),
		"tcpi_probes": int64(i.Probes), "tcpi_backoff": int64(i.Backoff), "tcpi_options": int64(i.Options),
		"tcpi_snd_wscale": int64(i.SndWscale), "tcpi_rcv_wscale": int64(i.RcvWscale),
		"tcpi_rto": us(i.RTO), "tcpi_ato": us(i.ATO), "tcpi_snd_mss": int64(i.SndMSS), "tcpi_rcv_mss": int64(i.RcvMSS),
		"tcpi_unacked": int64(i.Unacked), "tcpi_sacked": int64(i.Sacked), "tcpi_lost": int64(i.Lost),
		"tcpi_retrans": int64(i.Retrans), "tcpi_fackets": 0,
		"tcpi_last_data_sent": ms(i.LastDataSent), "tcpi_last_ack_sent": 0,
		"tcpi_last_data_recv": ms(i.LastDataRecv), "tcpi_last_ack_recv": ms(i.LastAckRecv),
		"tcpi_pmtu": int64(i.PMTU), "tcpi_rcv_ssthresh": int64(i.RcvSsthresh), "tcpi_rtt": us(i.RTT), "tcpi_rttvar": us(i.RTTVar),
		"tcpi_snd_ssthresh": int64(i.SndSsthresh), "tcpi_snd_cwnd": int64(i.SndCwnd), "tcpi_advmss": int64(i.AdvMSS),
		"tcpi_reordering": int64(i.Reordering), "tcpi_rcv_rtt": us(i.RcvRTT), "tcpi_rcv_space": int64(i.RcvSpace),
		"tcpi_total_retrans": int64(i.TotalRetrans), "tcpi_bytes_acked": int64(i.BytesAcked),
		"tcpi_bytes_received": int64(i.BytesReceived), "tcpi_segs_out": int64(i.SegsOut), "tcpi_segs_in": int64(i.SegsIn),
		"tcpi_notsent_bytes": int64(i.NotsentBytes), "tcpi_min_rtt": us(i.MinRTT), "tcpi_data_segs_in": int64(i.DataSegsIn),
		"tcpi_data_segs_out": int64(i.DataSegsOut), "tcpi_delivered": int64(i.Delivered), "tcpi_bytes_sent": int64(i.BytesSent),
		"tcpi_bytes_retrans": int64(i.BytesRetrans), "tcpi_dsack_dups": int64(i.DsackDups), "tcpi_reord_seen": int64(i.ReordSeen),
		"tcpi_rcv_ooopack": int64(i.RcvOoopack), "tcpi_snd_wnd": int64(i.SndWnd), "tcpi_rcv_wnd": int64(i.RcvWnd),
		"tcpi_pacing_rate": int64(i.PacingRate), "tcpi_max_pacing_rate": -1, "tcpi_delivered_ce": int64(i.DeliveredCE),
		"tcpi_fastopen_client_fail": int64(i.FastOpenClientFail), "tcpi_rehash": int64(i.Rehash), "tcpi_total_rto": int64(i.TotalRTO),
		"tcpi_total_rto_recoveries": int64(i.TotalRTORecoveries), "tcpi_total_rto_time": ms(i.TotalRTOTime),
	}
	d.waits(info)
	return info, nil
}
