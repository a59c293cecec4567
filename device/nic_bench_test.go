package device

import (
	"fmt"
	"sync"
	"testing"
)

// benchPacket returns a packet as TCP makes them: 52 bytes of headers and n of payload in pool memory.
func benchPacket(pool *Pool, payload *Buf, n int) *Packet {
	p := pool.NewPacket()
	p.SetHead(52)
	payload.Retain()
	p.Frags[0] = Piece{payload.Bytes()[:n], payload}
	return p
}

// BenchmarkNIC reports ns per packet on the perfect wire, from Transmit to the handler: one at a time with
// its bell, rest and all; and in bursts of 64. The packets stay the same: what NewPacket and Release
// cost is BenchmarkPool's.
func BenchmarkNIC(b *testing.B) {
	for _, burst := range []int{1, 64} {
		b.Run(map[int]string{1: "single", 64: "burst"}[burst], func(b *testing.B) {
			pool := new(Pool)
			n := NewNIC(Config{Pool: pool})
			var ps []*Packet
			for range burst {
				ps = append(ps, benchPacket(pool, pool.Get(1000), 1000))
			}
			h := func(p *Packet) {}
			b.ReportAllocs()
			for i := 0; i < b.N; i += burst {
				for _, p := range ps {
					n.Transmit(0, p)
				}
				if n.Ring(0) {
					n.Poll(0, 0, burst, h)
					for !n.Rest(0) {
						n.Poll(0, 0, burst, h)
					}
				}
			}
		})
	}
}

// BenchmarkNICQueues reports ns per packet, pool included, when each of several goroutines keeps a queue of its
// own busy: with as many cores as goroutines it should fall to its share.
func BenchmarkNICQueues(b *testing.B) {
	for _, queues := range []int{1, 2} {
		b.Run(fmt.Sprint(queues), func(b *testing.B) {
			n := NewNIC(Config{Queues: queues})
			var wg sync.WaitGroup
			for q := range queues {
				wg.Go(func() {
					payload := n.Pool().Get(1000)
					for range b.N / queues {
						p := benchPacket(n.Pool(), payload, 1000)
						p.Hash = uint32(q)
						n.Transmit(0, p)
						if n.Ring(q) {
							n.Poll(q, 0, 64, (*Packet).Release)
							for !n.Rest(q) {
								n.Poll(q, 0, 64, (*Packet).Release)
							}
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkInject reports ns per packet of 64 bytes from Inject to the handler's Release.
func BenchmarkInject(b *testing.B) {
	var n *NIC
	n = NewNIC(Config{Interrupt: func(q int) {
		for done := false; !done; done = n.Rest(q) {
			n.Poll(q, 0, 64, (*Packet).Release)
		}
	}})
	raw := make([]byte, 64)
	raw[0] = 0x45
	b.ReportAllocs()
	for b.Loop() {
		n.Inject(0, raw)
	}
}

// BenchmarkPool reports ns per pair of Get and Release on one goroutine.
func BenchmarkPool(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"512", 512}, {"2K", 2000}, {"16K", 16384}, {"64K", 65535}} {
		b.Run("buf/"+c.name, func(b *testing.B) {
			pool := new(Pool)
			b.ReportAllocs()
			for b.Loop() {
				pool.Get(c.size).Release()
			}
		})
	}
	b.Run("packet", func(b *testing.B) {
		pool := new(Pool)
		b.ReportAllocs()
		for b.Loop() {
			pool.NewPacket().Release()
		}
	})
	b.Run("tcp", func(b *testing.B) {
		pool := new(Pool)
		payload := pool.Get(1000)
		b.ReportAllocs()
		for b.Loop() {
			benchPacket(pool, payload, 1000).Release()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		pool := new(Pool)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				pool.NewPacket().Release()
			}
		})
	})
}

// BenchmarkNewNIC reports what a NIC costs, unused and with its rings.
func BenchmarkNewNIC(b *testing.B) {
	pool := new(Pool)
	b.Run("unused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewNIC(Config{Pool: pool})
		}
	})
	b.Run("used", func(b *testing.B) {
		p := pool.NewPacket()
		b.ReportAllocs()
		for b.Loop() {
			NewNIC(Config{Pool: pool}).Transmit(0, p)
		}
	})
}
