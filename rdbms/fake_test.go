package rdbms_test

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// open makes a cluster over a fake one; change may set options, and alter the configuration. It is closed with the test.
func open(t *testing.T, fake *rdbmstest.Cluster, change func(*rdbms.Config, *rdbms.Options)) *rdbms.Cluster {
	t.Helper()
	config, options := fake.Config(), rdbms.Options{DC: "a", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&config, &options)
	}
	cluster, err := rdbms.New(config, &options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(context.Background()); err != nil {
			t.Error("Close:", err)
		}
	})
	return cluster
}

// run lets the monitor watch until the test ends, and returns when it has settled: the origin's clock is known.
func run(t *testing.T, cluster *rdbms.Cluster) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cluster.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
	})
	time.Sleep(15 * time.Second)
}

// who reads which server answers.
func who(ctx context.Context, db *sql.DB) (name string, err error) {
	err = db.QueryRowContext(ctx, "SELECT @@hostname").Scan(&name)
	return name, err
}

// put writes a key, get reads one.
func put(ctx context.Context, db *sql.DB, key, value string) error {
	_, err := db.ExecContext(ctx, "REPLACE INTO kv (k, v) VALUES (?, ?)", key, value)
	return err
}

func get(ctx context.Context, db *sql.DB, key string) (value string, err error) {
	err = db.QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", key).Scan(&value)
	return value, err
}
