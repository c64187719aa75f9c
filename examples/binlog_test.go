package examples

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// binlog is an Engine whose positions are those of MySQL without GTIDs: of one server's log, that of the primary which a
// server follows now. The number of the last event stands for file and offset.
type binlog struct{ primary atomic.Value }

func (b *binlog) Probe(ctx context.Context, conn *sql.Conn) (p rdbms.Probe, err error) {
	if err = conn.QueryRowContext(ctx, "SELECT @@hostname, @@server_id, @@read_only").Scan(&p.Identity, &p.ServerID, &p.ReadOnly); err != nil {
		return rdbms.Probe{}, err
	}
	if p.Applied, err = b.Applied(ctx, conn); err != nil {
		return rdbms.Probe{}, err
	}
	p.Beats, err = heartbeat.Read(ctx, conn, "")
	return p, err
}

func (b *binlog) Written(ctx context.Context, conn *sql.Conn) (string, error) {
	var host string
	if err := conn.QueryRowContext(ctx, "SELECT @@hostname").Scan(&host); err != nil {
		return "", err
	}
	return logOf(ctx, conn, host)
}

func (b *binlog) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	return logOf(ctx, conn, b.primary.Load().(string))
}

// logOf is how far a server is in the log of the one that it follows, or in its own: each has all events in its log.
func logOf(ctx context.Context, conn *sql.Conn, host string) (string, error) {
	var all string
	if err := conn.QueryRowContext(ctx, "SELECT @@gtid_current_pos").Scan(&all); err != nil {
		return "", err
	}
	sum := 0
	for one := range strings.SplitSeq(all, ",") {
		n, err := strconv.Atoi(one[strings.LastIndexByte(one, '-')+1:])
		if err != nil {
			return "", err
		}
		sum += n
	}
	return fmt.Sprintf("bl:%s:%d", host, sum), nil
}

func (*binlog) Reached(have, want string) (bool, error) {
	_, h, w, err := sameLog(have, want)
	return err == nil && h >= w, err
}

func (*binlog) Merge(a, b string) (string, error) {
	host, x, y, err := sameLog(a, b)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("bl:%s:%d", host, max(x, y)), nil
}

func sameLog(a, b string) (host string, x, y int, err error) {
	p, q := strings.Split(a, ":"), strings.Split(b, ":")
	if len(p) != 3 || len(q) != 3 || p[0] != "bl" || q[0] != "bl" || p[1] != q[1] {
		return "", 0, 0, fmt.Errorf("%q and %q are not of one log", a, b)
	}
	x, errX := strconv.Atoi(p[2])
	y, errY := strconv.Atoi(q[2])
	return p[1], x, y, errors.Join(errX, errY)
}

func (*binlog) Classify(err error) rdbms.Fault {
	if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) && answer.Number == 1290 {
		return rdbms.FaultReadOnly
	}
	return rdbms.FaultStatement
}
