package tcp

import (
	"reflect"
	"sync/atomic"
	"time"
)

// numShards spreads the counters that every segment touches over cache lines, so that connections on
// different cores do not wait for each other.
const numShards = 16

// ShardedCounter is a counter for the hottest paths. Load sums the shards.
type ShardedCounter struct {
	shards [numShards]struct {
		n atomic.Uint64
		_ [56]byte
	}
}

func (c *ShardedCounter) add(shard uint16) { c.shards[shard%numShards].n.Add(1) }

// Load returns the sum of all shards. While others count it is some value between.
func (c *ShardedCounter) Load() uint64 {
	var sum uint64
	for i := range c.shards {
		sum += c.shards[i].n.Load()
	}
	return sum
}

// Stats counts what the connections of a stack do. Fields have the names of Linux's MIB, those of
// "Tcp:" in /proc/net/snmp first, then those of "TcpExt:" in /proc/net/netstat. All of them only grow,
// but CurrEstab. Safe for concurrent use; the zero value is ready. Must not be copied.
type Stats struct {
	InSegs  ShardedCounter `mib:"Tcp"` // segments received, also bad ones
	OutSegs ShardedCounter `mib:"Tcp"` // segments sent, without retransmissions and resets

	ActiveOpens  atomic.Uint64 `mib:"Tcp"` // CLOSED → SYN-SENT
	PassiveOpens atomic.Uint64 `mib:"Tcp"` // LISTEN → SYN-RECEIVED
	AttemptFails atomic.Uint64 `mib:"Tcp"` // SYN-SENT or SYN-RECEIVED → CLOSED
	EstabResets  atomic.Uint64 `mib:"Tcp"` // ESTABLISHED or CLOSE-WAIT → CLOSED
	CurrEstab    atomic.Uint64 `mib:"Tcp"` // connections in ESTABLISHED or CLOSE-WAIT now
	RetransSegs  atomic.Uint64 `mib:"Tcp"` // segments retransmitted
	InErrs       atomic.Uint64 `mib:"Tcp"` // segments with a bad header or checksum; counted by the owner of the wire
	OutRsts      atomic.Uint64 `mib:"Tcp"` // segments sent with RST
	InCsumErrors atomic.Uint64 `mib:"Tcp"` // segments with a bad checksum; counted by the owner of the wire

	SyncookiesSent            atomic.Uint64 `mib:"TcpExt"`
	SyncookiesRecv            atomic.Uint64 `mib:"TcpExt"`
	SyncookiesFailed          atomic.Uint64 `mib:"TcpExt"`
	EmbryonicRsts             atomic.Uint64 `mib:"TcpExt"` // RST or SYN ended a connection in SYN-RECEIVED
	OutOfWindowIcmps          atomic.Uint64 `mib:"TcpExt"`
	TW                        atomic.Uint64 `mib:"TcpExt"` // connections that went through TIME-WAIT
	TWRecycled                atomic.Uint64 `mib:"TcpExt"` // TIME-WAIT ended by a new connection
	PAWSActive                atomic.Uint64 `mib:"TcpExt"`
	PAWSEstab                 atomic.Uint64 `mib:"TcpExt"`
	DelayedACKs               atomic.Uint64 `mib:"TcpExt"`
	DelayedACKLost            atomic.Uint64 `mib:"TcpExt"`
	ListenOverflows           atomic.Uint64 `mib:"TcpExt"` // accept queue full; counted by the listener's owner
	ListenDrops               atomic.Uint64 `mib:"TcpExt"` // SYNs dropped; counted by the listener's owner
	TCPDeferAcceptDrop        atomic.Uint64 `mib:"TcpExt"` // ACKs that TCP_DEFER_ACCEPT ignored
	TCPFastOpenActive         atomic.Uint64 `mib:"TcpExt"` // data on our SYN was acknowledged
	TCPFastOpenActiveFail     atomic.Uint64 `mib:"TcpExt"` // or not
	TCPFastOpenPassive        atomic.Uint64 `mib:"TcpExt"` // connections accepted on their SYN
	TCPFastOpenPassiveFail    atomic.Uint64 `mib:"TcpExt"` // cookies that were wrong; counted by the listener's owner
	TCPFastOpenListenOverflow atomic.Uint64 `mib:"TcpExt"` // too many pending; counted by the listener's owner
	TCPFastOpenCookieReqd     atomic.Uint64 `mib:"TcpExt"` // cookies asked for; counted by the listener's owner
	TCPFastOpenPassiveAltKey  atomic.Uint64 `mib:"TcpExt"` // cookies of the backup key; counted by the listener's owner
	TCPPureAcks               atomic.Uint64 `mib:"TcpExt"`
	TCPRenoRecovery           atomic.Uint64 `mib:"TcpExt"`
	TCPSackRecovery           atomic.Uint64 `mib:"TcpExt"`
	TCPSACKReneging           atomic.Uint64 `mib:"TcpExt"`
	TCPSACKReorder            atomic.Uint64 `mib:"TcpExt"`
	TCPRenoReorder            atomic.Uint64 `mib:"TcpExt"`
	TCPFullUndo               atomic.Uint64 `mib:"TcpExt"`
	TCPPartialUndo            atomic.Uint64 `mib:"TcpExt"`
	TCPDSACKUndo              atomic.Uint64 `mib:"TcpExt"`
	TCPLossUndo               atomic.Uint64 `mib:"TcpExt"`
	TCPLostRetransmit         atomic.Uint64 `mib:"TcpExt"`
	TCPRenoFailures           atomic.Uint64 `mib:"TcpExt"`
	TCPSackFailures           atomic.Uint64 `mib:"TcpExt"`
	TCPLossFailures           atomic.Uint64 `mib:"TcpExt"`
	TCPFastRetrans            atomic.Uint64 `mib:"TcpExt"`
	TCPSlowStartRetrans       atomic.Uint64 `mib:"TcpExt"`
	TCPTimeouts               atomic.Uint64 `mib:"TcpExt"`
	TCPLossProbes             atomic.Uint64 `mib:"TcpExt"`
	TCPLossProbeRecovery      atomic.Uint64 `mib:"TcpExt"`
	TCPSpuriousRTOs           atomic.Uint64 `mib:"TcpExt"`
	TCPRcvCollapsed           atomic.Uint64 `mib:"TcpExt"` // small pieces copied together
	TCPDSACKOldSent           atomic.Uint64 `mib:"TcpExt"`
	TCPDSACKOfoSent           atomic.Uint64 `mib:"TcpExt"`
	TCPDSACKRecv              atomic.Uint64 `mib:"TcpExt"`
	TCPDSACKOfoRecv           atomic.Uint64 `mib:"TcpExt"`
	TCPSACKDiscard            atomic.Uint64 `mib:"TcpExt"`
	TCPDSACKIgnoredOld        atomic.Uint64 `mib:"TcpExt"`
	TCPDSACKIgnoredNoUndo     atomic.Uint64 `mib:"TcpExt"`
	TCPAbortOnData            atomic.Uint64 `mib:"TcpExt"`
	TCPAbortOnClose           atomic.Uint64 `mib:"TcpExt"`
	TCPAbortOnMemory          atomic.Uint64 `mib:"TcpExt"` // close found more orphans than Config.MaxOrphans
	TCPAbortOnTimeout         atomic.Uint64 `mib:"TcpExt"`
	TCPAbortOnLinger          atomic.Uint64 `mib:"TcpExt"`
	TCPReqQFullDoCookies      atomic.Uint64 `mib:"TcpExt"` // counted by the listener's owner
	TCPChallengeACK           atomic.Uint64 `mib:"TcpExt"`
	TCPSYNChallenge           atomic.Uint64 `mib:"TcpExt"`
	TCPACKSkippedSynRecv      atomic.Uint64 `mib:"TcpExt"`
	TCPACKSkippedPAWS         atomic.Uint64 `mib:"TcpExt"`
	TCPACKSkippedSeq          atomic.Uint64 `mib:"TcpExt"`
	TCPACKSkippedFinWait2     atomic.Uint64 `mib:"TcpExt"`
	TCPACKSkippedTimeWait     atomic.Uint64 `mib:"TcpExt"`
	TCPACKSkippedChallenge    atomic.Uint64 `mib:"TcpExt"`
	TCPOFOQueue               atomic.Uint64 `mib:"TcpExt"`
	TCPOFODrop                atomic.Uint64 `mib:"TcpExt"`
	TCPOFOMerge               atomic.Uint64 `mib:"TcpExt"`
	OfoPruned                 atomic.Uint64 `mib:"TcpExt"`
	TCPRcvQDrop               atomic.Uint64 `mib:"TcpExt"`
	TCPZeroWindowDrop         atomic.Uint64 `mib:"TcpExt"`
	BeyondWindow              atomic.Uint64 `mib:"TcpExt"`
	TCPFromZeroWindowAdv      atomic.Uint64 `mib:"TcpExt"`
	TCPToZeroWindowAdv        atomic.Uint64 `mib:"TcpExt"`
	TCPWantZeroWindowAdv      atomic.Uint64 `mib:"TcpExt"`
	TCPSynRetrans             atomic.Uint64 `mib:"TcpExt"`
	TCPWinProbe               atomic.Uint64 `mib:"TcpExt"`
	TCPKeepAlive              atomic.Uint64 `mib:"TcpExt"`
	TCPAckCompressed          atomic.Uint64 `mib:"TcpExt"`
	TCPMTUPSuccess            atomic.Uint64 `mib:"TcpExt"`
	TCPMTUPFail               atomic.Uint64 `mib:"TcpExt"`
	TCPTimeoutRehash          atomic.Uint64 `mib:"TcpExt"` // the path was doubted (RFC 9293 MUST-20, R1)

	env atomic.Pointer[env] // of the latest connection

	challengeSecond, allotted atomic.Int64
	orphans                   atomic.Int64 // see Orphans
}

// Each calls yield for every counter in a fixed order with its group ("Tcp" or "TcpExt"), name and
// value, until yield returns false. It has the signature of a range-over-func iterator's body: it is
// for printing, not for hot paths.
func (s *Stats) Each(yield func(group, name string, n uint64) bool) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		group, ok := f.Tag.Lookup("mib")
		if !ok {
			continue
		}
		c := v.Field(i).Addr().Interface().(interface{ Load() uint64 })
		if !yield(group, f.Name, c.Load()) {
			return
		}
	}
}

// Orphans returns how many connections their users have closed that still have something to deliver: neither those in
// TIME-WAIT count nor those in FIN-WAIT-2 (the "orphan" of Linux's /proc/net/sockstat).
func (s *Stats) Orphans() int { return int(s.orphans.Load()) }

// challengeAllowed takes one challenge ACK from what the whole stack may send in this second (RFC 5961
// §7). limit < 0 means no limit.
func (s *Stats) challengeAllowed(now time.Duration, limit int) bool {
	if limit < 0 {
		return true
	}
	second := int64(now/time.Second) + 1 // so that the zero value is not the present
	if old := s.challengeSecond.Load(); old != second && s.challengeSecond.CompareAndSwap(old, second) {
		s.allotted.Store(int64(limit))
	}
	return s.allotted.Add(-1) >= 0
}
