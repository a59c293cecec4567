package peer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// The way between the hosts of a transfer: what netem would be told.
var way = sim.Impairment{Delay: 2 * time.Millisecond, Jitter: 500 * time.Microsecond, Loss: 0.01, Duplicate: 0.005, Reorder: 0.01}

// netem is the same for tc(8).
const netem = "delay 2ms 500us loss 1% duplicate 0.5% reorder 1%"

// impairedLab makes a lab of a Stack at addrA and a kernel at addrB with a bad way between them. What the Stack sends
// suffers in our own impaired link. What the kernel sends suffers in its netem, or if it has none, in another
// impaired link of ours that it passes.
func impairedLab(t *testing.T, seed uint64) *lab {
	t.Helper()
	link := func(inner device.Link) device.Link {
		l, err := sim.NewImpaired(sim.ImpairConfig{Seed: seed, Log: -1, Inner: inner, Rules: []sim.Rule{{Impairment: way}}})
		require.NoError(t, err)
		return l
	}
	s := newStack(t, socket.Config{MTU: mtu}, link, prefixes(addrA)...)
	k := newKernel(t)
	dev := k.tun("tun0", mtu, prefixes(addrB)...)
	var kernelEnd end = dev
	out, err := k.run("", "tc", append([]string{"qdisc", "add", "dev", "tun0", "root", "netem"}, strings.Fields(netem)...)...)
	if err != nil {
		t.Logf("the kernel has no netem (%q): our own impaired link stands in for it", strings.TrimSpace(out))
		kernelEnd = newRelay(dev, link)
	} else {
		t.Log("kernel's side: netem " + netem)
	}
	l := &lab{t: t, a: s, b: k}
	l.wire = join(t, s, kernelEnd)
	return l
}

// A relay lets what an end sends pass through a link on its way to the wire.
type relay struct {
	end
	nic  *device.NIC
	out  func(raw []byte)
	made time.Time
}

func newRelay(e end, wrap func(device.Link) device.Link) *relay {
	r := &relay{end: e, made: time.Now()}
	var mu sync.Mutex // what is delayed comes from a timer, what is not from the end itself
	r.nic = device.NewNIC(device.Config{FillChecksum: checksum.Fill, Link: wrap(device.NewPortFunc(func(_ time.Duration, raw []byte) {
		mu.Lock()
		defer mu.Unlock()
		r.out(raw)
	}))})
	return r
}

func (r *relay) plug(out func(raw []byte)) {
	r.out = out
	r.end.plug(func(raw []byte) {
		p := r.nic.Pool().NewPacket()
		p.HeadOwner = r.nic.Pool().Get(len(raw))
		p.Head = p.HeadOwner.Bytes()[:copy(p.HeadOwner.Bytes(), raw)]
		p.Flags = device.FlagOutside
		now := time.Since(r.made)
		if r.nic.Transmit(now, p) != device.TxOK {
			p.Release() // like any full queue
		}
		if r.nic.Ring(0) {
			for ok := false; !ok; ok = r.nic.Rest(0) {
				r.nic.Poll(0, now, 64, (*device.Packet).Release)
			}
		}
	})
}

// TestTransfers downloads and uploads 10 MB by HTTP over a bad way, with the Stack as client and as server, and
// compares hashes. All of them run at once.
func TestTransfers(t *testing.T) {
	size := 10_000_000
	if testing.Short() {
		size = 1_000_000
	}
	for _, family := range families {
		for _, role := range []string{"client", "server"} {
			t.Run(familyName(family)+"/stack is the "+role, func(t *testing.T) {
				t.Parallel()
				l := impairedLab(t, uint64(family))
				client, server := l.a, l.b
				at := addrB[family]
				if role == "server" {
					client, server, at = l.b, l.a, addrA[family]
				}
				transferHTTP(t, client, server, at, size)
			})
		}
	}
}

// transferHTTP downloads and uploads size bytes, both at once, and compares hashes.
func transferHTTP(t *testing.T, client, server host, at netip.Addr, size int) {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	url := serve(t, server, at, data)
	web := httpClient(t, client)
	var wg sync.WaitGroup
	fetch := func(what string, do func() (string, error)) {
		wg.Go(func() {
			began := time.Now()
			got, err := do()
			if err != nil || got != sum {
				t.Errorf("%s: hash %s, not %s: %v", what, got, sum, err)
				return
			}
			t.Logf("%s by the %v: %.1f MB/s", what, client, float64(size)/1e6/time.Since(began).Seconds())
		})
	}
	fetch("download", func() (string, error) {
		r, err := web.Get(url)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		return hashOf(r.Body)
	})
	fetch("upload", func() (string, error) {
		r, err := web.Post(url, "application/octet-stream", strings.NewReader(string(data)))
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return string(b), err
	})
	wg.Wait()
}

func hashOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// serve answers GET with data and POST with the hash of what was sent, and returns the URL.
func serve(t *testing.T, on host, at netip.Addr, data []byte) (url string) {
	t.Helper()
	l, err := on.listen("tcp", netip.AddrPortFrom(at, 0))
	require.NoError(t, err)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write(data)
			return
		}
		sum, err := hashOf(r.Body)
		if err != nil {
			sum = err.Error()
		}
		fmt.Fprint(w, sum)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until Close
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return "http://" + l.Addr().String() + "/"
}

func httpClient(t *testing.T, on host) *http.Client {
	transport := &http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return on.dial(network, netip.AddrPort{}, netip.MustParseAddrPort(address), patience)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * patience}
}

// TestCurl has the real curl download 10 MB from, and upload as many to, a Stack over a bad way.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		cannot(t, "curl is not installed: %v", err)
	}
	l := impairedLab(t, 1)
	data := make([]byte, 10_000_000)
	if testing.Short() {
		data = data[:1_000_000]
	}
	_, _ = rand.NewChaCha8([32]byte{2}).Read(data)
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	for _, family := range families {
		url := serve(t, l.a, addrA[family], data)
		k := l.b.(*kernel)
		out, err := k.run("", "curl", "-sS", "-g", "--noproxy", "*", "--max-time", "110", url)
		require.NoError(t, err)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256([]byte(out))))
		out, err = k.run(string(data), "curl", "-sS", "-g", "--noproxy", "*", "--max-time", "110", "--data-binary", "@-", url)
		require.NoError(t, err)
		require.Equal(t, sum, out)
	}
}

// TestBulk sends as much as goes for half a second, each way and by each family, and logs how much that was.
func TestBulk(t *testing.T) {
	for _, p := range pairs {
		for _, family := range families {
			t.Run(fmt.Sprintf("%s to %s, %s", p[0], p[1], familyName(family)), func(t *testing.T) {
				l := newLab(t, p[0], p[1])
				a, b := l.connect(t, family)
				length := time.Second / 2
				if testing.Short() {
					length /= 10
				}
				stop := time.Now().Add(length)
				var got int64
				var wg sync.WaitGroup
				wg.Go(func() {
					n, err := io.Copy(io.Discard, b)
					if err != nil {
						t.Error(err)
					}
					got = n
				})
				var sent int64
				block := make([]byte, 128<<10)
				for time.Now().Before(stop) {
					n, err := a.Write(block)
					sent += int64(n)
					require.NoError(t, err)
				}
				require.NoError(t, a.CloseWrite())
				wg.Wait()
				require.Equal(t, sent, got)
				t.Logf("%.0f Mbit/s at MTU %d%s", float64(got)*8/1e6/(length+time.Since(stop)).Seconds(), mtu, about(a, b))
			})
		}
	}
}

// about is what the Stack's connection of the two knows about itself.
func about(conns ...tcpConn) string {
	for _, c := range conns {
		if s, ok := c.(interface{ Info() tcp.Info }); ok {
			i := s.Info()
			return fmt.Sprintf("; stack: cwnd %d, rtt %v, %d of %d segments again, %d out of order",
				i.SndCwnd, i.RTT, i.TotalRetrans, i.DataSegsOut, i.RcvOoopack)
		}
	}
	return ""
}
