package ipv4

import (
	"net/netip"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	p := make([]byte, 60)
	r := Repr{TTL: 64, Protocol: 6, PayloadLen: 40, Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr("127.0.0.1")}
	r.Marshal(p)
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, why := Parse(p); why != OK {
				b.Fatal(why.Detail())
			}
		}
	})
	b.Run("trusted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, why := ParseHead(p, len(p), true); why != OK {
				b.Fatal(why.Detail())
			}
		}
	})
	b.Run("marshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Marshal(p)
		}
	})
}
