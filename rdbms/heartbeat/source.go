package heartbeat

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The defaults are those of pt-heartbeat and its documentation.
const (
	defaultTable    = "heartbeat.heartbeat"
	defaultInterval = time.Second
	minInterval     = 10 * time.Millisecond
)

// Source says where heartbeats are found, and whose count. The zero Source is the row of the current primary in
// heartbeat.heartbeat, written every second.
type Source struct {
	Table    string        // database.table, of letters, digits, _ and $; "" = heartbeat.heartbeat
	Interval time.Duration // how often its writer beats, at least 10 ms; 0 = 1 s
	Origins  []Origin      // whose rows count, the largest lag of all; none = the primary's, by its server_id
}

// Origin names one writer: by the server_id of its row, or by the values of the columns shard and datacenter, of which
// an empty one matches all.
type Origin struct {
	ServerID          uint32
	Shard, Datacenter string
}

// Validate returns nil, or an error that names the field that cannot be used.
func (s Source) Validate() error {
	if _, err := quoted(s.Table); err != nil {
		return fmt.Errorf("heartbeat: Source.Table: %w", err)
	}
	if err := checkInterval(s.Interval); err != nil {
		return fmt.Errorf("heartbeat: Source.Interval: %w", err)
	}
	for i, o := range s.Origins {
		if err := o.validate(); err != nil {
			return fmt.Errorf("heartbeat: Source.Origins[%d]: %w", i, err)
		}
	}
	return nil
}

func (o Origin) validate() error {
	byID, byName := o.ServerID != 0, o.Shard != "" || o.Datacenter != ""
	switch {
	case byID && byName:
		return errors.New("give ServerID, or Shard and Datacenter, not both: the server_id already names one row")
	case !byID && !byName:
		return errors.New("give ServerID, Shard or Datacenter: as it is it would match every row")
	}
	return nil
}

func checkInterval(interval time.Duration) error {
	if interval != 0 && interval < minInterval {
		return fmt.Errorf("%v is shorter than %v", interval, minInterval)
	}
	return nil
}

// An identifier has at most 64 characters in MariaDB and MySQL.
var tableName = regexp.MustCompile(`^[A-Za-z0-9_$]{1,64}\.[A-Za-z0-9_$]{1,64}$`)

// quoted returns the table's name, or the default's, as it stands in SQL.
func quoted(table string) (string, error) {
	table = cmp.Or(table, defaultTable)
	if !tableName.MatchString(table) {
		return "", fmt.Errorf("%q is no table: write database.table, of letters, digits, _ and $", table)
	}
	return "`" + strings.Replace(table, ".", "`.`", 1) + "`", nil
}
