package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/multidc/multidc/rdbms"
)

// TableName is gorm's, for page.
func (page) TableName() string { return "page" }

func openGorm(t *testing.T, db *sql.DB, prepare bool) *gorm.DB {
	t.Helper()
	g, err := gorm.Open(gormmysql.New(gormmysql.Config{Conn: db}), &gorm.Config{PrepareStmt: prepare, Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// gorm runs its verbs over a handle.
func (h handle) gorm(t *testing.T, prepare bool) {
	g := openGorm(t, h.DB, prepare)
	h.gormReads(t, g)
	h.gormWrites(t, g, prepare)
	h.gormTransactions(t, g)
	if h.writes != "" {
		h.gormMigrates(t, g, prepare)
		gormAtOnce(t, fmt.Sprint(h.name, prepare), g)
	}
}

// answers reads the server that a query of gorm comes from.
func gormAnswers(t *testing.T, what string, g *gorm.DB, want string) {
	t.Helper()
	var id string
	if err := g.Scan(&id).Error; err != nil || nameOf(id) != want {
		t.Errorf("%s: %s, %v, want %s", what, nameOf(id), err, want)
	}
}

func (h handle) gormReads(t *testing.T, g *gorm.DB) {
	ctx := request(t)
	g = g.WithContext(ctx)
	one := func() *gorm.DB { return g.Table("(SELECT 1 AS one) AS t").Select("@@server_id") }
	for range 3 {
		gormAnswers(t, "Select", one(), h.reads)
		gormAnswers(t, "Where", one().Where("one = ?", 1), h.reads)
		gormAnswers(t, "Raw", g.Raw("SELECT @@server_id WHERE 1 = ?", 1), h.reads)
		if h.writes != "" {
			gormAnswers(t, "Locking", one().Clauses(clause.Locking{Strength: "UPDATE"}), h.unknown)
		}
	}
	gormAnswers(t, "WithPrimary", one().WithContext(rdbms.WithPrimary(ctx)), a1)
	var pages []page
	batches := 0
	if err := g.Order("id").FindInBatches(&pages, 2, func(*gorm.DB, int) error { batches++; return nil }).Error; err != nil || batches == 0 {
		t.Errorf("FindInBatches: %d, %v", batches, err)
	}
	var n int64
	if err := g.Model(&page{}).Count(&n).Error; err != nil || n == 0 {
		t.Errorf("Count: %d, %v", n, err)
	}
	rows, err := g.Model(&page{}).Rows()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var p page
		if err := g.ScanRows(rows, &p); err != nil || p.ID == 0 {
			t.Errorf("ScanRows: %+v, %v", p, err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	var p page
	if err := g.First(&p, "title = ?", "there is none").Error; !errors.Is(err, gorm.ErrRecordNotFound) {
		t.Error("First:", err)
	}
}

func (h handle) gormWrites(t *testing.T, g *gorm.DB, prepare bool) {
	ctx := request(t)
	g = g.WithContext(ctx)
	p := page{Title: fmt.Sprintf("%s by gorm, %t", h.name, prepare), Server: "1"}
	for name, g := range map[string]*gorm.DB{
		"in its own transaction": g.Session(&gorm.Session{}),
		"without":                g.Session(&gorm.Session{SkipDefaultTransaction: true}),
	} {
		p := page{Title: p.Title + " " + name, Server: "1"}
		if err := g.Create(&p).Error; !h.refusedOnTheWay(err) { // to MariaDB gorm says INSERT … RETURNING
			t.Errorf("Create %s: %v", name, err)
		}
		if h.writes == "" {
			continue
		}
		var back page
		if err := g.First(&back, p.ID).Error; err != nil || back != p {
			t.Errorf("its own write %s: %+v, %v, want %+v", name, back, err, p)
		}
		if err := g.Model(&p).Update("server", "2").Error; err != nil {
			t.Errorf("Update %s: %v", name, err)
		}
		upsert := clause.OnConflict{DoUpdates: clause.Assignments(map[string]any{"server": "3"})}
		if err := g.Clauses(upsert).Create(&page{Title: p.Title, Server: "9"}).Error; err != nil {
			t.Errorf("OnConflict %s: %v", name, err)
		}
		if err := g.First(&back, p.ID).Error; err != nil || back.Server != "3" {
			t.Errorf("after the upsert %s: %+v, %v", name, back, err)
		}
		if err := g.Delete(&p).Error; err != nil {
			t.Errorf("Delete %s: %v", name, err)
		}
		if err := g.First(&back, p.ID).Error; !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Errorf("after Delete %s: %+v, %v", name, back, err)
		}
	}
	if err := g.Exec("UPDATE page SET server = 1 WHERE title = ?", "none").Error; !h.refusedHere(err) {
		t.Error("Exec:", err)
	}
}

var errChanged = errors.New("changed my mind")

func (h handle) gormTransactions(t *testing.T, g *gorm.DB) {
	ctx := request(t)
	g = g.WithContext(ctx)
	within := h.writes
	if within == "" {
		within = h.reads
	}
	if err := g.Transaction(func(tx *gorm.DB) error {
		gormAnswers(t, "in a transaction", tx.Raw(whoQuery), within)
		if h.writes == "" {
			return nil
		}
		if err := tx.Create(&page{Title: h.name + " to stay", Server: "0"}).Error; err != nil {
			return err
		}
		// A transaction in it is a savepoint.
		if err := tx.Transaction(func(tx *gorm.DB) error {
			return errors.Join(tx.Create(&page{Title: h.name + " to go", Server: "0"}).Error, errChanged)
		}); !errors.Is(err, errChanged) {
			return err
		}
		return tx.Create(&page{Title: h.name + " to stay too", Server: "0"}).Error
	}); err != nil {
		t.Error("Transaction:", err)
	}
	var titles []string
	err := g.Model(&page{}).Where("title LIKE ?", h.name+" to %").Order("id").Pluck("title", &titles).Error
	if err != nil || h.writes != "" && len(titles) != 2 {
		t.Errorf("after the transaction: %q, %v", titles, err)
	}
	if err := g.Transaction(func(tx *gorm.DB) error {
		gormAnswers(t, "in a read-only transaction", tx.Raw(whoQuery), h.reads)
		return nil
	}, &sql.TxOptions{ReadOnly: true}); err != nil {
		t.Error("a read-only transaction:", err)
	}
	if h.writes != "" {
		if err := g.Where("title LIKE ?", h.name+" to %").Delete(&page{}).Error; err != nil {
			t.Error("Delete:", err)
		}
	}
}

type draft struct {
	ID   uint
	Text string `gorm:"size:100;index"`
}

// gormMigrates makes a table: gorm asks for the schema between its changes, and must see them.
func (h handle) gormMigrates(t *testing.T, g *gorm.DB, prepare bool) {
	table := func() *gorm.DB { return g.Table(fmt.Sprintf("draft_%s_%t", h.name, prepare)) }
	g = g.WithContext(request(t))
	for range 2 {
		if err := table().AutoMigrate(&draft{}); err != nil {
			t.Fatal("AutoMigrate:", err)
		}
	}
	if err := table().Create(&draft{Text: "one"}).Error; err != nil {
		t.Error(err)
	}
	var d draft
	if err := table().First(&d).Error; err != nil || d.Text != "one" {
		t.Errorf("%+v, %v", d, err)
	}
}

// gormAtOnce is several requests at the same time, each of which sees its own writes.
func gormAtOnce(t *testing.T, name string, g *gorm.DB) {
	t.Helper()
	done := make(chan error)
	const requests = 8
	for i := range requests {
		go func() {
			ctx, title := rdbms.WithScope(context.Background()), fmt.Sprintf("%s at once %d", name, i)
			for n := range 20 {
				p := page{Title: fmt.Sprint(title, " ", n), Server: "0"}
				if err := g.WithContext(ctx).Create(&p).Error; err != nil {
					done <- err
					return
				}
				var back page
				if err := g.WithContext(ctx).First(&back, p.ID).Error; err != nil || back != p {
					done <- fmt.Errorf("wrote %+v, read %+v: %w", p, back, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range requests {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
