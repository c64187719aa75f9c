package wanobjectcache

import (
	"sync"
	"sync/atomic"
)

// atATime is how many keys of one call are loaded, stored or purged at a time.
const atATime = 8

// few calls f for each of n, atATime at once. A panic goes on in the caller, when all have returned.
func few(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var (
		workers  sync.WaitGroup
		next     atomic.Int64
		mu       sync.Mutex
		panicked any
	)
	one := func(i int) {
		defer func() {
			if p := recover(); p != nil {
				mu.Lock()
				defer mu.Unlock()
				panicked = p
			}
		}()
		f(i)
	}
	for range min(n, atATime) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				one(i)
			}
		})
	}
	workers.Wait()
	if panicked != nil {
		panic(panicked)
	}
}
