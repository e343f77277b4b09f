// SPDX-License-Identifier: MIT

package featurefs_test

// Run with FEATUREFS_MOUNT naming a mount that has a group user_stats (clicks_7d int64, plan string, vec float32[2], seen timestamp).

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"featurefs"
)

var mount = os.Getenv("FEATUREFS_MOUNT")

func open(t testing.TB) *featurefs.Store {
	t.Helper()
	store, err := featurefs.Open(mount)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func Example() {
	store, err := featurefs.Open(mount)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	store.Put("user_stats", featurefs.Row{Entity: "u1", Features: map[string]any{"clicks_7d": 3, "plan": "pro"}})

	view, err := store.View("user_stats/clicks_7d", "user_stats/plan")
	if err != nil {
		panic(err)
	}
	defer view.Close()
	batch, err := view.Get(context.Background(), []string{"u1", "nobody"}, nil)
	if err != nil {
		panic(err)
	}
	clicks, plan := batch.Column("clicks_7d"), batch.Column("plan")
	fmt.Println(clicks.Int64s[0], plan.Text(0), clicks.Status[1] == featurefs.Missing)
	// Output: 3 pro true
}

func ExampleStore_Delete() {
	store, _ := featurefs.Open(mount)
	defer store.Close()
	store.Put("user_stats", featurefs.Row{Entity: "gone", Features: map[string]any{"clicks_7d": 1}})
	store.Delete("user_stats", "gone")
	_, err := store.Row("user_stats", "gone")
	fmt.Println(errors.Is(err, syscall.ENOENT))
	// Output: true
}

func ExampleEscape() {
	name, _ := featurefs.Escape("a/b")
	fmt.Println(name)
	// Output: a%2Fb
}

func TestValues(t *testing.T) {
	store := open(t)
	seen := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	_, err := store.Put("user_stats",
		featurefs.Row{Entity: "v1", Features: map[string]any{"clicks_7d": int64(1) << 60, "plan": "ä", "vec": []float32{1.5, -2}, "seen": seen}},
		featurefs.Row{Entity: "v2", Features: map[string]any{"plan": nil}})
	if err != nil {
		t.Fatal(err)
	}
	view, err := store.View("user_stats/*")
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	batch, err := view.Get(context.Background(), []string{"v1", "v2", "v3"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := batch.Column("clicks_7d").Int64s; !reflect.DeepEqual(got, []int64{1 << 60, 0, 0}) {
		t.Error(got)
	}
	if got := batch.Column("vec").Float32s[:2]; !reflect.DeepEqual(got, []float32{1.5, -2}) {
		t.Error(got)
	}
	if got := batch.Column("seen").Int64s[0]; got != seen.UnixMicro() {
		t.Error(got)
	}
	plan := batch.Column("plan")
	if got := plan.Status; !reflect.DeepEqual(got, []featurefs.Status{featurefs.Present, featurefs.Null, featurefs.Missing}) {
		t.Error(got)
	}
	if plan.Text(0) != "ä" || plan.Text(1) != "" || plan.EventNs[0] == 0 || plan.EventNs[2] != 0 {
		t.Error(plan.Text(0), plan.EventNs)
	}
}

func TestErrors(t *testing.T) {
	store := open(t)
	if _, err := featurefs.Open("/nonexistent"); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	if _, err := store.View("user_stats/nothing"); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	if _, err := store.NamedView("nothing"); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	_, err := store.Put("user_stats", featurefs.Row{Entity: "u1", Features: map[string]any{"clicks_7d": "many"}})
	var refused *featurefs.Error
	if !errors.As(err, &refused) || refused.Errno != syscall.EINVAL || refused.Reason == "" {
		t.Error(err)
	}
	view, err := store.View("user_stats/plan")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := view.Get(ended, []string{"u1"}, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	view.Close()
	if _, err := view.Get(context.Background(), []string{"u1"}, nil); !errors.Is(err, featurefs.ErrClosed) {
		t.Error(err)
	}
}

// Texts of growing length through one batch: room is found again, and what was read before is overwritten.
func TestReuse(t *testing.T) {
	store := open(t)
	view, err := store.View("user_stats/plan")
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	var batch *featurefs.Batch
	for _, n := range []int{0, 10, 1000, 50000, 3} {
		text := string(make([]byte, 0, n))
		for len(text) < n {
			text += "0123456789"
		}
		version, err := store.Put("user_stats", featurefs.Row{Entity: "long", Features: map[string]any{"plan": text}})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Wait(context.Background(), version); err != nil {
			t.Fatal(err)
		}
		batch, err = view.Get(context.Background(), []string{"nobody", "long"}, batch)
		if err != nil {
			t.Fatal(err)
		}
		if got := batch.Column("plan").Text(1); got != text {
			t.Errorf("%d bytes instead of %d", len(got), len(text))
		}
	}
}

// Two values that are always written together, read by many: equal in every batch.
func TestOneSnapshot(t *testing.T) {
	store := open(t)
	put := func(k int) error {
		_, err := store.Put("user_stats", featurefs.Row{Entity: "1001", Features: map[string]any{"clicks_7d": k}},
			featurefs.Row{Entity: "1002", Features: map[string]any{"clicks_7d": k}})
		return err
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for r := 0; r < 4; r++ {
		group.Add(1)
		go func() {
			defer group.Done()
			view, err := store.View("user_stats/clicks_7d")
			if err != nil {
				t.Error(err)
				return
			}
			defer view.Close()
			var batch *featurefs.Batch
			last := int64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				batch, err = view.GetInts(context.Background(), []int64{1001, 1002}, batch)
				if err != nil {
					t.Error(err)
					return
				}
				got := batch.Columns[0].Int64s
				if got[0] != got[1] || got[0] < last {
					t.Errorf("%v after %d", got, last)
				}
				last = got[0]
			}
		}()
	}
	for k := 1; k <= 200; k++ {
		if err := put(k); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
}
