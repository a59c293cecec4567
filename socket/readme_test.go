package socket_test

import (
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"

	"example.com/loopback/socket"
)

// TestServerAnswersOnLocalhostOnly is the test of the README.
func TestServerAnswersOnLocalhostOnly(t *testing.T) {
	s := socket.New(socket.Config{}) // import "example.com/loopback/socket"
	l, err := s.Listen("tcp", "127.0.0.1:631")
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	client := http.Client{Transport: &http.Transport{DialContext: s.DialContext}}
	if _, err := client.Get("http://localhost:631/"); err != nil {
		t.Error(err)
	}
	if _, err := client.Get("http://127.0.0.2:631/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("bound to 127.0.0.1, yet 127.0.0.2 says:", err)
	}
}
