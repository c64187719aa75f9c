package mcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Answer is one server's part of a GetMulti.
type Answer struct {
	Keys  []int   // as indices into the call's keys
	Items []*Item // for each of them; nil = there is none. Nil as a whole with Err
	Err   error   // of the server: ErrUnavailable, ErrOverloaded, ErrClosed

	server *server
	keys   []string
}

// arrival is an answer on its way to a caller, who may have gone.
type arrival struct {
	answer int
	items  []*Item
	err    error
}

// GetMulti asks the servers of all keys at the same time, each with one request for every 10,000 keys, and returns an
// answer for each server that has some of the keys. Several times the same key is the same Item.
//
// A server that has not answered when ctx ends, or MultiTimeout is over, is ErrUnavailable. Its request goes on by itself
// until the connection's own timeout ends it, which a server that drips can put off for minutes: each line of an answer
// extends it.
func (p *Pool) GetMulti(ctx context.Context, keys []string) []Answer {
	answers := p.split(keys)
	limited, cancel := context.WithTimeout(ctx, p.multiTimeout)
	defer cancel()
	arrived := make(chan arrival, len(answers)) // room for all: who comes too late must not hang
	waiting := 0
	for i := range answers {
		if answers[i].Err = p.ask(limited, i, &answers[i], arrived); answers[i].Err == nil {
			waiting++
		}
	}
	for waiting > 0 && limited.Err() == nil {
		select {
		case a := <-arrived:
			answers[a.answer].Items, answers[a.answer].Err = a.items, a.err
			waiting--
		case <-limited.Done():
		}
	}
	p.giveUp(ctx, answers)
	return answers
}

// ask starts a server's request. It says why it does not.
func (p *Pool) ask(ctx context.Context, number int, a *Answer, arrived chan<- arrival) error {
	s, keys := a.server, a.keys
	if err := p.ready(ctx, s); err != nil {
		return err
	}
	started := p.live.goDo(func() {
		items, err := s.fetch(ctx, keys)
		arrived <- arrival{number, items, err}
	})
	if !started {
		return ErrClosed
	}
	return nil
}

// fetch also counts: it has outlived its caller when its context is done before it is.
func (s *server) fetch(ctx context.Context, keys []string) (items []*Item, err error) {
	err = s.inPlace(ctx, func() error {
		ended := context.AfterFunc(ctx, func() { s.outlived.Add(1) })
		defer func() {
			if !ended() {
				s.outlived.Add(-1)
			}
		}()
		if len(keys) > 1 {
			items, err = s.getMulti(ctx, keys)
			return err
		}
		item, err := s.get(ctx, keys[0])
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		items = []*Item{item}
		return nil
	})
	return items, err
}

// giveUp marks the servers that have not answered; if the caller's context is over, all of them.
func (p *Pool) giveUp(ctx context.Context, answers []Answer) {
	over := ctx.Err()
	for i := range answers {
		a := &answers[i]
		switch {
		case a.Err != nil:
		case over != nil:
			a.Items, a.Err = nil, a.server.failed(ErrUnavailable, over)
		case a.Items == nil:
			a.Err = a.server.failed(ErrUnavailable, fmt.Errorf("no answer for %d keys within MultiTimeout, %s", len(a.Keys), p.multiTimeout))
		}
	}
}

func (p *Pool) split(keys []string) []Answer {
	answers := make([]Answer, len(p.servers))
	share := len(keys)/len(answers) + 1
	for i, key := range keys {
		a := &answers[p.choose(key)]
		if a.Keys == nil {
			a.Keys, a.keys = make([]int, 0, share), make([]string, 0, share)
		}
		a.Keys, a.keys = append(a.Keys, i), append(a.keys, key)
	}
	for i, s := range p.servers {
		answers[i].server = s
	}
	return slices.DeleteFunc(answers, func(a Answer) bool { return len(a.Keys) == 0 })
}
