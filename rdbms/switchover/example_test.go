package switchover_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// loaded is a State over two DCs, a the primary, that has been read once.
func loaded() (*switchover.State, *switchover.Memory) {
	store := switchover.NewMemory(switchover.Doc{
		Primary: "a",
		DCs:     map[string]switchover.DC{"a": {Pooled: true}, "b": {Pooled: true}},
	})
	state, err := switchover.New(store, &switchover.Options{DC: "a", By: "ann"})
	if err != nil {
		panic(err)
	}
	if err := state.Refresh(context.Background()); err != nil {
		panic(err)
	}
	return state, store
}

func Example() {
	folder, err := os.MkdirTemp("", "state")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	path, ctx := filepath.Join(folder, "state.json"), context.Background()

	// An operator's command creates the document.
	operator, err := switchover.New(switchover.NewFile(path), &switchover.Options{DC: "a"})
	if err != nil {
		panic(err)
	}
	doc, err := operator.Update(ctx, func(d *switchover.Doc) error {
		d.Primary, d.DCs = "a", map[string]switchover.DC{"a": {Pooled: true}, "b": {Pooled: true}}
		return nil
	})
	fmt.Println("created:", doc.Primary, doc.Epoch, err)

	// A process of the application follows it.
	state, err := switchover.New(switchover.NewFile(path), &switchover.Options{DC: "b"})
	if err != nil {
		panic(err)
	}
	fmt.Println("loaded:", state.Refresh(ctx))
	dc, epoch, err := state.Primary(ctx)
	fmt.Println("primary:", dc, epoch, err)
	// Output:
	// created: a 1 <nil>
	// loaded: <nil>
	// primary: a 1 <nil>
}

func ExampleState_Update() {
	state, _ := loaded()
	doc, err := state.Update(context.Background(), func(d *switchover.Doc) error {
		if d.Primary == "b" {
			return errors.New("b is the primary already")
		}
		d.Primary = "b"
		return nil
	})
	fmt.Println(doc.Primary, doc.PrimaryEpoch, doc.Updated.By, err)

	_, err = state.Update(context.Background(), func(d *switchover.Doc) error {
		d.DCs["b"] = switchover.DC{Pooled: false}
		return nil
	})
	fmt.Println(err)
	// Output:
	// b 2 ann <nil>
	// switchover: invalid state document: primary "b" is not pooled: pool it, or move the primary first
}

func ExampleState_Run() {
	state, _ := loaded()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { fmt.Println("Run:", state.Run(ctx)) })
	// … the process serves …
	cancel()
	running.Wait()
	// Output: Run: <nil>
}

func ExampleState_OnChange() {
	state, _ := loaded()
	told := make(chan string)
	stop := state.OnChange(func(old, now switchover.Doc) { told <- fmt.Sprintf("%q → %q", old.Primary, now.Primary) })
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = state.Run(ctx) })
	fmt.Println(<-told)
	_, _ = state.Update(ctx, func(d *switchover.Doc) error { d.Primary = "b"; return nil })
	fmt.Println(<-told)
	stop()
	cancel()
	running.Wait()
	// Output:
	// "" → "a"
	// "a" → "b"
}

func ExampleState_Changed() {
	state, _ := loaded()
	changed := state.Changed() // first the channel, then what it is about
	dc, _, _ := state.Primary(context.Background())
	fmt.Println(dc)
	_, _ = state.Update(context.Background(), func(d *switchover.Doc) error { d.Primary = "b"; return nil })
	<-changed
	dc, _, _ = state.Primary(context.Background())
	fmt.Println(dc)
	// Output:
	// a
	// b
}

func ExampleState_ReadOnlyFor() {
	state, _ := loaded()
	ctx := context.Background()
	_, _ = state.Update(ctx, func(d *switchover.Doc) error {
		d.Sections = map[string]string{"s4": "disk full"}
		return nil
	})
	reason, _, err := state.ReadOnlyFor(ctx, "a", "s4")
	fmt.Printf("s4: %q %v\n", reason, err)

	_, _ = state.Update(ctx, func(d *switchover.Doc) error {
		d.ReadOnly = &switchover.Window{Reason: "moving to b", Until: time.Date(2026, 5, 1, 10, 2, 0, 0, time.UTC)}
		return nil
	})
	reason, until, err := state.ReadOnlyFor(ctx, "a", "s4")
	fmt.Printf("all: %q until %v %v\n", reason, until.Format(time.TimeOnly), err)
	reason, err = state.ReadOnly(ctx)
	fmt.Printf("own DC: %q %v\n", reason, err)
	// Output:
	// s4: "disk full" <nil>
	// all: "moving to b" until 10:02:00 <nil>
	// own DC: "moving to b" <nil>
}

func ExampleState_ClusterReason() {
	store := switchover.NewMemory(switchover.Doc{Primary: "a", DCs: map[string]switchover.DC{"a": {Pooled: true}}})
	state, _ := switchover.New(store, &switchover.Options{DC: "a"})
	reason := state.ClusterReason("s4") // goes into rdbms.Options
	fmt.Printf("%q\n", reason())
	_ = state.Refresh(context.Background())
	fmt.Printf("%q\n", reason())
	// Output:
	// "state not loaded"
	// ""
}

func ExampleState_Pooled() {
	state, _ := loaded()
	_, _ = state.Update(context.Background(), func(d *switchover.Doc) error {
		d.DCs["b"] = switchover.DC{Pooled: false}
		return nil
	})
	fmt.Println(state.Pooled("a"), state.Pooled("b"))
	// Output: true false
}

func ExampleState_Rollout() {
	state, _ := loaded()
	_, _ = state.Update(context.Background(), func(d *switchover.Doc) error {
		d.Rollout = &switchover.Rollout{
			Default: &switchover.Rule{Mode: "local", Share: 10000, Salt: "2026"},
			Hosts:   map[string]switchover.Rule{"*.example.org": {Share: 200}},
		}
		return nil
	})
	fmt.Println(state.Rollout("en.example.org"))
	fmt.Println(state.Rollout("example.com"))
	// Output:
	// local 200 2026 true
	// local 10000 2026 true
}

func ExampleState_Current() {
	state, _ := loaded()
	doc, age, ok := state.Current()
	fmt.Println(doc.Primary, doc.Epoch, age < time.Minute, ok)
	// Output: a 1 true true
}

func ExampleState_Explain() {
	store := switchover.NewMemory(switchover.Doc{})
	state, _ := switchover.New(store, &switchover.Options{DC: "a"})
	fmt.Print(state.Explain(context.Background()))
	// Output:
	// state of DC a: never loaded, writes are refused
	//   look at this: Run is not under way: nothing keeps the state fresh
}

func ExampleMemory_Fail() {
	state, store := loaded()
	store.Fail(errors.New("link cut"))
	err := state.Refresh(context.Background())
	fmt.Println(errors.Is(err, switchover.ErrUnavailable), err)
	dc, _, err := state.Primary(context.Background()) // what was read before still counts, for MaxStale
	fmt.Println(dc, err)
	// Output:
	// true switchover: state unavailable: link cut
	// a <nil>
}

func ExampleParse() {
	doc, err := switchover.Parse([]byte(`{"v":1,"epoch":1,"primary":"a","primary_epoch":1,
		"dcs":{"a":{"pooled":true,"rack":"of a later version"}}}`))
	fmt.Println(doc.Primary, err)
	raw, err := doc.Marshal()
	fmt.Println(strings.Contains(string(raw), `"rack":"of a later version"`), err)
	// Output:
	// a <nil>
	// true <nil>
}

func ExampleDoc_Validate() {
	before, _ := switchover.Parse([]byte(`{"v":1,"epoch":42,"primary":"a","primary_epoch":39,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}}`))
	byHand, _ := switchover.Parse([]byte(`{"v":1,"epoch":42,"primary":"b","primary_epoch":39,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}}`))
	fmt.Println(byHand.Validate(&before))
	// Output:
	// switchover: invalid state document: primary changed from "a" to "b": needs "epoch":43 and "primary_epoch":43, has 42 and 39
}

func ExampleDoc_ReadOnlyFor() {
	doc := switchover.Doc{DCs: map[string]switchover.DC{"a": {Pooled: true}, "b": {Pooled: true, ReadOnly: "row format"}}}
	reason, _ := doc.ReadOnlyFor("b", "")
	fmt.Println(reason)
	// Output: row format
}
