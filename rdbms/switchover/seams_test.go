package switchover_test

import (
	"context"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// What other packages declare and State must satisfy, spelled as they do: they are siblings, which nothing here
// may import. SXl
var (
	_ interface { // dcroute and jobqueue: PrimarySource; filebackend and mainstash: Options.Primary
		Primary(ctx context.Context) (dc string, epoch uint64, err error)
	} = (*switchover.State)(nil)
	_ interface { // jobqueue
		ReadOnly(ctx context.Context) (reason string, err error)
		Changed() <-chan struct{}
	} = (*switchover.State)(nil)
	_ interface { // dcroute: ReadOnlySource, PoolSource, RolloutSource, Refresher
		ReadOnlyFor(ctx context.Context, dc, section string) (reason string, until time.Time, err error)
		Pooled(dc string) bool
		Rollout(host string) (mode string, share int, salt string, ok bool)
		Refresh(ctx context.Context) error
	} = (*switchover.State)(nil)
	_ func() string = (*switchover.State)(nil).ClusterReason("") // rdbms.Options.ClusterReason

	_ switchover.Store   = (*switchover.Memory)(nil)
	_ switchover.Watcher = (*switchover.Memory)(nil)
	_ switchover.Store   = (*switchover.File)(nil)
	_ switchover.Watcher = (*switchover.File)(nil)
)
