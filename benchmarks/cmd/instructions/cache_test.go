package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissed(t *testing.T) {
	// circle is a walk over n lines that are so many bytes apart, four instructions on each.
	circle := func(n, apart int) (steps []executed) {
		for i := range n {
			for j := range 4 {
				steps = append(steps, executed{pc: uintptr(0x400000 + i*apart + j*16)})
			}
		}
		return steps
	}
	for _, tt := range []struct {
		name        string
		steps       []executed
		whole, half int
	}{
		{"nothing", nil, 0, 0},
		{"what fits into a half", circle(256, 64), 0, 0},
		{"what fits", circle(512, 64), 0, 512},
		{"one line too many: nine share their places", circle(513, 64), 9, 513},
		{"eight with the same places", circle(8, 4096), 0, 8},
		{"nine of them", circle(9, 4096), 9, 9},
	} {
		require.Len(t, missed(tt.steps, ways), tt.whole, tt.name)
		require.Len(t, missed(tt.steps, ways/2), tt.half, tt.name)
	}
}
