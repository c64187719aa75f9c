package rdbmstest

import (
	"database/sql/driver"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// forms are the statements that a cluster answers itself; the last one takes every other SELECT.
var forms = []form{
	{pattern(`REPLACE INTO kv( \(k, v\))? VALUES \({}, {}\)`), planReplace},
	{pattern(`INSERT INTO kv( \(k, v\))? VALUES \({}, {}\)( RETURNING v)?`), planInsert},
	{pattern(`UPDATE kv SET v = {} WHERE k = {}`), planUpdate},
	{pattern(`DELETE FROM kv WHERE k = {}`), planDelete},
	{pattern(`SELECT (v|k|k, v|v, k|\*) FROM kv(?: WHERE (?:kv\.)?k = {})?(?: ORDER BY (?:kv\.)?k)?(?: LIMIT {})?` +
		`( FOR UPDATE| FOR SHARE| LOCK IN SHARE MODE)?`), planSelect},
	{pattern(`SELECT UTC_TIMESTAMP\(6\), hb\.\* FROM \S+ AS hb LIMIT \d+`), planBeats},
	{pattern(`SHOW (REPLICA|SLAVE|ALL SLAVES|ALL REPLICAS) STATUS`), planReplicaStatus},
	{pattern(`SHOW (?:GLOBAL )?STATUS LIKE 'Uptime'`), planUptime},
	{pattern(`SET @(\w+) :?= {}`), planSetVariable},
	{pattern(`SET .+`), planNothing},
	{pattern(`SELECT (.+)`), planExpressions},
}

// pattern makes an expression of a statement: {} is a placeholder or a literal, and blanks beside punctuation may be
// missing.
func pattern(text string) *regexp.Regexp {
	text = strings.NewReplacer(`( \(`, `( ?\(`, ` \(`, ` ?\(`, `, `, ` ?, ?`, ` = `, ` ?= ?`, ` :?= `, ` ?:?= ?`).Replace(text)
	return regexp.MustCompile(`(?i)^` + strings.ReplaceAll(text, "{}", `(\?|'[^']*'|-?\d+)`) + `$`)
}

// operand is what stands for {}: the text of a literal, or the place of an argument.
type operand struct {
	literal string
	arg     int // from 1; 0 = the literal
}

// operands reads what matched, in order.
func operands(matched ...string) []operand {
	list := make([]operand, len(matched))
	args := 0
	for i, text := range matched {
		if text == "?" {
			args++
			list[i].arg = args
		}
		list[i].literal = strings.Trim(text, "'")
	}
	return list
}

func (x *execution) text(o operand) string {
	if o.arg == 0 {
		return o.literal
	}
	switch v := x.args[o.arg-1].Value.(type) {
	case []byte:
		return string(v)
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

func affected(n int64) *Result { return &Result{Affected: n} }

func planReplace(m []string) *plan {
	o := operands(m[2], m[3])
	return &plan{kind: kindWrite, run: func(x *execution) (*Result, error) {
		_, there := x.get(x.conn, x.text(o[0]), true)
		x.put(x.conn, write{key: x.text(o[0]), value: x.text(o[1])})
		return affected(1 + number(there)), nil // as the servers count it: one deleted, one inserted
	}}
}

func planInsert(m []string) *plan {
	o := operands(m[2], m[3])
	returning := m[4] != ""
	return &plan{kind: kindWrite, run: func(x *execution) (*Result, error) {
		key, value := x.text(o[0]), x.text(o[1])
		if _, there := x.get(x.conn, key, true); there {
			return nil, sqlError(1062, "Duplicate entry '%s' for key 'PRIMARY'", key)
		}
		x.put(x.conn, write{key: key, value: value})
		if returning {
			return &Result{Columns: []string{"v"}, Rows: [][]driver.Value{{[]byte(value)}}}, nil
		}
		return affected(1), nil
	}}
}

// An update that changes nothing affects no row, and comes into no log.
func planUpdate(m []string) *plan {
	o := operands(m[1], m[2])
	return &plan{kind: kindWrite, run: func(x *execution) (*Result, error) {
		value, key := x.text(o[0]), x.text(o[1])
		if before, there := x.get(x.conn, key, true); !there || before == value {
			return affected(0), nil
		}
		x.put(x.conn, write{key: key, value: value})
		return affected(1), nil
	}}
}

func planDelete(m []string) *plan {
	o := operands(m[1])
	return &plan{kind: kindWrite, run: func(x *execution) (*Result, error) {
		key := x.text(o[0])
		if _, there := x.get(x.conn, key, true); !there {
			return affected(0), nil
		}
		x.put(x.conn, write{key: key, gone: true})
		return affected(1), nil
	}}
}

// planSelect is that of one row by its key, or of all, in the order of the keys.
func planSelect(m []string) *plan {
	o := operands(m[2], m[3])
	columns := strings.Split(strings.ReplaceAll(strings.Replace(strings.ToLower(m[1]), "*", "k,v", 1), " ", ""), ",")
	return &plan{kind: kindRead, run: func(x *execution) (*Result, error) {
		limit := -1
		if m[3] != "" {
			limit, _ = strconv.Atoi(x.text(o[1]))
		}
		keys := []string{x.text(o[0])}
		if m[2] == "" {
			keys = x.keys(x.conn)
		}
		result := &Result{Columns: columns}
		for _, key := range keys {
			if value, there := x.get(x.conn, key, m[4] != ""); there && len(result.Rows) != limit {
				result.Rows = append(result.Rows, kvRow(columns, key, value))
			}
		}
		return result, nil
	}}
}

func kvRow(columns []string, key, value string) (row []driver.Value) {
	for _, column := range columns {
		row = append(row, []byte(map[string]string{"k": key, "v": value}[column]))
	}
	return row
}

func planReplicaStatus(m []string) *plan {
	return &plan{kind: kindLook, run: func(x *execution) (*Result, error) {
		form := strings.ToUpper(m[1])
		if x.knobs.MySQL && strings.HasPrefix(form, "ALL") {
			return nil, sqlError(1064, "You have an error in your SQL syntax near 'ALL'")
		}
		return x.replicaStatus(!x.knobs.MySQL || form == "SLAVE"), nil
	}}
}

func planUptime([]string) *plan {
	return &plan{kind: kindLook, run: func(x *execution) (*Result, error) {
		row := []driver.Value{[]byte("Uptime"), []byte(x.uptime())}
		return &Result{Columns: []string{"Variable_name", "Value"}, Rows: [][]driver.Value{row}}, nil
	}}
}

func planSetVariable(m []string) *plan {
	o := operands(m[2])
	return &plan{run: func(x *execution) (*Result, error) {
		x.conn.variables[strings.ToLower(m[1])] = []byte(x.text(o[0]))
		return &Result{}, nil
	}}
}

// planNothing is for settings of the session that change nothing here.
func planNothing([]string) *plan {
	return &plan{run: func(*execution) (*Result, error) { return &Result{}, nil }}
}

func planBeats([]string) *plan {
	return &plan{kind: kindBeats, run: func(x *execution) (*Result, error) { return x.beatRows() }}
}

// beatRows is the heartbeat table as it is shown.
func (s *server) beatRows() (*Result, error) {
	switch s.knobs.BeatErrno {
	case 0:
	case 1146:
		return nil, sqlError(1146, "Table 'heartbeat.heartbeat' doesn't exist")
	case 1142:
		return nil, sqlError(1142, "SELECT command denied to user 'app'@'%%' for table 'heartbeat'")
	default:
		return nil, sqlError(s.knobs.BeatErrno, "%s", faultText(s.knobs.BeatErrno))
	}
	var list []BeatRow
	for _, id := range slices.Sorted(maps.Keys(s.beats)) {
		list = append(list, BeatRow{ServerID: id, TS: s.beats[id]})
	}
	if s.knobs.BeatRows != nil {
		list = s.knobs.BeatRows(s.now(), list)
	}
	return s.beatResult(list), nil
}

func (s *server) beatResult(list []BeatRow) *Result {
	result := &Result{Columns: []string{"UTC_TIMESTAMP(6)", "ts", "server_id", "file", "position"}}
	named := slices.ContainsFunc(list, func(r BeatRow) bool { return r.Shard != "" || r.Datacenter != "" })
	if named {
		result.Columns = append(result.Columns, "shard", "datacenter")
	}
	clock := []byte(clockText(s.now()))
	for _, r := range list {
		row := []driver.Value{clock, r.TS, int64(r.ServerID), nil, nil}
		if text, ok := r.TS.(string); ok {
			row[1] = []byte(text)
		}
		if named {
			row = append(row, []byte(r.Shard), []byte(r.Datacenter))
		}
		result.Rows = append(result.Rows, row)
	}
	return result
}
