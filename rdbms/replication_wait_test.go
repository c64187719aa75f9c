package rdbms_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func servers(names ...string) (list []rdbmstest.Server) {
	for _, name := range names {
		list = append(list, rdbmstest.Server{Name: name})
	}
	return list
}

// Case 119.
func TestWaitForReplication(t *testing.T) {
	six := servers("db1", "db2", "db3", "db4", "db5", "db6")
	for name, tc := range map[string]struct {
		servers []rdbmstest.Server
		stopped []string
		want    string // missing; "" = success
		took    time.Duration
	}{
		"all have it soon":            {servers: triple, took: 300 * time.Millisecond},
		"six, one laggard":            {servers: six, stopped: []string{"db4"}, took: time.Second},
		"six, two laggards":           {servers: six, stopped: []string{"db4", "db2"}, want: "db2, db4", took: time.Second},
		"three, one laggard":          {servers: triple, stopped: []string{"db3"}, want: "db3", took: time.Second},
		"no replicas":                 {servers: pair[:1]},
		"a laggard without weight":    {servers: servers("db1", "db2", "unused"), stopped: []string{"unused"}, took: 300 * time.Millisecond},
		"a laggard of a group":        {servers: servers("db1", "db2", "grouped"), stopped: []string{"grouped"}, want: "grouped", took: time.Second},
		"a laggard, which is drained": {servers: servers("db1", "db2", "db3"), stopped: []string{"db3"}, want: "db3", took: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(c *rdbms.Config, _ *rdbms.Options) {
				for i := range c.Servers {
					switch c.Servers[i].Name {
					case "unused":
						c.Servers[i].Weight = -1
					case "grouped":
						c.Servers[i].Groups = map[string]int{"dump": 1}
					}
				}
			}
			onStage(t, setting{servers: tc.servers, change: change}, func(s *stage) {
				for _, server := range tc.servers[1:] {
					s.set(server.Name, func(k *rdbmstest.Knobs) { k.Lag = 300 * time.Millisecond })
				}
				for _, server := range tc.stopped {
					s.set(server, func(k *rdbmstest.Knobs) { k.StopApplying = true })
				}
				ctx := s.scope()
				s.put(ctx, "k", "v")
				var err error
				d := took(func() { err = s.cluster.WaitForReplication(ctx) })
				if d < tc.took || d > tc.took+25*time.Millisecond {
					s.Errorf("it took %v, want %v", d, tc.took)
				}
				if tc.want == "" {
					if err != nil {
						s.Error(err)
					}
					return
				}
				s.wantError(err, rdbms.ErrNotCaughtUp, "a laggard")
				if err != nil && !strings.HasSuffix(err.Error(), " "+tc.want) {
					s.Errorf("%v; want it to name %s", err, tc.want)
				}
			})
		})
	}
}

// Case 119. Who wrote nothing waits for nothing, and asks nobody.
func TestWaitForReplicationOfNothing(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.missing()
		ctx := s.require(position, asOf, 0, "") // others' writes are not meant
		if d := took(func() {
			if err := s.cluster.WaitForReplication(ctx); err != nil {
				s.Error(err)
			}
		}); d != 0 {
			s.Errorf("it took %v", d)
		}
	})
}

// It waits until ctx's deadline, and 60 s at most.
func TestWaitForReplicationDeadline(t *testing.T) {
	for deadline, want := range map[time.Duration]time.Duration{
		100 * time.Millisecond: 100 * time.Millisecond, 30 * time.Second: 30 * time.Second, time.Hour: time.Minute,
	} {
		onStage(t, setting{}, func(s *stage) {
			s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
			ctx := s.scope()
			s.put(ctx, "k", "v")
			ctx, cancel := context.WithTimeout(ctx, deadline)
			defer cancel()
			if d := took(func() { s.wantError(s.cluster.WaitForReplication(ctx), rdbms.ErrNotCaughtUp, "stopped") }); d != want {
				s.Errorf("with %v it took %v", deadline, d)
			}
		})
	}
}

// All replicas are waited for at the same time.
func TestWaitForReplicationInParallel(t *testing.T) {
	onStage(t, setting{servers: servers("db1", "db2", "db3", "db4")}, func(s *stage) {
		for i, server := range []string{"db2", "db3", "db4"} {
			s.set(server, func(k *rdbmstest.Knobs) { k.Lag = time.Duration(300+100*i) * time.Millisecond })
		}
		ctx := s.scope()
		s.put(ctx, "k", "v")
		if d := took(func() {
			if err := s.cluster.WaitForReplication(ctx); err != nil {
				s.Error(err)
			}
		}); d < 500*time.Millisecond || d > 525*time.Millisecond {
			s.Errorf("it took %v", d)
		}
		s.idle()
	})
}

// Cancelled it says so.
func TestWaitForReplicationCancelled(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		ctx, cancel := context.WithCancel(s.scope())
		s.put(ctx, "k", "v")
		time.AfterFunc(100*time.Millisecond, cancel)
		var err error
		if d := took(func() { err = s.cluster.WaitForReplication(ctx) }); d != 100*time.Millisecond {
			s.Errorf("it took %v", d)
		}
		s.wantError(err, context.Canceled, "cancelled")
	})
}

// Servers without positions are waited for by their lag.
func TestWaitForReplicationByLag(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db1", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_binlog_pos": ""} })
		ctx := s.scope()
		s.put(ctx, "k", "v")
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		var err error
		if d := took(func() { err = s.cluster.WaitForReplication(ctx) }); err != nil || d == 0 || d > 4*time.Second {
			s.Errorf("%v after %v", err, d)
		}
		s.want(s.Context(), s.cluster.Replica(), "k", "v")
	})
}
