package purgelog

import (
	"context"
	"time"

	"github.com/multidc/multidc/internal/kafkalog"
)

func (s *source) bad(ctx context.Context, m kafkalog.Message, err error) {
	s.a.opts.Logger.WarnContext(ctx, "purgelog: a message is skipped", "dc", s.dc, "partition", m.Partition, "offset", m.Offset, "err", err)
	if on := s.a.opts.Events.OnBadMessage; on != nil {
		on(ctx, BadMessageInfo{DC: s.dc, Partition: m.Partition, Offset: m.Offset, Err: err})
	}
}

func (s *source) lost(ctx context.Context, g *kafkalog.Gap) {
	s.a.opts.Logger.ErrorContext(ctx, "purgelog: purges are lost; what is older counts as absent", "dc", s.dc, "gap", g.String())
	if on := s.a.opts.Events.OnGap; on != nil {
		on(ctx, GapInfo{DC: s.dc, Partition: g.Partition, From: g.From, To: g.To, Until: g.Until, Kind: GapKind(g.Kind)})
	}
}

func (s *source) reportProgress(ctx context.Context) {
	on := s.a.opts.Events.OnProgress
	if on == nil {
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if p := s.progress(ctx); ctx.Err() == nil {
				on(ctx, p)
			}
		}
	}
}

func (s *source) progress(ctx context.Context) ProgressInfo {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	p := ProgressInfo{DC: s.dc}
	behind, err := s.follower.Behind(ctx)
	p.Parked, p.Blocked = s.room.state()
	if err != nil {
		p.Err = err.Error()
		return p
	}
	p.Known, p.Behind = true, behind
	return p
}
