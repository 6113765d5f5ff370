package datagram

// Nearest is the number of these low 32 bits that is nearest to another one: numbers that are at most 2^31 apart need no more on the wire.
func Nearest(to uint64, low uint32) uint64 {
	distance := int64(int32(low - uint32(to)))
	if distance < 0 && uint64(-distance) > to {
		distance += 1 << 32
	}
	return to + uint64(distance)
}
