package socket_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "example.com/loopback/"

// mayImport is the architecture: what of this module each package may import.
// Subpackages count as their top-level package, but for the leaves.
var mayImport = map[string][]string{
	"device":         {},
	"ipv4/checksum":  {},
	"ipv4/ratelimit": {},
	"ipv4/reasm":     {},
	"ipv4":           {"ipv4/checksum", "ipv4/ratelimit", "ipv4/reasm"},
	"ipv6":           {"ipv4/checksum", "ipv4/ratelimit", "ipv4/reasm"},
	"udp":            {"ipv4/checksum"},
	"tcp":            {"ipv4/checksum"},
	"socket":         {"device", "ipv4", "ipv4/checksum", "ipv4/ratelimit", "ipv6", "udp", "tcp"},
}

// goList runs the go command, which is there wherever these tests are built.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

func TestImportGraph(t *testing.T) {
	for pkg, allowed := range mayImport {
		for _, imp := range goList(t, "-f", `{{join .Imports "\n"}}`, module+pkg) {
			if rest, ours := strings.CutPrefix(imp, module); ours {
				require.Contains(t, allowed, rest, "%s imports %s", pkg, imp)
				continue
			}
			host, _, _ := strings.Cut(imp, "/")
			require.NotContains(t, host, ".", "%s imports %s, which is not of the standard library", pkg, imp)
		}
	}
}

// TestClockFree: the protocols know no clock, no goroutines and no sockets.
func TestClockFree(t *testing.T) {
	for _, pkg := range []string{"device", "ipv4", "ipv6", "udp", "tcp"} {
		for _, imp := range goList(t, "-f", `{{join .Imports "\n"}}`, module+pkg) {
			require.NotContains(t, []string{"net", "context", "os", "log", "math/rand", "math/rand/v2"}, imp, "%s", pkg)
		}
		out, err := exec.Command("grep", "-nE", `time\.(Now|Sleep|After|AfterFunc|NewTimer|NewTicker|Since|Until)\(|^\s*go (func|[a-z])`, "-r", "../"+pkg, "--include=*.go", "--exclude=*_test.go").Output()
		require.Error(t, err, "%s", out) // grep's way to say that there is none
	}
}

// TestSocketAloneIsLight: a program that imports socket links the standard
// library and us, nothing else.
func TestSocketAloneIsLight(t *testing.T) {
	for _, dep := range goList(t, "-deps", module+"socket") {
		host, _, _ := strings.Cut(strings.TrimPrefix(dep, "vendor/"), "/")
		if strings.Contains(host, ".") && !strings.HasPrefix(dep, "vendor/") {
			require.True(t, strings.HasPrefix(dep, module), "links %s", dep)
		}
	}
}
