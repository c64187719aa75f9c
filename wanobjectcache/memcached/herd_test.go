package memcached

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
)

const (
	herdProcesses = 8
	herdCallers   = 1000 // in each of them
	herdHasty     = 100  // likewise, with a deadline
	herdDeadline  = 50 * time.Millisecond
	herdLoad      = 300 * time.Millisecond
	herdPatience  = 2 * time.Minute

	// lockHolds is for how long after the start nobody else may load: a lock lives for 10 s, less a tick of memcached's clock,
	// and a value that was loaded for more than 7 s is not kept.
	lockHolds = 6 * time.Second

	// herdVariable is set in the processes of a herd: to their order.
	herdVariable = "MULTIDC_TEST_HERD"
)

// Case G9: every goroutine of every process wants one cold key. One of them loads it, for all.
func TestRealHerd(t *testing.T) {
	whileTheLockHolds(t, func() (loads int, stored time.Duration) {
		h := newHerd(t, order{})
		began := time.Now()
		h.tell("go")
		h.await("done", herdProcesses)
		t.Logf("the herd took %.2f times the %v of its load", time.Since(began).Seconds()/herdLoad.Seconds(), herdLoad)
		return h.end()
	})
}

// Case G9: who has a deadline goes when it is over, also if it is another process that loads.
func TestRealHerdWithDeadlines(t *testing.T) {
	whileTheLockHolds(t, func() (loads int, stored time.Duration) {
		h := newHerd(t, order{Held: true})
		h.tell("go")
		h.await("loading", 1)
		h.tell("hasty")
		answers := together(h.await("hasty", herdProcesses)) // the load goes on
		want := fmt.Sprintf("wanobjectcache: get default:herd:%s: %v", h.order.Key, context.DeadlineExceeded)
		if len(answers) != 1 || answers[want] != herdProcesses*herdHasty {
			t.Errorf("the callers with a deadline got %v, want %d times %q", answers, herdProcesses*herdHasty, want)
		}
		h.tell("finish")
		return h.end()
	})
}

// whileTheLockHolds tries again what took a busy machine too long: a lock that has run out keeps nobody from loading.
func whileTheLockHolds(t *testing.T, try func() (loads int, stored time.Duration)) {
	t.Helper()
	for {
		loads, stored := try()
		switch {
		case loads == 1 || t.Failed():
			return
		case stored < lockHolds:
			t.Fatalf("%d loads, want one of all %d processes", loads, herdProcesses)
		}
		t.Logf("%d loads, but the first was stored after %v: its lock may have run out", loads, stored)
	}
}

// order is what the processes of a herd are started with.
type order struct {
	Key   string
	Addrs []string
	Held  bool // the load lasts until they are told that it is finished
}

// word is what one of them says.
type word struct {
	What    string         // ready, loading, hasty (those callers have gone), done, ended
	Answers map[string]int // what callers got, and how many of them
	Loads   int
	Stored  time.Duration // since the start, when its first load was
	failure error         // it has not ended well
}

// herd is the processes, as their test sees them. They end with it.
type herd struct {
	t     *testing.T
	order order
	ins   []io.Writer
	said  chan word
	heard map[string][]word
}

func newHerd(t *testing.T, o order) *herd {
	t.Helper()
	o.Key, o.Addrs = strconv.FormatInt(time.Now().UnixNano(), 36), testservers.Memcached(t).Vars("MEMCACHED_A")
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &herd{t: t, order: o, said: make(chan word), heard: map[string][]word{}}
	var running sync.WaitGroup
	t.Cleanup(running.Wait) // the test's context has ended then: they are killed
	for range herdProcesses {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), herdVariable+"="+string(text))
		h.start(&running, cmd)
	}
	h.await("ready", herdProcesses)
	return h
}

func (h *herd) start(running *sync.WaitGroup, cmd *exec.Cmd) {
	h.t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.ins = append(h.ins, in)
	running.Go(func() {
		words := json.NewDecoder(out)
		for {
			var w word
			if words.Decode(&w) != nil {
				break
			}
			h.hear(w)
		}
		end := word{What: "ended"}
		if err := cmd.Wait(); err != nil {
			end.failure = fmt.Errorf("a process of the herd: %w\n%s", err, &complaints)
		}
		h.hear(end)
	})
}

func (h *herd) hear(w word) {
	select {
	case h.said <- w:
	case <-h.t.Context().Done():
	}
}

// tell says something to all.
func (h *herd) tell(what string) {
	h.t.Helper()
	for _, in := range h.ins {
		if _, err := fmt.Fprintln(in, what); err != nil {
			h.t.Fatal(err)
		}
	}
}

// await returns what n of them say.
func (h *herd) await(what string, n int) []word {
	h.t.Helper()
	tooLate := time.After(herdPatience)
	for len(h.heard[what]) < n {
		select {
		case w := <-h.said:
			if w.failure != nil {
				h.t.Fatal(w.failure)
			}
			h.heard[w.What] = append(h.heard[w.What], w)
		case <-tooLate:
			h.t.Fatalf("after %v %d of %d processes are %s", herdPatience, len(h.heard[what]), n, what)
		}
	}
	return h.heard[what]
}

// end is when all have what they want. It returns how often that was loaded, and when the first time.
func (h *herd) end() (loads int, stored time.Duration) {
	h.t.Helper()
	done := h.await("done", herdProcesses)
	h.await("ended", herdProcesses)
	stored = herdPatience
	for _, w := range done {
		if loads += w.Loads; w.Loads > 0 {
			stored = min(stored, w.Stored)
		}
	}
	answers := together(done)
	if loads == 1 && (len(answers) != 1 || answers[loaded(h.order.Key)] != herdProcesses*herdCallers) {
		h.t.Errorf("the callers got %v, want %d times %q", answers, herdProcesses*herdCallers, loaded(h.order.Key))
	}
	return loads, stored
}

func together(words []word) map[string]int {
	all := map[string]int{}
	for _, w := range words {
		for answer, n := range w.Answers {
			all[answer] += n
		}
	}
	return all
}

// loaded is the value of a key.
func loaded(key string) string { return "the value of " + key }

// member is a process of a herd, seen from within.
type member struct {
	order  order
	told   map[string]chan struct{} // closed when it was
	values *wanobjectcache.Group[string, string]
	loads  atomic.Int32
	began  time.Time
	stored atomic.Int64

	mu  sync.Mutex
	out *json.Encoder
}

// joinHerd is the life of one. It ends with the test's, which holds the other end of its input.
func joinHerd(text string) (status int) {
	m := &member{out: json.NewEncoder(os.Stdout), told: map[string]chan struct{}{}}
	for _, what := range []string{"go", "hasty", "finish"} {
		m.told[what] = make(chan struct{})
	}
	go m.listen()
	before := goleak.IgnoreCurrent()
	err := json.Unmarshal([]byte(text), &m.order)
	if err == nil {
		err = m.live()
	}
	if err = errors.Join(err, goleak.Find(before)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (m *member) listen() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		close(m.told[lines.Text()])
	}
	fmt.Fprintln(os.Stderr, "the test has ended")
	os.Exit(1)
}

func (m *member) say(w word) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.out.Encode(w) // nobody listens: listen ends us
}

func (m *member) live() error {
	servers := map[string]string{}
	for i, addr := range m.order.Addrs {
		servers[fmt.Sprint("mc", i+1)] = addr
	}
	o := patient()
	store, err := New(servers, &o)
	if err != nil {
		return err
	}
	defer store.Close()
	cache, err := wanobjectcache.New(store, &wanobjectcache.Options{
		Freshness: wanobjectcache.Unreplicated, LockWait: herdPatience, Events: wanobjectcache.Events{OnFill: m.onFill},
	})
	if err != nil {
		return err
	}
	m.values, err = wanobjectcache.NewGroup(cache, "herd", &wanobjectcache.GroupOptions[string, string]{TTL: time.Hour, Load: m.load})
	if err != nil {
		return err
	}
	m.say(word{What: "ready"})
	<-m.told["go"]
	m.began = time.Now()
	var hasty sync.WaitGroup
	if m.order.Held {
		hasty.Go(func() {
			<-m.told["hasty"]
			m.say(word{What: "hasty", Answers: m.crowd(herdHasty, herdDeadline)})
		})
	}
	answers := m.crowd(herdCallers, herdPatience)
	hasty.Wait()
	m.say(word{What: "done", Answers: answers, Loads: int(m.loads.Load()), Stored: time.Duration(m.stored.Load())})
	return cache.Close(context.Background())
}

// crowd is n callers at once.
func (m *member) crowd(n int, deadline time.Duration) map[string]int {
	answers := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			answer, err := m.values.Get(ctx, m.order.Key)
			if err != nil {
				answer = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
		})
	}
	all.Wait()
	return answers
}

func (m *member) load(ctx context.Context, key string) (string, error) {
	m.loads.Add(1)
	m.say(word{What: "loading"})
	var finished <-chan time.Time
	if !m.order.Held {
		finished = time.After(herdLoad)
	}
	select {
	case <-finished:
	case <-m.told["finish"]:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return loaded(key), nil
}

func (m *member) onFill(context.Context, wanobjectcache.FillInfo) {
	m.stored.CompareAndSwap(0, int64(time.Since(m.began)))
}
