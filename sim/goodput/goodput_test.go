package goodput

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	update = flag.Bool("update", false, "measure everything and rewrite the tables in testdata")
	long   = flag.Bool("long", os.Getenv("LOOPBACK_LONG") == "1", "measure with every seed of the table, not with one")
)

// The tables: what was measured, what the kernel gave, and both beside theory.
var (
	oursFile   = filepath.Join("testdata", "ours.txt")
	kernelFile = filepath.Join("testdata", "kernel.txt")
	tableFile  = filepath.Join("testdata", "comparison.txt")
)

// seeds is how many there are in the table: 1 to seeds.
const seeds = 9

// TestGoodput measures again and finds the table's numbers, to the last digit: a change of loss recovery or congestion
// control that changes what TCP gets through shows as a difference of the table.
func TestGoodput(t *testing.T) {
	if *update {
		writeOurs(t)
	}
	want := readTable(t, oursFile)
	for _, c := range Cells() {
		t.Run(c.String(), func(t *testing.T) {
			if testing.Short() && c.Loss < 0.05 {
				t.Skip("many segments: not in short mode")
			}
			require.Len(t, want[c.String()], seeds)
			for seed := 1; seed <= seeds; seed++ {
				if seed > 1 && !*long {
					break
				}
				r, err := Measure(c, uint64(seed))
				require.NoError(t, err)
				require.Equal(t, want[c.String()][seed-1], megabits(r.Goodput), "seed %d; rewrite the tables with -update "+
					"if that is as it should be, and look at how testdata differs", seed)
			}
		})
	}
}

func megabits(bits float64) string { return strconv.FormatFloat(bits/1e6, 'f', 3, 64) }

func writeOurs(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# Goodput in Mbit/s with seeds 1 to %d, in virtual time: go test ./sim/goodput -update\n", seeds)
	for _, c := range Cells() {
		fmt.Fprintf(&b, "%v:", c)
		for seed := uint64(1); seed <= seeds; seed++ {
			r, err := Measure(c, seed)
			require.NoError(t, err, "%v", c)
			b.WriteString(" " + megabits(r.Goodput))
		}
		b.WriteString("\n")
	}
	require.NoError(t, os.WriteFile(oursFile, []byte(b.String()), 0o666))
}

// readTable returns the values of each line by its name. What is behind a semicolon is a remark.
func readTable(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	table := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line, _, _ = strings.Cut(line, ";")
		name, values, ok := strings.Cut(line, ":")
		require.True(t, ok, "%s: %q", file, line)
		table[name] = strings.Fields(values)
	}
	return table
}

// A spread is the median of some measurements, and the least and greatest, in Mbit/s.
type spread struct{ median, least, most float64 }

func spreadOf(t *testing.T, values []string) spread {
	t.Helper()
	require.NotEmpty(t, values)
	var f []float64
	for _, v := range values {
		x, err := strconv.ParseFloat(v, 64)
		require.NoError(t, err)
		f = append(f, x)
	}
	slices.Sort(f)
	return spread{f[len(f)/2], f[0], f[len(f)-1]}
}

func (s spread) String() string { return fmt.Sprintf("%7.2f %6.2f-%-6.2f", s.median, s.least, s.most) }

// How far the medians may be apart.
const (
	// From the kernel's: random losses are few in a measurement, so that medians of either scatter by a tenth or two,
	// where timeouts are many by more.
	kernelLow, kernelHigh = 0.85, 1.2
	// From the model's, where timeouts are rare. At 5 and 10 % they are not: then the model is a ceiling, and PFTK's
	// formula a floor.
	modelLow, modelHigh = 0.8, 1.25
	modelLoss           = 0.01
)

// TestComparison holds the measured goodput against that of the kernel over the same paths and against theory, and
// keeps the table that shows them side by side. The kernel has no CUBIC of RFC 9438.
func TestComparison(t *testing.T) {
	if testing.Short() {
		t.Skip("the model takes a while with the race detector")
	}
	ours, kernel := readTable(t, oursFile), readTable(t, kernelFile)
	var b strings.Builder
	b.WriteString("# Goodput in Mbit/s: median, least and most. Made by: go test ./sim/goodput -update; see doc.go.\n")
	b.WriteString("# kernel: kernel.txt; floor: PFTK; formula: Mathis, or CUBIC's response function (both for losses at equal\n")
	b.WriteString("# distances); model: the same windows under random losses, without timeouts. None is more than the line carries.\n")
	fmt.Fprintf(&b, "%-23s %22s %22s %9s %7s %7s %7s %7s\n", "", "ours", "kernel", "of kernel", "floor", "formula", "model", "of model")
	for _, c := range Cells() {
		o, kernelText, ofKernel := spreadOf(t, ours[c.String()]), "", ""
		if c.Linux() {
			k := spreadOf(t, kernel[c.String()])
			kernelText, ofKernel = k.String(), fmt.Sprintf("%.2f", o.median/k.median)
			require.GreaterOrEqual(t, o.median, kernelLow*k.median, "%v: of the kernel's", c)
			require.LessOrEqual(t, o.median, kernelHigh*k.median, "%v: of the kernel's", c)
		}
		floor, model := c.Floor()/1e6, c.Model()/1e6
		fmt.Fprintf(&b, "%-23v %v %22s %9s %7.2f %7.2f %7.2f %8.2f\n", c, o, kernelText, ofKernel, floor, c.Formula()/1e6, model, o.median/model)

		if c.Loss <= modelLoss {
			require.InDelta(t, (modelHigh+modelLow)/2, o.median/model, (modelHigh-modelLow)/2, "%v: of the model's", c)
			continue
		}
		require.Greater(t, o.median, floor, "%v: PFTK's Reno", c)
		require.Less(t, o.median, modelHigh*model, "%v: without timeouts", c)
	}
	if *update {
		require.NoError(t, os.WriteFile(tableFile, []byte(b.String()), 0o666))
	}
	golden, err := os.ReadFile(tableFile)
	require.NoError(t, err)
	require.Equal(t, string(golden), b.String())
}
