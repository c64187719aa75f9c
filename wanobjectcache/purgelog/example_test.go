package purgelog_test

import (
	"context"
	"fmt"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/purgelog"
)

func ExampleNewLog() {
	log, err := purgelog.NewLog([]string{"a-kafka1:9092"}, &purgelog.LogOptions{DC: "a"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close(context.Background())
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{
		DC: "a", PurgeLog: log, Freshness: wanobjectcache.FromContext,
	})
	fmt.Println(cache != nil, err)
	// Output: true <nil>
}

// A log of another DC is read across the link: without encryption that is refused.
func ExampleNewApplier() {
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{DC: "a", Freshness: wanobjectcache.FromContext})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = purgelog.NewApplier(cache, map[string]purgelog.Source{
		"a": {Brokers: []string{"a-kafka1:9092"}},
		"b": {Brokers: []string{"b-kafka1:9092"}},
	}, &purgelog.ApplierOptions{DC: "a"})
	fmt.Println(err)
	// Output:
	// purgelog: source of DC "b": Source.TLS is nil: traffic to another DC is encrypted: set TLS, or Source.AllowPlaintext if the link is encrypted below or the brokers are a local mirror's
}

func ExampleApplier_Explain() {
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{DC: "a", Freshness: wanobjectcache.FromContext})
	if err != nil {
		fmt.Println(err)
		return
	}
	applier, err := purgelog.NewApplier(cache, map[string]purgelog.Source{"a": {Brokers: []string{"a-kafka1:9092"}}}, &purgelog.ApplierOptions{DC: "a"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(applier.Explain(context.Background()))
	// Output:
	// purges applied in DC a, group cache-purge.a
	//   a: not known how far behind: Run does not run in this process
}
