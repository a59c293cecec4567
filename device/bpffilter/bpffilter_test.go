package bpffilter

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"example.com/loopback/device"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

// onlyUDP passes IPv4 packets with protocol 17.
func onlyUDP() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 17, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 0xffffffff},
	}
}

// packet4 returns an IPv4 packet with the given protocol and ports.
func packet4(proto byte, srcPort, dstPort uint16) []byte {
	b := make([]byte, 40)
	b[0], b[3], b[8], b[9] = 0x45, 40, 64, proto
	copy(b[12:], []byte{127, 0, 0, 1, 127, 0, 0, 1})
	b[20], b[21], b[22], b[23] = byte(srcPort>>8), byte(srcPort), byte(dstPort>>8), byte(dstPort)
	return b
}

func TestFilters(t *testing.T) {
	udp, err := New(onlyUDP())
	require.NoError(t, err)
	require.NotZero(t, udp(packet4(17, 1, 2)))
	require.Zero(t, udp(packet4(6, 1, 2)))
	require.Zero(t, udp([]byte{0x45}), "reading beyond the end drops, as in the kernel")
	require.Zero(t, udp(nil))

	length, err := New([]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtLen}, bpf.RetA{}})
	require.NoError(t, err)
	require.Equal(t, 40, length(packet4(6, 1, 2)))

	vm, err := bpf.NewVM(onlyUDP())
	require.NoError(t, err)
	require.NotZero(t, FromVM(vm)(packet4(17, 1, 2)))
}

func TestBadPrograms(t *testing.T) {
	for name, program := range map[string][]bpf.Instruction{
		"empty":             nil,
		"no return":         {bpf.LoadConstant{Val: 1}},
		"jump out":          {bpf.Jump{Skip: 9}, bpf.RetA{}},
		"division by zero":  {bpf.ALUOpConstant{Op: bpf.ALUOpDiv}, bpf.RetA{}},
		"unknown extension": {bpf.LoadExtension{Num: bpf.ExtRand}, bpf.RetA{}},
		"scratch out":       {bpf.LoadScratch{N: 99}, bpf.RetA{}},
	} {
		f, err := New(program)
		require.Error(t, err, name)
		require.Nil(t, f, name)
	}
	_, err := NewRaw([]bpf.RawInstruction{{Op: 0xffff}, {Op: 6}})
	require.Error(t, err)
}

// TestOnNIC: the filter decides what the stack gets to see.
func TestOnNIC(t *testing.T) {
	n := device.NewNIC(device.Config{})
	f, err := New(onlyUDP())
	require.NoError(t, err)
	n.SetFilter(f)
	for _, proto := range []byte{17, 6, 1, 17} {
		require.NoError(t, n.Inject(0, packet4(proto, 1, 2)))
	}
	require.True(t, n.Ring(0))
	got := 0
	n.Poll(0, 0, 64, func(p *device.Packet) {
		require.EqualValues(t, 17, p.Head[9])
		got++
		p.Release()
	})
	require.True(t, n.Rest(0))
	require.Equal(t, 2, got)
	require.EqualValues(t, 2, n.Counters().RX.Filtered)
}

// TestTcpdumpProgram: a program compiled by the real tcpdump does here what it says.
func TestTcpdumpProgram(t *testing.T) {
	out, err := exec.Command("tcpdump", "-y", "RAW", "-ddd", "tcp dst port 80 or udp").Output()
	if err != nil {
		t.Skipf("no tcpdump that compiles: %v", err)
	}
	var program []bpf.RawInstruction
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n")[1:] {
		var r bpf.RawInstruction
		_, err := fmt.Sscan(line, &r.Op, &r.Jt, &r.Jf, &r.K)
		require.NoError(t, err)
		program = append(program, r)
	}
	f, err := NewRaw(program)
	require.NoError(t, err)
	require.NotZero(t, f(packet4(6, 1000, 80)))
	require.NotZero(t, f(packet4(17, 5, 6)))
	require.Zero(t, f(packet4(6, 80, 1000)))
	require.Zero(t, f(packet4(1, 80, 80)))
}

// FuzzRaw: no program and no packet makes a filter panic.
func FuzzRaw(f *testing.F) {
	f.Add([]byte{0, 0x30, 0, 0, 0, 0, 0, 9, 0, 6, 0, 0, 0, 0, 0, 1}, packet4(17, 1, 2))
	f.Fuzz(func(t *testing.T, code, packet []byte) {
		var program []bpf.RawInstruction
		for ; len(code) >= 8; code = code[8:] {
			program = append(program, bpf.RawInstruction{
				Op: uint16(code[0])<<8 | uint16(code[1]), Jt: code[2], Jf: code[3],
				K: uint32(code[4])<<24 | uint32(code[5])<<16 | uint32(code[6])<<8 | uint32(code[7]),
			})
		}
		if filter, err := NewRaw(program); err == nil {
			filter(packet)
		}
	})
}
