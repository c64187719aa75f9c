package purgelog_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/purgelog"
)

func source(t *testing.T, variable, topic string) purgelog.Source {
	t.Helper()
	return purgelog.Source{Brokers: testservers.Vars(t, variable), Topic: topic, AllowPlaintext: true} // the test bed's link is on this machine
}

func TestPurgesReachBothDCs(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	topic := newName()
	kafkaOf(t, "KAFKA_A").create(topic, 3)
	a := newDC(t, "a", wanobjectcache.NewMemory(nil), newLog(t, "KAFKA_A", topic))
	b := newDC(t, "b", wanobjectcache.NewMemory(nil), nil)
	first := purgelog.ApplierOptions{DC: "b", Group: topic + ".b", FirstRun: true}
	inB := b.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}, first)
	inA := a.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A", topic)}, purgelog.ApplierOptions{DC: "a", Group: topic + ".a", FirstRun: true})
	inA.caughtUp()
	inB.caughtUp()

	ids := upTo(100)
	a.set("old", ids...)
	b.set("old", ids...)
	a.delete(ids[:50]...)
	inA.caughtUp()
	inB.caughtUp()
	if n := b.fresh(ids...); n != 50 {
		t.Errorf("b has %d values, want the 50 that were not deleted", n)
	}
	if n := a.fresh(ids...); n != 50 {
		t.Errorf("a has %d values, want the 50 that were not deleted", n)
	}
	if got := b.state(0); got != wanobjectcache.Purged {
		t.Errorf("b's key is %v, want it to refuse fills as a's does", got)
	}
	if text := inB.a.Explain(t.Context()).String(); !strings.Contains(text, "a: behind by 0") {
		t.Errorf("Explain says %q", text)
	}
}

// The local purge failed, and the log has it: the applier repairs it.
func TestOwnLogRepairs(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	topic := newName()
	kafkaOf(t, "KAFKA_A").create(topic, 1)
	store := newShards(1)
	a := newDC(t, "a", store, newLog(t, "KAFKA_A", topic))
	applier := a.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A", topic)}, purgelog.ApplierOptions{DC: "a", Group: topic, FirstRun: true})
	applier.caughtUp()
	a.set("old", 1)
	store.down(0, true)
	if _, err := a.group.Delete(t.Context(), 1); !errors.Is(err, wanobjectcache.ErrUnavailable) || errors.Is(err, wanobjectcache.ErrNotLogged) {
		t.Fatalf("Delete = %v, want an error of the store alone", err)
	}
	store.down(0, false)
	applier.caughtUp()
	if got := a.state(1); got != wanobjectcache.Purged {
		t.Errorf("the key is %v, want it purged", got)
	}
}

// Case G3, and the figure "cut link, 1,000 deletes, heal: all purged, 0 newer values touched".
func TestCutLink(t *testing.T) {
	testservers.Exclusive(t, "kafka")
	topic := newName()
	kafkaOf(t, "KAFKA_A").create(topic, 3)
	a := newDC(t, "a", wanobjectcache.NewMemory(nil), newLog(t, "KAFKA_A", topic))
	b := newDC(t, "b", wanobjectcache.NewMemory(nil), nil)
	applier := b.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}, purgelog.ApplierOptions{DC: "b", Group: topic, FirstRun: true})
	applier.caughtUp()
	ids := upTo(1200)
	deleted, newer, kept := ids[:900], ids[900:1000], ids[1000:]
	b.set("old", ids...)

	link := testservers.Control(t).Between("a", "b", "kafka")
	link.Cut()
	t.Cleanup(link.Heal)
	for part := range 10 {
		a.delete(ids[part*100 : part*100+100]...)
	}
	eventually(t, "the cut is told", func() bool { return !applier.a.Explain(t.Context()).Sources[0].Known })
	if n := b.fresh(ids...); n != len(ids) {
		t.Fatalf("b has %d values behind a cut link, want all %d", n, len(ids))
	}
	b.ahead.Store(int64(30 * time.Second)) // beyond the hold-off
	b.set("new", newer...)
	link.Heal()
	applier.caughtUp()
	if n := b.fresh(deleted...); n != 0 {
		t.Errorf("%d of the deleted values are still there", n)
	}
	if n := b.fresh(newer...); n != len(newer) {
		t.Errorf("%d of %d newer values are left", n, len(newer))
	}
	if n := b.fresh(kept...); n != len(kept) {
		t.Errorf("%d of %d values that were not deleted are left", n, len(kept))
	}
	if gaps := applier.lost(); len(gaps) > 0 {
		t.Errorf("a cut is no gap: %v", gaps)
	}
}

// Case Nc: position lost, and beyond the end of a topic that was made anew.
func TestGapRaisesTheEpoch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind   purgelog.GapKind
		damage func(k topics, group, topic string)
	}{
		"position lost":      {purgelog.GapLost, func(topics, string, string) {}},
		"position in no log": {purgelog.GapRecreated, func(k topics, group, topic string) { k.commit(group, topic, 1000) }},
		"topic made anew":    {purgelog.GapLost, func(k topics, _, topic string) { k.remove(topic); k.create(topic, 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testservers.Shared(t, "kafka")
			k, topic := kafkaOf(t, "KAFKA_A"), newName()
			k.create(topic, 1)
			b := newDC(t, "b", wanobjectcache.NewMemory(nil), nil)
			tc.damage(k, topic, topic)
			b.ahead.Store(int64(-2 * time.Hour))
			b.set("old", 1)
			b.ahead.Store(int64(30 * time.Second))
			b.set("newer", 2)
			applier := b.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}, purgelog.ApplierOptions{DC: "b", Group: topic})
			eventually(t, "a gap is told", func() bool { return len(applier.lost()) > 0 })
			eventually(t, "older values are absent", func() bool { return b.state(1) == wanobjectcache.Absent })
			if got := b.state(2); got != wanobjectcache.Fresh {
				t.Errorf("the newer value is %v, want it kept", got)
			}
			if g := applier.lost()[0]; g.Kind != tc.kind || g.DC != "a" || g.Until.IsZero() {
				t.Errorf("the gap is %+v, want %v", g, tc.kind)
			}
			eventually(t, "the gap is behind", func() bool { return k.committed(topic, topic) == 0 })
			applier.stop()
			again := b.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}, purgelog.ApplierOptions{DC: "b", Group: topic})
			again.caughtUp()
			if gaps := again.lost(); len(gaps) > 0 {
				t.Errorf("the gap is told again after its epoch was raised: %v", gaps)
			}
		})
	}
}

// Case Nd.
func TestServerDownDuringReplay(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	k, topic := kafkaOf(t, "KAFKA_A"), newName()
	k.create(topic, 1)
	a := newDC(t, "a", wanobjectcache.NewMemory(nil), newLog(t, "KAFKA_A", topic))
	store := newShards(3)
	b := newDC(t, "b", store, nil)
	ids := upTo(300)
	a.set("old", ids...)
	b.set("old", ids...)
	store.down(1, true)
	options := purgelog.ApplierOptions{DC: "b", Group: topic, FirstRun: true}
	sources := map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}
	applier := b.apply(sources, options)
	a.delete(ids...)
	var up, hit []int
	for _, id := range ids {
		if store.of(id) == 1 {
			hit = append(hit, id)
		} else {
			up = append(up, id)
		}
	}
	eventually(t, "the others are purged", func() bool { return b.fresh(up...) == 0 })
	eventually(t, "one server's are parked", func() bool { return applier.a.Explain(t.Context()).Sources[0].Parked == len(hit) })
	applier.stop()
	if at, first := k.committed(topic, topic), int64(hit[0]); at != first {
		t.Errorf("committed %d, want %d, the first that is parked", at, first)
	}
	options.FirstRun = false
	applier = b.apply(sources, options)
	store.down(1, false)
	applier.caughtUp()
	if n := b.fresh(ids...); n != 0 {
		t.Errorf("%d values are left", n)
	}
	if gaps := applier.lost(); len(gaps) > 0 {
		t.Errorf("gaps: %v", gaps)
	}
}

func TestBadMessagesAreSkipped(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	k, topic := kafkaOf(t, "KAFKA_A"), newName()
	k.create(topic, 1)
	log := newLog(t, "KAFKA_A", topic)
	a := newDC(t, "a", wanobjectcache.NewMemory(nil), log)
	a.delete(1)
	writer := &kafka.Writer{Addr: k.client.Addr, Topic: topic, BatchTimeout: time.Millisecond, Transport: k.client.Transport}
	must(t, writer.WriteMessages(t.Context(), kafka.Message{Value: []byte(`{"v":2}`)}, kafka.Message{Value: []byte("?")}))
	must(t, writer.Close())
	a.delete(2)
	b := newDC(t, "b", wanobjectcache.NewMemory(nil), nil)
	b.set("old", 1, 2)
	applier := b.apply(map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}, purgelog.ApplierOptions{DC: "b", Group: topic, FirstRun: true})
	applier.caughtUp()
	if n := b.fresh(1, 2); n != 0 {
		t.Errorf("%d values are left", n)
	}
	applier.stop()
	if len(applier.bad) != 2 || applier.bad[0].Offset != 1 || applier.bad[1].Offset != 2 || applier.bad[0].DC != "a" {
		t.Errorf("bad messages: %+v", applier.bad)
	}
}

func TestMissingTopicIsNamed(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	topic := newName()
	log := newLog(t, "KAFKA_A", topic)
	a := newDC(t, "a", wanobjectcache.NewMemory(nil), log)
	_, err := a.group.Delete(t.Context(), 1)
	if !errors.Is(err, wanobjectcache.ErrNotLogged) || !errors.Is(err, wanobjectcache.ErrUnavailable) || !strings.Contains(err.Error(), topic) {
		t.Errorf("Delete = %v, want ErrNotLogged that names %s", err, topic)
	}
	kafkaOf(t, "KAFKA_A").create(topic, 1)
	eventually(t, "the new topic is used", func() bool {
		_, err := a.group.Delete(t.Context(), 1)
		return err == nil
	})
	must(t, log.Close(t.Context()))
	if err := log.Append(t.Context(), nil); !errors.Is(err, wanobjectcache.ErrClosed) {
		t.Errorf("Append after Close = %v", err)
	}
}

func TestBrokersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	purges := []wanobjectcache.Purge{{Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:1|#|v", Time: time.Now(), Holdoff: time.Second, Origin: "a"}}
	log, err := purgelog.NewLog([]string{"127.0.0.1:1"}, &purgelog.LogOptions{DC: "a"})
	must(t, err)
	err = log.Append(t.Context(), purges)
	if !errors.Is(err, wanobjectcache.ErrUnavailable) && !errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
		t.Errorf("Append = %v, want unavailable", err)
	}
	must(t, log.Close(t.Context()))
}

// Traffic is encrypted or none: the broker speaks plaintext.
func TestTLSIsNotLeftOut(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	topic := newName()
	kafkaOf(t, "KAFKA_A").create(topic, 1)
	log, err := purgelog.NewLog(testservers.Vars(t, "KAFKA_A"), &purgelog.LogOptions{DC: "a", Topic: topic, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	must(t, err)
	purges := []wanobjectcache.Purge{{Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:1|#|v", Time: time.Now(), Holdoff: time.Second, Origin: "a"}}
	if err := log.Append(t.Context(), purges); err == nil {
		t.Error("a purge was logged in plaintext")
	}
	must(t, log.Close(t.Context()))
}
