package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ErrDecisionID is what every error of DecisionID.UnmarshalText is (errors.Is).
var ErrDecisionID = errors.New("sim: invalid decision")

// String returns the ID on one line, as in "drop 3 6 127.0.0.1:49152>127.0.0.1:631 by web>db": what was done to the packet
// of which number (and copy, as in 3+1) of which IP protocol and flow, and the name of the rule.
func (id DecisionID) String() string {
	number := strconv.FormatUint(id.Packet, 10)
	if id.Copy > 0 {
		number += "+" + strconv.FormatUint(uint64(id.Copy), 10)
	}
	rule := id.Rule
	if strings.ContainsAny(rule, ";'\"\\") || strconv.Quote(rule) != `"`+rule+`"` {
		rule = strconv.Quote(rule)
	}
	return fmt.Sprintf("%s %s %d %v>%v by %s", strings.ReplaceAll(id.Kind.String(), " ", "-"), number, id.Flow.Proto, id.Flow.Src, id.Flow.Dst, rule)
}

// MarshalText implements encoding.TextMarshaler: it returns String.
func (id DecisionID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it reads what String writes. Its error is ErrDecisionID.
func (id *DecisionID) UnmarshalText(b []byte) error {
	if err := id.parse(string(b)); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrDecisionID, b, err)
	}
	return nil
}

func (id *DecisionID) parse(s string) (err error) {
	words := strings.SplitN(s, " ", 6)
	if len(words) != 6 || words[4] != "by" {
		return errors.New("not of the form kind number protocol source>destination by rule")
	}
	kind := slices.Index(kindNames[:], strings.ReplaceAll(words[0], "-", " "))
	if kind < 0 {
		return errors.New("unknown kind")
	}
	number, nth, copied := strings.Cut(words[1], "+")
	d := DecisionID{Kind: DecisionKind(kind), Rule: words[5]}
	if d.Packet, err = strconv.ParseUint(number, 10, 64); err != nil {
		return err
	}
	if copied {
		c, err := strconv.ParseUint(nth, 10, 32)
		if err != nil {
			return err
		}
		d.Copy = uint32(c)
	}
	proto, err := strconv.ParseUint(words[2], 10, 8)
	if err != nil {
		return err
	}
	d.Flow.Proto = uint8(proto)
	src, dst, _ := strings.Cut(words[3], ">")
	if d.Flow.Src, err = netip.ParseAddrPort(src); err != nil {
		return err
	}
	if d.Flow.Dst, err = netip.ParseAddrPort(dst); err != nil {
		return err
	}
	if strings.HasPrefix(d.Rule, `"`) {
		if d.Rule, err = strconv.Unquote(d.Rule); err != nil {
			return err
		}
	}
	*id = d
	return nil
}

// Given reports whether the decision is no matter of chance but of what the program asked for (a partition, the MTU) or of
// what the link can hold: a search for the decisions that make a test fail leaves those alone.
func (d *Decision) Given() bool {
	switch d.Reason {
	case ReasonBlackhole, ReasonMTU, ReasonHeld, ReasonSwallowed:
		return true
	}
	return d.Kind == KindFragment
}
