// SPDX-License-Identifier: MIT

// Histories: clients of both mounts, and of the client library, write and read a few keys as fast as they can, each noting when it asked, when it
// was answered, and what was said; then Porcupine decides whether some order of one operation after another explains it all, each key for itself.
//
//	histories EDITING-MOUNT SERVING-MOUNT SECONDS [SEED]
//
// Rounds are short, for the checker's time grows with what is under way at once. Exit status: 0 every history is linearizable, 1 one is not
// (it is shown), 2 it could not run. The library is asked through sdkop in $BIN, by the map and by the mount, a process a reader.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	entities   = 2
	features   = 2
	writers    = 4
	readers    = 5 // of files; more, and the checker can no longer decide what a busy machine makes of it
	roundTime  = 250 * time.Millisecond
	checkTime  = 60 * time.Second
	opsAtMost  = 1500 // of a client in a round
	absent     = int64(-1)
	shownAtEnd = 30
)

// What is asked of one key, a feature of an entity: to become a value (or absent), or to be read.
type input struct {
	key     string
	isWrite bool
	value   int64
	how     string
}

// A register for each key; `absent` until it is written.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(input).key
			parts[key] = append(parts[key], op)
		}
		var list [][]porcupine.Operation
		for _, part := range parts {
			list = append(list, part)
		}
		return list
	},
	Init: func() interface{} { return absent },
	Step: func(state, in, out interface{}) (bool, interface{}) {
		if in.(input).isWrite {
			return true, in.(input).value
		}
		return out.(int64) == state.(int64), state
	},
	DescribeOperation: func(in, out interface{}) string {
		if in.(input).isWrite {
			return fmt.Sprintf("%s := %d by %s", in.(input).key, in.(input).value, in.(input).how)
		}
		return fmt.Sprintf("%s is %d by %s", in.(input).key, out.(int64), in.(input).how)
	},
}

type round struct {
	edit, srv, group string // directories of the group, and its name
	begin            time.Time
	next             int64 // values given so far: each is written once
	mu               sync.Mutex
	history          []porcupine.Operation
	failed           error
}

func (r *round) now() int64 { return int64(time.Since(r.begin)) }

func (r *round) fail(err error) {
	r.mu.Lock()
	if r.failed == nil {
		r.failed = err
	}
	r.mu.Unlock()
}

func (r *round) note(ops []porcupine.Operation) {
	r.mu.Lock()
	r.history = append(r.history, ops...)
	r.mu.Unlock()
}

func key(entity, feature int) string { return fmt.Sprintf("e%d/f%d", entity, feature) }

// writeFile is os.WriteFile, begun again if the file was removed between the kernel's look at it and its opening.
func writeFile(path, text string) error {
	for {
		err := os.WriteFile(path, []byte(text), 0o644)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// write changes one key by one of the ways there are.
func (r *round) write(rng *rand.Rand) ([]input, error) {
	entity, feature := rng.Intn(entities), rng.Intn(features)
	path := filepath.Join(r.edit, key(entity, feature))
	value := atomic.AddInt64(&r.next, 1)
	text := strconv.FormatInt(value, 10) + "\n"
	ins := []input{{key(entity, feature), true, value, "file"}}

	switch rng.Intn(10) {
	case 0, 1, 2, 3, 4:
		return ins, writeFile(path, text)
	case 5:
		ins[0].how = ".row"
		row := fmt.Sprintf(`{"features": {"f%d": %d}}`, feature, value)
		return ins, writeFile(filepath.Join(r.edit, fmt.Sprintf("e%d/.row", entity)), row)
	case 6, 7: // all keys of both entities, in one change
		var rows strings.Builder
		ins = nil
		for e := 0; e < entities; e++ {
			fmt.Fprintf(&rows, `{"entity": "e%d", "features": {`, e)
			for f := 0; f < features; f++ {
				if f > 0 {
					rows.WriteString(", ")
				}
				fmt.Fprintf(&rows, `"f%d": %d`, f, value)
				ins = append(ins, input{key(e, f), true, value, ".upsert"})
			}
			rows.WriteString("}}\n")
		}
		return ins, writeFile(filepath.Join(r.edit, ".upsert"), rows.String())
	case 8:
		ins[0].how = "rename"
		temp := filepath.Join(r.edit, fmt.Sprintf("e%d/.t%d", entity, value))
		if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
			return ins, err
		}
		// The scratch file's own time may be older than what stands by now; it is then refused, and nothing was written.
		now := time.Now().Add(time.Millisecond)
		_ = os.Chtimes(temp, now, now)
		err := os.Rename(temp, path)
		if err != nil && strings.Contains(err.Error(), "stale") {
			return nil, os.Remove(temp)
		}
		return ins, err
	default:
		ins[0].value, ins[0].how = absent, "removal"
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) { // that is an answer, too
			ins[0].isWrite = false
			return ins, nil
		}
		return ins, err
	}
}

func readFile(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSuffix(string(text), "\n"), 10, 64)
}

func readBin(path string) (int64, error) {
	bytes, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err == nil && len(bytes) != 8 {
		err = fmt.Errorf("%s: %d bytes", path, len(bytes))
	}
	if err != nil {
		return 0, err
	}
	value := int64(0)
	for i := 7; i >= 0; i-- {
		value = value<<8 | int64(bytes[i])
	}
	return value, nil
}

// read asks for one key, or by .row for all keys of an entity.
func (r *round) read(rng *rand.Rand) ([]input, []int64, error) {
	entity, feature := rng.Intn(entities), rng.Intn(features)
	name, root, how := key(entity, feature), r.srv, "serving"
	way := rng.Intn(10)

	if way >= 8 {
		root, how = r.edit, "editing"
	}
	if way != 5 && way != 6 && way != 9 {
		read := readFile
		path := filepath.Join(root, name)
		if way == 7 {
			read, path = readBin, path+".bin"
		}
		value, err := read(path)
		return []input{{name, false, 0, how + strings.TrimPrefix(path, filepath.Join(root, name))}}, []int64{value}, err
	}
	text, err := os.ReadFile(filepath.Join(root, fmt.Sprintf("e%d/.row", entity)))
	if err != nil {
		return nil, nil, err
	}
	var row struct{ Features map[string]int64 }
	if err := json.Unmarshal(text, &row); err != nil {
		return nil, nil, fmt.Errorf("%q: %w", text, err)
	}
	var ins []input
	var outs []int64
	for f := 0; f < features; f++ {
		value, there := row.Features[fmt.Sprintf("f%d", f)]
		if !there {
			value = absent
		}
		ins = append(ins, input{key(entity, f), false, 0, how + " .row"})
		outs = append(outs, value)
	}
	return ins, outs, nil
}

// library is a process that reads by libfeaturefs.
type library struct {
	how     string
	process *exec.Cmd
	asks    io.WriteCloser
	answers *bufio.Reader
}

// The flags of featurefs_open for each of its readers.
var libraries = []struct{ how, flags string }{{"map", "1"}, {"map", "1"}, {"library by mount", "2"}}

func startLibrary(edit, group, how, flags string) (*library, error) {
	var list []string
	for f := 0; f < features; f++ {
		list = append(list, fmt.Sprintf("%s/f%d", group, f))
	}
	l := &library{how: how, process: exec.Command(filepath.Join(os.Getenv("BIN"), "tests/helpers/sdkop"), "ask", edit, strings.Join(list, ","))}
	l.process.Env = append(os.Environ(), "SDKOP_FLAGS="+flags)
	l.process.Stderr = os.Stderr
	asks, err := l.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := l.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.asks, l.answers = asks, bufio.NewReader(answers)
	if err := l.process.Start(); err != nil {
		return nil, err
	}
	if line, err := l.answers.ReadString('\n'); err != nil || line != "ready\n" {
		return nil, fmt.Errorf("%s: it said %q: %v", l.process, line, err)
	}
	return l, nil
}

func (l *library) stop() error {
	l.asks.Close()
	return l.process.Wait()
}

// read asks for all keys at once, which come from one snapshot.
func (l *library) read() ([]input, []int64, error) {
	var ins []input
	var outs []int64
	var names []string

	for e := 0; e < entities; e++ {
		names = append(names, fmt.Sprintf("e%d", e))
	}
	if _, err := io.WriteString(l.asks, strings.Join(names, " ")+"\n"); err != nil {
		return nil, nil, err
	}
	line, err := l.answers.ReadString('\n')
	numbers := strings.Fields(line)
	if err != nil || len(numbers) != entities*features {
		return nil, nil, fmt.Errorf("%s: it said %q: %v", l.process, line, err)
	}
	for i, number := range numbers {
		value := absent
		if number != "-" {
			if value, err = strconv.ParseInt(number, 10, 64); err != nil {
				return nil, nil, err
			}
		}
		ins = append(ins, input{key(i/features, i%features), false, 0, l.how})
		outs = append(outs, value)
	}
	return ins, outs, nil
}

// client writes, reads by the library, or reads files.
func (r *round) client(id int, isWriter bool, lib *library, seed int64) {
	rng := rand.New(rand.NewSource(seed))
	var ops []porcupine.Operation

	for n := 0; n < opsAtMost && time.Since(r.begin) < roundTime; n++ {
		var ins []input
		var outs []int64
		var err error
		call := r.now()
		if isWriter {
			ins, err = r.write(rng)
			outs = make([]int64, len(ins))
			for i := range ins {
				outs[i] = absent
			}
		} else if lib != nil {
			ins, outs, err = lib.read()
		} else {
			ins, outs, err = r.read(rng)
		}
		done := r.now()
		if err != nil {
			r.fail(err)
			return
		}
		for i, in := range ins {
			ops = append(ops, porcupine.Operation{ClientId: id, Input: in, Call: call, Output: outs[i], Return: done})
		}
	}
	r.note(ops)
}

// One round on a group of its own.
func run(edit, srv string, number int, seed int64) (int, bool, error) {
	name := fmt.Sprintf("h%d", number)
	r := &round{edit: filepath.Join(edit, name), srv: filepath.Join(srv, name), group: name}
	schema := "[group]\n"

	for f := 0; f < features; f++ {
		schema += fmt.Sprintf("[feature f%d]\ntype = int64\n", f)
	}
	if err := os.Mkdir(r.edit, 0o755); err != nil {
		return 0, false, err
	}
	if err := os.WriteFile(filepath.Join(r.edit, ".schema"), []byte(schema), 0o644); err != nil {
		return 0, false, err
	}
	for e := 0; e < entities; e++ {
		if err := os.Mkdir(filepath.Join(r.edit, fmt.Sprintf("e%d", e)), 0o755); err != nil {
			return 0, false, err
		}
	}
	var libs []*library
	for _, l := range libraries {
		lib, err := startLibrary(edit, name, l.how, l.flags)
		if err != nil {
			return 0, false, err
		}
		libs = append(libs, lib)
	}
	var wait sync.WaitGroup
	r.begin = time.Now()
	for i := 0; i < writers+readers+len(libs); i++ {
		var lib *library
		if i >= writers+readers {
			lib = libs[i-writers-readers]
		}
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			r.client(i, i < writers, lib, seed+int64(i))
		}(i)
	}
	wait.Wait()
	for _, lib := range libs {
		if err := lib.stop(); err != nil {
			r.fail(err)
		}
	}
	if r.failed != nil {
		return 0, false, r.failed
	}
	switch porcupine.CheckOperationsTimeout(model, r.history, checkTime) {
	case porcupine.Ok:
		return len(r.history), true, nil
	case porcupine.Unknown:
		return 0, false, fmt.Errorf("a history of %d operations could not be decided in %s", len(r.history), checkTime)
	}
	r.show()
	return len(r.history), false, nil
}

// upTo is what was known at a time: operations that had returned by then, and writes that were under way and may come to be.
func upTo(part []porcupine.Operation, end int64) []porcupine.Operation {
	var known []porcupine.Operation
	for _, op := range part {
		if op.Return <= end {
			known = append(known, op)
		} else if op.Call <= end && op.Input.(input).isWrite {
			op.Return = math.MaxInt64
			known = append(known, op)
		}
	}
	return known
}

// show prints the stretch of a key's history that cannot be explained.
func (r *round) show() {
	for _, part := range model.Partition(r.history) {
		one := model
		one.Partition = nil
		if porcupine.CheckOperationsTimeout(one, part, checkTime) == porcupine.Ok {
			continue
		}
		sortByReturn(part)
		low, high := 0, len(part)-1 // the first operation whose return cannot be explained
		for low < high {
			middle := (low + high) / 2
			if porcupine.CheckOperationsTimeout(one, upTo(part, part[middle].Return), checkTime) == porcupine.Ok {
				low = middle + 1
			} else {
				high = middle
			}
		}
		fmt.Println("not linearizable; the last line, before those under way, cannot be (times in us):")
		shown := upTo(part, part[low].Return)
		if len(shown) > shownAtEnd {
			shown = shown[len(shown)-shownAtEnd:]
		}
		for _, op := range shown {
			until := fmt.Sprintf("%10.1f", float64(op.Return)/1e3)
			if op.Return == math.MaxInt64 {
				until = "       ..."
			}
			fmt.Printf("  %10.1f .. %s  client %2d  %s\n", float64(op.Call)/1e3, until, op.ClientId,
				model.DescribeOperation(op.Input, op.Output))
		}
		return
	}
}

func sortByReturn(ops []porcupine.Operation) {
	for i := 1; i < len(ops); i++ {
		for j := i; j > 0 && ops[j].Return < ops[j-1].Return; j-- {
			ops[j], ops[j-1] = ops[j-1], ops[j]
		}
	}
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: histories EDITING-MOUNT SERVING-MOUNT SECONDS [SEED]")
		os.Exit(2)
	}
	seconds, err := strconv.Atoi(os.Args[3])
	seed := int64(20261123)
	if err == nil && len(os.Args) > 4 {
		seed, err = strconv.ParseInt(os.Args[4], 10, 64)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "histories:", err)
		os.Exit(2)
	}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	rounds, ops := 0, 0
	for rounds == 0 || time.Now().Before(end) {
		n, isFine, err := run(os.Args[1], os.Args[2], rounds, seed+int64(1000*rounds))
		if err != nil {
			fmt.Fprintf(os.Stderr, "histories: round %d: %v\n", rounds, err)
			os.Exit(2)
		}
		rounds++
		ops += n
		if !isFine {
			fmt.Printf("histories: round %d of seed %d is not linearizable\n", rounds, seed)
			os.Exit(1)
		}
	}
	fmt.Printf("histories: %d rounds, %d operations, %d clients: every history is linearizable\n", rounds, ops, writers+readers+len(libraries))
}
