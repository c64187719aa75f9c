package wanobjectcache

import "sync"

// atATime is how many keys of one call are loaded, stored or purged at a time.
const atATime = 8

// few calls f for each of n, atATime at once. A panic goes on in the caller, when all have returned.
func few(n int, f func(i int)) {
	var (
		calls  sync.WaitGroup
		places = make(chan struct{}, atATime)
		panics = make([]any, n)
	)
	for i := range n {
		places <- struct{}{}
		calls.Go(func() {
			defer func() {
				panics[i] = recover()
				<-places
			}()
			f(i)
		})
	}
	calls.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
}
