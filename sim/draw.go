package sim

import "math/bits"

// A draw is a generator of pseudo-random numbers for one decision (SplitMix64 by Steele, Lea and Flood, 2014). Its
// start is a hash of what the decision is about, so that no decision depends on how many others were taken.
type draw uint64

// purpose tells the decisions about one packet apart.
type purpose uint64

const (
	forLoss purpose = iota + 1
	forBurst
	forDuplicate
	forReorder
	forDelay
	forCorrupt
	forReset
	forCut
	forQueue
)

// newDraw returns the generator of one decision: key is that of rule and flow, number the packet's in its flow and
// nth tells the copies of one packet apart.
func newDraw(key, number, nth uint64, why purpose) draw {
	return draw(mix(mix(mix(key^uint64(why)*0x9e3779b97f4a7c15)+number) + nth))
}

// mix is the output function of SplitMix64: a bijection in which every bit of the input changes half of the output.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// next returns 64 random bits.
func (d *draw) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	return mix(uint64(*d))
}

// u32 returns 32 random bits.
func (d *draw) u32() uint32 { return uint32(d.next() >> 32) }

// below returns a number from 0 to n-1, each as likely as another to within n/2⁶⁴. n must not be 0.
func (d *draw) below(n uint64) uint64 {
	hi, _ := bits.Mul64(d.next(), n)
	return hi
}

// hashBytes is FNV-1a with SplitMix64's output function behind it.
func hashBytes(b []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h ^= uint64(c)
		h *= 0x100000001b3
	}
	return mix(h)
}

// fraction is a probability from 0 to 1 in units of 2⁻³². Integers give the same decisions on every machine;
// floating point need not (the compiler may fuse operations).
type fraction uint64

const one fraction = 1 << 32

// toFraction converts a probability that was checked to be within 0 and 1.
func toFraction(p float64) fraction { return fraction(p * float64(one)) }

// correlated returns 32 random bits that resemble last to the degree rho, as netem's correlation does:
// each value is a mix of a new one and of the one before.
func correlated(value, last uint32, rho fraction) uint32 {
	return uint32((uint64(value)*uint64(one-rho) + uint64(last)*uint64(rho)) >> 32)
}

// normal returns a sample of the normal distribution with mean 0 and standard deviation 1, in units of 2⁻¹⁶: the sum
// of twelve uniform ones, which is within 0.3 % of it up to two deviations and ends at six.
func (d *draw) normal() int64 {
	var sum uint64
	for range 6 {
		x := d.next()
		sum += x>>32 + x&0xffffffff
	}
	return int64(sum)>>16 - 6<<16
}

// pareto returns a sample of the Pareto distribution of shape 3, moved and scaled to mean 0 and standard deviation 1
// and cut at 4, in units of 2⁻¹⁶. Most samples are a little below 0, few are far above.
func (d *draw) pareto() int64 {
	// x = u^(-1/3) for a uniform u; its mean is 3/2 and its standard deviation √3/2. The limit of 4 for the
	// result means x ≤ 4.97, u ≥ 2³²/122.
	u := uint64(d.u32()) + 1
	if u < 1<<32/122 {
		u = 1 << 32 / 122
	}
	quotient, _ := bits.Div64(1<<16, 0, u) // 2⁸⁰/u
	x := int64(cubeRoot(quotient))         // 2¹⁶·x
	const mean, perSD = 3 << 16 / 2, 75674 // 2¹⁶·(2/√3)
	return min((x-mean)*perSD>>16, 4<<16)
}

// cubeRoot returns the largest number whose cube is not greater than x.
func cubeRoot(x uint64) uint64 {
	var y uint64
	for shift := 63; shift >= 0; shift -= 3 {
		y <<= 1
		if b := 3*y*(y+1) + 1; x>>shift >= b {
			x -= b << shift
			y++
		}
	}
	return y
}

// squareRoot returns the largest number whose square is not greater than x.
func squareRoot(x uint64) uint64 {
	var y uint64
	for bit := uint64(1) << 62; bit > 0; bit >>= 2 {
		if x >= y+bit {
			x -= y + bit
			y = y>>1 + bit
		} else {
			y >>= 1
		}
	}
	return y
}
