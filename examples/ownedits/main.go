// Command ownedits shows that an author sees the own edit at once, in the other DC too: the page is written in DC a, and read
// in DC b, whose database is some way behind. It needs no server, and ends by itself after a few seconds.
//
//	go run ./examples/ownedits
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/examples/internal/sqlitedc"
	"github.com/multidc/multidc/rdbms"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "multidc-ownedits-")
	if err != nil {
		return err
	}
	dbs, err := sqlitedc.Open(ctx, dir, "a", "b", 500*time.Millisecond)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	running, stop := context.WithCancel(ctx)
	var loops sync.WaitGroup
	defer func() { stop(); loops.Wait(); err = errors.Join(err, dbs.Close(), os.RemoveAll(dir)) }()
	loops.Go(func() { _ = dbs.Run(running) })                                         // replicates
	key, urls := chronology.Key{ID: 1, Secret: make([]byte, 32)}, map[string]string{} // the secret: in earnest random, and the same in every DC
	for _, dc := range []string{"a", "b"} {
		atA, errA := dbs.Connector(dc, "a")
		atB, errB := dbs.Connector(dc, "b")
		db, errDB := rdbms.New(rdbms.Config{Name: "main", Primary: "a.db", Servers: []rdbms.Server{ //nolint:contextcheck // no I/O
			{Name: "a.db", DC: "a", Connector: atA, Encrypted: true}, {Name: "b.db", DC: "b", Connector: atB, Encrypted: true},
		}}, &rdbms.Options{DC: dc, Engine: sqlitedc.Engine{}, Poll: 100 * time.Millisecond, MaxLag: time.Hour})
		own, errOwn := chronology.New([]chronology.Cluster{db.Positions()}, &chronology.Options{DC: dc, Keys: []chronology.Key{key}})
		if err = errors.Join(errA, errB, errDB, errOwn); err != nil {
			return err
		}
		loops.Go(func() { _ = errors.Join(db.Run(running), db.Close(ctx)) }) // measures the lag
		server := httptest.NewServer(own.Middleware(page(db)))
		defer server.Close()
		urls[dc] = server.URL
	}
	jar, _ := cookiejar.New(nil) // only the author keeps cookies
	author, stranger := &http.Client{Jar: jar}, &http.Client{}
	write := func(sql string) error {
		return do(ctx, io.Discard, "", author, "POST", urls["a"]+"?sql="+url.QueryEscape(sql))
	}
	read := func(who string, c *http.Client) error { return do(ctx, out, who, c, "GET", urls["b"]) }
	err = errors.Join(write("CREATE TABLE page (text)"), write("INSERT INTO page VALUES ('edit 1')"), read("the author", author),
		write("INSERT INTO page VALUES ('edit 2')"), read("a stranger", stranger), read("the author", author))
	dbs.SetLag(time.Hour)
	return errors.Join(err, write("INSERT INTO page VALUES ('edit 3')"), read("a stranger, lag 1 h", stranger), read("the author, lag 1 h", author))
}

// page is a wiki of one page, which is edited in SQL.
func page(db *rdbms.Cluster) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text string
		var err error
		if r.Method == http.MethodPost {
			_, err = db.Primary().ExecContext(r.Context(), r.FormValue("sql"))
		} else {
			err = db.Replica().QueryRowContext(r.Context(), "SELECT max(text) FROM page").Scan(&text)
		}
		if err != nil {
			text = err.Error()
		}
		_, _ = fmt.Fprintf(w, "%s, from %v\n", text, db.Served(r.Context()).Servers) //nolint:gosec // one of its own clients
	})
}

func do(ctx context.Context, out io.Writer, who string, c *http.Client, method, at string) error {
	r, _ := http.NewRequestWithContext(ctx, method, at, nil)
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	_, _ = fmt.Fprintf(out, "read in b by %-22s %s", who, body)
	return errors.Join(err, res.Body.Close())
}
