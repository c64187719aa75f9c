package freshness_test

import (
	"context"
	"fmt"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// A cache's load inside a request. The loader knows nothing of this package, nor does the cache of the database.
func Example() {
	query := func(ctx context.Context) { // as package rdbms does
		freshness.Record(ctx, freshness.Facts{Lag: 2 * time.Second, Since: time.Now()})
	}

	var page freshness.Recorder // of the middleware
	request := freshness.With(context.Background(), &page)

	var load freshness.Recorder // of the cache
	query(freshness.With(request, &load))

	value, read := load.Facts()
	fmt.Println("the value:", value.Lag, read)
	whole, read := page.Facts()
	fmt.Println("the page:", whole.Lag, read)
	// Output:
	// the value: 2s true
	// the page: 2s true
}
