//go:build linux

package socket_test

import (
	"fmt"
	"net"
	"testing"

	"example.com/loopback/socket"
)

// TestIsolationLikeTheKernel has what only a computer without a network, or with few ports, can show.
func TestIsolationLikeTheKernel(t *testing.T) {
	compareWithKernel(t, isolatedSituations)
}

// fewPorts leaves four ephemeral ports.
var fewPorts = socket.Config{EphemeralPorts: [2]uint16{40000, 40003}}

var isolatedSituations = []situation{
	{name: "not on this computer", isolated: true, play: func(s *scene) {
		far, host := net.IPv4(192, 0, 2, 1), "192.0.2.1"
		if s.family == 6 {
			far, host = net.ParseIP("2001:db8::1"), "[2001:db8::1]"
		}
		_, err := s.Dial("tcp", host+":80")
		s.outcome("Dial tcp", err)
		_, err = s.DialTCP("tcp", &net.TCPAddr{IP: s.ip()}, &net.TCPAddr{IP: far, Port: 80})
		s.outcome("DialTCP from loopback", err)
		_, err = s.Dial("udp", host+":80")
		s.outcome("Dial udp", err)
		w := guarded(s, must(s.ListenUDP("udp", nil)))
		s.writeTo(w, "x", &net.UDPAddr{IP: far, Port: 80})
		w4 := guarded(s, must(s.ListenUDP(s.of("udp"), nil)))
		s.writeTo(w4, "x", &net.UDPAddr{IP: far, Port: 80})
	}},
	{name: "special addresses over TCP", isolated: true, play: func(s *scene) {
		hosts := []string{"255.255.255.255", "127.255.255.255", "224.0.0.1"}
		if s.family == 6 {
			hosts = []string{"[ff02::1]", "[2001:db8::1]"}
		}
		for _, host := range hosts {
			_, err := s.Dial("tcp", host+":80")
			s.outcome("Dial "+host, err)
		}
	}},
	{name: "ephemeral ports are used up by connections", isolated: true, config: fewPorts, play: func(s *scene) {
		l := guarded(s, must(s.ListenTCP("tcp", &net.TCPAddr{IP: s.ip(), Port: 80})))
		other := guarded(s, must(s.ListenTCP("tcp", &net.TCPAddr{IP: s.ip(), Port: 81})))
		for range 4 {
			guarded(s, must(s.Dial("tcp", l.Addr().String())))
		}
		_, err := s.Dial("tcp", l.Addr().String())
		s.outcome("Dial, the fifth", err)
		_, err = s.DialTCP("tcp", &net.TCPAddr{IP: s.ip()}, l.Addr().(*net.TCPAddr))
		s.outcome("DialTCP from an address", err)
		c, err := s.Dial("tcp", other.Addr().String())
		s.outcome("Dial elsewhere", err) // a port may serve several peers
		if err == nil {
			_ = c.Close()
		}
		_, err = s.ListenTCP("tcp", &net.TCPAddr{IP: s.ip()})
		s.outcome("ListenTCP", err)
	}},
	{name: "ephemeral ports are used up by listeners", isolated: true, config: fewPorts, play: func(s *scene) {
		for range 4 {
			guarded(s, must(s.ListenTCP("tcp", &net.TCPAddr{IP: s.ip()})))
		}
		_, err := s.ListenTCP("tcp", &net.TCPAddr{IP: s.ip()})
		s.outcome("ListenTCP", err)
		_, err = s.ListenTCP("tcp", nil)
		s.outcome("ListenTCP on the wildcard", err)
		_, err = s.Dial("tcp", fmt.Sprintf("%s:80", s.host()))
		s.outcome("Dial", err)
	}},
	{name: "ephemeral ports of UDP are used up", isolated: true, config: fewPorts, play: func(s *scene) {
		for range 4 {
			s.bound()
		}
		_, err := s.ListenUDP("udp", &net.UDPAddr{IP: s.ip()})
		s.outcome("ListenUDP", err)
		_, err = s.ListenUDP("udp", nil)
		s.outcome("ListenUDP on the wildcard", err)
		_, err = s.Dial("udp", s.host()+":80")
		s.outcome("Dial", err)
		_, err = s.DialUDP("udp", &net.UDPAddr{IP: s.ip()}, &net.UDPAddr{IP: s.ip(), Port: 80})
		s.outcome("DialUDP from an address", err)
	}},
}
