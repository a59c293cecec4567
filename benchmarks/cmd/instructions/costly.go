package main

import "slices"

// Instructions are not alike: a locked one or a division takes as long as dozens of others, and an indirect call where
// it went elsewhere the last time, too. A kind is what makes an instruction cost more than its place.
type kind int

const (
	ordinary kind = iota
	locked        // atomic, and a full barrier: LOCK, or XCHG with memory
	clock         // reads the processor's clock: rdtsc, rdtscp
	indirect      // a call or jump to where memory or a register says
	division
	repeated // a string instruction, as copying and clearing is done by
	kinds
)

// executed is an instruction that the workload came to.
type executed struct {
	pc uintptr
	kind
}

// longest is how many bytes an instruction has at most.
const longest = 15

// The first bytes of an instruction that are no opcode yet.
const (
	prefixLock  = 0xf0
	prefixRepNE = 0xf2
	prefixRep   = 0xf3
)

var prefixes = []byte{prefixLock, prefixRepNE, prefixRep, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x66, 0x67}

// kindOf tells what kind of instruction of a 64-bit program the code begins with.
func kindOf(code []byte) kind {
	n := 0
	for n < len(code) && slices.Contains(prefixes, code[n]) {
		n++
	}
	before := code[:n]
	if n < len(code) && code[n]&0xf0 == 0x40 { // REX
		n++
	}
	if len(code) < n+3 {
		return ordinary
	}
	op := code[n]
	inRegister, which := code[n+1]>>6 == 3, code[n+1]>>3&7 // what ModRM says, if there is one
	switch {
	case slices.Contains(before, prefixLock):
		return locked
	case op|1 == 0x87 && !inRegister:
		return locked // XCHG, which is so without being told
	case op == 0x0f && code[n+1] == 0x31, op == 0x0f && code[n+1] == 0x01 && code[n+2] == 0xf9:
		return clock
	case op == 0xff && which >= 2 && which <= 5:
		return indirect
	case op|1 == 0xf7 && which >= 6:
		return division
	case isString(op) && (slices.Contains(before, prefixRep) || slices.Contains(before, prefixRepNE)):
		return repeated
	}
	return ordinary
}

// isString says whether the opcode is MOVS, CMPS, STOS, LODS or SCAS.
func isString(op byte) bool { return op >= 0xa4 && op <= 0xa7 || op >= 0xaa && op <= 0xaf }
