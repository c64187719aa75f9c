package sqlitedc

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"

	"github.com/multidc/multidc/internal/dcname"
)

// Cluster is the databases of two DCs in one directory.
type Cluster struct {
	dcs      [2]string
	opened   time.Time
	roles    roles
	link     link
	lock     *sql.DB            // holds the directory against a second process
	files    map[string]*sql.DB // by DC, for this package's own use: no log, no link
	views    map[view]*connector
	writing  map[string]chan struct{} // by DC: full while a transaction has its turn to write
	woken    chan struct{}
	running  atomic.Bool
	turn     chan struct{} // full while a round of the replay, or a move of the primary, is under way
	progress progress
	step     func(string) // called between the steps of a commit or a replay; a test ends the process there
}

// view is a database (to) as a DC (from) sees it.
type view struct{ from, to string }

// Open opens the databases in dir, and makes what is not there. The primary takes the writes, the secondary follows
// by lag. If the secondary has statements that the primary lacks, because the program ended before they had crossed
// the link, then it is the primary: [Cluster.SetPrimary] moves it without losing them. A directory can be open once at
// a time.
func Open(ctx context.Context, dir, primary, secondary string, lag time.Duration) (*Cluster, error) {
	if err := errors.Join(dcname.Check(primary), dcname.Check(secondary)); err != nil {
		return nil, fmt.Errorf("sqlitedc: %w", err)
	}
	if primary == secondary {
		return nil, fmt.Errorf("sqlitedc: primary and secondary are both %q", primary)
	}
	c := &Cluster{
		dcs: [2]string{primary, secondary}, opened: time.Now(), roles: roles{primary: primary, secondary: secondary},
		files: map[string]*sql.DB{}, views: map[view]*connector{},
		writing: map[string]chan struct{}{primary: make(chan struct{}, 1), secondary: make(chan struct{}, 1)},
		woken:   make(chan struct{}, 1), turn: make(chan struct{}, 1), step: func(string) {},
	}
	c.link.setLag(lag)
	if err := c.open(ctx, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlitedc: %w", err), c.Close())
	}
	return c, nil
}

func (c *Cluster) open(ctx context.Context, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if c.lock, err = lockDir(ctx, dir); err != nil {
		return err
	}
	for _, dc := range c.dcs {
		file := filepath.Join(dir, dc+".db")
		if c.files[dc], err = openFile(ctx, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, from := range c.dcs {
			if err := c.addView(view{from: from, to: dc}, file); err != nil {
				return err
			}
		}
	}
	return c.followTheNewer(ctx)
}

// lockDir holds an exclusive lock on a file of its own, which ends with the process however that ends.
func lockDir(ctx context.Context, dir string) (*sql.DB, error) {
	inner, err := sqlite.NewConnector(dsn(filepath.Join(dir, "lock"), url.Values{"_pragma": {"locking_mode(exclusive)"}}))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(inner)
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE; COMMIT"); err != nil {
		if code(err) == codeBusy {
			err = errors.New("another process has it open")
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), db.Close())
	}
	return db, nil
}

func openFile(ctx context.Context, file string) (*sql.DB, error) {
	inner, err := sqlite.NewConnector(dsn(file, params))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(inner)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, tx.Rollback(), db.Close())
	}
	if err := tx.Commit(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (c *Cluster) addView(v view, file string) error {
	inner, err := sqlite.NewConnector(dsn(file, params))
	if err != nil {
		return err
	}
	k := &connector{inner: inner, cluster: c, from: v.from, to: v.to}
	if v.from != v.to {
		k.link = &c.link
	}
	c.views[v] = k
	return nil
}

// busyTimeout is how long a statement waits for a lock.
const busyTimeout = 5 * time.Second

// params set up every connection. Commits are synchronous, so that also after a loss of power the replica never
// has what the primary has lost.
var params = url.Values{
	"_pragma":      {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	"_txlock":      {"immediate"},
	"_time_format": {"sqlite"},
}

func dsn(file string, p url.Values) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() + "?" + p.Encode()
}

// Connector returns what opens connections to the database of DC to as DC from sees it: through the link if they differ.
// It is the same value each time. Close what is made of it before the Cluster.
func (c *Cluster) Connector(from, to string) (driver.Connector, error) {
	if k := c.views[view{from: from, to: to}]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("sqlitedc: no database of DC %q seen from DC %q: the DCs are %s and %s", to, from, c.dcs[0], c.dcs[1])
}

// Cut cuts the link. When it returns nothing crosses any more, neither replication nor statements.
func (c *Cluster) Cut() {
	c.link.cut()
	c.wake()
}

// Heal mends the link; replication goes on where it was.
func (c *Cluster) Heal() {
	c.link.heal()
	c.wake()
}

// SetLag sets how long after its commit a transaction is replayed. Negative is zero.
func (c *Cluster) SetLag(d time.Duration) {
	c.link.setLag(d)
	c.wake()
}

// wake makes Run look again.
func (c *Cluster) wake() {
	select {
	case c.woken <- struct{}{}:
	default: // it will
	}
}

// Close closes the databases. Let Run end first, and close what was made of connectors.
func (c *Cluster) Close() error {
	var errs []error
	for _, db := range c.files {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
}

// Result codes of SQLite, https://sqlite.org/rescode.html.
const (
	codeBusy      = 5
	codeLocked    = 6
	codeNoMemory  = 7
	codeInterrupt = 9
	codeIO        = 10
	codeFull      = 13
	codeCantOpen  = 14
)

// code returns SQLite's primary result code of an error, or 0.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
