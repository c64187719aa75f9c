package storetest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

func races() []test {
	return []test{
		{name: "1,000 updates of one key", run: raceOneKey},
		{name: "many keys", run: raceManyKeys},
	}
}

// raceOneKey: each of many writers appends its number until that is done; in the end each stands there once.
func raceOneKey(t *testing.T, s *subject) {
	const writers = 1000
	key := s.key("a")
	var all sync.WaitGroup
	failed := make(chan error, writers)
	for writer := range writers {
		all.Go(func() {
			if err := s.appendUntilDone(t, key, strconv.Itoa(writer)+" "); err != nil {
				failed <- err
			}
		})
	}
	s.watch(t, key, &all)
	close(failed)
	if err, some := <-failed; some {
		t.Errorf("%d of %d writers failed, one with: %v", len(failed)+1, writers, err)
	}
	value, _ := s.get(t, key)
	numbers := bytes.Fields(value)
	times := map[string]int{}
	for _, number := range numbers {
		times[string(number)]++
	}
	if len(numbers) != writers || len(times) != writers {
		t.Errorf("%d writers, and %d entries of %d different writers: some are lost, or done twice", writers, len(numbers), len(times))
	}
}

// appendUntilDone tries again after a while, and a longer one each time: when all try at once, one of them is done.
func (s *subject) appendUntilDone(t *testing.T, key, text string) error {
	t.Helper()
	for pause := time.Second; ; pause = min(2*pause, 16*time.Second) {
		err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) { return append(bytes.Clone(old), text...), nil })
		if !errors.Is(err, chronology.ErrContended) {
			return err
		}
		time.Sleep(rand.N(pause)) //nolint:gosec // nothing secret
	}
}

// watch reads until the writers are done. As they append, what a read returns begins with what the one before it returned.
func (s *subject) watch(t *testing.T, key string, writers *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	tick := time.NewTicker(5 * time.Millisecond) // they shall come along too
	defer tick.Stop()
	var before []byte
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		value, _, err := s.Get(t.Context(), key)
		if err != nil || !bytes.HasPrefix(value, before) {
			<-done
			t.Fatalf("Get, while others write: %v, %s after %s", err, brief(value), brief(before))
		}
		before = bytes.Clone(value)
	}
}

// raceManyKeys: who writes another key is no rival, and gets nobody else's value.
func raceManyKeys(t *testing.T, s *subject) {
	const writers, rounds = 50, 20
	var all sync.WaitGroup
	for writer := range writers {
		key, text := s.key(strconv.Itoa(writer)), strconv.Itoa(writer)+" "
		all.Go(func() {
			for round := range rounds {
				err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) { return append(bytes.Clone(old), text...), nil })
				want := bytes.Repeat([]byte(text), round+1)
				got, _, readErr := s.Get(t.Context(), key)
				if err != nil || readErr != nil || !bytes.Equal(got, want) {
					t.Errorf("Update: %v; then Get: %v, %s, want %s", err, readErr, brief(got), brief(want))
					return
				}
			}
		})
	}
	all.Wait()
}
