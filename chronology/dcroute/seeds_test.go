package dcroute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
)

// Section 7: whatever connections suffer, and however late the routers hear of a new primary, a POST is executed once at
// most, and nowhere but at the primary by the newest state of sender and receiver; and its answer does not lie.
func TestPostsUnderFaultsSeeds(t *testing.T) {
	for what, keys := range map[string][2]string{"keys right": {"k", "k"}, "keys wrong": {"k", "l"}} {
		t.Run(what, func(t *testing.T) {
			sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
				f := newFaulty(t, w, keys)
				defer f.close()
				for i := range 25 {
					f.post(i)
					if f.dice.IntN(4) == 0 {
						f.movePrimary()
					}
					f.hearOfIt()
				}
			})
		})
	}
}

// faulty is two DCs with a bad network between them.
type faulty struct {
	t      *testing.T
	dice   *rand.Rand
	right  bool // the keys
	newest State
	dcs    map[string]*faultyDC

	mu       sync.Mutex
	executed map[string][]string // DCs by request
	forwards map[string]int      // first attempts, by the DC that sends
}

type faultyDC struct {
	dc     string
	state  *Memory
	router *Router
	wire   *wire
	server *http.Server
	ended  chan struct{}
}

// reading is a state that is refreshed from the newest.
type reading struct {
	*Memory

	f *faulty
}

func (r *reading) Refresh(context.Context) error {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.f.dice.IntN(3) == 0 {
		return errors.New("the state store is down")
	}
	moveTo(r.Memory, r.f.newest.Primary, r.f.newest.Epoch)
	return nil
}

func newFaulty(t *testing.T, w *sim.World, keys [2]string) *faulty {
	t.Helper()
	f := &faulty{t: t, dice: w.Rand("faults"), right: keys[0] == keys[1], newest: State{Primary: "a", Epoch: 1}, dcs: map[string]*faultyDC{},
		executed: map[string][]string{}, forwards: map[string]int{}}
	for i, dc := range []string{"a", "b"} {
		d := &faultyDC{dc: dc, state: NewMemory("a"), wire: &wire{f: f, conns: make(chan net.Conn), closed: make(chan struct{})}, ended: make(chan struct{})}
		f.dcs[dc] = d
		var err error
		d.router, err = New(&reading{d.state, f}, &Options{
			DC: dc, HopKeys: [][]byte{[]byte(strings.Repeat(keys[i], 32))}, Upstreams: map[string]Upstream{"ba"[i : i+1]: {Addrs: []string{"http://x.example:1", "http://y.example:1"}[:1+f.dice.IntN(2)], AllowPlaintext: true}},
			Events: Events{OnForward: func(_ context.Context, i ForwardInfo) { f.noteForward(dc, i) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		d.server = &http.Server{Handler: d.router.Middleware(d.run(f)), ErrorLog: quietLog()}
		go func() {
			defer close(d.ended)
			_ = d.server.Serve(d.wire)
		}()
	}
	for _, d := range f.dcs {
		for other, up := range d.router.upstreams {
			for _, t := range []*http.Transport{up.transport, up.spliced} {
				t.DialContext = f.dcs[other].wire.dial
			}
		}
	}
	return f
}

func (f *faulty) close() {
	for _, d := range f.dcs {
		_ = d.server.Close()
		<-d.ended
		for _, up := range d.router.upstreams {
			up.transport.CloseIdleConnections()
			up.spliced.CloseIdleConnections()
		}
	}
}

func (f *faulty) noteForward(from string, i ForwardInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.Attempt == 1 && i.Sent {
		f.forwards[from]++
	}
}

// run is the application of a DC.
func (d *faultyDC) run(f *faulty) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // an application does not act on half a form
		}
		f.mu.Lock()
		f.executed[r.URL.Path] = append(f.executed[r.URL.Path], d.dc)
		slow, aborts := time.Duration(0), f.dice.IntN(8) == 0
		if f.dice.IntN(8) == 0 {
			slow = time.Duration(25+f.dice.IntN(15)) * time.Second
		}
		f.mu.Unlock()
		time.Sleep(slow)
		if aborts {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte("done"))
	}
}

// post sends one to either DC.
func (f *faulty) post(i int) {
	entry := f.dcs[[]string{"a", "b"}[f.dice.IntN(2)]]
	path := fmt.Sprintf("/%d", i)
	var body io.Reader
	if f.dice.IntN(2) == 0 {
		body = strings.NewReader("some text")
	}
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, "http://entry.example"+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	clear(f.forwards)
	f.mu.Unlock()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: entry.wire.quietly}}
	before := map[string]State{}
	for dc, d := range f.dcs {
		p, epoch, _ := d.state.Primary(f.t.Context())
		before[dc] = State{Primary: p, Epoch: epoch}
	}
	res, err := client.Do(r)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	time.Sleep(time.Minute) // what is slow has ended
	f.judge(path, entry.dc, res, err, before)
}

func (f *faulty) judge(path, entry string, res *http.Response, err error, before map[string]State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ran := f.executed[path]
	if len(ran) > 1 {
		f.t.Errorf("%s was executed %d times: %v", path, len(ran), ran)
	}
	for _, dc := range ran {
		// Refreshes come before the execution, so the states of now are those of then.
		newest := State{}
		for _, at := range []string{entry, dc} {
			if p, epoch, _ := f.dcs[at].state.Primary(f.t.Context()); epoch > newest.Epoch {
				newest = State{Primary: p, Epoch: epoch}
			}
		}
		if newest.Primary != dc {
			f.t.Errorf("%s entered in %s and was executed in %s, but the primary is %s; before %v", path, entry, dc, newest.Primary, before)
		}
	}
	if err == nil {
		switch res.StatusCode {
		case http.StatusOK:
			if len(ran) != 1 {
				f.t.Errorf("%s: 200, executed %d times", path, len(ran))
			}
		case http.StatusServiceUnavailable, http.StatusLoopDetected, http.StatusMisdirectedRequest:
			if len(ran) != 0 {
				f.t.Errorf("%s: %d, but it was executed in %v", path, res.StatusCode, ran)
			}
		case http.StatusBadGateway, http.StatusGatewayTimeout:
			if res.Header.Get("X-DC-Outcome") != "unknown" {
				f.t.Errorf("%s: %d without an outcome", path, res.StatusCode)
			}
		default:
			f.t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	most := map[bool]int{true: 0, false: 2}[f.right]
	for from, n := range f.forwards {
		if from != entry && n > most {
			f.t.Errorf("%s entered in %s and was forwarded %d times by %s", path, entry, n, from)
		}
	}
}

// movePrimary changes the newest state; nobody hears of it yet.
func (f *faulty) movePrimary() {
	f.newest.Epoch++
	f.newest.Primary = map[string]string{"a": "b", "b": "a"}[f.newest.Primary]
}

func (f *faulty) hearOfIt() {
	for _, dc := range []string{"a", "b"} {
		if f.dice.IntN(3) == 0 {
			moveTo(f.dcs[dc].state, f.newest.Primary, f.newest.Epoch)
		}
	}
}

// wire is a DC's listener, and the way to it.
type wire struct {
	f      *faulty
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error   { w.once.Do(func() { close(w.closed) }); return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// quietly is a client's way: without faults.
func (w *wire) quietly(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-w.closed:
	case <-ctx.Done():
	}
	_ = theirs.Close()
	return nil, syscall.ECONNREFUSED
}

// dial is a router's way.
func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.f.mu.Lock()
	refused, breaks := w.f.dice.IntN(4) == 0, 1+w.f.dice.IntN(30)
	w.f.mu.Unlock()
	if refused {
		return nil, syscall.ECONNREFUSED
	}
	c, err := w.quietly(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &fragile{Conn: c, left: breaks}, nil
}

// fragile breaks after so many reads and writes.
type fragile struct {
	net.Conn

	mu   sync.Mutex
	left int
}

func (c *fragile) breaks() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	return c.left <= 0
}

func (c *fragile) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.breaks() {
		_ = c.Close()
		return 0, syscall.ECONNRESET
	}
	return n, err
}

func (c *fragile) Write(b []byte) (int, error) {
	if c.breaks() {
		_ = c.Close()
		return 0, syscall.ECONNRESET
	}
	return c.Conn.Write(b)
}
