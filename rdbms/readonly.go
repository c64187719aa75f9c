package rdbms

import (
	"context"
	"time"
)

// retryReadOnly is what a caller of a read-only cluster is told to wait: nobody knows how long it will be.
const retryReadOnly = 10 * time.Second

// ReadOnly says why the cluster takes no writes, "" if it does: Options.ClusterReason, else read_only of the primary as the
// monitor saw it last.
func (c *Cluster) ReadOnly() (reason string, source ReadOnlySource) {
	if reason := c.opts.ClusterReason(); reason != "" {
		return reason, ReadOnlyCluster
	}
	if s := c.view.Load(); s.readOnly {
		return "server " + s.primary.name + " is read-only", ReadOnlyServer
	}
	return "", ""
}

// mayExec refuses a write before it touches a connection.
func (c *Cluster) mayExec(ctx context.Context, r role, query string) error {
	if r == roleReplica && !setsSession(query) {
		return c.refuse(ctx, query, ErrReplicaWrite)
	}
	if reason, source := c.ReadOnly(); reason != "" {
		return c.refuse(ctx, query, c.readOnlyError(reason, source, nil))
	}
	return c.mayWriteInPhase(ctx, query)
}

// mayQueryPrimary: queries go on in read-only mode, for most are reads and the server refuses the rest; but the phase
// has its say.
func (c *Cluster) mayQueryPrimary(ctx context.Context, query string, write bool) error {
	if write {
		if reason := c.opts.ClusterReason(); reason != "" && changesRows(query) {
			return c.refuse(ctx, query, c.readOnlyError(reason, ReadOnlyCluster, nil))
		}
		return c.mayWriteInPhase(ctx, query)
	}
	if phase := callOf(ctx).phaseNow(); phase == PhaseGET || phase == PhasePostSendGET {
		c.violated(ctx, phase, violationRead, query)
	}
	return nil
}

// refuse tells of a refused write.
func (c *Cluster) refuse(ctx context.Context, query string, err error) error {
	if on := c.opts.Events.OnRefused; on != nil {
		on(ctx, WriteInfo{
			Cluster: c.name, Server: c.view.Load().primary.name, Query: fingerprint(query), Caller: caller(),
			Phase: callOf(ctx).phaseNow(), Err: err,
		})
	}
	return err
}

// refusedByServer is the error for a write that a server refused because it is read-only. It is looked at at once, and if
// it is the primary its other connections are not kept: a demoted server must not have writers in the pool.
func (c *Cluster) refusedByServer(l *lease, cause error) error {
	if c.view.Load().primary.host == l.server.host {
		l.server.renew()
	}
	l.server.look()
	return c.readOnlyError("server "+l.server.name+" is read-only", ReadOnlyServer, cause)
}

func (c *Cluster) readOnlyError(reason string, source ReadOnlySource, cause error) error {
	return &ReadOnlyError{Cluster: c.name, Reason: reason, Source: source, RetryAfter: retryReadOnly, Cause: cause}
}

// tellReadOnly raises OnReadOnly when the mode has changed.
func (c *Cluster) tellReadOnly(ctx context.Context) {
	reason, source := c.ReadOnly()
	now := ReadOnlyInfo{Cluster: c.name, Reason: reason, Source: source}
	c.mu.Lock()
	changed := now.Reason != c.readOnly.Reason || now.Source != c.readOnly.Source
	c.readOnly = now
	c.mu.Unlock()
	if !changed {
		return
	}
	c.opts.Logger.InfoContext(ctx, "rdbms: read-only mode has changed", "cluster", c.name, "reason", reason, "source", string(source))
	if on := c.opts.Events.OnReadOnly; on != nil {
		on(ctx, now)
	}
}

// changesRows: a query that begins so writes for sure (INSERT … RETURNING). While it is the application that is read-only
// the server would take it.
func changesRows(query string) bool {
	first, _ := firstWords(query)
	return isWord(first, "insert") || isWord(first, "update") || isWord(first, "delete") || isWord(first, "replace")
}
