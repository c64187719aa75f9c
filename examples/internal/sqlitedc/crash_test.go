package sqlitedc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Variables of a child of TestCrashAtEveryStep.
const (
	crashDir  = "SQLITEDC_CRASH_DIR"
	crashStep = "SQLITEDC_CRASH_STEP"
)

// The test binary runs itself, writes, replays, moves the primary, writes there, and is killed at the first step, the
// second, and so on. Every child goes on with what the one before it left, though it names a as the primary. In the end
// both files must hold the same, and nothing twice.
func TestCrashAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	finished, killed := 0, 0
	for step := 1; finished == 0; step++ {
		require.Less(t, step, 200, "the steps never end")
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir, crashStep+"="+strconv.Itoa(step))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			finished++
		case errors.As(err, &exit) && !exit.Exited(): // by a signal
			killed++
		default:
			t.Fatalf("child %d: %v\n%s", step, err, out)
		}
	}
	t.Logf("killed at %d steps", killed)
	require.Greater(t, killed, 20)

	c := open(t, dir, 0)
	start(t, c)
	caughtUp(t, c)
	same(t, c, "counter")
	same(t, c, "line")
	same(t, c, "multidc_position")
	// Each transaction counts up and adds a line with the count: so one replayed twice, or half, shows here.
	for _, dc := range []string{"a", "b"} {
		require.Equal(t, count(t, c.files[dc], "SELECT n FROM counter"), count(t, c.files[dc], "SELECT count(*) FROM line"))
	}
}

func crashChild() int {
	step, err := strconv.Atoi(os.Getenv(crashStep))
	if err == nil {
		err = crashAt(os.Getenv(crashDir), int64(step))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func crashAt(dir string, step int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Open(ctx, dir, "a", "b", 0)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	var steps atomic.Int64
	c.step = func(string) {
		if steps.Add(1) == step {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill()
			select {} // until it has happened
		}
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(run) }()
	for range 2 {
		if err := crashWrites(ctx, c); err != nil {
			return err
		}
		other := map[string]string{"a": "b", "b": "a"}[c.Primary()]
		if err := c.SetPrimary(ctx, other); err != nil {
			return err
		}
	}
	stop()
	return <-ended
}

func crashWrites(ctx context.Context, c *Cluster) error {
	k, err := c.Connector("b", c.Primary())
	if err != nil {
		return err
	}
	db := sql.OpenDB(k)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS line (v); CREATE TABLE IF NOT EXISTS counter (n);
		INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter)`)
	for range 2 {
		if err != nil {
			return err
		}
		err = crashWrite(ctx, db)
	}
	return err
}

func crashWrite(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, query := range []string{"UPDATE counter SET n = n + 1", "INSERT INTO line SELECT n FROM counter"} {
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
