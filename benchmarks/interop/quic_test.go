package interop_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// TestQUIC runs quic-go, unmodified, over our UDP: eight streams at once, each a megabyte there and
// back.
func TestQUIC(t *testing.T) {
	for _, on := range []struct{ network, ip string }{{"udp4", "127.0.0.1"}, {"udp6", "::1"}} {
		t.Run(on.network, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s := socket.New(socket.Config{})
			serverTLS, clientTLS := certificates(t)
			server := listenQUIC(t, s, on.network, on.ip)
			l, err := server.Listen(serverTLS, nil)
			require.NoError(t, err)
			go serveQUIC(ctx, l)

			client := listenQUIC(t, s, on.network, on.ip)
			conn, err := client.Dial(ctx, l.Addr(), clientTLS, nil)
			require.NoError(t, err)
			errs := make([]error, 8)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { errs[i] = echoQUIC(ctx, conn, uint64(i), 1<<20) })
			}
			wg.Wait()
			for i, err := range errs {
				require.NoError(t, err, "stream %d", i)
			}
			require.NoError(t, conn.CloseWithError(0, "done"))
			require.NoError(t, l.Close())
			require.Eventually(t, func() bool { return s.Conservation().Holds() }, patience, time.Millisecond)
		})
	}
}

// listenQUIC opens a socket of ours and gives it to quic-go.
func listenQUIC(t *testing.T, s *socket.Stack, network, ip string) *quic.Transport {
	t.Helper()
	c, err := s.ListenUDP(network, &net.UDPAddr{IP: net.ParseIP(ip)})
	require.NoError(t, err)
	tr := &quic.Transport{Conn: c}
	t.Cleanup(func() {
		require.NoError(t, tr.Close())
		require.NoError(t, c.Close())
	})
	return tr
}

// serveQUIC echoes every stream of every connection.
func serveQUIC(ctx context.Context, l *quic.Listener) {
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			for {
				stream, err := conn.AcceptStream(ctx)
				if err != nil {
					return
				}
				go func() {
					if _, err := io.Copy(stream, stream); err == nil {
						_ = stream.Close() // its failure shows at the other end
					}
				}()
			}
		}()
	}
}

func echoQUIC(ctx context.Context, conn *quic.Conn, seed uint64, total int) error {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	sent := sha256.New()
	sending := make(chan error, 1)
	go func() {
		p := noise(rand.New(rand.NewPCG(seed, 3)), total)
		sent.Write(p)
		_, err := stream.Write(p)
		sending <- errors.Join(err, stream.Close())
	}()
	got := sha256.New()
	if _, err := io.Copy(got, stream); err != nil {
		return err
	}
	if err := <-sending; err != nil {
		return err
	}
	if s, g := sent.Sum(nil), got.Sum(nil); string(s) != string(g) {
		return fmt.Errorf("sent %x, got back %x", s, g)
	}
	return nil
}

// certificates makes a key for localhost and the client that trusts it.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		NextProtos:   []string{"echo"},
	}
	client = &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"echo"}}
	return server, client
}
