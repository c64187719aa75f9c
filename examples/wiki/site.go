package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/chronology/dcroute"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/switchover"
)

// states are the views that both datacenters have of the one document which says who is the primary.
type states map[string]*switchover.State

// openStates reads the document, and makes it if there is none.
func openStates(ctx context.Context, cfg config) (states, error) {
	var store switchover.Store = switchover.NewMemory(switchover.Doc{})
	if cfg.state != "" {
		store = switchover.NewFile(cfg.state)
	}
	if cfg.dataDir != "" {
		if err := os.MkdirAll(cfg.dataDir, 0o700); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	list := states{}
	for _, dc := range []string{dcA, dcB} {
		state, err := switchover.New(store, &switchover.Options{DC: dc})
		if err != nil {
			return nil, err
		}
		if _, err := state.Update(ctx, firstDoc); err != nil {
			return nil, fmt.Errorf("who is the primary: %w", err)
		}
		list[dc] = state
	}
	return list, nil
}

// firstDoc leaves a document that is there as it is.
func firstDoc(d *switchover.Doc) error {
	if d.Primary == "" {
		d.Primary = dcA
		d.DCs = map[string]switchover.DC{dcA: {Pooled: true}, dcB: {Pooled: true}}
	}
	return nil
}

func (s states) primary(ctx context.Context) (string, error) {
	dc, _, err := s[dcA].Primary(ctx)
	if err == nil && dc != dcA && dc != dcB {
		err = fmt.Errorf("the state says that DC %s is the primary: this wiki lives in %s and %s", dc, dcA, dcB)
	}
	return dc, err
}

// site is what the processes of one datacenter have: their view of who is the primary, and of the database servers, a
// cache, and what lets clients see their own edits.
type site struct {
	dc      string
	state   *switchover.State
	cluster *rdbms.Cluster
	own     *chronology.Protector
	cache   *pageCache
	secret  []byte // the same in both: what one has signed, a cookie or a request sent across, the other believes
	dbs     databases
	log     io.Writer
	problem atomic.Pointer[string] // why the databases have not followed the state; nil = they have
}

// sites are both, a first.
type sites []*site

func openSites(states states, dbs databases, own chronology.Mode, log io.Writer) (list sites, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it does not fail
	for _, dc := range []string{dcA, dcB} {
		s := &site{dc: dc, state: states[dc], secret: secret, dbs: dbs, log: log}
		if s.cache, err = newPageCache(s); err == nil {
			s.cluster, err = rdbms.New(dbs.config(dc, dbs.primary()), &rdbms.Options{
				DC: dc, Engine: dbs.engine(), ClusterReason: s.state.ClusterReason(""),
				PollRemote:   time.Second, // as the near ones: so the pages soon show what was changed
				PrimaryShare: 1,           // there may be nobody but authors here: all whose wait was in vain may read the primary
				Events:       rdbms.Events{OnWrote: func(ctx context.Context, _ rdbms.WriteInfo) { dcroute.MarkWrite(ctx) }},
			})
		}
		if err == nil {
			s.own, err = s.newOwn(own)
		}
		if err != nil {
			return nil, errors.Join(err, list.close(context.Background()))
		}
		list = append(list, s)
	}
	return list, nil
}

// newOwn makes what lets clients see their own edits: with the position in a signed cookie, or in a store of this
// datacenter, where a cookie has its number.
func (s *site) newOwn(mode chronology.Mode) (*chronology.Protector, error) {
	o := &chronology.Options{DC: s.dc, Keys: []chronology.Key{{ID: 1, Secret: s.secret}}}
	if mode == chronology.StoreMode {
		o.Store = s.dbs.positions(s.dc)
	}
	return chronology.New([]chronology.Cluster{s.cluster.Positions()}, o)
}

func (l sites) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var errs []error
	for _, s := range l {
		errs = append(errs, s.cache.Close(ctx), s.cluster.Close(ctx)) // what the cache still loads reads the cluster
	}
	return errors.Join(errs...)
}

// run watches the state and the servers, until ctx ends.
func (s *site) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := s.state.OnChange(func(_, now switchover.Doc) { s.follow(ctx, now.Primary) })
	defer stop()
	group.Go(func() error { return s.state.Run(ctx) })
	group.Go(func() error { return s.cluster.Run(ctx) })
	return group.Wait()
}

// follow makes the DC the primary that the state names. It gives up when the state names another, for then it is called
// again.
func (s *site) follow(ctx context.Context, primary string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		s.whileNamed(ctx, primary)
	}()
	s.problem.Store(nil)
	err := s.dbs.promote(ctx, primary)
	if err == nil {
		err = s.cluster.SetServers(s.dbs.config(s.dc, primary)) //nolint:contextcheck // no I/O
	}
	if err == nil {
		_ = s.cluster.Refresh(ctx) // who does not answer now is asked again
		return
	}
	if ctx.Err() == nil {
		text := err.Error()
		s.problem.Store(&text)
		fmt.Fprintf(s.log, "wiki: DC %s: the databases do not follow the state: %s\n", s.dc, text)
	}
}

// whileNamed returns when the state names another primary.
func (s *site) whileNamed(ctx context.Context, primary string) {
	for {
		changed := s.state.Changed()
		if now, _, _ := s.state.Primary(ctx); now != primary { // an old answer is one
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
