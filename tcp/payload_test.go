package tcp

import (
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"
)

// countingBuffer counts its references.
type countingBuffer struct{ refs int }

func (b *countingBuffer) Retain()  { b.refs++ }
func (b *countingBuffer) Release() { b.refs-- }

func payloadOf(parts ...string) Payload {
	var p Payload
	for _, s := range parts {
		if !p.Append(Piece{B: []byte(s)}) {
			panic("too many parts")
		}
	}
	return p
}

func bytesOf(p *Payload) string {
	b := make([]byte, p.Len())
	if n := p.CopyTo(b, 0); n != len(b) {
		panic("payload is shorter than it says")
	}
	return string(b)
}

func TestPayloadAppend(t *testing.T) {
	var p Payload
	require.Equal(t, 0, p.Len())
	require.True(t, p.Append(Piece{}), "nothing always fits")
	require.True(t, p.Append(Piece{B: []byte("ab")}))
	require.True(t, p.Append(Piece{B: []byte{}}))
	require.True(t, p.Append(Piece{B: []byte("cde")}))
	require.True(t, p.Append(Piece{B: []byte{}}), "nothing always fits")
	require.False(t, p.Append(Piece{B: []byte("f")}), "no third piece")
	require.Equal(t, 5, p.Len())
	require.Equal(t, "abcde", bytesOf(&p))
}

func TestPayloadReferences(t *testing.T) {
	a, b := &countingBuffer{refs: 1}, &countingBuffer{refs: 1}
	var p Payload
	p.Append(Piece{B: []byte("left"), Owner: a})
	p.Append(Piece{B: []byte("right"), Owner: b})
	require.Equal(t, []int{1, 1}, []int{a.refs, b.refs}, "Append takes no reference")

	p.Retain()
	require.Equal(t, []int{2, 2}, []int{a.refs, b.refs})

	right := p.Slice(6, 9)
	require.Equal(t, []int{2, 2}, []int{a.refs, b.refs}, "Slice takes no reference")
	right.Retain()
	require.Equal(t, []int{2, 3}, []int{a.refs, b.refs}, "only what is in the slice")
	right.Release()
	require.Equal(t, []int{2, 2}, []int{a.refs, b.refs})
	require.Equal(t, Payload{}, right, "released means empty")

	p.Release()
	require.Equal(t, []int{1, 1}, []int{a.refs, b.refs})
	p.Release() // empty now: nothing to release
	require.Equal(t, []int{1, 1}, []int{a.refs, b.refs})

	plain := payloadOf("garbage", "collected")
	plain.Retain()
	plain.Release()
	require.Equal(t, 0, plain.Len())
}

func TestPayloadSlice(t *testing.T) {
	const whole = "abcdefg"
	p := payloadOf("abc", "defg")
	for from := -1; from <= len(whole)+1; from++ {
		for to := -1; to <= len(whole)+1; to++ {
			got := p.Slice(from, to)
			lo, hi := max(from, 0), min(to, len(whole))
			want := ""
			if lo < hi {
				want = whole[lo:hi]
			}
			require.Equal(t, want, bytesOf(&got), "[%d:%d]", from, to)
			require.Equal(t, len(want), got.Len())
		}
	}
	tail := p.Slice(3, 7)
	require.Equal(t, "defg", string(tail.Pieces[0].B), "pieces are filled from the front")
	require.Nil(t, tail.Pieces[1].B)
	require.Equal(t, whole, bytesOf(&p), "p is as it was")
}

func TestPayloadCopyTo(t *testing.T) {
	check := func(a, b []byte, off uint8, room uint8) bool {
		p := payloadOf(string(a), string(b))
		all := string(a) + string(b)
		o := int(off) % (len(all) + 2)
		dst := make([]byte, int(room)%(len(all)+2))
		n := p.CopyTo(dst, o)
		want := ""
		if o < len(all) {
			want = all[o:min(len(all), o+len(dst))]
		}
		return n == len(want) && string(dst[:n]) == want
	}
	require.NoError(t, quick.Check(check, &quick.Config{MaxCount: 2000}))
	p := payloadOf("abc")
	require.Equal(t, 3, p.CopyTo(make([]byte, 9), -4), "a negative offset is the start")
}

func TestPayloadAllocatesNothing(t *testing.T) {
	p := payloadOf("abcdef", "ghijkl")
	dst := make([]byte, 12)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s := p.Slice(2, 9)
		s.Retain()
		s.CopyTo(dst, 0)
		s.Release()
	}))
}
