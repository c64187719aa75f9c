package purgelog_test

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
)

// BenchmarkAppend compares an Append of one purge with a raw write of the same message, same acks, same batch timeout, turn
// by turn: what else the machine does hits both. The figure is ratio: at most 1.2.
func BenchmarkAppend(b *testing.B) {
	testservers.Shared(b, "kafka")
	k, topic := kafkaOf(b, "KAFKA_A"), newName()
	k.create(topic, 1)
	log := newLog(b, "KAFKA_A", topic)
	raw := &kafka.Writer{
		Addr: k.client.Addr, Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond,
		Balancer: kafka.Murmur2Balancer{}, Transport: k.client.Transport,
	}
	b.Cleanup(func() { must(b, raw.Close()) })
	purges := []wanobjectcache.Purge{{Op: wanobjectcache.OpDelete, Key: "WANCache:default:user:42|#|v", Time: time.Now(), Holdoff: 11 * time.Second, Origin: "a"}}
	value := []byte(`{"v":1,"op":"delete","key":"WANCache:default:user:42|#|v","t":1549343530000000,"h":11000000,"dc":"a"}`)
	write := func() {
		must(b, raw.WriteMessages(b.Context(), kafka.Message{Key: []byte("default:user:42"), Value: value}))
	}
	appendOne := func() { must(b, log.Append(b.Context(), purges)) }
	write()
	appendOne()
	var ours, theirs time.Duration
	for b.Loop() {
		began := time.Now()
		write()
		between := time.Now()
		appendOne()
		theirs += between.Sub(began)
		ours += time.Since(between)
	}
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "µs/append")
}
