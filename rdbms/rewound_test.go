package rdbms_test

import (
	"slices"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func (s *stage) warned(kind rdbms.Warning, server string) bool {
	return slices.ContainsFunc(heard(s, &s.warnings), func(w rdbms.WarningInfo) bool { return w.Kind == kind && w.Server == server })
}

// known brings the replica to have a position, and the cluster to know it.
func (s *stage) known(key, value string) (position string, asOf time.Time) {
	s.Helper()
	position, asOf = s.position(key, value)
	time.Sleep(2 * time.Second)
	ctx := s.require(position, asOf, 0, rdbms.OnTimeoutError)
	s.want(ctx, s.cluster.Replica(), key, value)
	if reached, err := s.cluster.Positions().Reached(ctx); !reached || err != nil {
		s.Fatalf("Reached: %t, %v", reached, err)
	}
	return position, asOf
}

// Case 89. A rebuilt replica has lost what it had. Nobody is told that it still has it, also not in the time until the
// next poll, and a request that was served by it before neither.
func TestRebuiltReplica(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.known("k", "v")
		before := s.require(position, asOf, 0, rdbms.OnTimeoutError)
		s.want(before, s.cluster.Replica(), "k", "v")
		s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = 8 * time.Second })
		s.fake.Rebuild("db2")
		for range 3 {
			_, err := get(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k")
			s.wantError(err, rdbms.ErrNotCaughtUp, "a rebuilt replica")
			_, err = get(before, s.cluster.Replica(), "k")
			s.wantError(err, rdbms.ErrNotCaughtUp, "a rebuilt replica, in a request that read it before")
		}
		time.Sleep(2 * time.Second)
		if reached, _ := s.cluster.Positions().Reached(before); reached {
			s.Error("Reached, on a replica that is empty")
		}
		if !s.warned(rdbms.WarnRewound, "db2") {
			s.Errorf("no warning: %+v", heard(s, &s.warnings))
		}
		time.Sleep(15 * time.Second)
		s.want(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k", "v")
	})
}

// Case 89. A position that has gone back clears what was known, though the server has not been restarted.
func TestRewoundReplica(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.known("k", "v")
		connects := s.fake.Counts("db2").Connects
		s.set("db2", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_slave_pos": "1-11-1"} })
		time.Sleep(2 * time.Second)
		ctx := s.require(position, asOf, 0, rdbms.OnTimeoutError)
		if reached, _ := s.cluster.Positions().Reached(ctx); reached {
			s.Error("Reached")
		}
		_, err := get(ctx, s.cluster.Replica(), "k")
		s.wantError(err, rdbms.ErrNotCaughtUp, "a position that has gone back")
		if !s.warned(rdbms.WarnRewound, "db2") {
			s.Errorf("no warning: %+v", heard(s, &s.warnings))
		}
		if n := s.fake.Counts("db2").Connects - connects; n > 1 {
			s.Errorf("%d connections", n)
		}
	})
}

// Case 89. An empty position is lower than any.
func TestEmptiedReplica(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.known("k", "v")
		s.set("db2", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_slave_pos": ""} })
		time.Sleep(2 * time.Second)
		_, err := get(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k")
		s.wantError(err, rdbms.ErrNotCaughtUp, "a position that is gone")
		if !s.warned(rdbms.WarnRewound, "db2") {
			s.Errorf("no warning: %+v", heard(s, &s.warnings))
		}
	})
}

// Case 89. What was known of a server is not known of another one under its name.
func TestReplacedReplica(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		position, asOf := s.known("k", "v")
		config := s.fake.Config()
		other := rdbmstest.New(s.T, rdbmstest.Server{Name: "x1"}, rdbmstest.Server{Name: "db2"})
		other.Set("db2", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_slave_pos": "1-11-1"} })
		config.Servers[1] = other.Config().Servers[1]
		config.Servers[2].Drained = true
		if err := s.cluster.SetServers(config); err != nil {
			s.Fatal(err)
		}
		_, err := get(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k")
		s.wantError(err, rdbms.ErrNotCaughtUp, "another server under the name of one that had it")
	})
}

// A restart is no rebuild: the replica has what it had, once that is seen.
func TestRestartedReplica(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.known("k", "v")
		s.fake.Restart("db2")
		s.want(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k", "v")
	})
}

// A rebuilt server under constant reading, with connections that are made while it is empty, says no wrong thing.
func TestRebuiltUnderLoad(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		for _, server := range []string{"db2", "db3"} {
			s.set(server, func(k *rdbmstest.Knobs) { k.Latency, k.ConnectLatency = 2*time.Millisecond, 3*time.Millisecond })
		}
		position, asOf := s.known("k", "v")
		end := time.Now().Add(20 * time.Second)
		// Reads begin and end at whole milliseconds, after the first rebuild half of one later: not in the instant of a rebuild,
		// which would break rows that were sent already.
		const between = 500 * time.Microsecond
		time.AfterFunc(5*time.Second+between, func() {
			s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = 3 * time.Second })
			s.fake.Rebuild("db2")
		})
		time.AfterFunc(12*time.Second+between/2, func() {
			s.set("db3", func(k *rdbmstest.Knobs) { k.Lag = 3 * time.Second })
			s.fake.Rebuild("db3")
		})
		done := make(chan int)
		for range 8 {
			go func() {
				reads := 0
				for ; time.Now().Before(end); reads++ {
					ctx := s.require(position, asOf, 0, rdbms.OnTimeoutError)
					if value, err := get(ctx, s.cluster.Replica(), "k"); err != nil || value != "v" {
						s.Errorf("%q, %v, from %v", value, err, s.cluster.Served(ctx).Servers)
						break
					}
					time.Sleep(7 * time.Millisecond)
				}
				done <- reads
			}()
		}
		for range 8 {
			if reads := <-done; reads < 1000 {
				s.Errorf("%d reads", reads)
			}
		}
	})
}
