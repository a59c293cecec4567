// Package checksum computes the Internet checksum of RFC 1071 over bytes that
// need not be contiguous, as every protocol of the stack uses it.
//
//	sum := checksum.Pseudo(src, dst, 17, len(segment))
//	sum = checksum.Sum(segment, sum)      // header and payload, checksum field 0
//	field := ^checksum.Fold(sum)
//
// # Running sums
//
// A running sum is a uint32 in one's-complement arithmetic: it never loses a
// carry, may be continued with more bytes in any number of steps, and becomes
// the 16-bit sum by Fold. A correct packet's sum over everything, its checksum
// field included, folds to 0xffff.
//
// Sum treats its bytes as starting at an even offset of the checksummed whole.
// When the bytes before them were odd in number use SumAt, or compute the parts
// apart and Combine them, or hand all pieces to SumPieces.
//
// # Limits
//
// The package does not know protocols: the rule that UDP sends 0xffff for a
// computed 0 (RFC 768) is applied by Fill, as Linux's software offload does for
// every protocol, and by package udp; callers that compute a field themselves
// apply it themselves. There is no incremental update (RFC 1624), since nothing
// in the stack forwards.
package checksum
