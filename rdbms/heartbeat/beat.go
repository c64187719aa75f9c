package heartbeat

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// patience is how long the statements of one beat may take together: then the server hangs, or holds a lock, and
	// another connection is worth more than this one.
	patience = 5 * time.Second
	// tries of a beat on one connection: the row's writer can be the victim of a deadlock.
	tries = 3
	// standby is how many intervals a Writer that does not lead waits until it asks again.
	standby = 5
)

// session is the life of one connection. The lock lives and dies with it, so it is this Writer's alone and never goes
// back into the pool.
type session struct {
	*Writer
	conn       *sql.Conn
	leads      bool
	paused     bool // by read_only
	tableKnown bool
}

// connection beats on one connection until that fails, or ctx ends. worked says whether the server answered at all.
func (w *Writer) connection(ctx context.Context) (worked bool, err error) {
	s := &session{Writer: w}
	defer s.end()
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	for begun := time.Now(); ; worked = true {
		if err := s.tick(ctx); err != nil {
			return worked, err
		}
		every := s.interval
		if !s.leads {
			every *= standby
		}
		// To the next tick that is still to come: those missed meanwhile are dropped.
		pause(ctx, every-time.Since(begun)%every)
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
	}
}

func (s *session) begin(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	// Without autocommit, which a DSN can turn off, no beat would ever be committed.
	if err = s.exec(ctx, fmt.Sprintf("SET autocommit = 1, wait_timeout = %d", idleSeconds(s.interval))); err != nil {
		return fmt.Errorf("setting up the connection: %w", err)
	}
	return nil
}

// idleSeconds is when the server gives up a connection on which nothing comes any more. Of a writer that vanished
// without a word, with its host or its network, it would otherwise keep the lock for hours.
func idleSeconds(interval time.Duration) int64 {
	const least, most = 2 * patience, 365 * 24 * time.Hour
	return int64(max(least, min(3*standby*min(interval, most), most)).Seconds())
}

// end closes the connection itself, which frees the lock.
func (s *session) end() {
	if s.conn == nil {
		return
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
}

func (s *session) tick(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.lead(ctx); err != nil || !s.leads {
		return err
	}
	var err error
	for range tries {
		if err = s.beat(ctx); err == nil || ctx.Err() != nil || errors.Is(err, driver.ErrBadConn) {
			break
		}
	}
	return err
}

// lead asks for the lock, if this session does not have it. Who has it keeps it as long as its connection lives.
func (s *session) lead(ctx context.Context) error {
	if s.leads {
		return nil
	}
	var got sql.NullInt64 // NULL: an error, such as memory
	if err := s.conn.QueryRowContext(ctx, "SELECT GET_LOCK('"+s.lock+"', 0)").Scan(&got); err != nil {
		return fmt.Errorf("GET_LOCK: %w", err)
	}
	if s.leads = got.Int64 == 1; s.leads {
		s.logger.InfoContext(ctx, "heartbeat: this writer leads now")
	}
	return nil
}

// beat writes the server's own time into the server's own row.
func (s *session) beat(ctx context.Context) error {
	var clock any
	var id uint32
	var readOnly string
	err := s.conn.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6), @@server_id, @@read_only").Scan(&clock, &id, &readOnly)
	if err != nil {
		return fmt.Errorf("reading the server's clock: %w", err)
	}
	now, err := ParseTime(text(clock))
	if err != nil {
		return fmt.Errorf("the server's clock: %w", err)
	}
	if id == 0 {
		return errors.New("the server has server_id 0: give it one of its own, by which its row is known")
	}
	if !s.mayWrite(ctx, readOnly) {
		return nil
	}
	if err := s.needTable(ctx); err != nil {
		return err
	}
	return s.write(ctx, formatTime(now), id)
}

// mayWrite logs when the answer changes.
func (s *session) mayWrite(ctx context.Context, readOnly string) bool {
	// A number or a word; whatever does not say off is taken for on.
	off := readOnly == "0" || strings.EqualFold(readOnly, "OFF")
	pause := !off && !s.writeWhenReadOnly
	if pause != s.paused {
		s.paused = pause
		s.logger.InfoContext(ctx, "heartbeat: read_only has changed", "read_only", readOnly, "beating", !pause)
	}
	return !pause
}

// write sends literals: a function or a variable would be computed anew on a replica that replicates statements.
func (s *session) write(ctx context.Context, ts string, id uint32) error {
	updated, err := s.update(ctx, ts, id)
	if err != nil || updated {
		return err
	}
	_, err = s.conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (ts, server_id) VALUES ('%s', %d)", s.table, ts, id))
	if err == nil {
		return nil
	}
	// Somebody else may have inserted it just now.
	if updated, again := s.update(ctx, ts, id); again == nil && updated {
		return nil
	}
	return fmt.Errorf("inserting the row of server_id %d: %w", id, err)
}

func (s *session) update(ctx context.Context, ts string, id uint32) (bool, error) {
	result, err := s.conn.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET ts = '%s' WHERE server_id = %d", s.table, ts, id))
	if err != nil {
		return false, fmt.Errorf("updating the row of server_id %d: %w", id, err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// columns is pt-heartbeat's table.
const columns = " (ts varchar(26) NOT NULL, server_id int unsigned NOT NULL PRIMARY KEY, file varchar(255), " +
	"position bigint unsigned, relay_master_log_file varchar(255), exec_master_log_pos bigint unsigned)"

// needTable creates the table, and its database, if they are not there. It looks first, because on a server that is
// read-only, or without the right, even CREATE TABLE IF NOT EXISTS is refused where nothing is to be created.
func (s *session) needTable(ctx context.Context) error {
	if s.tableKnown {
		return nil
	}
	looked := s.exec(ctx, "SELECT 1 FROM "+s.table+" LIMIT 0")
	if looked == nil {
		s.tableKnown = true
		return nil
	}
	create := "CREATE TABLE IF NOT EXISTS " + s.table + columns
	err := s.exec(ctx, create)
	if err != nil {
		database, _, _ := strings.Cut(s.table, ".")
		if err = s.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+database); err == nil {
			err = s.exec(ctx, create)
		}
	}
	if err != nil {
		return fmt.Errorf("the table cannot be read and not be created: %w", errors.Join(looked, err))
	}
	s.tableKnown = true
	return nil
}

func (s *session) exec(ctx context.Context, statement string) error {
	_, err := s.conn.ExecContext(ctx, statement)
	return err
}
