package kafkalog

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testservers"
)

func TestFollowsAndCommits(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a", "b", "c")
	r := b.run(b.options())
	messages, p := r.values("a", "b", "c")
	b.write("d")
	more, _ := r.values("d")
	p.Done(messages[0].Seq)
	p.Done(messages[2].Seq)
	p.Done(more[0].Seq)
	if n, err := r.f.Behind(t.Context()); n != 1 || err != nil {
		t.Errorf("behind by %d, %v, want the one that is not finished", n, err)
	}
	r.stop()
	if got := b.committed(); got != 1 {
		t.Errorf("committed %d, want 1: b is not finished", got)
	}

	r = b.run(b.options())
	messages, p = r.values("b", "c", "d")
	for _, m := range messages {
		p.Done(m.Seq)
	}
	r.stop()
	if got := b.committed(); got != 4 {
		t.Errorf("committed %d, want 4", got)
	}
	if _, err := r.f.Behind(t.Context()); err == nil {
		t.Error("how far behind is known without Run")
	}
}

func TestRetentionIsAGap(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a", "b", "c", "d")
	b.commit(1)
	b.cut(3)
	r := b.run(b.options())
	g := r.gap(Retention, 1, 3)
	messages, p := r.values("d")
	if !g.Until.Equal(messages[0].Time) {
		t.Errorf("the gap ends %v, want the time of the first message after it, %v", g.Until, messages[0].Time)
	}
	p.Done(messages[0].Seq)
	r.stop()
	if got := b.committed(); got != 1 {
		t.Fatalf("committed %d beyond a gap that is not finished", got)
	}

	r = b.run(b.options())
	g = r.gap(Retention, 1, 3)
	messages, p = r.values("d")
	p.Done(g.Seq)
	p.Done(messages[0].Seq)
	r.stop()
	if got := b.committed(); got != 4 {
		t.Errorf("committed %d, want 4", got)
	}
}

func TestGapWithNothingAfterIt(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a", "b")
	b.commit(0)
	b.cut(2)
	began := time.Now()
	if g := b.run(b.options()).gap(Retention, 0, 2); g.Until.Before(began) || g.Until.After(time.Now()) {
		t.Errorf("the gap ends %v, want now", g.Until)
	}
}

// The position runs out of the log while it is followed: kafka-go's Reader would jump.
func TestRetentionWhileFollowing(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a")
	goOn := make(chan struct{})
	r := b.run(b.options(), func() { <-goOn })
	r.values("a")
	b.write("b", "c", "d")
	b.cut(3)
	close(goOn)
	g := r.gap(Retention, 1, 3)
	if messages, _ := r.values("d"); !g.Until.Equal(messages[0].Time) {
		t.Errorf("the gap ends %v, want the time of the first message after it, %v", g.Until, messages[0].Time)
	}
}

func TestPositionBeyondTheEnd(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a", "b")
	b.commit(1000)
	r := b.run(b.options())
	r.gap(Recreated, 1000, 0)
	r.values("a", "b")
}

func TestTopicMadeAnewWhileFollowing(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a", "b", "c")
	r := b.run(b.options())
	r.values("a", "b", "c")
	b.remove()
	b.createAgain()
	b.write("d")
	if g := r.next().Gap; g == nil || g.Kind != Lost && g.Kind != Recreated {
		t.Fatalf("got %v, want a gap", g)
	}
	r.values("d")
}

func TestNoPosition(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a", "b")
	o := b.options()
	o.FirstRun, o.StartWindow = false, time.Minute
	began := time.Now()
	g := b.run(o).gap(Lost, -1, 0)
	if g.Until.Before(began.Add(-time.Minute)) || g.Until.After(time.Now().Add(-time.Minute)) {
		t.Errorf("the gap ends %v, want the start of the window", g.Until)
	}
}

func TestFirstRunHasAPositionAtOnce(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	r := b.run(b.options())
	r.caughtUp()
	r.stop()
	if got := b.committed(); got != 0 {
		t.Errorf("committed %d, want 0: the next start would be a gap", got)
	}
}

// caughtUp waits until the follower knows that there is nothing to do.
func (r *running) caughtUp() {
	r.t.Helper()
	eventually(r.t, "all is handed out", func() bool {
		n, err := r.f.Behind(r.t.Context())
		return n == 0 && err == nil
	})
}

func TestMissingTopic(t *testing.T) {
	t.Parallel()
	b := brokerWithoutTopic(t)
	r := b.run(b.options())
	eventually(t, "an error about the missing topic", func() bool {
		err := r.f.lastError()
		return err != nil && strings.Contains(err.Error(), b.topic)
	})
	if _, err := r.f.Behind(t.Context()); err == nil {
		t.Error("how far behind is known without a topic")
	}
	b.create()
	b.write("a")
	r.values("a")
}

func TestPartitionsAreSharedOut(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a")
	one := b.run(b.options())
	messages, p := one.values("a")
	p.Done(messages[0].Seq)
	two := b.run(b.options())
	one.stop()
	b.write("b")
	two.values("b")
}

// Traffic is encrypted or none: the broker speaks plaintext.
func TestTLSIsNotLeftOut(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	o := b.options()
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	r := b.run(o)
	eventually(t, "an error", func() bool { return r.f.lastError() != nil })
	if n, err := r.f.Behind(within(t, time.Second)); err == nil {
		t.Errorf("behind by %d, want an error", n)
	}
}

// A cut that closes nothing: Run ends all the same.
func TestEndsBehindABlackHole(t *testing.T) {
	testservers.Exclusive(t, "kafka")
	b := brokerAt(t, testservers.Var(t, "KAFKA_A"))
	b.create()
	b.write("a")
	o := b.options()
	o.Brokers = testservers.Vars(t, "KAFKA_A_VIA_B")
	r := b.run(o)
	r.values("a")
	link := testservers.Control(t).Between("a", "b", "kafka")
	link.BlackHole()
	t.Cleanup(link.Heal)
	eventually(t, "not knowing", func() bool {
		_, err := r.f.Behind(within(t, time.Second))
		return err != nil
	})
	r.stop()
}

func TestGoesOnAfterACut(t *testing.T) {
	testservers.Exclusive(t, "kafka")
	b := brokerAt(t, testservers.Var(t, "KAFKA_A"))
	b.create()
	b.write("a")
	o := b.options()
	o.Brokers = testservers.Vars(t, "KAFKA_A_VIA_B")
	r := b.run(o)
	messages, p := r.values("a")
	p.Done(messages[0].Seq)
	link := testservers.Control(t).Between("a", "b", "kafka")
	link.Cut()
	t.Cleanup(link.Heal)
	b.write("b", "c")
	eventually(t, "an error", func() bool { return r.f.lastError() != nil })
	link.Heal()
	var got []byte
	for !strings.HasSuffix(string(got), "bc") { // a again if it was not committed in time
		h := r.next()
		if h.Gap != nil {
			t.Fatalf("got %v", h.Gap)
		}
		for _, m := range h.Messages {
			got = append(got, m.Value...)
		}
	}
	if string(got) != "bc" && string(got) != "abc" {
		t.Errorf("got %q", got)
	}
}

// The marker of a transaction has an offset and is no message: neither a gap nor something to wait for.
func TestTransactionMarkersAreNoGap(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.write("a")
	b.marker()
	b.write("b")
	b.marker()
	r := b.run(b.options())
	messages, p := r.values("a", "b")
	for _, m := range messages {
		p.Done(m.Seq)
	}
	r.caughtUp()
	r.stop()
	if got := b.committed(); got != 4 {
		t.Errorf("committed %d, want 4: beyond the last marker", got)
	}
}
