package interop_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/loopback/socket"
)

// echoService is a gRPC service without generated code: a unary call that returns the hash of what
// it was sent, and a stream that returns every message.
func echoService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "loopback.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Hash", Handler: hashCall}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Chat", Handler: chat, ServerStreams: true, ClientStreams: true,
		}},
	}
}

func hashCall(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if len(in.Value) == 0 {
		return nil, status.Error(codes.InvalidArgument, "nothing to hash")
	}
	sum := sha256.Sum256(in.Value)
	return wrapperspb.Bytes(sum[:]), nil
}

func chat(_ any, stream grpc.ServerStream) error {
	for {
		m := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(m); err != nil {
			return err
		}
	}
}

// startGRPC serves on our stack and returns a client of it, both unmodified.
func startGRPC(t *testing.T, network, address string) (*socket.Stack, *grpc.ClientConn) {
	t.Helper()
	s := socket.New(socket.Config{})
	l, err := s.Listen(network, address)
	require.NoError(t, err)
	server := grpc.NewServer()
	server.RegisterService(echoService(), struct{}{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	client, err := grpc.NewClient("passthrough:///"+l.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return s.DialContext(ctx, network, addr)
		}))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		server.GracefulStop()
		require.NoError(t, <-served)
		require.NoError(t, s.Close())
		require.Zero(t, s.OpenSockets())
	})
	return s, client
}

func TestGRPC(t *testing.T) {
	for _, on := range []struct{ network, address string }{
		{"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}, {"tcp", "localhost:0"},
	} {
		t.Run(on.network, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, client := startGRPC(t, on.network, on.address)
			t.Run("unary", func(t *testing.T) { grpcUnary(ctx, t, client) })
			t.Run("stream", func(t *testing.T) { grpcStream(ctx, t, client) })
			t.Run("concurrent", func(t *testing.T) { grpcConcurrent(ctx, t, client) })
		})
	}
}

func grpcUnary(ctx context.Context, t *testing.T, client *grpc.ClientConn) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{1, 100, 16_384, 100_000, 4_000_000} {
		in, out := wrapperspb.Bytes(noise(r, size)), new(wrapperspb.BytesValue)
		require.NoError(t, client.Invoke(ctx, "/loopback.Echo/Hash", in, out))
		want := sha256.Sum256(in.Value)
		require.Equal(t, want[:], out.Value)
	}
	err := client.Invoke(ctx, "/loopback.Echo/Hash", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	require.Equal(t, codes.InvalidArgument, status.Code(err), "a status crosses the connection too")
}

func noise(r *rand.Rand, size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// grpcStream keeps many messages under way in both directions of one stream.
func grpcStream(ctx context.Context, t *testing.T, client *grpc.ClientConn) {
	t.Helper()
	require.NoError(t, chatOnce(ctx, client, 7, 400, 30_000))
}

func chatOnce(ctx context.Context, client *grpc.ClientConn, seed uint64, messages, size int) error {
	desc := &grpc.StreamDesc{StreamName: "Chat", ServerStreams: true, ClientStreams: true}
	stream, err := client.NewStream(ctx, desc, "/loopback.Echo/Chat")
	if err != nil {
		return err
	}
	sent, got := sha256.New(), sha256.New()
	sending := make(chan error, 1)
	go func() {
		r := rand.New(rand.NewPCG(seed, 2))
		for range messages {
			m := wrapperspb.Bytes(noise(r, 1+r.IntN(size)))
			sent.Write(m.Value)
			if err := stream.SendMsg(m); err != nil {
				sending <- err
				return
			}
		}
		sending <- stream.CloseSend()
	}()
	for {
		m := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		got.Write(m.Value)
	}
	if err := <-sending; err != nil {
		return err
	}
	if s, g := sent.Sum(nil), got.Sum(nil); string(s) != string(g) {
		return fmt.Errorf("sent %x, got back %x", s, g)
	}
	return nil
}

// grpcConcurrent has 16 streams share the connection.
func grpcConcurrent(ctx context.Context, t *testing.T, client *grpc.ClientConn) {
	t.Helper()
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = chatOnce(ctx, client, uint64(i), 30, 10_000) })
	}
	wg.Wait()
	for i, err := range errs {
		require.NoError(t, err, "stream %d", i)
	}
}
