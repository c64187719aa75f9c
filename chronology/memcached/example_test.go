package memcached_test

import (
	"fmt"

	"github.com/multidc/multidc/chronology/memcached"
)

// Nothing is connected before the first request.
func ExampleNew() {
	store, err := memcached.New([]string{"10.1.0.11:11211", "10.1.0.12:11211"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close() // give it to chronology.New as Options.Store

	_, err = memcached.New([]string{"10.1.0.11"}, nil)
	fmt.Println(err)
	// Output:
	// chronology/memcached: memcached server 10.1.0.11: its address is "10.1.0.11": want host:port
}
