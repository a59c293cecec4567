package tcp

import (
	"testing"
	"unsafe"
)

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, most uintptr
	}{
		{"TCB", unsafe.Sizeof(TCB{}), 480},
		// A cache line and a half: the first half is the socket's (TestLinesApart).
		{"what each packet of a dialogue writes to", unsafe.Offsetof(TCB{}.rackSent) + 8, 64 + 32},
		{"what it looks at", unsafe.Offsetof(TCB{}.minRTT) + unsafe.Sizeof(MinRTT{}) - unsafe.Offsetof(TCB{}.rackSent) - 8, 2 * 64},
		{"what each packet asks of env", unsafe.Offsetof(env{}.full) + 1, 64},
		{"env, in three cache lines", unsafe.Sizeof(env{}), 192},
		{"TimeWait", unsafe.Sizeof(TimeWait{}), 88},
		{"txSeg", unsafe.Sizeof(txSeg{}), 24},
		{"transfer", unsafe.Sizeof(transfer{}), 768 - 8}, // the allocator's class of six pairs of cache lines, less what is its own
		{"a segment outstanding, with its queue", unsafe.Offsetof(transfer{}.firstRtx) + unsafe.Sizeof(txSeg{}) - unsafe.Offsetof(transfer{}.rtx), 64},
	} {
		t.Logf("%s: %d bytes", c.name, c.got)
		if c.got > c.most {
			t.Errorf("%s takes %d bytes, want at most %d", c.name, c.got, c.most)
		}
	}
	for _, c := range []struct {
		name string
		at   uintptr
	}{
		{"transfer.rtx", unsafe.Offsetof(transfer{}.rtx)},
		{"transfer.snd", unsafe.Offsetof(transfer{}.snd)},
		{"transfer.small", unsafe.Offsetof(transfer{}.small)},
	} {
		if (8+c.at)%64 != 0 {
			t.Errorf("%s is %d bytes into a cache line, want it to begin one", c.name, (8+c.at)%64)
		}
	}
}
