package socket

// lastUDP is the socket that a receiver found last, which has no peer, and where: most datagrams are for the same one
// again.
type lastUDP struct {
	sock    *UDPConn
	local   ip
	lport   uint16
	changes uint32 // of the table, when it was asked
}

// udpSocket is findUDP, with a look at the last one first.
func (r *receiver) udpSocket(flow *flowKey, hash uint32) *UDPConn {
	s, last := r.s, &r.last
	if s.udpPeers.Load() != 0 {
		return s.findUDP(flow, hash) // the sender counts
	}
	changes := s.udp.changes.Load()
	if last.sock != nil && last.changes == changes && last.local == flow.local && last.lport == flow.lport {
		return last.sock
	}
	u := s.findUDP(flow, hash)
	*last = lastUDP{u, flow.local, flow.lport, changes}
	return u
}

// findUDP returns the socket for datagrams of flow, whose hash is given: a
// connected one before one bound to the very address before one bound to all.
func (s *Stack) findUDP(flow *flowKey, hash uint32) *UDPConn {
	if s.udpPeers.Load() != 0 {
		if node := s.udp.find(flow, hash); node != nil {
			return node.val
		}
	}
	k := flowKey{local: flow.local, lport: flow.lport}
	for {
		if node := s.udp.find(&k, k.hash(protoUDP)); node != nil && !(node.val.how.has(holdOnly6) && flow.local.is4()) {
			return node.val
		}
		if !k.widen() {
			break
		}
	}
	return nil
}
