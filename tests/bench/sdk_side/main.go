// SPDX-License-Identifier: MIT

// One side of bench_sdk, in Go: takes orders on standard input and answers on standard output how long a call took. An order is struct order
// of bench_sdk.c, an answer struct answer; names come from the same sequence as there.
//
//	sdk_side STORE FEATURE...
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"featurefs"
)

type order struct {
	Calls, Batch int64
	Seed         uint64
	Entities     int64
	WantsP99     uint8
	_            [7]byte
}

type answer struct {
	Us, P99Us float64
}

const chunk = 100000

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sdk_side:", err)
		os.Exit(1)
	}
}

func main() {
	store, err := featurefs.Open(os.Args[1])
	check(err)
	view, err := store.View(os.Args[2:]...)
	check(err)
	ctx := context.Background()
	var batch *featurefs.Batch
	for {
		var o order
		if binary.Read(os.Stdin, binary.LittleEndian, &o) != nil {
			return
		}
		var total time.Duration
		for done := int64(0); done < o.Calls; {
			some := chunk / o.Batch
			if some > o.Calls-done {
				some = o.Calls - done
			}
			names := make([]string, some*o.Batch)
			for i := range names {
				o.Seed ^= o.Seed << 13
				o.Seed ^= o.Seed >> 7
				o.Seed ^= o.Seed << 17
				names[i] = fmt.Sprintf("e%07d", o.Seed%uint64(o.Entities))
			}
			begin := time.Now()
			for i := int64(0); i < some; i++ {
				batch, err = view.Get(ctx, names[i*o.Batch:(i+1)*o.Batch], batch)
				check(err)
			}
			total += time.Since(begin)
			done += some
		}
		check(binary.Write(os.Stdout, binary.LittleEndian, answer{float64(total.Nanoseconds()) / 1e3 / float64(o.Calls), 0}))
	}
}
