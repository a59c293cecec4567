package tcp

import "time"

// Info is a snapshot of a connection with the names of Linux's struct tcp_info. Times that Linux gives in
// microseconds or milliseconds are durations; sizes are bytes; counts of segments say so.
type Info struct {
	State       State
	CAState     CAState
	Retransmits uint8 // timeouts in a row
	Probes      uint8 // probes unanswered
	Backoff     uint8
	Options     uint8 // InfoOpt bits
	SndWscale   uint8
	RcvWscale   uint8

	RTO, ATO       time.Duration
	SndMSS, RcvMSS uint32

	Unacked, Sacked, Lost, Retrans uint32 // segments
	LastDataSent                   time.Duration
	LastDataRecv                   time.Duration
	LastAckRecv                    time.Duration

	PMTU        uint32
	RcvSsthresh uint32
	RTT, RTTVar time.Duration
	SndSsthresh uint32 // segments
	SndCwnd     uint32 // segments
	AdvMSS      uint32
	Reordering  uint32 // segments
	RcvRTT      time.Duration
	RcvSpace    uint32

	TotalRetrans  uint32 // segments
	BytesAcked    uint64
	BytesReceived uint64
	SegsOut       uint32
	SegsIn        uint32
	NotsentBytes  uint32
	MinRTT        time.Duration
	DataSegsIn    uint32
	DataSegsOut   uint32
	Delivered     uint32 // segments
	BytesSent     uint64 // with retransmissions
	BytesRetrans  uint64
	DsackDups     uint32
	ReordSeen     uint32
	RcvOoopack    uint32 // segments received out of order
	SndWnd        uint32
	RcvWnd        uint32
	UserTimeout   time.Duration

	PacingRate         uint64        // bytes per second that Linux would pace at; this package does not pace
	DeliveredCE        uint32        // segments delivered by ACKs with ECN-Echo
	FastOpenClientFail uint8         // why data on the SYN was not taken: FastOpenFail numbers
	Rehash             uint32        // timeouts after which Linux tries another path
	TotalRTO           uint16        // expirations of the retransmission timer, of the SYN's too
	TotalRTORecoveries uint16        // episodes of them
	TotalRTOTime       time.Duration // that those took until something was acknowledged

	// Beyond tcp_info: the variables of RFC 9293 §3.3.1.
	SndUna, SndNxt, ISS Seq
	RcvNxt, IRS         Seq
	Congestion          string
	SndBuf, RcvBuf      int
	SndQueue, RcvQueue  int // bytes written and not acknowledged, received and not read
}

// Bits of Info.Options, as in tcpi_options.
const (
	InfoOptTimestamps = 1
	InfoOptSACK       = 2
	InfoOptWScale     = 4
	InfoOptECN        = 8
	InfoOptECNSeen    = 16
	InfoOptSynData    = 32 // data on a SYN was acknowledged (Fast Open)
)

// Info returns a snapshot (TCP_INFO; the STATUS call of RFC 9293 §3.10.6) as of now.
func (t *TCB) Info(now time.Duration) Info {
	t.tally()
	i := Info{
		State: t.state, CAState: t.caState, Retransmits: t.retransmits, Probes: t.probesOut, Backoff: t.backoff,
		Options: t.infoOptions(), RTO: t.rto, ATO: t.ack.ato, SndMSS: uint32(t.mss), RcvMSS: t.rwin.mss,
		Unacked:      uint32(t.packetsOut()),
		LastDataSent: now - t.lastSend, LastDataRecv: now - t.lastData, LastAckRecv: now - t.lastRecv,
		PMTU: uint32(t.mtu), RcvSsthresh: t.rwin.ssthresh, RTT: t.rtt.SRTT(), RTTVar: t.rtt.Var(),
		SndSsthresh: t.cong.Ssthresh, SndCwnd: t.cong.Cwnd, AdvMSS: uint32(t.rwin.adv),
		Reordering: uint32(t.reordering), RcvRTT: time.Duration(t.rcvRTT>>3) * time.Microsecond, RcvSpace: t.drs.space,
		TotalRetrans: t.total.retrans, BytesAcked: t.total.bytesAcked, BytesReceived: t.total.bytesReceived,
		SegsOut: t.total.segsOut, SegsIn: t.total.segsIn, NotsentBytes: uint32(t.Unsent()), MinRTT: t.minRTT.Get(),
		DataSegsIn: t.total.dataIn, DataSegsOut: t.total.dataOut, Delivered: t.total.delivered,
		BytesSent: t.bytesSent(),
		SndWnd:    t.snd.wnd, RcvWnd: t.rcv.wnd, UserTimeout: t.userTimeout(),
		SndUna: t.snd.una, SndNxt: t.snd.nxt, ISS: t.edge.iss, RcvNxt: t.rcv.nxt, IRS: t.edge.irs,
		Congestion: t.Congestion(), SndBuf: int(t.sndLimit), RcvBuf: int(t.rcvLimit),
		SndQueue: t.Unacked(), RcvQueue: t.Readable(),
	}
	i.PacingRate = t.pacingRate()
	if x := t.extra; x != nil {
		i.BytesRetrans, i.DsackDups, i.RcvOoopack = x.rexm, uint32(x.dsacks), uint32(x.early)
		i.BytesSent += i.BytesRetrans
	}
	if o := t.opt; o != nil {
		i.DeliveredCE, i.TotalRTO, i.TotalRTORecoveries, i.TotalRTOTime = o.rtos.ce, o.rtos.expired, o.rtos.episodes, o.rtos.took
		i.Rehash = uint32(o.rtos.expired)
		if o.rtos.since != 0 {
			i.TotalRTOTime += now - o.rtos.since
		}
		if o.fast != nil {
			i.FastOpenClientFail = o.fast.fail
		}
	}
	if t.has(fWScale) {
		i.SndWscale, i.RcvWscale = t.snd.scale, t.rwin.scale
	}
	if r := t.rec; r != nil {
		i.Sacked, i.Lost, i.Retrans = uint32(r.sacked), uint32(r.lost), uint32(r.retrans)
	}
	if t.rackFlags&rackReordSeen != 0 {
		i.ReordSeen = 1
	}
	return i
}

// pacingRate is Linux's tcp_update_pacing_rate: twice the window in a round trip in slow start, 1.2 times after it.
func (t *TCB) pacingRate() uint64 {
	if t.env == nil {
		return 0
	}
	ratio := uint64(120)
	if t.cong.Cwnd < t.cong.Ssthresh/2 {
		ratio = 200
	}
	rate := uint64(t.mss) * uint64(max(int(t.cong.Cwnd), t.packetsOut())) * ratio * 10000
	if srtt := uint64(t.rtt.SRTT().Microseconds()); srtt > 0 {
		return rate / srtt
	}
	return rate << 3
}

// bytesSent returns how many bytes were sent, without retransmissions.
func (t *TCB) bytesSent() uint64 {
	n := t.total.bytesAcked + uint64(uint32(t.snd.nxt.Sub(t.snd.una)))
	if n > 0 && !t.has(fPassive) {
		n-- // the SYN
	}
	if t.has(fFinSent) {
		n--
	}
	return n
}

func (t *TCB) infoOptions() uint8 {
	var o uint8
	for _, b := range [...]struct {
		on  bool
		bit uint8
	}{
		{t.has(fTS), InfoOptTimestamps}, {t.has(fSACK), InfoOptSACK}, {t.has(fWScale), InfoOptWScale},
		{t.fast() != nil && t.fast().acked, InfoOptSynData},
		{t.ecn&ecnOK != 0, InfoOptECN}, {t.ecn&ecnSeen != 0, InfoOptECNSeen},
	} {
		if b.on {
			o |= b.bit
		}
	}
	return o
}
