package packetdrill

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestRunPlaysEveryScript(t *testing.T) {
	fsys := fstest.MapFS{
		"a/base.pkt": {Data: []byte(baseScript)},
		"b/c/v4.pkt": {Data: []byte("--ip_version=ipv4\n0 < icmp echo_request\n+0 > icmp echo_reply\n")},
		"README":     {Data: []byte("no script")},
	}
	names, err := Scripts(fsys)
	require.NoError(t, err)
	require.Equal(t, []string{"a/base.pkt", "b/c/v4.pkt"}, names)
	versions := map[string]int{}
	Run(t, fsys, func(s Setup) (Kernel, error) {
		versions[s.Script+" "+s.Local[0].Addr().String()]++
		return newFake(s)
	})
	require.Equal(t, map[string]int{"a/base.pkt 192.168.0.1": 2, "a/base.pkt fd3d:a0b:17d6::1": 1, "b/c/v4.pkt 192.168.0.1": 1}, versions)

	clear(versions)
	Run(t, fsys, func(s Setup) (Kernel, error) {
		versions[s.Script]++
		return newFake(s)
	}, Options{IPVersion: IPv6})
	require.Equal(t, map[string]int{"a/base.pkt": 1}, versions)
}
