package rdbms_test

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// nowhere is a Connector that leads nowhere.
type nowhere struct{ name string }

func (nowhere) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("nowhere") }
func (nowhere) Driver() driver.Driver                        { return nil }

// sound is a configuration without fault, of DC a: the primary and a replica here, one in DC b.
func sound() rdbms.Config {
	return rdbms.Config{Name: "main", Primary: "db1", Servers: []rdbms.Server{
		{Name: "db1", DC: "a", DSN: "app:s3cret@tcp(10.1.0.1)/wiki"},
		{Name: "db2", DC: "a", DSN: "app:s3cret@tcp(10.1.0.2)/wiki"},
		{Name: "db3", DC: "b", DSN: "app:s3cret@tcp(10.2.0.1)/wiki?tls=true"},
	}}
}

// made makes a cluster of a changed sound configuration. OnWarning's kinds and servers go to warned.
func made(t *testing.T, warned *[]string, change func(*rdbms.Config, *rdbms.Options)) (*rdbms.Cluster, error) {
	t.Helper()
	config, options := sound(), rdbms.Options{DC: "a"}
	options.Events.OnWarning = func(_ context.Context, w rdbms.WarningInfo) {
		if warned != nil {
			*warned = append(*warned, string(w.Kind)+" "+w.Server)
		}
		if strings.Contains(w.Text, "s3cret") {
			t.Error("a warning tells the password:", w.Text)
		}
	}
	change(&config, &options)
	c, err := rdbms.New(config, &options)
	if c != nil {
		t.Cleanup(func() {
			if err := c.Close(context.Background()); err != nil {
				t.Error("Close:", err)
			}
		})
	}
	return c, err
}

// New's errors name the field, and the server where there is one, and never a password.
func TestNewErrorsNameTheField(t *testing.T) {
	own := ownEngine{}
	for _, c := range []struct {
		what, names string // names: words that the error contains
		change      func(*rdbms.Config, *rdbms.Options)
	}{
		{"no DC", "Options.DC", func(_ *rdbms.Config, o *rdbms.Options) { o.DC = "" }},
		{"bad DC", "Options.DC", func(_ *rdbms.Config, o *rdbms.Options) { o.DC = "A_1" }},
		{"no name", "Config.Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Name = "" }},
		{"bad name", "Config.Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Name = "Main" }},
		{"long name", "Config.Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Name = strings.Repeat("x", 33) }},
		{"no servers", "Config.Servers", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers = nil }},
		{"empty name", "Servers[1] Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Name = "" }},
		{"bad server name", "Servers[1] Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Name = "db 2" }},
		{"long server name", "Servers[1] Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Name = strings.Repeat("x", 65) }},
		{"newline in a name", "Servers[1] Name", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Name = "db2\n" }},
		{"duplicate name", "Servers[1] Name db1", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Name = "db1" }},
		{"no DC of a server", "Servers[2] DC db3", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[2].DC = "" }},
		{"bad DC of a server", "Servers[2] DC db3", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[2].DC = "B!" }},
		{"no primary", "Config.Primary", func(c *rdbms.Config, _ *rdbms.Options) { c.Primary = "" }},
		{"primary not in the list", "Config.Primary db9", func(c *rdbms.Config, _ *rdbms.Options) { c.Primary = "db9" }},
		{"DSN that does not parse", "Servers[1] DSN db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].DSN = "app:s3cret@tcp(10.1.0.2" }},
		{"DSN without @", "Servers[1] DSN db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].DSN = "app:s3cret/wiki" }},
		{"DSN with a bad parameter", "Servers[1] DSN db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].DSN += "?timeout=soon" }},
		{"DSN with an unknown TLS", "Servers[1] DSN db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].DSN += "?tls=nobody-registered" }},
		{"neither DSN nor Connector", "Servers[1] DSN Connector db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].DSN = "" }},
		{"both DSN and Connector", "Servers[1] DSN Connector db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Connector = nowhere{} }},
		{"group weight 0", "Servers[1] Groups db2 vslow", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Groups = map[string]int{"vslow": 0} }},
		{"group weight -1", "Servers[1] Groups db2 vslow", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Groups = map[string]int{"vslow": -1} }},
		{"group without a name", "Servers[1] Groups db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Groups = map[string]int{"": 1} }},
		{"negative MaxOpen", "Servers[1] MaxOpen db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxOpen = -1 }},
		{"negative MaxIdle", "Servers[1] MaxIdle db2", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxIdle = -1 }},
		// Case 3.
		{"no server with any weight", "Config.Servers weight", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Weight, c.Servers[2].Weight = -1, -1 }},
		{"Engine and DSN", "Servers[0] DSN Engine Connector db1", func(_ *rdbms.Config, o *rdbms.Options) { o.Engine = own }},
		{"Engine and heartbeat table", "Options.Engine Heartbeat", func(c *rdbms.Config, o *rdbms.Options) {
			byConnector(c)
			o.Engine, o.Heartbeat.Table = own, "hb.hb"
		}},
		{"Engine and heartbeat interval", "Options.Engine Heartbeat", func(c *rdbms.Config, o *rdbms.Options) {
			byConnector(c)
			o.Engine, o.Heartbeat.Interval = own, time.Second
		}},
		{"Engine and origins", "Options.Engine Heartbeat", func(c *rdbms.Config, o *rdbms.Options) {
			byConnector(c)
			o.Engine, o.Heartbeat.Origins = own, []heartbeat.Origin{{ServerID: 1}}
		}},
		{"Engine and replica status", "Options.Engine LagFromReplicaStatus", func(c *rdbms.Config, o *rdbms.Options) {
			byConnector(c)
			o.Engine, o.LagFromReplicaStatus = own, true
		}},
		{"heartbeat table", "Options.Heartbeat Table", func(_ *rdbms.Config, o *rdbms.Options) { o.Heartbeat.Table = "x; DROP TABLE y" }},
		{"heartbeat interval", "Options.Heartbeat Interval", func(_ *rdbms.Config, o *rdbms.Options) { o.Heartbeat.Interval = -time.Second }},
		{"heartbeat origin", "Options.Heartbeat Origins[0]", func(_ *rdbms.Config, o *rdbms.Options) { o.Heartbeat.Origins = []heartbeat.Origin{{}} }},
		{"negative Poll", "Options.Poll ", func(_ *rdbms.Config, o *rdbms.Options) { o.Poll = -1 }},
		{"negative PollRemote", "Options.PollRemote", func(_ *rdbms.Config, o *rdbms.Options) { o.PollRemote = -1 }},
		{"negative MaxLag", "Options.MaxLag", func(_ *rdbms.Config, o *rdbms.Options) { o.MaxLag = -1 }},
		{"long Wait", "Options.Wait", func(_ *rdbms.Config, o *rdbms.Options) { o.Wait = 11 * time.Second }},
		{"large PrimaryShare", "Options.PrimaryShare", func(_ *rdbms.Config, o *rdbms.Options) { o.PrimaryShare = 1.01 }},
		{"PrimaryShare is no number", "Options.PrimaryShare", func(_ *rdbms.Config, o *rdbms.Options) { o.PrimaryShare = math.NaN() }},
		{"negative MaxWaiters", "Options.MaxWaiters", func(_ *rdbms.Config, o *rdbms.Options) { o.MaxWaiters = -1 }},
		{"unknown policy", "Options.OnTimeout", func(_ *rdbms.Config, o *rdbms.Options) { o.OnTimeout = "retry" }},
	} {
		t.Run(c.what, func(t *testing.T) {
			cluster, err := made(t, nil, c.change)
			if err == nil || cluster != nil {
				t.Fatalf("New returned %v, %v", cluster, err)
			}
			for _, word := range strings.Fields(c.names) {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %s", err, word)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q tells the password", err)
			}
			if !strings.HasPrefix(err.Error(), "rdbms: ") || strings.Count(err.Error(), "rdbms: ") > 1 {
				t.Errorf("%q is not wrapped once", err)
			}
		})
	}
}

func byConnector(c *rdbms.Config) {
	for i := range c.Servers {
		c.Servers[i].DSN, c.Servers[i].Connector, c.Servers[i].Encrypted = "", nowhere{c.Servers[i].Name}, true
	}
}

// ownEngine is an Engine that nobody asks anything.
type ownEngine struct{ rdbms.Engine }

// New without options is an error, not a panic: the DC is required.
func TestNewWithoutOptions(t *testing.T) {
	if _, err := rdbms.New(sound(), nil); err == nil || !strings.Contains(err.Error(), "Options.DC") {
		t.Error(err)
	}
}

// What is allowed passes, at its limits.
func TestNewAccepts(t *testing.T) {
	for what, change := range map[string]func(*rdbms.Config, *rdbms.Options){
		"as it is": func(*rdbms.Config, *rdbms.Options) {},
		"long names": func(c *rdbms.Config, _ *rdbms.Options) {
			c.Name, c.Servers[1].Name = strings.Repeat("x", 32), strings.Repeat("A", 64)
		},
		"punctuation": func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Name = "db-2.example_org" },
		"a single server": func(c *rdbms.Config, _ *rdbms.Options) {
			c.Servers = c.Servers[:1]
			c.Servers[0].Weight = -1
		},
		"only a group": func(c *rdbms.Config, _ *rdbms.Options) {
			c.Servers[1].Groups, c.Servers[1].Weight, c.Servers[2].Weight = map[string]int{"g": 1}, -1, -1
		},
		"only the primary has a weight": func(c *rdbms.Config, _ *rdbms.Options) {
			c.Servers[0].Weight, c.Servers[1].Weight, c.Servers[2].Weight = 100, -1, -1
		},
		"an engine and connectors": func(c *rdbms.Config, o *rdbms.Options) {
			byConnector(c)
			o.Engine = ownEngine{}
		},
		"numbers at their limits": func(_ *rdbms.Config, o *rdbms.Options) {
			o.Wait, o.PrimaryShare, o.MaxWaiters, o.OnTimeout = 10*time.Second, 1, 1, rdbms.OnTimeoutError
		},
		"negative means off": func(_ *rdbms.Config, o *rdbms.Options) { o.Wait, o.PrimaryShare = -1, -1 },
	} {
		if _, err := made(t, nil, change); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The caller's Config and Options are copied: what becomes of them later does not matter.
func TestNewCopies(t *testing.T) {
	config, options := sound(), rdbms.Options{DC: "a", Engine: ownEngine{}}
	byConnector(&config)
	config.Servers[1].Groups = map[string]int{"g": 1}
	c, err := rdbms.New(config, &options)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	config.Servers[0].Name, config.Servers[1].DC, options.DC, options.Engine = "other", "z", "q", nil
	config.Servers[1].Groups["h"] = -5
	if err := c.Refresh(t.Context()); err == nil { // so that what is known is looked through again
		t.Error("somebody answered")
	}
	if e := c.Explain(t.Context()); e.DC != "a" || e.Servers[0].Name != "db1" || e.Servers[1].DC != "a" || len(e.Groups) != 2 {
		t.Errorf("%+v", e)
	}
}

// Case Xd. A server of another DC must be encrypted and verified, be it primary or replica.
func TestPlaintextToAnotherDC(t *testing.T) {
	if err := mysql.RegisterTLSConfig("verified", &tls.Config{ServerName: "db3"}); err != nil {
		t.Fatal(err)
	}
	if err := mysql.RegisterTLSConfig("blind", &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	defer mysql.DeregisterTLSConfig("verified")
	defer mysql.DeregisterTLSConfig("blind")
	const far = "app:s3cret@tcp(10.2.0.1)/wiki"
	for _, c := range []struct {
		what   string
		server rdbms.Server // of DC b
		ok     bool
		warns  bool
	}{
		{"no tls", rdbms.Server{DSN: far}, false, false},
		{"false", rdbms.Server{DSN: far + "?tls=false"}, false, false},
		{"preferred", rdbms.Server{DSN: far + "?tls=preferred"}, false, false},
		{"skip-verify", rdbms.Server{DSN: far + "?tls=skip-verify"}, false, false},
		{"a registered one that does not verify", rdbms.Server{DSN: far + "?tls=blind"}, false, false},
		{"true", rdbms.Server{DSN: far + "?tls=true"}, true, false},
		{"a registered one", rdbms.Server{DSN: far + "?tls=verified"}, true, false},
		{"with a fall back to plaintext", rdbms.Server{DSN: far + "?tls=verified&allowFallbackToPlaintext=true"}, false, false},
		{"a Connector that says nothing", rdbms.Server{Connector: nowhere{}}, false, false},
		{"a Connector that is encrypted", rdbms.Server{Connector: nowhere{}, Encrypted: true}, true, false},
		{"Encrypted says nothing of a DSN", rdbms.Server{DSN: far, Encrypted: true}, false, false},
		{"waived", rdbms.Server{DSN: far, AllowPlaintext: true}, true, true},
		{"waived, a Connector", rdbms.Server{Connector: nowhere{}, AllowPlaintext: true}, true, true},
		{"waived and encrypted", rdbms.Server{DSN: far + "?tls=true", AllowPlaintext: true}, true, false},
	} {
		for _, primary := range []string{"db1", "db3"} {
			var warned []string
			_, err := made(t, &warned, func(config *rdbms.Config, _ *rdbms.Options) {
				config.Primary = primary
				c.server.Name, c.server.DC = "db3", "b"
				config.Servers[2] = c.server
			})
			switch {
			case c.ok != (err == nil):
				t.Errorf("%s, primary %s: %v", c.what, primary, err)
			case err != nil && (!strings.Contains(err.Error(), "db3") || !strings.Contains(err.Error(), "AllowPlaintext") || !strings.Contains(err.Error(), "tls")):
				t.Errorf("%s: the error does not name the server and what helps: %v", c.what, err)
			case c.warns != slices.Contains(warned, "plaintext db3"):
				t.Errorf("%s: warned of %v", c.what, warned)
			}
		}
	}
	// In the own DC it does not matter, and nobody is warned.
	var warned []string
	if _, err := made(t, &warned, func(c *rdbms.Config, o *rdbms.Options) { c.Servers = c.Servers[:2] }); err != nil || len(warned) > 0 {
		t.Error(err, warned)
	}
}

// Case Xd. SetServers keeps to the same rule, and on an error everything is as it was.
func TestSetServersRefusesAsAWhole(t *testing.T) {
	c, err := made(t, nil, func(*rdbms.Config, *rdbms.Options) {})
	if err != nil {
		t.Fatal(err)
	}
	before := c.Explain(t.Context()).String()
	for what, change := range map[string]func(*rdbms.Config){
		"the primary moves to plaintext": func(c *rdbms.Config) {
			c.Primary, c.Servers[2].DSN = "db3", "app:s3cret@tcp(10.2.0.1)/wiki?tls=preferred"
		},
		"the last server is wrong": func(c *rdbms.Config) { c.Primary, c.Servers[2].DSN = "db2", "" },
		"a new server, and a wrong one": func(c *rdbms.Config) {
			c.Servers[1].Name = "db7"
			c.Servers[2].Groups = map[string]int{"g": 0}
		},
		"another name":   func(c *rdbms.Config) { c.Name = "other" },
		"nothing":        func(c *rdbms.Config) { *c = rdbms.Config{Name: "main"} },
		"no such server": func(c *rdbms.Config) { c.Primary = "db4" },
	} {
		config := sound()
		change(&config)
		if err := c.SetServers(config); err == nil {
			t.Errorf("%s: no error", what)
		}
		if after := c.Explain(t.Context()).String(); after != before || c.Positions().WriterDC() != "a" {
			t.Errorf("%s: an error, and yet:\n%s\nbefore:\n%s", what, after, before)
		}
	}
	moved := sound()
	moved.Primary, moved.Servers[2].DSN, moved.Servers[2].AllowPlaintext = "db3", "app:s3cret@tcp(10.2.0.1)/wiki", true
	if err := c.SetServers(moved); err != nil {
		t.Error("waived:", err)
	}
	if dc := c.Positions().WriterDC(); dc != "b" {
		t.Errorf("the writer is in %s", dc)
	}
}

// Case 49, and the other warnings of New: each comes once, through OnWarning, and New goes on.
func TestNewWarns(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(*rdbms.Config, *rdbms.Options)
		want   []string
	}{
		{"nothing", func(*rdbms.Config, *rdbms.Options) {}, nil},
		{"MaxLag 1 s, interval 1 s", func(_ *rdbms.Config, o *rdbms.Options) { o.MaxLag = time.Second }, []string{"config db2", "config db3"}},
		{"just enough", func(_ *rdbms.Config, o *rdbms.Options) { o.MaxLag = 3 * time.Second }, nil},
		{"one server's own MaxLag", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxLag = 2 * time.Second }, []string{"config db2"}},
		{"a slow heartbeat", func(_ *rdbms.Config, o *rdbms.Options) { o.Heartbeat.Interval = 5 * time.Second }, []string{"config db2", "config db3"}},
		{"never tested", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxLag = -1 }, nil},
		{"rejectReadOnly", func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[0].DSN += "?rejectReadOnly=true" }, []string{"dsn db1"}},
	} {
		var warned []string
		if _, err := made(t, &warned, c.change); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		slices.Sort(warned)
		if !slices.Equal(warned, c.want) {
			t.Errorf("%s: warned of %v, want %v", c.what, warned, c.want)
		}
	}
}

// Connectors need not be comparable: then each SetServers takes them for new servers.
func TestConnectorsThatCannotBeCompared(t *testing.T) {
	odd := func() rdbms.Config {
		c := sound()
		byConnector(&c)
		for i := range c.Servers {
			c.Servers[i].Connector = uncomparable{of: []string{c.Servers[i].Name}}
		}
		return c
	}
	c, err := made(t, nil, func(config *rdbms.Config, o *rdbms.Options) { *config, o.Engine = odd(), ownEngine{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetServers(odd()); err != nil {
		t.Error(err)
	}
}

type uncomparable struct {
	nowhere
	of []string
}
