package servers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// kafkaVersions are what the test bed has been tried with; the first is the default.
var kafkaVersions = []string{"3.9.1", "4.1.0"}

func kafkaVersion(asked string) (string, error) {
	for _, version := range kafkaVersions {
		if strings.HasPrefix(version, asked) {
			return version, nil
		}
	}
	return "", fmt.Errorf("there is no Kafka %s here: there are %s", asked, strings.Join(kafkaVersions, ", "))
}

func kafkaKind(version string) bed.Kind {
	return bed.Kind{
		Name:     "kafka",
		Programs: javaPrograms,
		Image:    "apache/kafka:" + version,
		MemoryMB: 2 * 350,
		Start: func(ctx context.Context, set *bed.Set, options json.RawMessage) error {
			return startKafka(ctx, set, version, options)
		},
	}
}

// kafkaBroker is one DC's broker: a KRaft cluster of one. Clients of its own DC use the listener LOCAL. Those of the
// other use LINK, which is advertised at the link: whoever bootstraps through the link is sent to the link for
// everything else too, so that a cut really cuts.
type kafkaBroker struct {
	set             *bed.Set
	name, dc        string
	java, classpath string
	local, inner    string // addresses: of LOCAL, and where LINK listens behind the link
	link            string // the link's address
	controller      string
	proven          bool // a group has joined once
}

func startKafka(ctx context.Context, set *bed.Set, version string, options json.RawMessage) error {
	if err := decode(options, &struct{}{}); err != nil {
		return err
	}
	program, lib, err := javaServer(ctx, set, "kafka", version, "/opt/kafka/libs")
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, dc := range bed.DCs {
		k := &kafkaBroker{set: set, name: "kafka-" + dc, dc: dc, java: program, classpath: filepath.Join(lib, "*")}
		if err := k.takeAddrs(); err != nil {
			return err
		}
		all.Go(func() error { return k.start(ctx) })
	}
	return all.Wait()
}

func (k *kafkaBroker) takeAddrs() (err error) {
	for _, addr := range []*string{&k.local, &k.inner, &k.controller} {
		if *addr, err = k.set.Addr(); err != nil {
			return err
		}
	}
	from := others(k.dc)[0]
	if k.link, err = k.set.Link(k.name, k.dc, from, k.inner); err != nil {
		return err
	}
	exportAddrs(k.set, "KAFKA_", k.dc, []string{k.local}, map[string][]string{from: {k.link}})
	return nil
}

func (k *kafkaBroker) start(ctx context.Context) error {
	if err := os.WriteFile(k.conf(), []byte(k.config()), 0o600); err != nil {
		return err
	}
	format := k.command("kafka.tools.StorageTool", "format", "-t", clusterID(), "-c", k.conf())
	if err := k.set.Bed.RunToEnd(ctx, format); err != nil {
		return fmt.Errorf("%s: format its directory: %w", k.name, err)
	}
	return k.set.Start(ctx, bed.Spec{
		Name: k.name, DC: k.dc, Addr: k.local,
		Start: func() (bed.Process, error) { return k.set.Run(k.command("kafka.Kafka", k.conf())) },
		Ready: k.ready,
	})
}

// clusterID is a random cluster id as Kafka writes it: 16 bytes, base64url. The
// first bit is 0, because an id that begins with "-" is an option to
// StorageTool; Kafka's own random-uuid leaves those out too.
func clusterID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id)
}

func (k *kafkaBroker) conf() string { return k.set.Path(k.name + ".properties") }

func (k *kafkaBroker) command(class string, args ...string) bed.Command {
	return bed.Command{
		Kind: "kafka", Program: k.java, Log: k.set.Path(k.name + ".log"),
		Args: append(append(smallJVM("384m"), "-cp", k.classpath, class), args...),
	}
}

func (k *kafkaBroker) config() string {
	_, port, _ := net.SplitHostPort(k.controller)
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@127.0.0.1:" + port,
		"controller.listener.names=CONTROLLER",
		"listeners=LOCAL://" + k.local + ",LINK://" + k.inner + ",CONTROLLER://" + k.controller,
		"advertised.listeners=LOCAL://" + k.local + ",LINK://" + k.link,
		"listener.security.protocol.map=LOCAL:PLAINTEXT,LINK:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=LOCAL",
		"log.dirs=" + k.set.Path(k.name),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
		"log.cleaner.dedupe.buffer.size=8388608",
	}, "\n") + "\n"
}

// ready asks through both listeners, and the first time has a group join, which creates the topic of the offsets: a
// test's first consumer would otherwise wait seconds for it. Started again the link may be cut on purpose.
func (k *kafkaBroker) ready(ctx context.Context) error {
	if err := askKafka(ctx, k.local); err != nil || k.proven {
		return err
	}
	if err := askKafka(ctx, k.link); err != nil {
		return err
	}
	if err := joinKafka(ctx, k.local); err != nil {
		return err
	}
	k.proven = true
	return nil
}

// askKafka asks for the metadata and demands that the broker sends us to the address at which we asked.
func askKafka(ctx context.Context, addr string) error {
	return withKafka(addr, func(client *kafka.Client) error {
		answer, err := client.Metadata(ctx, &kafka.MetadataRequest{})
		if err != nil {
			return err
		}
		if len(answer.Brokers) != 1 {
			return fmt.Errorf("the broker at %s knows %d brokers, not 1", addr, len(answer.Brokers))
		}
		if said := net.JoinHostPort(answer.Brokers[0].Host, strconv.Itoa(answer.Brokers[0].Port)); said != addr {
			return fmt.Errorf("the broker at %s is advertised at %s", addr, said)
		}
		return nil
	})
}

func joinKafka(ctx context.Context, addr string) error {
	const group = "testbed.ready"
	return withKafka(addr, func(client *kafka.Client) error {
		request := &kafka.JoinGroupRequest{
			GroupID: group, ProtocolType: "consumer", SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second,
			Protocols: []kafka.GroupProtocol{{Name: "range", Metadata: kafka.GroupProtocolSubscription{}}},
		}
		answer, err := client.JoinGroup(ctx, request)
		if err == nil && errors.Is(answer.Error, kafka.MemberIDRequired) {
			request.MemberID = answer.MemberID
			answer, err = client.JoinGroup(ctx, request)
		}
		if err != nil {
			return err
		}
		if answer.Error != nil {
			return fmt.Errorf("no group can join: %w", answer.Error)
		}
		_, err = client.LeaveGroup(ctx, &kafka.LeaveGroupRequest{GroupID: group, Members: []kafka.LeaveGroupRequestMember{{ID: answer.MemberID}}})
		return err
	})
}

func withKafka(addr string, do func(*kafka.Client) error) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	return do(&kafka.Client{Addr: kafka.TCP(addr), Transport: transport})
}
