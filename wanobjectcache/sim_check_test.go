package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// What is true of the world, in time that all clocks agree on.
const (
	simCap      = 30 * time.Second       // of what old data may be kept
	simLongest  = 12 * time.Second       // load
	simFence    = 100 * time.Millisecond // in which a fill that came too late is taken back
	simSurely   = 10 * time.Second       // how long a tombstone stands at least: its time, less the store's clock and the skew
	simLockLife = 9 * time.Second        // of a mutex, likewise
	simSettles  = 2 * time.Second        // from the first read of a flight to its load: LockWait, and a little
)

// simLedger knows what was committed, purged, loaded and stored, and judges what it sees by the invariants S1 to S5.
type simLedger struct {
	fail    func(string)
	holdoff time.Duration
	maxLag  time.Duration
	began   time.Time

	mu        sync.Mutex
	commits   map[string][]time.Time // of an id: version n is n-1
	purges    []*simPurge
	loads     []*simLoad
	running   map[string][]*simLoad // by process, group and id
	tags      map[string]simRecord  // by DC and key: the newest
	locks     map[string]simLock    // by DC and id
	stored    map[string]time.Time  // by DC and id: when its value came
	unfenced  map[string]bool       // likewise: the cache has told that it could not take it back
	disturbed map[string]time.Time  // likewise: when it was purged last, or a tag
	history   []simLine
	broken    bool
}

// simPurge is a key or a tag that was purged.
type simPurge struct {
	by        *simProc
	tag       bool
	name, key string // the id or the tag, and where its record is
	called    time.Time
	stamp     int64 // by the clock of its process
	returned  time.Time
	confirmed bool                 // by its own DC
	wants     map[string]int       // since the commit: the versions that came with it, by id
	commit    time.Time            // its time
	arrived   map[string]time.Time // by DC
	sent      map[string]bool      // by DC: its tombstone was there
	overtaken map[string]bool      // by DC: that of an older purge has come later, and stands now
}

type simLoad struct {
	number  int
	by      *simProc
	ctx     context.Context //nolint:containedctx // asked whether the load was abandoned
	group   string
	where   string
	id      string
	began   time.Time
	ended   time.Time
	stalled time.Duration // on the way to the pool
	version int
}

type simLock struct {
	secret string
	by     string
	taken  time.Time
}

type simLine struct {
	at     time.Time
	name   string // of an id or a tag
	format string
	args   []any
}

var simTags = map[string][]wanobjectcache.Tag{"k1": {"t1"}, "k2": {"t1", "t2"}, "k3": nil}

var simIDs = []string{"k1", "k2", "k3"}

func simWire(id, typ string) string { return wire("page:"+id, typ) }

func simTagWire(tag string) string { return wire("tag:"+tag, "t") }

// simName is the id or the tag in a wire key.
func simName(key string) (name, typ string) {
	key, typ, _ = strings.Cut(key, "|#|")
	return key[strings.LastIndexByte(key, ':')+1:], typ
}

func newSimLedger(holdoff, maxLag time.Duration, fail func(string)) *simLedger {
	return &simLedger{
		fail: fail, holdoff: holdoff, maxLag: maxLag, began: time.Now(),
		commits: map[string][]time.Time{}, running: map[string][]*simLoad{}, tags: map[string]simRecord{}, locks: map[string]simLock{},
		stored: map[string]time.Time{}, unfenced: map[string]bool{}, disturbed: map[string]time.Time{},
	}
}

// note keeps a line of what happened, to be told when an invariant breaks. The ledger is locked.
func (l *simLedger) note(name, format string, args ...any) {
	l.history = append(l.history, simLine{time.Now(), name, format, args})
}

// violated tells what broke, and what had happened to the key in the last minute. The ledger is locked.
func (l *simLedger) violated(id, format string, args ...any) {
	if l.broken {
		return
	}
	l.broken = true
	var b strings.Builder
	fmt.Fprintf(&b, "at %v: %s\nwhat happened to %s and its tags before:", time.Since(l.began), fmt.Sprintf(format, args...), id)
	for _, line := range l.history {
		if time.Since(line.at) < time.Minute && (line.name == id || slices.Contains(simTags[id], wanobjectcache.Tag(line.name))) {
			fmt.Fprintf(&b, "\n%12v  %s  %s", line.at.Sub(l.began), line.name, fmt.Sprintf(line.format, line.args...))
		}
	}
	l.fail(b.String())
}

// purged begins a purge that is about to be called.
func (l *simLedger) purged(by *simProc, tag bool, name string) *simPurge {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &simPurge{
		by: by, tag: tag, name: name, key: simWire(name, "v"), called: time.Now(), stamp: by.now().UnixMicro(),
		arrived: map[string]time.Time{}, sent: map[string]bool{}, overtaken: map[string]bool{},
	}
	if tag {
		p.key = simTagWire(name)
	}
	l.purges = append(l.purges, p)
	l.disturb(by.dc, name)
	l.note(name, "%s: purge is called, stamped %s", by.name, l.stamp(p.stamp))
	return p
}

func (l *simLedger) stamp(micros int64) time.Duration { return time.UnixMicro(micros).Sub(l.began) }

// ids are those that a purge concerns.
func (p *simPurge) ids() []string {
	if !p.tag {
		return []string{p.name}
	}
	return simTagged(p.name)
}

func simTagged(tag string) (ids []string) {
	for _, id := range simIDs {
		if slices.Contains(simTags[id], wanobjectcache.Tag(tag)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// disturb: an id, or those of a tag, are loaded anew from now on, also beside a load that is under way.
func (l *simLedger) disturb(dc *simDC, name string) {
	l.disturbed[dc.name+name] = time.Now()
	for _, id := range simTagged(name) {
		l.disturbed[dc.name+id] = time.Now()
	}
}

// committed: the change is made that a purge announced.
func (l *simLedger) committed(purges ...*simPurge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, versions := time.Now(), map[string]int{}
	for _, p := range purges {
		p.commit, p.wants = now, map[string]int{}
		for _, id := range p.ids() {
			if versions[id] == 0 {
				l.commits[id] = append(l.commits[id], now)
				versions[id] = len(l.commits[id])
				l.note(id, "commit of version %d", versions[id])
			}
			p.wants[id] = versions[id]
		}
	}
}

// versionAt is what the primary had at a moment.
func (l *simLedger) versionAt(id string, shown time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	commits := l.commits[id]
	for n := len(commits); n > 0; n-- {
		if !commits[n-1].After(shown) {
			return n
		}
	}
	return 0
}

// hasReturned: the call of a purge is over.
func (l *simLedger) hasReturned(p *simPurge, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.returned, p.confirmed = time.Now(), err == nil
	l.disturb(p.by.dc, p.name)
	l.note(p.name, "%s: purge has returned: %v", p.by.name, err)
}

// delivered checks what a purge's Delivery says, and takes it at its word.
func (l *simLedger) delivered(p *simPurge, only bool, results []wanobjectcache.DCResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range results {
		l.note(p.name, "%s: its purge of %s in %s", p.by.name, l.stamp(p.stamp), r)
		arrived := p.sent[r.DC] || p.tag && l.tags[r.DC+p.key].at >= p.stamp
		failed := r.Err != nil && errors.Is(r.Err, wanobjectcache.ErrUnavailable) && !errors.Is(r.Err, wanobjectcache.ErrUnknownOutcome)
		switch {
		case !r.Done:
			l.violated(p.ids()[0], "Delivery: Wait has returned, and %s", r)
		case r.Err == nil && !arrived:
			l.violated(p.ids()[0], "Delivery: %s, but the purge of %s is not there", r, p.name)
		case failed && only && p.sent[r.DC]:
			l.violated(p.ids()[0], "Delivery: %s, but the purge of %s is there", r, p.name)
		case r.Err == nil:
			l.arrive(p, r.DC)
		}
	}
}

// replayed: the applier of a DC has purged.
func (l *simLedger) replayed(dc *simDC, one wanobjectcache.Purge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, _ := simName(one.Key)
	l.disturb(dc, name)
	l.note(name, "%s: replayed the purge of %s", dc.name, l.stamp(one.Time.UnixMicro()))
	for _, p := range l.purges {
		if p.key == one.Key && p.stamp == one.Time.UnixMicro() {
			l.arrive(p, dc.name)
		}
	}
}

func (l *simLedger) arrive(p *simPurge, dc string) {
	if p.arrived[dc].IsZero() {
		p.arrived[dc] = time.Now()
	}
}

// landed notes and judges a write that a pool has done, or refused. The pool is locked.
func (l *simLedger) landed(dc *simDC, by *simProc, w simWrite, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, typ := simName(w.key)
	if err != nil {
		if typ == "v" {
			l.note(name, "%s: %s in %s of %s: %v", by.name, w.op, dc.name, l.show(w.item), err)
		}
		return
	}
	switch typ {
	case "v", "i":
		l.note(name, "%s: %s in %s of %s %s for %v", by.name, w.op, dc.name, typ, l.show(w.item), w.ttl)
		if typ == "v" {
			l.landedValue(dc, name, w)
		}
	case "t":
		l.note(name, "%s: %s in %s of %s", by.name, w.op, dc.name, l.show(w.item))
		l.landedTag(dc, by, name, w)
	case "m":
		l.landedLock(dc, by, name, w)
	}
}

func (l *simLedger) show(item wanobjectcache.StoreItem) string {
	switch r := simDecode(item); r.kind {
	case simTombstone:
		return fmt.Sprintf("tombstone(%v)", l.stamp(r.at))
	case simTag:
		return fmt.Sprintf("tag(%v + %v)", l.stamp(r.at), time.Duration(r.span)*time.Microsecond)
	case simValue:
		return fmt.Sprintf("value %s(%v, TTL %v)", r.body, l.stamp(r.at), time.Duration(r.span)*time.Microsecond)
	default:
		return fmt.Sprintf("kind %d", r.kind)
	}
}

func (l *simLedger) landedValue(dc *simDC, id string, w simWrite) {
	if r := simDecode(w.item); r.kind == simTombstone {
		l.disturb(dc, id)
		l.landedTombstone(dc, w, r)
	}
	l.stored[dc.name+id] = time.Now()
	delete(l.unfenced, dc.name+id)
	l.checkStored(dc, id)
}

func (l *simLedger) landedTombstone(dc *simDC, w simWrite, r simRecord) {
	same := func(p *simPurge) bool { return p.key == w.key && p.stamp == r.at }
	for i, p := range l.purges {
		switch {
		case p.key != w.key:
		case !same(p):
			p.overtaken[dc.name] = p.overtaken[dc.name] || !slices.ContainsFunc(l.purges[i:], same)
		case w.op == "set":
			p.sent[dc.name] = true
			l.arrive(p, dc.name)
		}
	}
}

// landedTag is S3: the time of a tag, and the end of its hold-off, never fall.
func (l *simLedger) landedTag(dc *simDC, by *simProc, tag string, w simWrite) {
	l.disturb(dc, tag)
	before, now := l.tags[dc.name+w.key], simDecode(w.item)
	if now.at < before.at || now.at+now.span < before.at+before.span {
		l.violated(simTagged(tag)[0], "S3: %s has put %s back in %s: to %v + %v from %v + %v", by.name, tag, dc.name,
			l.stamp(now.at), time.Duration(now.span)*time.Microsecond, l.stamp(before.at), time.Duration(before.span)*time.Microsecond)
	}
	l.tags[dc.name+w.key] = now
	for _, id := range simTagged(tag) {
		l.checkStored(dc, id)
	}
}

// landedLock is S5 across the processes: nobody takes a mutex that another has.
func (l *simLedger) landedLock(dc *simDC, by *simProc, id string, w simWrite) {
	owner := l.locks[dc.name+id]
	switch {
	case w.op == "add":
		if age := time.Since(owner.taken); owner.secret != "" && age < simLockLife {
			l.violated(id, "S5: %s has taken the lock in %s, which %s has since %v and did not give up", by.name, dc.name, owner.by, age)
		}
		l.locks[dc.name+id] = simLock{string(w.item.Value), by.name, time.Now()}
	case w.op == "cas" && owner.secret == string(w.item.Value):
		delete(l.locks, dc.name+id)
	}
	l.note(id, "%s: lock in %s: %s for %v", by.name, dc.name, w.op, w.ttl)
}

// mayLose: a tag must not be lost within its hold-off.
func (l *simLedger) mayLose(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.purges {
		if p.tag && p.key == key && time.Since(p.called) < l.holdoff+2*simLongest {
			return false
		}
	}
	return true
}

func (l *simLedger) evicted(dc *simDC, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch name, typ := simName(key); typ {
	case "t":
		delete(l.tags, dc.name+key)
		l.disturb(dc, name)
		l.note(name, "%s: tag is evicted", dc.name)
	case "m":
		delete(l.locks, dc.name+name)
	default:
		l.note(name, "%s: %s is evicted", dc.name, typ)
	}
}

// checkStored is S1: when the hold-off is over no value that is older than the commit lies there, but for capped ones and
// those that count as stale because of the tag.
func (l *simLedger) checkStored(dc *simDC, id string) {
	r, found := dc.look(simWire(id, "v"))
	now := time.Now()
	if !found || r.kind != simValue || r.negative || r.capped() || l.unfenced[dc.name+id] || now.Sub(l.stored[dc.name+id]) < simFence {
		return
	}
	load := l.loadOf(r.body)
	for _, p := range l.purges {
		arrived := p.arrived[dc.name]
		if load.version >= p.wants[id] || arrived.IsZero() || !now.After(arrived.Add(l.holdoff)) {
			continue
		}
		if p.tag {
			if tag, found := dc.look(p.key); !found || tag.at+tag.span >= r.at {
				continue
			}
		}
		l.violated(id, "S1: in %s lies version %d of load %d, stored at %v for %v, though the purge of %s for version %d arrived at %v",
			dc.name, load.version, load.number, l.stamp(r.at), time.Duration(r.span)*time.Microsecond, p.name, p.wants[id], arrived.Sub(l.began))
	}
}

func (l *simLedger) loadOf(value string) *simLoad {
	var version, number int
	if _, err := fmt.Sscanf(value, "%d#%d", &version, &number); err != nil {
		return &simLoad{}
	}
	return l.loads[number-1]
}

// begin is S5 within a process: there is one load of a key at a time.
func (l *simLedger) begin(ctx context.Context, by *simProc, group, id string) *simLoad {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := &simLoad{number: len(l.loads) + 1, by: by, ctx: ctx, group: group, where: by.name + group + id, id: id, began: time.Now()}
	l.loads = append(l.loads, load)
	l.note(id, "%s: load %d begins, group %s", by.name, load.number, group)
	if group == simAlone || group == simWith {
		return load
	}
	before := simSettles + by.world.skew
	if by.world.trouble > 0 { // who could not read has not seen a tombstone that stands
		before += l.holdoff
	}
	for _, other := range l.running[load.where] {
		cutOff := !l.disturbed[by.dc.name+id].Before(other.began.Add(-before))
		if !cutOff && other.ctx.Err() == nil {
			l.violated(id, "S5: load %d begins beside load %d in %s, which nothing has cut off", load.number, other.number, by.name)
		}
	}
	l.running[load.where] = append(l.running[load.where], load)
	return load
}

// Loads that are no group's: nobody joins those of batches and of Set, and who joins one of a GetWith may be left alone.
const (
	simAlone = "alone"
	simWith  = "with"
)

func (l *simLedger) read(load *simLoad, version int, lag time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	load.version = version
	l.note(load.id, "%s: load %d reads version %d, lag %v", load.by.name, load.number, version, lag)
}

// stall: a fill with what a load gave stands still on its way.
func (l *simLedger) stall(item wanobjectcache.StoreItem, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loadOf(simDecode(item).body).stalled += d
}

func (l *simLedger) end(load *simLoad) {
	l.mu.Lock()
	defer l.mu.Unlock()
	load.ended = time.Now()
	l.note(load.id, "%s: load %d ends", load.by.name, load.number)
	l.running[load.where] = slices.DeleteFunc(l.running[load.where], func(o *simLoad) bool { return o == load })
}

// simCall is a read that has returned a value.
type simCall struct {
	by      *simProc
	id      string
	began   time.Time
	value   string
	outcome wanobjectcache.Outcome
	state   wanobjectcache.State
	purged  time.Time // that it found
}

// answered judges a value that was not marked as stale.
func (l *simLedger) answered(c simCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := l.loadOf(c.value)
	for _, p := range l.purges {
		if want := p.wants[c.id]; load.version < want {
			l.checkOld(c, load, p, want)
		}
		if slices.Contains(p.ids(), c.id) && load.began.Before(p.called) {
			l.checkBefore(c, load, p)
		}
	}
}

// checkOld is S2: old data is served as good for the hold-off and a cap at most. The cap begins when a load ends, or when its
// fill has been stalled: what is not found any more is judged and stored anew. A clock that is ahead makes it longer.
func (l *simLedger) checkOld(c simCall, load *simLoad, p *simPurge, want int) {
	arrived := p.arrived[c.by.dc.name]
	if arrived.IsZero() {
		return
	}
	limit := arrived.Add(l.holdoff)
	for _, later := range []time.Time{p.commit.Add(l.maxLag), load.ended.Add(load.stalled)} {
		if later.After(limit) {
			limit = later
		}
	}
	if c.began.After(limit.Add(simCap + c.by.world.skew + time.Second)) {
		l.violated(c.id, "S2: %s, asking at %v, got version %d of load %d (%s), though the purge of %s for version %d arrived at %v",
			c.by.name, c.began.Sub(l.began), load.version, load.number, c.outcome, p.name, want, arrived.Sub(l.began))
	}
}

// checkBefore is S4: who asks after a purge has returned in his process, or sees it in his DC, joins no load from before;
// nor is he given what it stored, as long as the tombstone stands.
func (l *simLedger) checkBefore(c simCall, load *simLoad, p *simPurge) {
	running := load.ended.IsZero() || !load.ended.Before(c.began) // else it was found in the pool
	joined := c.outcome == wanobjectcache.MissJoined && load.by == c.by && load.group != simAlone && running
	own, arrived := p.by == c.by, p.arrived[c.by.dc.name]
	returned := own && !p.returned.IsZero() && c.began.After(p.returned)
	stands := !arrived.IsZero() && time.Since(p.called) < simSurely // the tag's hold-off begins with the call
	switch {
	case returned && (joined || p.confirmed && stands && !p.overtaken[c.by.dc.name]):
	case joined && c.purged.UnixMicro() == p.stamp:
	default:
		return
	}
	l.violated(c.id, "S4: %s, asking at %v, got version %d of load %d from %v (%s, it found %s), though %s was purged by %s at %v",
		c.by.name, c.began.Sub(l.began), load.version, load.number, load.began.Sub(l.began), c.outcome, c.state, p.name, p.by.name, p.called.Sub(l.began))
}
