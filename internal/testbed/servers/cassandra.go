package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testbed/bed"
)

const (
	cassandraVersion = "5.0.5"
	cassandraPerDC   = 2
)

func cassandraKind() bed.Kind {
	return bed.Kind{
		Name:     "cassandra",
		Programs: javaPrograms,
		Image:    "cassandra:" + cassandraVersion,
		MemoryMB: len(bed.DCs) * cassandraPerDC * 750,
		Start:    startCassandra,
	}
}

// cassandraNode is one node of the one cluster over both DCs. Nodes of its DC talk to it at its own address
// (prefer_local), those of the other at its broadcast address, which is a link: a cut parts the DCs and nothing else.
type cassandraNode struct {
	set             *bed.Set
	name, dc        string
	java, classpath string
	host, public    string // own address, and the broadcast address
	storage, native string // ports
	token           int64
	seeds           []string // the broadcast addresses of all
	proven          bool     // the whole cluster has answered once
}

func startCassandra(ctx context.Context, set *bed.Set, options json.RawMessage) error {
	if err := decode(options, &struct{}{}); err != nil {
		return err
	}
	program, lib, err := javaServer(ctx, set, "cassandra", cassandraVersion, "/opt/cassandra/lib")
	if err != nil {
		return err
	}
	nodes, err := cassandraNodes(set, program, filepath.Join(lib, "*"))
	if err != nil {
		return err
	}
	all, groupCtx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		all.Go(func() error { return n.start(groupCtx) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if err := proveCassandra(ctx, nodes); err != nil {
		return fmt.Errorf("cassandra: %w", err)
	}
	return nil
}

// cassandraNodes gives each node an address of its own: the nodes of a cluster share their ports.
func cassandraNodes(set *bed.Set, program, classpath string) ([]*cassandraNode, error) {
	var ports [2]string
	for i := range ports {
		addr, err := set.Addr()
		if err != nil {
			return nil, err
		}
		_, ports[i], _ = net.SplitHostPort(addr)
	}
	var nodes []*cassandraNode
	var seeds []string
	for i, dc := range bed.DCs {
		for n := range cassandraPerDC {
			node := &cassandraNode{
				set: set, name: fmt.Sprintf("cassandra-%s-%d", dc, n+1), dc: dc, java: program, classpath: classpath,
				host: fmt.Sprintf("127.0.%d.%d", i+1, n+11), public: fmt.Sprintf("127.0.%d.%d", i+101, n+11),
				storage: ports[0], native: ports[1],
				// Spread over the ring within each DC, and no two the same.
				token: int64(n)*(1<<62) + int64(i)*1000,
			}
			nodes = append(nodes, node)
			seeds = append(seeds, node.public)
		}
	}
	for _, n := range nodes {
		n.seeds = seeds
	}
	return nodes, linkCassandra(set, nodes)
}

// linkCassandra opens two links for each node: for the nodes of the other DC, and for its clients.
func linkCassandra(set *bed.Set, nodes []*cassandraNode) error {
	for _, dc := range bed.DCs {
		from := others(dc)[0]
		var addrs, links []string
		for _, n := range nodes {
			if n.dc != dc {
				continue
			}
			if err := set.LinkAt(n.name+"-nodes", dc, from, net.JoinHostPort(n.public, n.storage), net.JoinHostPort(n.host, n.storage)); err != nil {
				return err
			}
			link, err := set.Link(n.name, dc, from, n.addr())
			if err != nil {
				return err
			}
			addrs, links = append(addrs, n.addr()), append(links, link)
		}
		exportAddrs(set, "CASSANDRA_", dc, addrs, map[string][]string{from: links})
	}
	return nil
}

func (n *cassandraNode) addr() string { return net.JoinHostPort(n.host, n.native) }

func (n *cassandraNode) start(ctx context.Context) error {
	files := map[string]string{
		"cassandra.yaml":              n.config(),
		"cassandra-rackdc.properties": "dc=" + n.dc + "\nrack=r1\nprefer_local=true\n",
		"logback.xml":                 cassandraLogging,
	}
	if err := os.MkdirAll(n.path("conf"), 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(n.path("conf/"+name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return n.set.Start(ctx, bed.Spec{Name: n.name, DC: n.dc, Addr: n.addr(), Start: n.run, Ready: n.ready})
}

func (n *cassandraNode) path(name string) string { return n.set.Path(n.name + "/" + name) }

// What Cassandra 5 needs of a Java that guards its insides.
const (
	cassandraExports = "java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry " +
		"java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp java.sql/java.sql java.base/java.lang.ref java.base/sun.nio.ch " +
		"jdk.unsupported/sun.misc"
	cassandraOpens = "java.lang.module java.net jdk.internal.loader jdk.internal.ref jdk.internal.reflect jdk.internal.math " +
		"jdk.internal.module jdk.internal.util.jar sun.nio.ch java.io java.nio java.util java.util.concurrent " +
		"java.util.concurrent.atomic java.lang jdk.internal.misc java.lang.ref"
)

func (n *cassandraNode) run() (bed.Process, error) {
	args := append(smallJVM("384m"), "-Xmn96m", "-Djdk.attach.allowAttachSelf=true")
	for export := range strings.FieldsSeq(cassandraExports) {
		args = append(args, "--add-exports="+export+"=ALL-UNNAMED")
	}
	for open := range strings.FieldsSeq(cassandraOpens) {
		args = append(args, "--add-opens=java.base/"+open+"=ALL-UNNAMED")
	}
	args = append(args, "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
		"-Dcassandra.config=file://"+n.path("conf/cassandra.yaml"),
		"-Dcassandra.storagedir="+n.path(""),
		"-Dlogback.configurationFile="+n.path("conf/logback.xml"),
		"-Dcassandra.ring_delay_ms=5000",
		"-Dcassandra.skip_wait_for_gossip_to_settle=0",
		// Who missed a change of the schema would ask for it after a minute only.
		"-Dcassandra.migration_delay_ms=1000",
		"-Djava.io.tmpdir="+n.path(""),
		"-cp", n.path("conf")+":"+n.classpath,
		"org.apache.cassandra.service.CassandraDaemon")
	return n.set.Run(bed.Command{Kind: "cassandra", Program: n.java, Args: args, Dir: n.path(""), Log: n.set.Path(n.name + ".log")})
}

func (n *cassandraNode) config() string {
	return strings.Join([]string{
		"cluster_name: multidc",
		"num_tokens: 1",
		fmt.Sprintf("initial_token: %d", n.token),
		"partitioner: org.apache.cassandra.dht.Murmur3Partitioner",
		"auto_bootstrap: false",
		"endpoint_snitch: GossipingPropertyFileSnitch",
		// All are seeds: a node that starts beside its only seed gives up before that answers.
		"seed_provider:",
		"  - class_name: org.apache.cassandra.locator.SimpleSeedProvider",
		"    parameters:",
		"      - seeds: \"" + strings.Join(n.seeds, ",") + "\"",
		"listen_address: " + n.host,
		"broadcast_address: " + n.public,
		"rpc_address: " + n.host,
		"broadcast_rpc_address: " + n.host,
		"storage_port: " + n.storage,
		"native_transport_port: " + n.native,
		"data_file_directories: [" + n.path("data") + "]",
		"commitlog_directory: " + n.path("commitlog"),
		"saved_caches_directory: " + n.path("saved_caches"),
		"hints_directory: " + n.path("hints"),
		"cdc_raw_directory: " + n.path("cdc_raw"),
		"commitlog_sync: periodic",
		"commitlog_sync_period: 100ms",
		"commitlog_segment_size: 8MiB",
		"commitlog_disk_access_mode: legacy",
		"memtable_allocation_type: heap_buffers",
		"dynamic_snitch: false",
	}, "\n") + "\n"
}

const cassandraLogging = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{ISO8601} %logger{1} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
`

// ready demands the first time that the node sees the other three, and sees them up. Started again the others may be
// stopped, or cut off, on purpose: then its own answer is enough.
func (n *cassandraNode) ready(ctx context.Context) error {
	return n.session(func(session *gocql.Session) error {
		var known int
		if err := session.Query("SELECT count(*) FROM system.peers_v2").WithContext(ctx).Scan(&known); err != nil || n.proven {
			return err
		}
		if known < len(n.seeds)-1 {
			return fmt.Errorf("it knows %d of the %d other nodes", known, len(n.seeds)-1)
		}
		return seesAllUp(ctx, session)
	})
}

// seesAllUp reads some rows, which need not exist, at ALL: a coordinator refuses that at once if it holds one of their
// replicas for down. The table is Cassandra's own, with three replicas, so a few keys involve every node. That nodes
// know each other says less; a schema that is changed before they are up for each other stays behind on some.
func seesAllUp(ctx context.Context, session *gocql.Session) error {
	const query = "SELECT id FROM system_distributed.repair_history WHERE keyspace_name = ? AND columnfamily_name = 'ready' LIMIT 1"
	for i := range 16 {
		rows := session.Query(query, strconv.Itoa(i)).Consistency(gocql.All).WithContext(ctx).Iter()
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}

// session connects to this node and no other.
func (n *cassandraNode) session(do func(*gocql.Session) error) error {
	config := gocql.NewCluster(n.addr())
	config.DisableInitialHostLookup = true
	config.ProtoVersion = 4
	config.Timeout, config.ConnectTimeout = 10*time.Second, 2*time.Second
	config.Logger = silent{}
	// After a change of the schema the driver waits until the nodes' tables of peers agree, for a minute if they lag
	// behind. What counts here is what a row at ALL tells, and that is tried anyway.
	config.MaxWaitSchemaAgreement = time.Second
	session, err := config.CreateSession()
	if err != nil {
		return err
	}
	defer session.Close()
	return do(session)
}

// silent swallows what the driver says of a node that is not up yet.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// proveCassandra writes a row at ALL and reads it at ALL from every node. That nodes listen says little: they do so
// seconds before a quorum over both DCs can be had.
func proveCassandra(ctx context.Context, nodes []*cassandraNode) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	var replication []string
	for _, dc := range bed.DCs {
		replication = append(replication, fmt.Sprintf("'%s': %d", dc, cassandraPerDC))
	}
	statements := []string{
		"CREATE KEYSPACE IF NOT EXISTS testbed_ready WITH replication = {'class': 'NetworkTopologyStrategy', " + strings.Join(replication, ", ") + "}",
		"CREATE TABLE IF NOT EXISTS testbed_ready.rows (k text PRIMARY KEY)",
		"INSERT INTO testbed_ready.rows (k) VALUES ('ready')",
	}
	err := eventually(ctx, func() error {
		return nodes[0].session(func(session *gocql.Session) error {
			for _, statement := range statements {
				if err := session.Query(statement).Consistency(gocql.All).WithContext(ctx).Exec(); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := eventually(ctx, func() error { return n.session(func(s *gocql.Session) error { return readAtAll(ctx, s) }) }); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		n.proven = true
	}
	return nil
}

func readAtAll(ctx context.Context, session *gocql.Session) error {
	var k string
	return session.Query("SELECT k FROM testbed_ready.rows WHERE k = 'ready'").Consistency(gocql.All).WithContext(ctx).Scan(&k)
}
