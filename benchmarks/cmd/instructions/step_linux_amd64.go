package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/arch/x86/x86asm"
	"golang.org/x/sys/unix"
)

// Bounds on what is tried.
const (
	attempts = 20
	maxSteps = 50_000_000
	patience = 5 * time.Second // for some thousand steps, which take milliseconds
)

// step runs the workload in a child and returns the instructions of one run of it, and notes the lines of data in data, if that is not nil.
func step(o options, data lines) (steps []executed, err error) {
	runtime.LockOSThread() // only the thread that traces may ask
	defer runtime.UnlockOSThread()
	for range attempts {
		clear(data)
		if steps, err = attempt(o, data); !errors.Is(err, errUnlucky) {
			break
		}
	}
	return steps, err
}

// errUnlucky says that the child was stopped while another of its threads had something that the one we follow
// needed.
var errUnlucky = errors.New("the workload did not go on alone")

func attempt(o options, data lines) ([]executed, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, o.args()...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	var said bytes.Buffer
	cmd.Stderr = &said
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t := &tracee{pid: cmd.Process.Pid, kinds: map[uintptr]kind{}, insts: map[uintptr]x86asm.Inst{}, data: data, patience: patience}
	defer func() {
		cmd.Process.Kill()
		t.bury()
		cmd.Wait()
	}()
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		cmd.Wait()
		return nil, fmt.Errorf("the workload ended: %s", strings.TrimSpace(said.String()))
	}
	if err := t.seize(); err != nil {
		return nil, err
	}
	if err := t.stopTime(); err != nil {
		return nil, err
	}
	return t.follow(markPC())
}

// A tracee is a process that stands still but for one thread.
type tracee struct {
	pid, running int
	threads      []int
	kinds        map[uintptr]kind // of the instructions that were met
	insts        map[uintptr]x86asm.Inst
	data         lines         // what they read and write; nil: nobody wants to know
	patience     time.Duration // for some thousand steps
}

// bury takes note of the end of the threads, which none of them comes to before who traces it has.
func (t *tracee) bury() {
	for _, tid := range t.threads {
		if tid == t.pid {
			continue // the process itself is left to the one who started it
		}
		for {
			var status unix.WaitStatus
			if _, err := unix.Wait4(tid, &status, unix.WALL, nil); err != nil || status.Exited() || status.Signaled() {
				break
			}
		}
	}
}

// seize stops all threads, those too that were begun meanwhile, and finds the one that was not waiting for anything.
func (t *tracee) seize() error {
	for known := -1; known < len(t.threads); {
		known = len(t.threads)
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", t.pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				return err
			}
			if slices.Contains(t.threads, tid) {
				continue
			}
			if err := t.stop(tid); err != nil && !errors.Is(err, unix.ESRCH) { // has ended
				return err
			}
		}
	}
	if t.running == 0 {
		return errUnlucky
	}
	return nil
}

// stop stops one thread, and sees whether it was running.
func (t *tracee) stop(tid int) error {
	if err := unix.PtraceSeize(tid); err != nil {
		return fmt.Errorf("ptrace: %w", err)
	}
	t.threads = append(t.threads, tid)
	if err := unix.PtraceInterrupt(tid); err != nil {
		return fmt.Errorf("ptrace: %w", err)
	}
	if _, err := unix.Wait4(tid, nil, unix.WALL, nil); err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return fmt.Errorf("ptrace: %w", err)
	}
	if int64(regs.Orig_rax) < 0 || regs.Orig_rax == unix.SYS_WRITE { // in no system call, or just telling us
		t.running = tid
	}
	return nil
}

// stopTime makes the process read the same time for ever: the function of the vDSO that Go reads the monotonic clock
// by is written over with one that gives the time it is now.
func (t *tracee) stopTime() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	at, err := t.clockGettime()
	if err != nil {
		return err
	}
	code := []byte{0x48, 0xc7, 0x06} // mov qword [rsi], seconds
	code = binary.LittleEndian.AppendUint32(code, uint32(now.Sec))
	code = append(code, 0x48, 0xc7, 0x46, 0x08) // mov qword [rsi+8], nanoseconds
	code = binary.LittleEndian.AppendUint32(code, uint32(now.Nsec))
	code = append(code, 0x31, 0xc0, 0xc3) // xor eax, eax; ret
	_, err = unix.PtracePokeText(t.running, at, code)
	return err
}

// clockGettime returns where the process has __vdso_clock_gettime.
func (t *tracee) clockGettime() (uintptr, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", t.pid))
	if err != nil {
		return 0, err
	}
	lines := strings.Split(string(maps), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, "[vdso]") })
	if i < 0 {
		return 0, fmt.Errorf("the process has no vDSO: %w", errors.ErrUnsupported)
	}
	var from, to uintptr
	if _, err := fmt.Sscanf(lines[i], "%x-%x", &from, &to); err != nil {
		return 0, fmt.Errorf("reading maps: %w", err)
	}
	image := make([]byte, to-from)
	if _, err := unix.PtracePeekData(t.running, from, image); err != nil {
		return 0, fmt.Errorf("ptrace: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("reading the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("reading the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return from + uintptr(s.Value), nil
		}
	}
	return 0, errors.New("the vDSO has no clock_gettime")
}

// follow steps from one call of the function at mark to the next, and returns what was executed between.
func (t *tracee) follow(mark uintptr) (steps []executed, err error) {
	// If it waits for a thread that stands still it waits for ever. It may be the first thread, which ends after all
	// others have been buried.
	var stuck atomic.Bool
	watch := time.AfterFunc(t.patience, func() {
		stuck.Store(true)
		unix.Kill(t.pid, unix.SIGKILL)
		t.bury()
	})
	defer func() {
		watch.Stop()
		if err != nil && stuck.Load() {
			err = errUnlucky
		}
	}()
	seen := false
	for n := range maxSteps {
		if n%4096 == 0 {
			watch.Reset(t.patience)
		}
		if err := unix.PtraceSingleStep(t.running); err != nil {
			return nil, fmt.Errorf("ptrace: %w", err)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(t.running, &status, unix.WALL, nil); err != nil {
			return nil, fmt.Errorf("wait: %w", err)
		}
		if !status.Stopped() {
			return nil, errors.New("the workload ended")
		}
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(t.running, &regs); err != nil {
			return nil, fmt.Errorf("ptrace: %w", err)
		}
		pc := uintptr(regs.Rip)
		if pc == mark {
			if seen {
				return steps, nil
			}
			seen = true
		}
		if seen {
			k, err := t.kindAt(pc)
			if err != nil {
				return nil, err
			}
			steps = append(steps, executed{pc, k})
			if t.data != nil {
				if err := t.note(pc, &regs); err != nil {
					return nil, err
				}
			}
		}
	}
	return nil, errUnlucky
}

// kindAt tells what kind of instruction lies at pc.
func (t *tracee) kindAt(pc uintptr) (kind, error) {
	if k, met := t.kinds[pc]; met {
		return k, nil
	}
	code, err := t.codeAt(pc)
	if err != nil {
		return ordinary, err
	}
	k := kindOf(code)
	t.kinds[pc] = k
	return k, nil
}

// codeAt returns the bytes at pc, enough for an instruction.
func (t *tracee) codeAt(pc uintptr) ([]byte, error) {
	code := make([]byte, longest)
	n, err := unix.PtracePeekText(t.running, pc, code) // may end at the end of what is mapped
	if n == 0 && err != nil {
		return nil, fmt.Errorf("ptrace: %w", err)
	}
	return code[:n], nil
}

// note notes what the instruction at pc, which is about to be executed, reads and writes.
func (t *tracee) note(pc uintptr, regs *unix.PtraceRegs) error {
	in, met := t.insts[pc]
	if !met {
		code, err := t.codeAt(pc)
		if err != nil {
			return err
		}
		if in, err = x86asm.Decode(code, 64); err != nil {
			in = x86asm.Inst{} // a newer one, of vectors
		}
		t.insts[pc] = in
	}
	ops := memory(in, valuesOf(regs))
	if len(ops) == 0 {
		return nil
	}
	fn, _ := functionAt(pc)
	for _, o := range ops {
		t.data.note(fn, o, uintptr(regs.Rsp))
	}
	return nil
}

// valuesOf are the registers that addresses are made of.
func valuesOf(r *unix.PtraceRegs) registers {
	all := [...]uint64{r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15}
	return func(reg x86asm.Reg) (uint64, bool) {
		switch {
		case reg >= x86asm.RAX && reg <= x86asm.R15:
			return all[reg-x86asm.RAX], true
		case reg == x86asm.RIP:
			return r.Rip, true
		}
		return 0, false
	}
}
