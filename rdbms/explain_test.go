package rdbms_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Nothing that a cluster shows has a password or a DSN in it: not when servers were not reached either.
func TestNoPasswordIsShown(t *testing.T) {
	const password = "s3cret"
	var told eventLog
	config := rdbms.Config{Name: "main", Primary: "db1", Servers: []rdbms.Server{
		{Name: "db1", DC: "a", DSN: "app:s3cret@tcp(127.0.0.1:1)/wiki?rejectReadOnly=true"},
		{Name: "db2", DC: "b", DSN: "app:s3cret@unix(/nowhere/s)/wiki", AllowPlaintext: true},
	}}
	options := rdbms.Options{DC: "a"}
	told.listen(&options)
	cluster, err := rdbms.New(config, &options)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close(context.Background())
	var texts []string
	for range 4 {
		if err := cluster.Refresh(t.Context()); err == nil {
			t.Fatal("somebody answered")
		} else {
			texts = append(texts, err.Error())
		}
	}
	_, err = who(t.Context(), cluster.Replica())
	texts = append(texts, err.Error(), cluster.Explain(t.Context()).String())
	e := cluster.Explain(t.Context())
	document, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	texts = append(texts, string(document))
	for _, w := range told.warnings {
		texts = append(texts, w.Text)
	}
	for _, s := range told.servers {
		texts = append(texts, s.Error)
	}
	for _, text := range texts {
		if strings.Contains(text, password) || strings.Contains(text, "app:") || strings.Contains(text, "/wiki") {
			t.Error(text)
		}
	}
	for _, s := range e.Servers {
		if s.Health != rdbms.HealthDown || s.Error == "" || s.HalfOpenIn <= 0 {
			t.Errorf("%+v", s)
		}
	}
}

// diagnosed is what Explain tells of a cluster that has settled.
func diagnosed(t *testing.T, fake *rdbmstest.Cluster, change func(*rdbms.Config, *rdbms.Options)) rdbms.Explanation {
	t.Helper()
	cluster := open(t, fake, change)
	run(t, cluster)
	return cluster.Explain(t.Context())
}

// What is to be looked at is said, where it is shown, with what helps.
func TestDiagnoses(t *testing.T) {
	replicas := func(change func(*rdbmstest.Knobs)) func(*rdbmstest.Cluster) {
		return func(fake *rdbmstest.Cluster) {
			for _, name := range []string{"db2", "db3"} {
				fake.Set(name, change)
			}
		}
	}
	local := func(now time.Time, rows []rdbmstest.BeatRow) []rdbmstest.BeatRow {
		for i := range rows {
			ts, err := heartbeat.ParseTime(rows[i].TS.(string))
			if err != nil {
				t.Error(err)
			}
			rows[i].TS = ts.Add(2 * time.Hour).Format("2006-01-02T15:04:05.000000")
		}
		return rows
	}
	for _, c := range []struct {
		what   string
		broken func(*rdbmstest.Cluster)
		change func(*rdbms.Config, *rdbms.Options)
		want   []string // somewhere in the page
	}{
		{"no right", replicas(func(k *rdbmstest.Knobs) { k.BeatErrno = 1142 }), nil, []string{"db2: lag unknown: no right", "GRANT SELECT"}},
		{"no table", replicas(func(k *rdbmstest.Knobs) { k.BeatErrno = 1146 }), nil, []string{"db2: lag unknown: no heartbeat table", "--create-table"}},
		{"local time", func(fake *rdbmstest.Cluster) {
			for _, name := range []string{"db1", "db2", "db3"} {
				fake.Set(name, func(k *rdbmstest.Knobs) { k.BeatRows = local })
			}
		}, nil, []string{"db2: lag unknown: time zone", "--utc"}},
		{"interval", nil, func(_ *rdbms.Config, o *rdbms.Options) { o.MaxLag = time.Second }, []string{"db2: MaxLag 1s", "db3: MaxLag 1s", "3s"}},
		{"one domain in two DCs", replicas(func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_domain_id": "1"} }), nil,
			[]string{"gtid_domain_id 1 is used in the DCs a, b"}},
		{"flavour", nil, nil, []string{"MariaDB 10.11"}},
		{"MySQL", func(fake *rdbmstest.Cluster) {
			for _, name := range []string{"db1", "db2", "db3"} {
				fake.Set(name, func(k *rdbmstest.Knobs) { k.MySQL = true })
			}
		}, nil, []string{"MySQL 8.0"}},
		{"down", func(fake *rdbmstest.Cluster) { fake.Set("db2", func(k *rdbmstest.Knobs) { k.Down = true }) }, nil,
			[]string{"db2 in DC a: down", "tried again in", "connection refused"}},
		{"read-only", nil, func(_ *rdbms.Config, o *rdbms.Options) { o.ClusterReason = func() string { return "moving house" } },
			[]string{"read-only: moving house"}},
		{"the source", nil, func(_ *rdbms.Config, o *rdbms.Options) { o.Heartbeat = heartbeat.Source{Interval: 2 * time.Second} },
			[]string{"heartbeat in heartbeat.heartbeat, every 2s, of the primary"}},
	} {
		bubble(t, []string{"db2", "b:db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			if c.broken != nil {
				c.broken(fake)
			}
			page := diagnosed(t, fake, c.change).String()
			for _, want := range c.want {
				if !strings.Contains(page, want) {
					t.Errorf("%s: no %q in\n%s", c.what, want, page)
				}
			}
			for _, line := range strings.Split(page, "\n") {
				if len(line) > 300 {
					t.Errorf("%s: a line of %d bytes", c.what, len(line))
				}
			}
		})
	}
}

// A cluster that is well has nothing to be looked at; one that nobody watches has.
func TestNothingToDiagnose(t *testing.T) {
	bubble(t, []string{"db2", "b:db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		if e := diagnosed(t, fake, nil); len(e.Diagnoses) > 0 || !e.Monitor || e.ReadOnly != "" {
			t.Errorf("%+v", e)
		}
		if e := open(t, fake, nil).Explain(t.Context()); e.Monitor || len(e.Diagnoses) != 1 || !strings.Contains(e.Diagnoses[0], "Run") {
			t.Errorf("%+v", e)
		}
	})
}

// A group shows who would serve it, and why.
func TestExplainGroups(t *testing.T) {
	bubble(t, []string{"db2", "db3", "b:db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		engine := telling(map[string]time.Duration{"db2": 0, "db3": 0, "db4": 0})
		cluster := open(t, fake, func(c *rdbms.Config, o *rdbms.Options) {
			o.Engine = engine
			c.Servers[2].Weight, c.Servers[2].Groups = 1, map[string]int{"vslow": 1}
		})
		run(t, cluster)
		group := func(name string) rdbms.GroupInfo {
			for _, g := range cluster.Explain(t.Context()).Groups {
				if g.Name == name {
					return g
				}
			}
			t.Fatalf("no group %q", name)
			return rdbms.GroupInfo{}
		}
		expect := func(name, class string, servers ...string) {
			t.Helper()
			if g := group(name); g.Class != class || !slices.Equal(g.Servers, servers) || g.Why == "" {
				t.Errorf("%+v, want class %s and %v", g, class, servers)
			}
		}
		if first := cluster.Explain(t.Context()).Groups[0]; first.Name != "" {
			t.Errorf("first is %+v", first)
		}
		expect("", "A", "db2", "db3")
		expect("vslow", "A", "db3")
		engine.set("db2", isKnown(time.Minute))
		engine.set("db3", isKnown(time.Minute))
		time.Sleep(5 * time.Second)
		expect("", "B", "db4")
		expect("vslow", "C", "db3")
		for _, name := range []string{"db2", "db3", "db4"} {
			fake.Set(name, func(k *rdbmstest.Knobs) { k.Down = true })
		}
		time.Sleep(30 * time.Second)
		if g := group(""); g.Class != "" || len(g.Servers) > 0 {
			t.Errorf("%+v", g)
		}
		if page := cluster.Explain(t.Context()).String(); !strings.Contains(page, "reads of no group: class none, no server") {
			t.Error(page)
		}
	})
}

// Explain asks no server, so it answers when none does.
func TestExplainAsksNobody(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		fake.Set("db1", func(k *rdbmstest.Knobs) { k.Hang, k.HangConnects = true, true })
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Hang, k.HangConnects = true, true })
		began := time.Now()
		if page := cluster.Explain(t.Context()).String(); !strings.Contains(page, "db2") || time.Since(began) > 0 {
			t.Error(page)
		}
		if fake.Counts("db1").Connects+fake.Counts("db2").Connects > 0 {
			t.Error("dialled")
		}
	})
}

// A page in JSON has the names that dashboards use, and durations are numbers.
func TestExplainAsJSON(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		document, err := json.Marshal(diagnosed(t, fake, nil))
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Cluster, DC, Primary string
			Monitor              bool
			LagSource            string `json:"lag_source"`
			Groups               []struct{ Name, Class, Why string }
			Servers              []struct {
				Name, Health, Class, Position string
				Lag                           struct {
					Known bool
					Value int64
				}
				Age      int64
				ReadOnly bool  `json:"read_only"`
				MaxOpen  int   `json:"max_open"`
				InFlight *int  `json:"in_flight"`
				Latency  int64 `json:"latency"`
			}
		}
		if err := json.Unmarshal(document, &page); err != nil {
			t.Fatal(err)
		}
		s := page.Servers[1]
		if page.Cluster != "main" || !page.Monitor || page.LagSource == "" || len(page.Groups) != 1 || s.Name != "db2" || s.Health != "fresh" ||
			s.Class != "A" || !s.Lag.Known || s.Lag.Value <= 0 || s.Age <= 0 || s.MaxOpen != 100 || !s.ReadOnly || s.InFlight == nil || s.Position == "" {
			t.Errorf("%s", document)
		}
	})
}

// Served is of one scope and one cluster; without a scope it is empty.
func TestServed(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		engine := telling(map[string]time.Duration{"db2": 4 * time.Second, "db3": time.Second})
		cluster := open(t, fake, func(c *rdbms.Config, o *rdbms.Options) {
			o.Engine = engine
			c.Servers[2].Groups = map[string]int{"g": 1}
		})
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		load(t.Context(), cluster.Replica(), 3, 0)
		if s := cluster.Served(t.Context()); len(s.Servers) > 0 || s.Lag.Known || s.Lagged {
			t.Errorf("without a scope: %+v", s)
		}
		ctx := rdbms.WithScope(t.Context())
		if s := cluster.Served(ctx); len(s.Servers) > 0 || s.Lag.Known || s.Lagged {
			t.Errorf("before a read: %+v", s)
		}
		load(rdbms.WithGroup(ctx, "g"), cluster.Replica(), 2, 0)
		load(ctx, cluster.Replica(), 2, 0)
		load(ctx, cluster.Primary(), 1, 0)
		s := cluster.Served(ctx)
		if !slices.Equal(s.Servers, []string{"db3", "db2", "db1"}) || s.Lag != isKnown(4*time.Second) || s.Lagged {
			t.Errorf("%+v", s)
		}
		s.Servers[0] = "changed"
		if s := cluster.Served(ctx); s.Servers[0] != "db3" {
			t.Error("the caller changed the scope")
		}
		if s := open(t, fake, nil).Served(ctx); len(s.Servers) > 0 {
			t.Errorf("another cluster: %+v", s)
		}
		if rdbms.WithScope(ctx) != ctx {
			t.Error("a scope in a scope")
		}
	})
}
