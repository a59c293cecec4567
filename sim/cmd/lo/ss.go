package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"example.com/loopback/socket"
)

// stateName is what ss calls a state.
func stateName(s socket.SocketInfo) string {
	switch s.State {
	case "ESTABLISHED":
		return "ESTAB"
	case "SYN-RECEIVED":
		return "SYN-RECV"
	case "CLOSED":
		return "UNCONN"
	}
	return s.State
}

// endpoint returns address and port as ss -n prints them.
func endpoint(a netip.AddrPort, dual bool) (host, port string) {
	port = strconv.Itoa(int(a.Port()))
	if a.Port() == 0 {
		port = "*"
	}
	switch addr := a.Addr(); {
	case dual && addr.IsUnspecified():
		return "*", port
	case addr.Is6():
		return "[" + addr.String() + "]", port
	case !addr.IsValid():
		return "0.0.0.0", "*"
	default:
		return addr.String(), port
	}
}

// printSockets prints the TCP sockets as `ss -tan` does.
func printSockets(w io.Writer, all []socket.SocketInfo) {
	all = slices.DeleteFunc(slices.Clone(all), func(s socket.SocketInfo) bool { return s.Proto != "tcp" })
	slices.SortStableFunc(all, func(a, b socket.SocketInfo) int {
		return cmp.Or(-cmp.Compare(btoi(a.State == "LISTEN"), btoi(b.State == "LISTEN")), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	rows := [][]string{{"State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port"}}
	for _, s := range all {
		host, port := endpoint(s.Local, s.Dual)
		peer, peerPort := endpoint(s.Remote, s.Dual)
		if !s.Remote.IsValid() && s.Local.Addr().Is6() && !s.Dual {
			peer = "[::]"
		}
		if !s.Remote.IsValid() && s.Dual {
			peer = "*"
		}
		rows = append(rows, []string{stateName(s), strconv.Itoa(s.RecvQ), strconv.Itoa(s.SendQ), host, port, peer, peerPort})
	}
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], len(cell))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s %-*s %-*s %*s:%-*s %*s:%-*s", width[0], r[0], width[1], r[1], width[2], r[2], width[3], r[3], width[4], r[4], width[5], r[5], width[6], r[6])
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
