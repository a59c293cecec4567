package capture

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4/checksum"
)

// record writes the corpus to a file.
func record(t testing.TB, opt Options) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, opt)
	for i, s := range corpus(t) {
		dir := device.DirTX
		if i%2 == 1 {
			dir = device.DirRX
		}
		require.NoError(t, w.WritePacket(dir, packetTime(i), s.raw, s.name))
	}
	require.NoError(t, w.Flush())
	require.EqualValues(t, len(corpus(t)), w.Packets())
	return out.Bytes()
}

func TestFileReadsBackWithGopacket(t *testing.T) {
	for _, x := range []struct {
		name string
		opt  Options
		link layers.LinkType
		skip int
	}{
		{"ethernet", Options{}, layers.LinkTypeEthernet, 14},
		{"raw", Options{Link: RawIP, Interface: "lo7", Epoch: time.Unix(1e9, 5)}, layers.LinkType(101), 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			r, err := pcapgo.NewNgReader(bytes.NewReader(record(t, x.opt)), pcapgo.DefaultNgReaderOptions)
			require.NoError(t, err)
			require.Equal(t, x.link, r.LinkType())
			intf, err := r.Interface(0)
			require.NoError(t, err)
			require.Equal(t, NewWriter(nil, x.opt).opt.Interface, intf.Name)
			for i, s := range corpus(t) {
				data, ci, err := r.ReadPacketData()
				require.NoError(t, err)
				require.Equal(t, s.raw, data[x.skip:], s.name)
				require.Equal(t, NewWriter(nil, x.opt).opt.Epoch.Add(packetTime(i)).UnixNano(), ci.Timestamp.UnixNano())
				if x.skip > 0 {
					require.Equal(t, make([]byte, 12), data[:12], "addresses of zeros")
				}
			}
			_, _, err = r.ReadPacketData()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestFileIsAFunctionOfItsInput(t *testing.T) {
	a, b := record(t, Options{Comment: "seed 42"}), record(t, Options{Comment: "seed 42"})
	require.True(t, bytes.Equal(a, b))
	require.False(t, bytes.Equal(a, record(t, Options{Comment: "seed 43"})))
	require.Zero(t, len(a)%4)
}

// The real tcpdump reads the file and prints the same lines that the Printer prints.
func TestFileAndTraceAgreeByTcpdump(t *testing.T) {
	path, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	name := filepath.Join(t.TempDir(), "x.pcapng")
	require.NoError(t, os.WriteFile(name, record(t, Options{}), 0o600))
	var packets [][]byte
	for _, s := range corpus(t) {
		packets = append(packets, s.raw)
	}
	want, got := runTcpdump(t, path, name, "-tt"), ours(packets, TraceOptions{Time: TimeEpoch})
	for i, s := range corpus(t) {
		if !isDifference(s.name) {
			require.Equal(t, want[i], got[i], s.name)
		}
	}
}

func TestTsharkShowsCommentsAndDirections(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	var file bytes.Buffer
	w := NewWriter(&file, Options{Comment: "seed 42"})
	raw := udpPacket(t, v4a, v4b, 1, 9999, []byte("hi"))
	require.NoError(t, w.WritePacket(device.DirTX, time.Second, raw, "dropped: loss 5 %"))
	require.NoError(t, w.WritePacket(device.DirRX, 2*time.Second+1, raw, ""))
	require.NoError(t, w.Flush())
	name := filepath.Join(t.TempDir(), "x.pcapng")
	require.NoError(t, os.WriteFile(name, file.Bytes(), 0o600))
	out, err := exec.Command(path, "-r", name, "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.packet_flags_direction",
		"-e", "frame.comment", "-e", "frame.interface_name", "-e", "eth.src", "-e", "udp.length").Output()
	require.NoError(t, err)
	require.Equal(t, []string{
		"1.000000000\t0x00000002\tdropped: loss 5 %\tlo\t00:00:00:00:00:00\t10",
		"2.000000001\t0x00000001\t\tlo\t00:00:00:00:00:00\t10",
	}, strings.Split(strings.TrimRight(string(out), "\n"), "\n"))
}

func TestCommentsOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, maxComment, maxComment + 1} {
		var file bytes.Buffer
		w := NewWriter(&file, Options{Comment: strings.Repeat("s", n)})
		raw := udpPacket(t, v4a, v4b, 1, 9999, []byte("hi"))
		for range 2 {
			require.NoError(t, w.WritePacket(device.DirTX, 0, raw, strings.Repeat("c", n)))
		}
		require.NoError(t, w.Flush())
		r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
		require.NoError(t, err)
		require.Len(t, r.SectionInfo().Comment, min(n, maxComment))
		for range 2 {
			data, _, err := r.ReadPacketData()
			require.NoError(t, err)
			require.Equal(t, raw, data[14:])
		}
	}
}

func TestWriterKeepsTheFirstError(t *testing.T) {
	raw := udpPacket(t, v4a, v4b, 1, 2, make([]byte, 60000))
	w := NewWriter(&brokenWriter{n: 100000}, Options{})
	require.NoError(t, w.WritePacket(device.DirTX, 0, raw, ""), "buffered")
	err := w.WritePacket(device.DirTX, 0, raw, "")
	require.ErrorIs(t, err, errFull)
	require.EqualError(t, err, "capture: disk full")
	require.Equal(t, err, w.WritePacket(device.DirTX, 0, raw, ""))
	require.Equal(t, err, w.Flush())
	require.EqualValues(t, 2, w.Packets())
}

func TestWriterAllocatesNothing(t *testing.T) {
	w := NewWriter(io.Discard, Options{})
	raw := udpPacket(t, v4a, v4b, 1, 2, make([]byte, 1400))
	write := func() {
		for range 100 {
			_ = w.WritePacket(device.DirTX, time.Second, raw, "")
		}
	}
	write()
	require.Zero(t, testing.AllocsPerRun(10, write))
}

// partial returns a UDP packet whose checksum is left to the device, in two pieces.
func partial(t testing.TB, n *device.NIC, payload string) (p *device.Packet, filled []byte) {
	t.Helper()
	filled = udpPacket(t, v4a, v4b, 40000, 9999, []byte(payload))
	p = n.Pool().NewPacket()
	head := p.SetHead(28)
	copy(head, filled)
	sum := checksum.Fold(checksum.Pseudo(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), 17, 8+len(payload)))
	head[26], head[27] = byte(sum>>8), byte(sum)
	p.Frags[0] = device.Piece{B: []byte(payload)}
	p.Flags, p.CsumStart, p.CsumOffset = device.FlagCsumPartial, 20, 6
	return p, filled
}

func TestTapsFillInChecksums(t *testing.T) {
	for _, x := range []struct {
		name string
		dirs Directions
		want int
	}{{"TX", TX, 2}, {"RX", RX, 2}, {"Both", Both, 4}} {
		t.Run(x.name, func(t *testing.T) {
			n := device.NewNIC(device.Config{FillChecksum: checksum.Fill})
			var file, text bytes.Buffer
			w := NewWriter(&file, Options{Directions: x.dirs, Link: RawIP})
			p := NewPrinter(&text, TraceOptions{Directions: x.dirs, Time: TimeEpoch})
			defer n.AddTap(w.Tap())()
			defer n.AddTap(p.Tap())()
			first, raw1 := partial(t, n, "hello")
			second, raw2 := partial(t, n, "again!")
			require.Equal(t, device.TxOK, n.Transmit(time.Second, first))
			require.Equal(t, device.TxOK, n.Transmit(time.Second, second))
			require.True(t, n.Ring(0))
			require.Equal(t, 2, n.Poll(0, 2*time.Second, 64, func(p *device.Packet) { p.Release() }))
			require.True(t, n.Rest(0))

			require.NoError(t, w.Flush())
			r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
			require.NoError(t, err)
			for i := range x.want {
				data, ci, err := r.ReadPacketData()
				require.NoError(t, err)
				want, at := [][]byte{raw1, raw2}[i%2], int64(1)
				if x.dirs == RX || i >= 2 {
					at = 2
				}
				require.Equal(t, want, data)
				require.Equal(t, at, ci.Timestamp.Unix())
			}
			_, _, err = r.ReadPacketData()
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, x.want, strings.Count(text.String(), "IP 127.0.0.1.40000 > 127.0.0.2.9999: UDP, length"), text.String())
			require.NoError(t, p.Err())
		})
	}
}

func TestWriterIsSafeForConcurrentUse(t *testing.T) {
	var file bytes.Buffer
	w := NewWriter(&file, Options{})
	raw := udpPacket(t, v4a, v4b, 1, 2, make([]byte, 500))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				_ = w.WritePacket(device.DirTX, 0, raw, "x")
			}
		})
	}
	wg.Wait()
	require.NoError(t, w.Flush())
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	for range 800 {
		_, _, err := r.ReadPacketData()
		require.NoError(t, err)
	}
}

func BenchmarkWritePacket(b *testing.B) {
	w := NewWriter(io.Discard, Options{})
	raw := udpPacket(b, v4a, v4b, 1, 2, make([]byte, 1400))
	b.ReportAllocs()
	for b.Loop() {
		_ = w.WritePacket(device.DirTX, time.Second, raw, "")
	}
}

func BenchmarkTrace(b *testing.B) {
	p := NewPrinter(io.Discard, TraceOptions{})
	raw := tcpPacket(b, v4a, v4b, 1, 2, []byte("x"), func(h *layers.TCP) {
		h.ACK = true
		h.Options = []layers.TCPOption{nopOption, nopOption, tsOption(1, 2)}
	})
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Print(time.Second, raw)
	}
}
