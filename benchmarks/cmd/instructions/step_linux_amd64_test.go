package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A child whose first thread waits, for ever, while it has others: initialisation is the first thread's.
func init() {
	if slices.Contains(os.Args, "-idle") {
		os.Stdout.WriteString("ready\n")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
}

// TestFirstThreadStuck: the first thread of a process has an end only after all others, so that a workload that is
// followed there and does not go on ends when their ends are taken note of.
func TestFirstThreadStuck(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-idle")
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	ready, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = bufio.NewReader(ready).ReadString('\n')
	require.NoError(t, err)

	followed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		tr := &tracee{pid: cmd.Process.Pid, kinds: map[uintptr]kind{}, patience: 50 * time.Millisecond}
		defer tr.bury()
		if err := tr.seize(); err != nil && err != errUnlucky { // nothing runs
			followed <- err
			return
		}
		tr.running = tr.pid
		_, err := tr.follow(0)
		followed <- err
	}()
	select {
	case err = <-followed:
	case <-time.After(10 * time.Second):
		t.Fatal("follow waits for the end of a thread that waits for the end of others")
	}
	if errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	require.ErrorIs(t, err, errUnlucky)
	cmd.Wait()
}
