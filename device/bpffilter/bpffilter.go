// Package bpffilter makes programs for the Berkeley packet filter, as golang.org/x/net/bpf has them, filters
// of a device.NIC.
//
//	f, err := bpffilter.New([]bpf.Instruction{
//		bpf.LoadAbsolute{Off: 9, Size: 1},                    // IPv4: the protocol
//		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 17, SkipTrue: 1}, // UDP?
//		bpf.RetConstant{Val: 0},                               // no: drop
//		bpf.RetConstant{Val: 65535},                           // yes: pass
//	})
//	if err != nil { … }
//	nic.SetFilter(f)
//
// Offsets count from the start of the IP header: there is no link layer. Programs written for an Ethernet
// interface (tcpdump -ddd without a raw link type) count 14 bytes more.
//
// The virtual machine is x/net's and so are its limits: classic BPF only, of Linux's extensions only the
// packet's length, and the bytes to pass on are a yes or a no.
package bpffilter

import (
	"errors"

	"golang.org/x/net/bpf"
)

// New returns the filter that runs program, for device.NIC.SetFilter. The error says what is wrong with the
// program: it is empty, jumps out of bounds, divides by a constant zero, does not end with a return, or
// uses what the virtual machine does not know.
func New(program []bpf.Instruction) (func(packet []byte) int, error) {
	vm, err := bpf.NewVM(program)
	if err != nil {
		return nil, err
	}
	return FromVM(vm), nil
}

// NewRaw is New for a program in the kernel's encoding, as `tcpdump -dd` prints it. The error is that of New,
// or says that an instruction is unknown.
func NewRaw(program []bpf.RawInstruction) (func(packet []byte) int, error) {
	instructions, all := bpf.Disassemble(program)
	if !all {
		return nil, errors.New("bpffilter: unknown instruction")
	}
	return New(instructions)
}

// FromVM returns the filter that runs vm. It is safe for concurrent use. Like the kernel it drops packets
// that make the program fail, by reading beyond the packet's end or dividing by zero.
func FromVM(vm *bpf.VM) func(packet []byte) int {
	return func(packet []byte) int {
		n, err := vm.Run(packet)
		if err != nil {
			return 0
		}
		return n
	}
}
