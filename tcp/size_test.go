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
		{"TCB", unsafe.Sizeof(TCB{}), 488},
		{"what each packet of a dialogue writes to", unsafe.Offsetof(TCB{}.cong) + unsafe.Offsetof(Window{}.Cwnd), 56 + 5*64}, // six cache lines; of the first, 200 bytes of a socket are before it
		{"TimeWait", unsafe.Sizeof(TimeWait{}), 88},
		{"txSeg", unsafe.Sizeof(txSeg{}), 24},
		{"transfer", unsafe.Sizeof(transfer{}), 768 - 8}, // the allocator's class of six pairs of cache lines, less what is its own
	} {
		t.Logf("%s: %d bytes", c.name, c.got)
		if c.got > c.most {
			t.Errorf("%s takes %d bytes, want at most %d", c.name, c.got, c.most)
		}
	}
}
