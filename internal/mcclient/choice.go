package mcclient

// choose is rendezvous hashing: each server has a score for a key, and the highest wins. All processes that use a pool must
// choose alike, those of other versions too, so this never changes. The servers are sorted by name: of equal scores the
// first name wins.
func choose(servers []*server, key uint64) int {
	best, highest := 0, uint64(0)
	for i, s := range servers {
		if score := mix(key ^ s.hash); i == 0 || score > highest {
			best, highest = i, score
		}
	}
	return best
}

// hash is FNV-1a. It stands here because hash/fnv allocates.
func hash(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

// mix is the finaliser of splitmix64. FNV alone differs little between similar names.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
