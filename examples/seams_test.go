package examples

import (
	"context"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/switchover"
)

// What one package declares and another satisfies, where neither may import the other, spelled out as long as the
// declaring package is not there.
var (
	_ chronology.Cluster = (*rdbms.Positions)(nil)
	_ interface {        // chronology: what a Cluster may also do
		Lagged(ctx context.Context) bool
		Reached(ctx context.Context) (bool, error)
		Phase(ctx context.Context, name string)
	} = (*rdbms.Positions)(nil)
	_ interface { // jobqueue: LagSource
		MaxLag(ctx context.Context) (time.Duration, error)
		WaitForReplication(ctx context.Context) error
	} = (*rdbms.Cluster)(nil)
	_ interface { // dcroute, jobqueue: PrimarySource; filebackend, mainstash: Options.Primary
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
	_ = rdbms.Options{ClusterReason: (*switchover.State)(nil).ClusterReason("")}
)
