package dcroute

import (
	"fmt"
	"sync"
	"testing"
)

// Case 37: rules are swapped under 1,000 concurrent requests; each is decided by one set.
func TestRulesAreSwapped(t *testing.T) {
	sets := []*RuleSet{
		{Default: HostConfig{Mode: ModeLocal, Share: maxShare}, Rules: []Rule{{Name: "one", Path: "/x", Action: RulePrimary}}},
		{Default: HostConfig{Mode: ModeLocal, Share: maxShare}, Rules: []Rule{{Name: "two", Path: "/x", Action: RuleWrite}}},
	}
	rt := newRouter(t, nil, func(o *Options) { o.Rules = sets[0] })
	legal := map[string]bool{"read rule one": true, "write write two": true}
	var requests, swaps sync.WaitGroup
	stop := make(chan struct{})
	swaps.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := rt.SetRules(sets[i%2]); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 1000 {
		requests.Go(func() {
			for range 20 {
				d := rt.Decide(request("GET", "http://x.org/x"))
				if got := fmt.Sprint(d.Intent, " ", d.Reason, " ", d.Rule); !legal[got] {
					t.Errorf("mixed: %s", got)
				}
			}
		})
	}
	requests.Wait()
	close(stop)
	swaps.Wait()
}
