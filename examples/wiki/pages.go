package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/wanobjectcache"
)

// pages reads and writes the wiki as one datacenter's application does: it reads near, and writes to the primary.
type pages struct{ *site }

func newPages(s *site) *pages { return &pages{s} }

// revision is one version of a page.
type revision struct {
	ID       int64
	Title    string
	Text     string
	Summary  string
	DC       string // where the edit came in
	At       time.Time
	Imported bool
	Bytes    int
}

var (
	errNoPage   = fmt.Errorf("%w: there is no such page", wanobjectcache.ErrNotFound) // so a loader may return it
	errConflict = errors.New("somebody else has changed the page since")
)

// tablesMissing: they have not been replicated to where this request reads.
func (p *pages) tablesMissing(ctx context.Context) bool {
	var n int
	err := p.cluster.Replica().QueryRowContext(ctx, "SELECT 1 FROM page LIMIT 1").Scan(&n)
	return err != nil && !errors.Is(err, sql.ErrNoRows)
}

const selectHead = "SELECT id, title, summary, dc, at, imported, octet_length(text) FROM revision "

const selectRevision = "SELECT r.id, r.title, r.text, r.summary, r.dc, r.at, r.imported FROM revision r "

// page returns a page's newest revision, as far as this DC knows.
func (p *pages) page(ctx context.Context, title string) (revision, error) {
	return p.one(ctx, selectRevision+"JOIN page p ON p.revision = r.id WHERE p.title = ?", title)
}

// head returns a page's newest revision without its text.
func (p *pages) head(ctx context.Context, title string) (revision, error) {
	list, err := p.list(ctx, selectHead+"WHERE id = (SELECT revision FROM page WHERE title = ?)", title)
	if err == nil && len(list) == 0 {
		err = errNoPage
	}
	if err != nil {
		return revision{}, err
	}
	return list[0], nil
}

// at returns one revision of a page.
func (p *pages) at(ctx context.Context, title string, id int64) (revision, error) {
	return p.one(ctx, selectRevision+"WHERE r.id = ? AND r.title = ?", id, title)
}

func (p *pages) one(ctx context.Context, query string, args ...any) (r revision, err error) {
	var at int64
	err = p.cluster.Replica().QueryRowContext(ctx, query, args...).Scan(&r.ID, &r.Title, &r.Text, &r.Summary, &r.DC, &at, &r.Imported)
	if errors.Is(err, sql.ErrNoRows) {
		return revision{}, errNoPage
	}
	r.At, r.Bytes = time.UnixMicro(at).UTC(), len(r.Text)
	return r, err
}

// history lists a page's revisions, the newest first.
func (p *pages) history(ctx context.Context, title string) ([]revision, error) {
	return p.list(ctx, selectHead+"WHERE title = ? ORDER BY id DESC LIMIT 200", title)
}

// recent lists the newest edits of all pages.
func (p *pages) recent(ctx context.Context) ([]revision, error) {
	return p.list(ctx, selectHead+"WHERE imported = 0 ORDER BY id DESC LIMIT 100")
}

func (p *pages) list(ctx context.Context, query string, args ...any) (list []revision, err error) {
	rows, err := p.cluster.Replica().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r revision
		var at int64
		if err := rows.Scan(&r.ID, &r.Title, &r.Summary, &r.DC, &at, &r.Imported, &r.Bytes); err != nil {
			return nil, err
		}
		r.At = time.UnixMicro(at).UTC()
		list = append(list, r)
	}
	return list, rows.Err()
}

// titles lists the titles that begin with prefix, in order.
func (p *pages) titles(ctx context.Context, prefix string) (list []string, err error) {
	rows, err := p.cluster.Replica().QueryContext(ctx,
		"SELECT title FROM page WHERE title >= ? AND title < ? ORDER BY title", prefix, prefix+"\U0010FFFF")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var title string
		if err := rows.Scan(&title); err != nil {
			return nil, err
		}
		if strings.HasPrefix(title, prefix) {
			list = append(list, title)
		}
	}
	return list, rows.Err()
}

// edit is what somebody wants a page to be.
type edit struct {
	title, text, summary string
	base                 int64 // the revision that was edited; 0 = there was none
	imported             bool  // only if there is no page yet
}

const anyBase = -1 // whichever revision is the newest

// save writes edits to the primary, all or none, and says how many of them changed something.
func (p *pages) save(ctx context.Context, edits ...edit) (changed int, err error) {
	tx, err := p.cluster.Primary().BeginTx(ctx, nil)
	if err != nil {
		return 0, p.failed(err, false)
	}
	var stale []string // titles of what may be cached; an import adds only what was not there
	for _, e := range edits {
		ok, err := p.put(ctx, tx, e)
		if err != nil {
			_ = tx.Rollback() // where the connection is lost, so is the transaction
			return 0, p.failed(err, false)
		}
		if ok {
			changed++
		}
		if ok && !e.imported {
			stale = append(stale, e.title)
		}
	}
	if err := p.cache.purge(ctx, stale); err != nil { // the last thing before COMMIT
		_ = tx.Rollback()
		return 0, err
	}
	return changed, p.failed(tx.Commit(), true)
}

func (p *pages) put(ctx context.Context, tx *sql.Tx, e edit) (changed bool, err error) {
	var newest int64
	var text string
	err = tx.QueryRowContext(ctx, "SELECT r.id, r.text FROM page p JOIN revision r ON r.id = p.revision WHERE p.title = ?"+
		p.dbs.dialect().forUpdate, e.title).Scan(&newest, &text)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return false, err
	case exists && (e.imported || text == e.text):
		return false, nil
	case e.base != anyBase && e.base != newest:
		return false, errConflict
	}
	res, err := tx.ExecContext(ctx, "INSERT INTO revision (title, text, summary, dc, at, imported) VALUES (?, ?, ?, ?, ?, ?)",
		e.title, e.text, e.summary, p.entryDC(ctx), time.Now().UnixMicro(), e.imported)
	if err != nil {
		return false, err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return false, err
	}
	query := "INSERT INTO page (revision, title) VALUES (?, ?)"
	if exists {
		query = "UPDATE page SET revision = ? WHERE title = ?"
	}
	_, err = tx.ExecContext(ctx, query, id, e.title)
	return err == nil, err
}

// failed says what an error of saving means: errUnavailable, errUnknownOutcome, errConflict, a *rdbms.ReadOnlyError, or
// something else.
func (p *pages) failed(err error, commit bool) error {
	switch {
	case err == nil, errors.Is(err, errConflict), errors.Is(err, rdbms.ErrReadOnly):
		return err
	case errors.Is(err, rdbms.ErrUnavailable), errors.Is(err, rdbms.ErrOverloaded): // nothing was sent
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return p.dbs.classify(err, commit)
}

// lost reports whether a read has failed because no server answered.
func lost(err error) bool {
	return errors.Is(err, rdbms.ErrUnavailable) || errors.Is(err, rdbms.ErrOverloaded) || errors.Is(err, context.DeadlineExceeded)
}
