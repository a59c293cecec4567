// Lo runs a simulated loopback computer: a lo with servers and clients on it that are ordinary Go programs.
//
//	lo                                            the tour: HTTP, ssh, ping, names, ifconfig, sockets
//	lo -w lo.pcapng                               the same, recorded for Wireshark
//	lo ping -c 3 localhost
//	lo get http://localhost:631/
//	lo get http://127.0.0.1:631/ --loss 0.2 --ladder get.svg
//	lo forward 127.0.0.1:8080=localhost:631       let a browser reach the simulated computer
//	lo ifconfig --format ip
//
// See lo --help.
package main
