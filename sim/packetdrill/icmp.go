package packetdrill

import (
	"fmt"
	"strconv"
)

// icmpKind is a type of ICMP and its codes by name; the first name of a
// number is the one printed.
type icmpKind struct {
	typ   uint8
	name  string
	codes []icmpCode
}

type icmpCode struct {
	name string
	code uint8
}

// icmpKinds lists the types that scripts can name.
func icmpKinds(v6 bool) []icmpKind {
	if v6 {
		return []icmpKind{
			{1, "unreachable", []icmpCode{{"noroute", 0}, {"no_route", 0}, {"adm_prohibited", 1}, {"admin_prohibited", 1},
				{"not_neighbour", 2}, {"not_neighbor", 2}, {"beyond_scope", 2}, {"addr_unreachable", 3}, {"address_unreachable", 3}, {"host_unreachable", 3},
				{"port_unreachable", 4}, {"policy_fail", 5}, {"reject_route", 6}}},
			{1, "dst_unreachable", nil}, {1, "destination_unreachable", nil},
			{2, "packet_too_big", nil}, {2, "pkt_too_big", nil},
			{3, "time_exceeded", []icmpCode{{"exceeded_in_transit", 0}, {"exc_hoplimit", 0}, {"ttl_exceeded", 0}, {"exc_fragtime", 1}, {"reassembly", 1}}},
			{4, "parameter_problem", []icmpCode{{"hdr_field", 0}, {"unk_nexthdr", 1}, {"unk_option", 2}}},
			{128, "echo_request", nil}, {128, "echo", nil}, {129, "echo_reply", nil}, {129, "echoreply", nil},
		}
	}
	return []icmpKind{
		{0, "echo_reply", nil}, {0, "echoreply", nil},
		{3, "unreachable", []icmpCode{{"net_unreachable", 0}, {"host_unreachable", 1}, {"protocol_unreachable", 2}, {"port_unreachable", 3},
			{"frag_needed", 4}, {"source_route_failed", 5}, {"sr_failed", 5}, {"net_unknown", 6}, {"host_unknown", 7}, {"source_host_isolated", 8}, {"host_isolated", 8},
			{"net_prohibited", 9}, {"net_ano", 9}, {"host_prohibited", 10}, {"host_ano", 10}, {"net_unreachable_for_tos", 11}, {"net_unr_tos", 11},
			{"host_unreachable_for_tos", 12}, {"host_unr_tos", 12}, {"packet_filtered", 13}, {"pkt_filtered", 13}, {"precedence_violation", 14}, {"prec_violation", 14},
			{"precedence_cutoff", 15}, {"prec_cutoff", 15}}},
		{3, "dst_unreachable", nil}, {3, "destination_unreachable", nil},
		{4, "source_quench", nil},
		{5, "redirect", []icmpCode{{"net", 0}, {"host", 1}}},
		{8, "echo_request", nil}, {8, "echo", nil},
		{11, "time_exceeded", []icmpCode{{"exceeded_in_transit", 0}, {"exc_ttl", 0}, {"ttl_exceeded", 0}, {"exc_fragtime", 1}, {"reassembly", 1}}},
		{12, "parameter_problem", nil},
	}
}

func icmpTypeByName(v6 bool, name string) (uint8, bool) {
	for _, k := range icmpKinds(v6) {
		if k.name == name {
			return k.typ, true
		}
	}
	return 0, false
}

func icmpCodeByName(v6 bool, typ uint8, name string) (uint8, bool) {
	for _, k := range icmpKinds(v6) {
		if k.typ != typ {
			continue
		}
		for _, c := range k.codes {
			if c.name == name {
				return c.code, true
			}
		}
	}
	return 0, false
}

// icmpName writes type and code as in a script.
func icmpName(v6 bool, typ, code uint8) string {
	for _, k := range icmpKinds(v6) {
		if k.typ != typ {
			continue
		}
		for _, c := range k.codes {
			if c.code == code {
				return k.name + " " + c.name
			}
		}
		if code == 0 {
			return k.name
		}
		return k.name + " code " + strconv.Itoa(int(code))
	}
	return fmt.Sprintf("type %d code %d", typ, code)
}

// icmpEcho tells whether a type is an echo request or reply.
func icmpEcho(v6 bool, typ uint8) bool {
	if v6 {
		return typ == 128 || typ == 129
	}
	return typ == 8 || typ == 0
}

// icmpTooBig tells whether the second word of the header is an MTU.
func icmpTooBig(v6 bool, typ, code uint8) bool {
	if v6 {
		return typ == 2
	}
	return typ == 3 && code == 4
}
