package packetdrill

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// versionOf is the IP version that the script of a seed is played with.
func versionOf(seed uint64) IPVersion { return []IPVersion{IPv4, IPv4, IPv6}[seed%3] }

// TestGenerated plays generated scripts with what Linux did. They were recorded by TestDifferOnLinux.
func TestGenerated(t *testing.T) { Run(t, os.DirFS("generated"), NewStack) }

// TestGenerator: the same seed makes the same script, which holds on the stack that answered it, played again from
// the plan or as a script; and a script that lacks an expectation does not hold.
func TestGenerator(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			for seed := range uint64(12) {
				o := Options{IPVersion: versionOf(seed), Seed: seed}
				pl, err := generate(f, seed, o.IPVersion)
				require.NoError(t, err)
				again, err := replay(NewStack, pl.plan, o)
				require.NoError(t, err)
				require.Equal(t, pl.trace(), again.trace(), "seed %d", seed)

				text, _ := pl.script("Our own.")
				require.NoError(t, playText(t, text, o), "seed %d", seed)
				lines := strings.Split(text, "\n")
				out := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "+") })
				if out >= 0 {
					without := strings.Join(slices.Delete(lines, out, out+1), "\n")
					require.Error(t, playText(t, without, o), "seed %d", seed)
				}
			}
		})
	}
}

func playText(t *testing.T, text string, o Options) error {
	t.Helper()
	script, err := Parse("generated", text)
	require.NoError(t, err)
	return script.Run(NewStack, o)
}

// TestTolerances: what they are about and what not.
func TestTolerances(t *testing.T) {
	for _, tt := range []struct{ reason, want string }{
		{"packet differs in window: 595 instead of 592", "receive memory"},
		{"packet differs in window: 795 instead of 592", ""},
		{"packet differs in window: 595 instead of 592; flags: . instead of P.", ""},
		{"packet left at 1.510000000, expected at 1.537000~1.617000 within 20ms", "timer wheel"},
		{"packet left at 1.110000000, expected at 1.537000~1.617000 within 20ms", ""},
		{"send = 30000, expected 8900", "send memory"},
		{"send = 30000, expected -1 EAGAIN", ""},
		{"assert tcpi_ca_state == 4 does not hold", ""},
	} {
		require.Equal(t, tt.want, tolerated(&Failure{Reason: tt.reason}), tt.reason)
	}
}
