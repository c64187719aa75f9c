package main

import (
	"strings"
	"sync"
)

// watched keeps what is written to it, and closes seen once a text has come.
type watched struct {
	until string
	seen  chan struct{}

	mu   sync.Mutex
	text strings.Builder
	told bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), w.until) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
