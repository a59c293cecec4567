package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"
)

// TestMemory: what instructions read and write, with 0x1000 in RAX, 0x10 in RCX and 0x4000 in RIP.
func TestMemory(t *testing.T) {
	regs := func(r x86asm.Reg) (uint64, bool) {
		v, ok := map[x86asm.Reg]uint64{x86asm.RAX: 0x1000, x86asm.RCX: 0x10, x86asm.RIP: 0x4000}[r]
		return v, ok
	}
	for _, tt := range []struct {
		name string
		code []byte
		want []operand
	}{
		{"mov rdx, [rax+8]", []byte{0x48, 0x8b, 0x50, 0x08}, []operand{{0x1008, 8, false}}},
		{"mov [rax+8], rdx", []byte{0x48, 0x89, 0x50, 0x08}, []operand{{0x1008, 8, true}}},
		{"mov [rax-8], dl", []byte{0x88, 0x50, 0xf8}, []operand{{0xff8, 1, true}}},
		{"mov edx, [rax+rcx*4]", []byte{0x8b, 0x14, 0x88}, []operand{{0x1040, 4, false}}},
		{"mov rdx, [rip+16]", []byte{0x48, 0x8b, 0x15, 0x10, 0, 0, 0}, []operand{{0x4017, 8, false}}},
		{"movups [rax], xmm15", []byte{0x44, 0x0f, 0x11, 0x38}, []operand{{0x1000, 16, true}}},
		{"lock cmpxchg [rax], ecx", []byte{0xf0, 0x0f, 0xb1, 0x08}, []operand{{0x1000, 4, true}}},
		{"xchg [rax], rcx", []byte{0x48, 0x87, 0x08}, []operand{{0x1000, 8, true}}},
		{"cmp [rax], rcx", []byte{0x48, 0x39, 0x08}, []operand{{0x1000, 8, false}}},
		{"call [rax]", []byte{0xff, 0x10}, []operand{{0x1000, 8, false}}},
		{"lea rdx, [rax+8]", []byte{0x48, 0x8d, 0x50, 0x08}, nil},
		{"mov rdx, fs:[-8]", []byte{0x64, 0x48, 0x8b, 0x14, 0x25, 0xf8, 0xff, 0xff, 0xff}, nil},
		{"mov rdx, [rbx]", []byte{0x48, 0x8b, 0x13}, nil}, // who knows where
		{"mov rdx, rax", []byte{0x48, 0x89, 0xc2}, nil},
	} {
		in, err := x86asm.Decode(tt.code, 64)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, memory(in, regs), tt.name)
	}
}

// TestLines: lines are counted once, for every package that uses them, and those of the stack are not.
func TestLines(t *testing.T) {
	const stack = 1 << 20
	l := lines{}
	l.note("tcp.(*TCB).Input", operand{0x1000, 8, true}, stack)
	l.note("tcp.(*TCB).Input", operand{0x1008, 8, false}, stack)
	l.note("socket.(*TCPConn).Read", operand{0x1010, 8, false}, stack)
	l.note("socket.(*TCPConn).Read", operand{0x103c, 8, false}, stack) // the end of one line, and the beginning of the next
	l.note("socket.(*TCPConn).Read", operand{stack - 16, 8, true}, stack)
	for _, tt := range []struct {
		pkg          string
		all, written int
	}{{"", 2, 1}, {"tcp", 1, 1}, {"socket", 2, 0}, {"device", 0, 0}} {
		all, written := l.count(tt.pkg)
		require.Equal(t, tt.all, all, tt.pkg)
		require.Equal(t, tt.written, written, tt.pkg)
	}
}

// TestDataBudget: how many cache lines a round trip reads and writes to, both ends together.
func TestDataBudget(t *testing.T) {
	const ops = 16
	type budget struct{ lines, written int }
	most := map[string]budget{"tcp": {17, 6}, "socket": {23, 7}, "device": {15, 4}}
	over := func(l lines) (packages []string) {
		for pkg, most := range most {
			all, written := l.count(pkg)
			require.NotZero(t, written, pkg)
			if all > most.lines || written > most.written {
				packages = append(packages, fmt.Sprintf("%s: %d lines, %d written, want %+v", pkg, all, written, most))
			}
		}
		return packages
	}
	var bad []string
	for try := 0; try < 3 && (try == 0 || bad != nil); try++ { // as for budgets: when the child is interrupted a text may go another way
		l := lines{}
		stepped(t, options{workload: "rtt", peer: "loopback", ops: ops}, l)
		bad = over(l)
	}
	require.Empty(t, bad)
}
