package memcached_test

import (
	"crypto/tls"
	"fmt"

	"github.com/multidc/multidc/wanobjectcache/memcached"
)

// The servers of another DC are reached with encryption; nothing is connected before the first request.
func ExampleNew() {
	servers := map[string]string{"mc1": "10.2.0.11:11211", "mc2": "10.2.0.12:11211"}
	for _, options := range []*memcached.Options{
		nil,
		{TLS: &tls.Config{MinVersion: tls.VersionTLS13}},
		{AllowPlaintext: true}, // through a tunnel that encrypts
	} {
		pool, err := memcached.New(servers, options)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("refused for another DC:", pool.Plaintext())
		pool.Close()
	}
	// Output:
	// refused for another DC: true
	// refused for another DC: false
	// refused for another DC: false
}
