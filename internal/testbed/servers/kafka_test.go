package servers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/multidc/multidc/internal/testservers"
)

// within is a context for a step that must end.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func kafkaClient(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{DialTimeout: 2 * time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: 10 * time.Second}
}

// topic makes a topic of one partition of the test's own, through whichever address.
func topic(t *testing.T, addr string) string {
	t.Helper()
	name := fmt.Sprintf("testbed.%d.%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "."))
	answer, err := kafkaClient(t, addr).CreateTopics(within(t, 20*time.Second), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}},
	})
	if err == nil {
		err = answer.Errors[name]
	}
	if err != nil {
		t.Fatalf("create topic at %s: %v", addr, err)
	}
	return name
}

func produce(t *testing.T, addr, topic string, values ...string) {
	t.Helper()
	w := &kafka.Writer{
		Addr: kafka.TCP(addr), Topic: topic, RequiredAcks: kafka.RequireAll, Compression: kafka.Zstd,
		Balancer: kafka.Murmur2Balancer{}, BatchTimeout: time.Millisecond, Transport: &kafka.Transport{},
	}
	defer func() {
		_ = w.Close()
		w.Transport.(*kafka.Transport).CloseIdleConnections()
	}()
	for _, v := range values {
		message := kafka.Message{Value: []byte(v), Headers: []kafka.Header{{Key: "dc", Value: []byte("a")}}}
		if err := w.WriteMessages(within(t, 20*time.Second), message); err != nil {
			t.Fatalf("produce %s at %s: %v", v, addr, err)
		}
	}
}

// consumer joins a group.
func consumer(t *testing.T, addr, topic, group string) *kafka.Reader {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{addr}, Topic: topic, GroupID: group, StartOffset: kafka.FirstOffset,
		MaxWait: 100 * time.Millisecond, SessionTimeout: 6 * time.Second, HeartbeatInterval: time.Second,
		JoinGroupBackoff: 100 * time.Millisecond, ReadBackoffMin: 10 * time.Millisecond,
		Logger: log.New(io.Discard, "", 0), ErrorLogger: log.New(io.Discard, "", 0),
	})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func consume(t *testing.T, r *kafka.Reader, want ...string) {
	t.Helper()
	var got []string
	for range want {
		m, err := r.ReadMessage(within(t, 60*time.Second)) // commits
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, string(m.Value))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("consumed %q, want %q", got, want)
	}
}

func TestKafkaThroughBothListeners(t *testing.T) {
	testservers.Shared(t, "kafka")
	for _, dc := range []struct{ local, link string }{{"KAFKA_A", "KAFKA_A_VIA_B"}, {"KAFKA_B", "KAFKA_B_VIA_A"}} {
		local, link := testservers.Var(t, dc.local), testservers.Var(t, dc.link)
		t.Run(dc.local, func(t *testing.T) {
			name := topic(t, link)
			produce(t, local, name, "one")
			produce(t, link, name, "two")
			group := "testbed." + name
			r := consumer(t, link, name, group)
			consume(t, r, "one", "two")
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			produce(t, local, name, "three")
			consume(t, consumer(t, local, name, group), "three") // the group knows where it was
			client := kafkaClient(t, local)
			first, err := client.ListOffsets(within(t, 10*time.Second), &kafka.ListOffsetsRequest{
				Topics: map[string][]kafka.OffsetRequest{name: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}},
			})
			if err != nil || first.Topics[name][0].FirstOffset != 0 || first.Topics[name][0].LastOffset != 3 {
				t.Errorf("offsets %+v, %v, want 0 to 3", first, err)
			}
		})
	}
}

// A consumer in b reads a's broker. Whatever address it bootstraps with, a cut leaves it without a way around.
func TestACutPartsAConsumerFromItsBroker(t *testing.T) {
	testservers.Exclusive(t, "kafka")
	local, link := testservers.Var(t, "KAFKA_A"), testservers.Var(t, "KAFKA_A_VIA_B")
	links := testservers.Control(t).Between("a", "b", "kafka")
	t.Cleanup(links.Heal)
	name := topic(t, local)
	r := consumer(t, link, name, "testbed."+name)
	produce(t, local, name, "before")
	consume(t, r, "before")
	links.Cut()
	produce(t, local, name, "during") // a's own clients notice nothing
	if m, err := r.ReadMessage(within(t, 2*time.Second)); err == nil {
		t.Errorf("through the cut came %q", m.Value)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := kafkaClient(t, link).Metadata(within(t, 5*time.Second), &kafka.MetadataRequest{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("metadata through the cut: %v, want a refused connection", err)
	}
	links.Heal()
	produce(t, local, name, "after")
	consume(t, consumer(t, link, name, "testbed."+name), "during", "after")
}

func TestKafkaKeepsItsDataOverAKill(t *testing.T) {
	testservers.Exclusive(t, "kafka")
	local := testservers.Var(t, "KAFKA_B")
	server := testservers.Control(t).Server("kafka-b")
	name := topic(t, local)
	produce(t, local, name, "kept")
	server.Stop()
	if _, err := kafkaClient(t, local).Metadata(within(t, 5*time.Second), &kafka.MetadataRequest{}); err == nil {
		t.Error("a stopped broker answers")
	}
	server.Start()
	server.Pause()
	if _, err := kafkaClient(t, local).Metadata(within(t, 500*time.Millisecond), &kafka.MetadataRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused broker: %v, want no answer", err)
	}
	server.Resume()
	consume(t, consumer(t, local, name, "testbed."+name), "kept")
}
