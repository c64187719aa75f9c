package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// link joins the datacenters: what cuts and slows the way to the databases and caches does so to the requests that one
// router sends to the other.
type link struct {
	databases

	mu   sync.Mutex
	ways map[string]*relay // to each DC
}

func openLink(ctx context.Context, dbs databases, sockets sockets) (*link, error) {
	l := &link{databases: dbs, ways: map[string]*relay{}}
	for _, dc := range []string{dcA, dcB} {
		way, err := listenRelay(ctx, sockets.of(dc).Addr().String())
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.ways[dc] = way
	}
	l.link(ctx) // a test bed's may be slow or cut already
	return l, nil
}

// upstream is where the other DC's router reaches this one.
func (l *link) upstream(dc string) string { return "http://" + l.ways[dc].addr }

// link also lets the relays follow, whoever has changed the link.
func (l *link) link(ctx context.Context) linkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.databases.link(ctx)
	if s.Link == "unknown" {
		return s
	}
	for _, way := range l.ways {
		way.latency.Store(int64(s.Latency))
		if s.Link == "cut" {
			way.cut()
		} else if err := way.open(ctx); err != nil {
			s.Problem = err.Error()
		}
	}
	return s
}

func (l *link) setLag(ctx context.Context, d time.Duration) error {
	return l.after(ctx, l.databases.setLag(ctx, d))
}

func (l *link) cut(ctx context.Context) error { return l.after(ctx, l.databases.cut(ctx)) }

func (l *link) heal(ctx context.Context) error { return l.after(ctx, l.databases.heal(ctx)) }

func (l *link) after(ctx context.Context, err error) error {
	l.link(ctx)
	return err
}

func (l *link) close() error {
	for _, way := range l.ways {
		way.cut()
	}
	return l.databases.close()
}
