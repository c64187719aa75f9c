package purgelog

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/multidc/multidc/wanobjectcache"
)

// hung answers about itself, and takes what is produced without an answer.
type hung struct {
	produced atomic.Int64
	got      chan struct{} // nil, or told of the first that is produced
	conns    sync.Map
}

func (h *hung) serve(t *testing.T, l net.Listener) {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	number, _ := strconv.Atoi(port)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		h.conns.Store(c, true)
		go func() {
			for {
				version, id, _, m, err := protocol.ReadRequest(c)
				if err != nil {
					return
				}
				var answer protocol.Message
				switch m.ApiKey() {
				case protocol.ApiVersions:
					answer = &apiversions.Response{ApiKeys: []apiversions.ApiKeyResponse{
						{ApiKey: int16(protocol.Produce), MinVersion: 0, MaxVersion: 7}, {ApiKey: int16(protocol.Metadata), MinVersion: 0, MaxVersion: 6}, {ApiKey: int16(protocol.ApiVersions), MaxVersion: 0}}}
				case protocol.Metadata:
					answer = &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: host, Port: int32(number)}}, ControllerID: 1,
						Topics: []metadata.ResponseTopic{{Name: "a.cache-purge", Partitions: []metadata.ResponsePartition{{LeaderID: 1, ReplicaNodes: []int32{1}, IsrNodes: []int32{1}}}}}}
				case protocol.Produce:
					if h.produced.Add(1) == 1 && h.got != nil {
						close(h.got)
					}
					continue
				default:
					t.Logf("asked for %v", m.ApiKey())
					return
				}
				if err := protocol.WriteResponse(c, version, id, answer); err != nil {
					return
				}
			}
		}()
	}
}

// What nobody waits for any more takes little room, and no more than so many places.
func TestLogOfAHungBroker(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hung{}
	go h.serve(t, l)
	log := logTo(t, l)
	purges := []wanobjectcache.Purge{{
		Op: wanobjectcache.OpDelete, Key: "WANCache:default:user:42|#|v", Time: time.Now(), Holdoff: 11 * time.Second, Origin: "a",
	}}
	before := heap()
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() { _ = log.Append(context.Background(), purges) })
		time.Sleep(2 * batchTimeout) // a batch for each
	}
	all.Wait()
	if grown := heap() - before; grown > 20<<20 || h.produced.Load() == 0 {
		t.Errorf("300 Appends have returned, %d requests were sent, and the heap has grown by %d KiB", h.produced.Load(), grown>>10)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := log.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close, before all have an answer: %v", err)
	}
	h.hangUp(l)
	for range cap(log.places) { // nobody tries for long what was still to be written
		log.places <- struct{}{}
	}
}

func TestLogIsFull(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	log := logTo(t, l)
	for range mostWriting {
		log.places <- struct{}{}
	}
	if err := log.Append(t.Context(), nil); !errors.Is(err, wanobjectcache.ErrOverloaded) {
		t.Errorf("no place is left: %v, want ErrOverloaded", err)
	}
}

func logTo(t *testing.T, l net.Listener) *Log {
	t.Helper()
	log, err := NewLog([]string{l.Addr().String()}, &LogOptions{DC: "a", Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func (h *hung) hangUp(l net.Listener) {
	_ = l.Close()
	h.conns.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil })
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
