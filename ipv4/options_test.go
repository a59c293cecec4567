package ipv4_test

import (
	"testing"

	"example.com/loopback/ipv4"
	"github.com/stretchr/testify/require"
)

// withOptions returns a header that carries opts.
func withOptions(opts ...byte) ipv4.Header {
	r := sample()
	r.Options = opts
	b := dirty(r.HeaderLen())
	r.Marshal(b)
	return ipv4.Header(b)
}

func TestCheckOptionsAccepts(t *testing.T) {
	tests := []struct {
		name string
		opts []byte
		want ipv4.OptionSet
	}{
		{"none", nil, ipv4.OptionSet{}},
		{"no-operations", []byte{1, 1, 1, 1}, ipv4.OptionSet{}},
		{"nothing is read after the end of options", []byte{0, 7, 1, 99}, ipv4.OptionSet{}},
		{"record route, empty", []byte{7, 7, 4, 0, 0, 0, 0}, ipv4.OptionSet{RecordRoute: true}},
		{"record route, full", []byte{7, 7, 8, 9, 9, 9, 9}, ipv4.OptionSet{RecordRoute: true}},
		{"record route without slots", []byte{7, 3, 4}, ipv4.OptionSet{RecordRoute: true}},
		{"timestamps only", []byte{68, 8, 5, 0, 0, 0, 0, 0}, ipv4.OptionSet{Timestamp: true}},
		{"timestamps with addresses", append([]byte{68, 12, 5, 1}, make([]byte, 8)...), ipv4.OptionSet{Timestamp: true}},
		{"timestamps of given addresses", append([]byte{68, 12, 5, 3}, make([]byte, 8)...), ipv4.OptionSet{Timestamp: true}},
		{"timestamps full with overflow 14", []byte{68, 4, 5, 0xe0}, ipv4.OptionSet{Timestamp: true}},
		{"loose route with hops left", []byte{131, 7, 4, 10, 0, 0, 1}, ipv4.OptionSet{SourceRoute: true, RouteLeft: true}},
		{"strict route used up", []byte{137, 7, 8, 10, 0, 0, 1}, ipv4.OptionSet{SourceRoute: true}},
		{"router alert", []byte{148, 4, 0, 0}, ipv4.OptionSet{RouterAlert: true}},
		{"router alert with an unassigned value", []byte{148, 4, 0, 7}, ipv4.OptionSet{}},
		{"an unknown option is skipped", []byte{200, 4, 1, 2, 148, 4, 0, 0}, ipv4.OptionSet{RouterAlert: true}},
		{"many", []byte{1, 7, 7, 4, 0, 0, 0, 0, 68, 4, 5, 0, 148, 4, 0, 0}, ipv4.OptionSet{RecordRoute: true, Timestamp: true, RouterAlert: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, _, why := withOptions(tt.opts...).CheckOptions()
			require.Equal(t, ipv4.OK, why)
			require.Equal(t, tt.want, set)
		})
	}
}

// TestCheckOptionsBlames names the byte that Linux's parameter problem names.
func TestCheckOptionsBlames(t *testing.T) {
	tests := []struct {
		name    string
		opts    []byte
		pointer uint8
	}{
		{"length 0", []byte{7, 0, 4, 0}, 20},
		{"length 1", []byte{1, 99, 1, 0}, 21},
		{"length past the header", []byte{7, 5, 4, 0}, 20},
		{"no length byte", []byte{1, 1, 1, 7}, 23},
		{"record route too short", []byte{7, 2, 0, 0}, 21},
		{"record route pointer into its own head", []byte{7, 7, 3, 0, 0, 0, 0}, 22},
		{"record route pointer with less than a slot left", []byte{7, 7, 5, 0, 0, 0, 0}, 22},
		{"a second record route", []byte{7, 3, 4, 7, 3, 4}, 23},
		{"loose route too short", []byte{1, 131, 2, 0}, 22},
		{"loose route pointer", []byte{131, 7, 0, 1, 2, 3, 4}, 22},
		{"loose after strict route", []byte{137, 3, 4, 131, 3, 4}, 23},
		{"timestamp too short", []byte{68, 3, 5, 0}, 21},
		{"timestamp pointer", []byte{68, 8, 4, 0, 0, 0, 0, 0}, 22},
		{"timestamp pointer with less than a slot left", []byte{68, 8, 6, 0, 0, 0, 0, 0}, 22},
		{"timestamp with address in half a slot", []byte{68, 8, 5, 1, 0, 0, 0, 0}, 22},
		{"timestamp of an unknown kind", []byte{68, 8, 5, 2, 0, 0, 0, 0}, 23},
		{"timestamp overflow of the overflow", []byte{68, 4, 5, 0xf0}, 23},
		{"a second timestamp", []byte{68, 4, 5, 0, 68, 4, 5, 0}, 24},
		{"router alert too short", []byte{148, 3, 0, 0}, 21},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, pointer, why := withOptions(tt.opts...).CheckOptions()
			require.Equal(t, ipv4.ReasonOption, why)
			require.Equal(t, tt.pointer, pointer)
		})
	}
}

func TestNextOption(t *testing.T) {
	opts := []byte{1, 7, 7, 4, 9, 8, 7, 6, 148, 4, 0, 0, 0, 55}
	var kinds []string
	var data [][]byte
	for {
		o, rest, ok := ipv4.NextOption(opts)
		if !ok {
			require.Empty(t, rest)
			break
		}
		kinds, data = append(kinds, o.Kind().String()), append(data, o.Data())
		opts = rest
	}
	require.Equal(t, []string{"NOP", "RR", "RA"}, kinds)
	require.Equal(t, [][]byte{nil, {4, 9, 8, 7, 6}, {0, 0}}, data)
}

func TestOptionNames(t *testing.T) {
	for k, want := range map[ipv4.OptionKind]string{
		ipv4.OptEnd: "EOL", ipv4.OptNOP: "NOP", ipv4.OptRecordRoute: "RR", ipv4.OptTimestamp: "timestamp",
		ipv4.OptLooseRoute: "LSRR", ipv4.OptStrictRoute: "SSRR", ipv4.OptRouterAlert: "RA", 130: "unknown",
	} {
		require.Equal(t, want, k.String())
	}
}

func TestAppendCopied(t *testing.T) {
	tests := []struct {
		name       string
		opts, want []byte
	}{
		{"none", nil, nil},
		{"record route and timestamp stay behind", []byte{7, 7, 4, 0, 0, 0, 0, 68, 4, 5, 0}, nil},
		{"router alert goes along", []byte{1, 148, 4, 0, 0, 1, 1, 1}, []byte{148, 4, 0, 0}},
		{"padded to words", []byte{131, 7, 4, 1, 2, 3, 4, 7, 3, 4}, []byte{131, 7, 4, 1, 2, 3, 4, 0}},
		{"stops at the end of options", []byte{0, 148, 4, 0, 0}, nil},
		{"stops at a malformed option", []byte{148, 4, 0, 0, 131, 99}, []byte{148, 4, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, ipv4.AppendCopied(nil, tt.opts))
			got := ipv4.AppendCopied([]byte{5}, tt.opts)
			require.Equal(t, append([]byte{5}, tt.want...), got, "appends behind what is there")
		})
	}
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte{7, 7, 4, 0, 0, 0, 0, 1})
	f.Add([]byte{131, 11, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0})
	f.Add([]byte{68, 40, 5, 0xf1})
	f.Fuzz(func(t *testing.T, opts []byte) {
		if len(opts) > 40 {
			return
		}
		h := withOptions(opts...)
		_, pointer, why := h.CheckOptions()
		if why != ipv4.OK && (int(pointer) < 20 || int(pointer) >= len(h)) {
			t.Fatalf("pointer %d outside the options", pointer)
		}
		copied := ipv4.AppendCopied(nil, h.Options())
		if len(copied) > len(h.Options()) || len(copied)%4 != 0 {
			t.Fatalf("copied % x of % x", copied, h.Options())
		}
		if why == ipv4.OK {
			if _, _, why := withOptions(copied...).CheckOptions(); why != ipv4.OK {
				t.Fatalf("the copied options % x of % x are malformed", copied, h.Options())
			}
		}
	})
}
