package rdbmstest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// run does one statement, with what the knobs put in its way. do is called with the lock held and everything happened
// that is due.
func (c *conn) run(ctx context.Context, query string, do func(*server) error) error {
	s := c.server
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	s.cluster.advance()
	if c.noticed {
		return driver.ErrBadConn
	}
	if c.admin {
		return do(s)
	}
	if err := ctx.Err(); err != nil { // nothing was sent, so the connection is as it was
		return err
	}
	s.enters(query)
	defer func() { s.counts.Running-- }()
	return c.hindered(ctx, query, do)
}

// enters counts a statement that begins.
func (s *server) enters(query string) {
	s.counts.Queries[query]++
	s.counts.Running++
	s.counts.MostRunning = max(s.counts.MostRunning, s.counts.Running)
}

func (c *conn) hindered(ctx context.Context, query string, do func(*server) error) error {
	s := c.server
	fault := s.fault(query)
	if fault.Lose == LoseUnsent {
		c.drop()
		return driver.ErrBadConn
	}
	if query == rollback && s.knobs.Hang {
		c.drop()
		return mysql.ErrInvalidConn
	}
	if err := s.pause(ctx, s.knobs.Latency, func() bool { return s.knobs.Hang }, c); err != nil {
		c.drop()
		return err
	}
	switch {
	case c.lost || fault.Lose == LoseUnrun:
		c.drop()
		return mysql.ErrInvalidConn
	case fault.Err != nil:
		if errors.Is(fault.Err, driver.ErrBadConn) {
			c.drop()
		}
		return fault.Err
	case fault.Errno != 0:
		return sqlError(fault.Errno, "%s", faultText(fault.Errno))
	}
	err := do(s)
	if fault.Lose == LoseAnswer || c.lost {
		c.drop()
		return mysql.ErrInvalidConn
	}
	return err
}

// fault takes the first fault that matches.
func (s *server) fault(query string) Fault {
	for i, f := range s.knobs.Faults {
		if !strings.Contains(query, f.Match) {
			continue
		}
		if f.Times == 1 {
			s.knobs.Faults = append(s.knobs.Faults[:i:i], s.knobs.Faults[i+1:]...)
		} else if f.Times > 1 {
			s.knobs.Faults[i].Times--
		}
		return f
	}
	return Fault{}
}

func faultText(number uint16) string {
	text := map[uint16]string{
		1040: "Too many connections",
		1053: "Server shutdown in progress",
		1142: "SELECT command denied to user",
		1146: "Table doesn't exist",
		1205: "Lock wait timeout exceeded; try restarting transaction",
		1213: "Deadlock found when trying to get lock; try restarting transaction",
		1227: "Access denied; you need (at least one of) the REPLICA MONITOR privilege(s) for this operation",
	}[number]
	if text == "" {
		text = fmt.Sprintf("error %d, by a Fault", number)
	}
	return text
}

// pause lets time pass, and as long as it hangs, until ctx ends. It gives the lock away meanwhile, and returns early
// when c is lost.
func (s *server) pause(ctx context.Context, latency time.Duration, hangs func() bool, c *conn) error {
	k := s.cluster
	end := time.Now().Add(latency)
	for !k.ended && (c == nil || !c.lost) {
		left := time.Until(end)
		if left <= 0 && !hangs() {
			return nil
		}
		changed := k.changed
		k.mu.Unlock()
		err := sleep(ctx, left, changed)
		k.mu.Lock()
		k.advance()
		if err != nil {
			return err
		}
	}
	return nil
}

// sleep ends when ctx does, something changed, or after d, if that is more than 0.
func sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-over:
	}
	return nil
}

// count counts what c does, unless it is an administrator's.
func (*server) count(c *conn, counter *int) {
	if !c.admin {
		*counter++
	}
}
