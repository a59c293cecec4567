package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cookieTrip is one SYN, our answer and the ACK that comes back.
type cookieTrip struct {
	key           [16]byte
	now           time.Duration
	local, remote netip.AddrPort
	tsOffset      uint32
	syn           Segment
}

func newCookieTrip() cookieTrip {
	return cookieTrip{
		key: sipKey(), now: 1000 * time.Second,
		local: ap("127.0.0.1:631"), remote: ap("127.0.0.1:40000"),
		tsOffset: 0x89abcdef,
		syn: Segment{
			Seq: 0xfffffff0, Flags: SYN,
			Opts: Options{MSS: 1460, HasMSS: true, HasTS: true, TSVal: 7, WScale: 7, HasWScale: true, SACKPermitted: true},
		},
	}
}

// ack returns the segment with which the peer answers our SYN-ACK.
func (c *cookieTrip) ack(clock uint32) Segment {
	iss := MakeCookie(c.key, c.now, c.local, c.remote, &c.syn)
	a := Segment{Seq: c.syn.Seq + 1, Ack: iss + 1, Flags: ACK}
	if c.syn.Opts.HasTS {
		a.Opts = Options{HasTS: true, TSVal: c.syn.Opts.TSVal + 1, TSEcr: CookieTSVal(clock, &c.syn) + c.tsOffset}
	}
	return a
}

func (c *cookieTrip) check(a *Segment, after time.Duration) (CookieState, bool) {
	return CheckCookie(c.key, c.now+after, c.local, c.remote, a, c.tsOffset)
}

func TestCookieMSS(t *testing.T) {
	tests := []struct {
		name   string
		remote string
		has    bool
		mss    uint16
		want   uint16
	}{
		{"v4 lo", "127.0.0.1:40000", true, 16396, 1460},
		{"v4 Ethernet", "127.0.0.1:40000", true, 1460, 1460},
		{"v4 one less", "127.0.0.1:40000", true, 1459, 1440},
		{"v4 tunnel", "127.0.0.1:40000", true, 1380, 1300},
		{"v4 small", "127.0.0.1:40000", true, 536, 536},
		{"v4 tiny", "127.0.0.1:40000", true, 88, 536},
		{"v4 not said", "127.0.0.1:40000", false, 0, 536},
		{"v6 lo", "[::1]:40000", true, 16376, 8940},
		{"v6 Ethernet", "[::1]:40000", true, 1440, 1440},
		{"v6 PPPoE", "[::1]:40000", true, 1432, 1420},
		{"v6 least", "[::1]:40000", true, 1220, 1220},
		{"v6 not said", "[::1]:40000", false, 0, 1220},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCookieTrip()
			c.remote = ap(tt.remote)
			if c.remote.Addr().Is6() {
				c.local = ap("[::1]:631")
			}
			c.syn.Opts.HasMSS, c.syn.Opts.MSS = tt.has, tt.mss
			a := c.ack(1 << 20)
			got, ok := c.check(&a, time.Millisecond)
			require.True(t, ok)
			require.Equal(t, tt.want, got.MSS)
			require.Equal(t, a.Ack-1, got.ISS)
			require.Equal(t, c.syn.Seq, got.IRS)
		})
	}
}

func TestCookieOptions(t *testing.T) {
	for wscale := -1; wscale <= MaxWScale; wscale++ {
		for bits := range 4 {
			c := newCookieTrip()
			sack, ecn := bits&1 != 0, bits&2 != 0
			c.syn.Opts.SACKPermitted = sack
			if ecn {
				c.syn.Flags |= ECE | CWR
			}
			c.syn.Opts.HasWScale, c.syn.Opts.WScale = wscale >= 0, uint8(max(wscale, 0))
			a := c.ack(0x12345678)
			got, ok := c.check(&a, time.Second)
			require.True(t, ok)
			require.Equal(t, CookieState{
				ISS: a.Ack - 1, IRS: c.syn.Seq, MSS: 1460,
				HasTS: true, SACKPermitted: sack, ECN: ecn, HasWScale: wscale >= 0, WScale: uint8(max(wscale, 0)),
			}, got)
		}
	}
	t.Run("without timestamps nothing is remembered", func(t *testing.T) {
		c := newCookieTrip()
		c.syn.Opts.HasTS = false
		a := c.ack(0)
		got, ok := c.check(&a, 0)
		require.True(t, ok)
		require.Equal(t, CookieState{ISS: a.Ack - 1, IRS: c.syn.Seq, MSS: 1460}, got)
	})
	t.Run("half of an ECN request is none (RFC 3168 6.1.1)", func(t *testing.T) {
		c := newCookieTrip()
		c.syn.Flags |= ECE
		a := c.ack(1 << 20)
		got, _ := c.check(&a, 0)
		require.False(t, got.ECN)
	})
}

func TestCookieTSVal(t *testing.T) {
	c := newCookieTrip()
	for _, ts := range []uint32{64, 100, 127, 128, 1 << 20, 0xffffffff} {
		v := CookieTSVal(ts, &c.syn)
		require.LessOrEqual(t, v, ts, "the clock never runs ahead")
		require.Less(t, ts-v, uint32(64), "and hardly behind")
		require.Equal(t, uint32(0x17), v&cookieTSMask)
	}
	require.Equal(t, uint32(0x57), CookieTSVal(0x57, &c.syn), "the bits happen to be the clock's own")
	require.Equal(t, int32(-0x29), int32(CookieTSVal(0, &c.syn)), "before the first block it is behind, modulo 2^32")
}

func TestCookieLifetime(t *testing.T) {
	tests := []struct {
		name  string
		made  time.Duration
		after time.Duration
		want  bool
	}{
		{"at once", 64 * time.Second, 0, true},
		{"at the end of its period", 64 * time.Second, 63 * time.Second, true},
		{"in the next period", 64 * time.Second, 64 * time.Second, true},
		{"at the end of the next period", 64 * time.Second, 128*time.Second - 1, true},
		{"two periods later", 64 * time.Second, 128 * time.Second, false},
		{"at least 64 s", 128*time.Second - 1, 64 * time.Second, true},
		{"gone after that", 128*time.Second - 1, 64*time.Second + 2, false},
		{"when the counter has wrapped", 64 * time.Second, 256 * 64 * time.Second, false},
		{"in the first period of all", 0, time.Second, true},
		{"before it was made", 128 * time.Second, -time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCookieTrip()
			c.now = tt.made
			a := c.ack(1 << 20)
			_, ok := c.check(&a, tt.after)
			require.Equal(t, tt.want, ok)
		})
	}
}

// TestCookieForgery: each thing a cookie vouches for cannot be changed.
func TestCookieForgery(t *testing.T) {
	c := newCookieTrip()
	good := c.ack(1 << 20)
	_, ok := c.check(&good, 0)
	require.True(t, ok)

	refused := func(name string, tamper func(c *cookieTrip, a *Segment)) {
		t.Run(name, func(t *testing.T) {
			c, a := c, good
			tamper(&c, &a)
			got, ok := c.check(&a, 0)
			require.False(t, ok)
			require.Equal(t, CookieState{}, got)
		})
	}
	refused("another remote port", func(c *cookieTrip, _ *Segment) { c.remote = ap("127.0.0.1:40001") })
	refused("another remote address", func(c *cookieTrip, _ *Segment) { c.remote = ap("127.0.0.2:40000") })
	refused("another local port", func(c *cookieTrip, _ *Segment) { c.local = ap("127.0.0.1:632") })
	refused("another local address", func(c *cookieTrip, _ *Segment) { c.local = ap("127.0.0.2:631") })
	refused("the other direction", func(c *cookieTrip, _ *Segment) { c.local, c.remote = c.remote, c.local })
	refused("another stack", func(c *cookieTrip, _ *Segment) { c.key[3] ^= 0x10 })
	refused("another sequence number", func(_ *cookieTrip, a *Segment) { a.Seq += 100 })
	refused("another acknowledgment", func(_ *cookieTrip, a *Segment) { a.Ack += 100 })
	refused("a later counter", func(_ *cookieTrip, a *Segment) { a.Ack += 1 << 24 })
	refused("an earlier counter", func(_ *cookieTrip, a *Segment) { a.Ack -= 1 << 24 })
}

// TestCookieGuessing: random ACKs pass as often as eight numbers of 2^32 would, that is never in a
// million; and of the eight each one does.
func TestCookieGuessing(t *testing.T) {
	c := newCookieTrip()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 1_000_000 {
		a := Segment{Seq: Seq(rng.Uint32()), Ack: Seq(rng.Uint32()), Flags: ACK}
		_, ok := c.check(&a, 0)
		require.False(t, ok)
	}
	accepted := 0
	good := c.ack(0)
	for period := range uint32(256) {
		for near := -8; near <= 8; near++ {
			a := good
			a.Ack += Seq(period<<24) + Seq(near)
			if _, ok := c.check(&a, 0); ok {
				accepted++
			}
		}
	}
	require.Equal(t, 4, accepted, "the four sizes of this period: the last one hides its sizes elsewhere")
}

func BenchmarkCookie(b *testing.B) {
	c := newCookieTrip()
	a := c.ack(1 << 20)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			MakeCookie(c.key, c.now, c.local, c.remote, &c.syn)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			c.check(&a, 0)
		}
	})
}
