package rdbms_test

import (
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func TestPositionsName(t *testing.T) {
	onStage(t, setting{servers: twoDCs, alone: true}, func(s *stage) {
		p := s.cluster.Positions()
		if p.Name() != "main" || p.WriterDC() != "a" {
			s.Errorf("%q, %q", p.Name(), p.WriterDC())
		}
		config := s.fake.Config()
		config.Primary = "db3"
		if err := s.cluster.SetServers(config); err != nil {
			s.Fatal(err)
		}
		if p.WriterDC() != "b" {
			s.Errorf("WriterDC is %q after the primary has moved to b", p.WriterDC())
		}
		ctx := p.Attach(s.Context())
		if rdbms.WithScope(ctx) != ctx || p.Attach(ctx) != ctx {
			s.Error("Attach does not give the scope that WithScope gives")
		}
	})
}

func TestPositionsNeedScope(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		p, ctx := s.cluster.Positions(), s.Context()
		if err := p.Require(ctx, "m1:1-11-1", time.Now(), 0, ""); err == nil || !strings.Contains(err.Error(), "WithScope") {
			s.Errorf("Require: %v", err)
		}
		if wrote, position, asOf, err := p.Captured(ctx); err == nil || wrote || position != "" || !asOf.IsZero() {
			s.Errorf("Captured: %t, %q, %v, %v", wrote, position, asOf, err)
		}
		if _, err := p.Reached(ctx); err == nil {
			s.Error("Reached without a scope is no error")
		}
		if p.Lagged(ctx) {
			s.Error("Lagged without a scope")
		}
		p.Phase(ctx, string(rdbms.PhasePOSTNonWrite))
		if err := put(ctx, s.cluster.Primary(), "k", "v"); err != nil {
			s.Errorf("a phase without a scope: %v", err)
		}
	})
}

// What cannot be understood requires nothing, and takes nothing away.
func TestRequireMalformed(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		position, asOf := s.position("k", "v")
		bad := []string{
			"0", "m1:1-2", "m1:1-2-3-4", "g1:u:0", "zz:1-2-3", "m1:1-11-18446744073709551616",
			strings.Repeat("9", 100_000), "m1:" + strings.Repeat("1-1-1,", 1000), "\x00", " m1:1-11-1",
		}
		for _, required := range []bool{false, true} {
			ctx := s.scope()
			if required {
				ctx = s.require(position, asOf, -1, rdbms.OnTimeoutError)
			}
			for _, text := range bad {
				if err := s.cluster.Positions().Require(ctx, text, time.Now(), 0, "error"); err == nil {
					s.Errorf("Require(%.40q) is no error", text)
				}
			}
			if err := s.cluster.Positions().Require(ctx, position, asOf, 0, "sometimes"); err == nil || !strings.Contains(err.Error(), "sometimes") {
				s.Errorf("a policy that is none: %v", err)
			}
			if reached, err := s.cluster.Positions().Reached(ctx); reached == required || err != nil {
				s.Errorf("required %t: Reached is %t, %v", required, reached, err)
			}
			_, err := get(ctx, s.cluster.Replica(), "other")
			if required {
				s.wantError(err, rdbms.ErrNotCaughtUp, "what was required before")
			} else if strings.Contains(err.Error(), "caught up") {
				s.Errorf("after nothing but malformed positions: %v", err)
			}
		}
		if waits := heard(s, &s.waits); len(waits) > 0 {
			s.Errorf("waited: %v", waits)
		}
	})
}

// Case 78, on the reader's side. Required again is required too, and lower ones change nothing.
func TestRequireMerges(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		first, asOf := s.position("k", "1")
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		second, later := s.position("k", "2")
		for _, order := range [][]string{{first, second}, {second, first}, {second, "", first}} {
			ctx := s.scope()
			for _, p := range order {
				at := asOf
				if p == second {
					at = later
				}
				if err := s.cluster.Positions().Require(ctx, p, at, 10*time.Millisecond, "error"); err != nil {
					s.Fatal(err)
				}
			}
			if reached, _ := s.cluster.Positions().Reached(ctx); reached {
				s.Errorf("%q: reached", order)
			}
			_, err := get(ctx, s.cluster.Replica(), "k")
			s.wantError(err, rdbms.ErrNotCaughtUp, "the higher of the two is not there")
		}
	})
}

// Positions of two kinds of server cannot be compared, and the newer one counts.
func TestRequireForeign(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.position("k", "v")
		time.Sleep(5 * time.Second)
		const foreign = "g1:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
		ctx := s.require(position, asOf, 0, "error")
		if err := s.cluster.Positions().Require(ctx, foreign, asOf.Add(-time.Second), 0, ""); err != nil {
			s.Fatal(err)
		}
		s.want(ctx, s.cluster.Replica(), "k", "v")
		if err := s.cluster.Positions().Require(ctx, foreign, asOf.Add(time.Second), 0, ""); err != nil {
			s.Fatal(err)
		}
		if reached, err := s.cluster.Positions().Reached(ctx); reached || err != nil {
			s.Errorf("MariaDB has reached a position of MySQL: %t, %v", reached, err)
		}
		_, err := get(ctx, s.cluster.Replica(), "k")
		s.wantError(err, rdbms.ErrNotCaughtUp, "nobody can say that it was reached")
	})
}

// Case 17. A position that is 2 s old limits the lag to 3 s, though MaxLag is 6 s.
func TestRequireLimitsLag(t *testing.T) {
	onStage(t, setting{servers: triple, lag: map[string]time.Duration{"db3": 4 * time.Second}}, func(s *stage) {
		read := func(asOf time.Time) map[string]bool {
			found := map[string]bool{}
			for range 50 {
				ctx := s.scope()
				if !asOf.IsZero() {
					ctx = s.require("", asOf, 0, "error")
				}
				server, err := who(ctx, s.cluster.Replica())
				if err != nil {
					s.Fatal(err)
				}
				if found[server] = true; s.cluster.Positions().Lagged(ctx) {
					s.Errorf("asOf %v: %s is lagged", asOf, server)
				}
			}
			return found
		}
		if found := read(time.Time{}); !found["db2"] || !found["db3"] {
			s.Errorf("without a position: %v", found)
		}
		if found := read(time.Now().Add(-2 * time.Second)); found["db3"] {
			s.Errorf("2 s ago: %v", found)
		}
		if found := read(time.Now().Add(-10 * time.Second)); !found["db3"] {
			s.Errorf("10 s ago: %v", found)
		}
		if waits := heard(s, &s.waits); len(waits) > 0 {
			s.Errorf("a touch was waited for: %v", waits)
		}
	})
}

// A touch that no replica meets is served degraded and flagged, never waited for. A date in the future is age 0.
func TestRequireTouchOnly(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 4 * time.Second}}, func(s *stage) {
		for _, asOf := range []time.Time{time.Now(), time.Now().Add(time.Hour)} {
			ctx := s.require("", asOf, 0, "error")
			if server, err := who(ctx, s.cluster.Replica()); server != "db2" || err != nil {
				s.Errorf("%s, %v", server, err)
			}
			if !s.cluster.Positions().Lagged(ctx) || !s.cluster.Served(ctx).Lagged {
				s.Error("what may lack the write is not flagged")
			}
			if reached, _ := s.cluster.Positions().Reached(ctx); reached {
				s.Error("Reached, though the replica is 4 s behind")
			}
		}
		ctx := s.require("", time.Now().Add(-time.Minute), 0, "error")
		if reached, _ := s.cluster.Positions().Reached(ctx); !reached {
			s.Error("not Reached, though the replica has all of a minute ago")
		}
		if len(heard(s, &s.waits)) > 0 {
			s.Error("a touch was waited for")
		}
	})
}

// Case 18. Of two replicas that one serves which is known to have what is required, without a question.
func TestRequireKnownReached(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.Latency = time.Millisecond })
		s.set("db3", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		position, asOf := s.position("k", "v")
		time.Sleep(1500 * time.Millisecond) // every server was polled since
		asked := s.appliedOnly("db2") + s.appliedOnly("db3")
		for range 50 {
			ctx := s.require(position, asOf, 0, "error")
			if server, err := who(ctx, s.cluster.Replica()); server != "db2" || err != nil {
				s.Fatalf("%s, %v", server, err)
			}
			s.want(ctx, s.cluster.Replica(), "k", "v")
		}
		if n := s.appliedOnly("db2") + s.appliedOnly("db3") - asked; n > 1 { // one may be due to a new connection
			s.Errorf("%d questions for what was known", n)
		}
		if len(heard(s, &s.waits)) > 0 {
			s.Error("waited for what was known")
		}
	})
}

// Reached is about the replicas of the own DC, and knows what the monitor and the waits have seen.
func TestReached(t *testing.T) {
	onStage(t, setting{servers: twoDCs}, func(s *stage) {
		p := s.cluster.Positions()
		if reached, err := p.Reached(s.scope()); !reached || err != nil {
			s.Errorf("nothing required: %t, %v", reached, err)
		}
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		position, asOf := s.position("k", "v")
		ctx := s.require(position, asOf, 0, "")
		time.Sleep(7 * time.Second) // db3 was polled, has it, and is far away
		var reached bool
		if d := took(func() { reached, _ = p.Reached(ctx) }); reached || d != 0 {
			s.Errorf("%t after %v, but only a replica of another DC has it", reached, d)
		}
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = false })
		time.Sleep(1500 * time.Millisecond)
		if reached, err := p.Reached(ctx); !reached || err != nil {
			s.Errorf("%t, %v", reached, err)
		}
	})
}

func TestReachedWithoutReplicas(t *testing.T) {
	onStage(t, setting{servers: []rdbmstest.Server{{Name: "db1"}}}, func(s *stage) {
		ctx := s.require("m1:1-11-5000000", time.Now(), 0, "error")
		if reached, err := s.cluster.Positions().Reached(ctx); !reached || err != nil {
			s.Errorf("%t, %v", reached, err)
		}
		if server, err := who(ctx, s.cluster.Replica()); server != "db1" || err != nil {
			s.Errorf("%s, %v", server, err)
		}
		if len(heard(s, &s.waits)) > 0 {
			s.Error("waited where there is nobody to wait for")
		}
	})
}

func TestPositionsMerge(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		p := s.cluster.Positions()
		if merged, err := p.Merge("m1:1-11-5,2-12-7", "m1:1-12-6"); merged != "m1:1-12-6,2-12-7" || err != nil {
			s.Errorf("%q, %v", merged, err)
		}
		for _, bad := range []string{"m1:x", "g1:3e11fa47-71ca-11e1-9e33-c80aa9429562:1"} {
			if merged, err := p.Merge("m1:1-11-5", bad); err == nil || merged != "" {
				s.Errorf("Merge with %q: %q, %v", bad, merged, err)
			}
		}
	})
}

// Lagged says so for each way in which a read can be degraded, and not for the others.
func TestLagged(t *testing.T) {
	for name, tc := range map[string]struct {
		policy rdbms.TimeoutPolicy
		stop   bool
		lagged bool
	}{
		"reached by the wait": {rdbms.OnTimeoutStale, false, false},
		"stale":               {rdbms.OnTimeoutStale, true, true},
		"the primary instead": {rdbms.OnTimeoutPrimary, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{lag: map[string]time.Duration{"db2": 300 * time.Millisecond}}, func(s *stage) {
				s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = tc.stop })
				position, asOf := s.position("k", "v")
				ctx := s.require(position, asOf, 0, tc.policy)
				value := "v"
				if tc.lagged {
					value = ""
				}
				s.want(ctx, s.cluster.Replica(), "k", value)
				if got := s.cluster.Positions().Lagged(ctx); got != tc.lagged || s.cluster.Served(ctx).Lagged != got {
					s.Errorf("Lagged is %t", got)
				}
			})
		})
	}
}

// The flag is of the scope: it stays, whatever is read after, and is of no other scope.
func TestLaggedStays(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		position, asOf := s.position("k", "v")
		ctx := s.require(position, asOf, -1, "stale")
		s.want(ctx, s.cluster.Replica(), "k", "")
		s.want(rdbms.WithPrimary(ctx), s.cluster.Replica(), "k", "v")
		if !s.cluster.Positions().Lagged(ctx) {
			s.Error("a later read has cleared the flag")
		}
		if s.cluster.Positions().Lagged(s.scope()) {
			s.Error("another scope is lagged")
		}
	})
}
