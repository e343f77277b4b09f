// SPDX-License-Identifier: MIT

// Package featurefs reads a feature store in this process and writes to it through its mount. It is a thin cover of libfeaturefs(3), which
// says what is promised: a read after an acknowledged write of any lane sees it, and all of one Get comes from one snapshot.
//
// Values have Go's own types: bool, int32, int64, float32, float64, string, []byte, and time.Time in Put; timestamps are read as int64
// microseconds since 1970. A Store and its Views may be used by any number of goroutines at once, a Batch by one at a time.
//
// Building needs cgo and the installed library (pkg-config featurefs).
package featurefs

/*
#cgo pkg-config: featurefs
#include <stdlib.h>
#include <string.h>
#include "featurefs.h"

*/
import "C"

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Status says what stands behind a value that was asked for.
type Status uint8

const (
	Present Status = iota
	Null           // known to have no value
	Missing        // nobody has written one, or it was deleted
	Expired        // past the group's time to live
)

// Type is that of a feature's values, or of the elements of an array.
type Type int

const (
	Bool Type = iota + 1
	Int32
	Int64
	Float32
	Float64
	String
	Bytes
	Timestamp
	JSON
)

// Error is what the library said. errors.Is finds its errno: errors.Is(err, syscall.ENOENT).
type Error struct {
	Errno  syscall.Errno
	Reason string
}

func (e *Error) Error() string { return "featurefs: " + e.Reason }

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Errno }

// ErrClosed is returned by what is called on a closed Store or View.
var ErrClosed = errors.New("featurefs: closed")

// The reason belongs to the thread, so the goroutine must not move between the call and this: callers lock it to its thread.
func failure(rc C.int) error {
	if rc >= 0 {
		return nil
	}
	errno := syscall.Errno(-rc)
	reason := C.GoString(C.featurefs_error())
	if reason == "" {
		reason = errno.Error()
	}
	return &Error{errno, reason}
}

func call(do func() C.int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return failure(do())
}

// Store is an open feature store.
type Store struct {
	mu sync.RWMutex
	fs *C.struct_featurefs
}

// Open opens a store by a mount point of it, or by its STORE directory. ENOENT; ENODEV: it is no feature store; EAGAIN: its map awaits recovery,
// start the daemon on it once.
func Open(path string) (*Store, error) {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var fs *C.struct_featurefs
	if err := call(func() C.int { return C.featurefs_open(cpath, 0, &fs) }); err != nil {
		return nil, err
	}
	return &Store{fs: fs}, nil
}

// Close closes it, when the calls that are running have come back. Its Views must have been closed.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	C.featurefs_close(s.fs)
	s.fs = nil
}

func (s *Store) with(do func(fs *C.struct_featurefs) C.int) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fs == nil {
		return ErrClosed
	}
	return call(func() C.int { return do(s.fs) })
}

// Schema is a group's definition, as its .schema reads. ENOENT: there is no such group.
func (s *Store) Schema(group string) (string, error) {
	return s.text(group, func(fs *C.struct_featurefs, cgroup *C.char, out *C.struct_featurefs_text) C.int {
		return C.featurefs_schema(fs, cgroup, out)
	})
}

// Row is all values of one entity as a JSON object, from one snapshot. ENOENT: there is no such group or entity.
func (s *Store) Row(group, entity string) (json.RawMessage, error) {
	centity := C.CString(entity)
	defer C.free(unsafe.Pointer(centity))
	text, err := s.text(group, func(fs *C.struct_featurefs, cgroup *C.char, out *C.struct_featurefs_text) C.int {
		return C.featurefs_row(fs, cgroup, centity, out)
	})
	return json.RawMessage(text), err
}

func (s *Store) text(group string, do func(*C.struct_featurefs, *C.char, *C.struct_featurefs_text) C.int) (string, error) {
	cgroup := C.CString(group)
	defer C.free(unsafe.Pointer(cgroup))
	text := (*C.struct_featurefs_text)(C.calloc(1, C.sizeof_struct_featurefs_text))
	defer C.free(unsafe.Pointer(text))
	defer C.featurefs_text_release(text)
	err := s.with(func(fs *C.struct_featurefs) C.int { return do(fs, cgroup, text) })
	if err != nil {
		return "", err
	}
	return C.GoStringN(text.data, C.int(text.len)), nil
}

// Entities lists names in written form that begin with prefix, in order of their bytes, behind after, at most limit of them (0: all). Each call
// is a snapshot of its own.
func (s *Store) Entities(group, prefix, after string, limit int) ([]string, error) {
	cprefix, cafter := C.CString(prefix), C.CString(after)
	defer C.free(unsafe.Pointer(cprefix))
	defer C.free(unsafe.Pointer(cafter))
	var n C.size_t
	text, err := s.text(group, func(fs *C.struct_featurefs, cgroup *C.char, out *C.struct_featurefs_text) C.int {
		return C.featurefs_entities(fs, cgroup, cprefix, cafter, C.size_t(limit), out, &n)
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, int(n))
	for from, i := 0, 0; i < len(text); i++ {
		if text[i] == '\n' {
			names = append(names, text[from:i])
			from = i + 1
		}
	}
	return names, nil
}

// Version is the number of the newest commit that a read sees now.
func (s *Store) Version() (uint64, error) {
	var version C.uint64_t
	err := s.with(func(fs *C.struct_featurefs) C.int { return C.featurefs_version(fs, &version) })
	return uint64(version), err
}

// Wait waits until reads see the commit of that number, or the context ends.
func (s *Store) Wait(ctx context.Context, version uint64) error {
	const step = 50 // milliseconds between two looks at the context
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.with(func(fs *C.struct_featurefs) C.int { return C.featurefs_wait(fs, C.uint64_t(version), step) })
		if !errors.Is(err, syscall.ETIMEDOUT) {
			return err
		}
	}
}

// ---- writing ----

// Row is a change of one entity. Values of Features may be nil (a null), bool, integers, floats, string, []byte, time.Time, json.RawMessage, and
// slices of these.
type Row struct {
	Entity       string    // in written form; see Escape
	EventTime    time.Time // the zero time: the moment of the commit
	Features     map[string]any
	Delete       []string
	DeleteEntity bool
	Force        bool // wins whatever its event time is
}

func plain(value any) (any, error) {
	switch v := value.(type) {
	case float64:
		if math.IsNaN(v) {
			return "NaN", nil
		}
		if math.IsInf(v, 0) {
			return map[bool]string{true: "Infinity", false: "-Infinity"}[v > 0], nil
		}
		return v, nil
	case float32:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return plain(f)
		}
		return v, nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000000000Z"), nil
	case []float64:
		return plainSlice(v)
	case []float32:
		return plainSlice(v)
	case []time.Time:
		return plainSlice(v)
	case [][]byte:
		return plainSlice(v)
	case nil, bool, string, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, json.RawMessage, []bool, []string, []int,
		[]int32, []int64:
		return v, nil
	}
	return nil, fmt.Errorf("featurefs: a value of type %T has no form in the store", value)
}

func plainSlice[T any](values []T) (any, error) {
	out := make([]any, len(values))
	for i, value := range values {
		item, err := plain(value)
		if err != nil {
			return nil, err
		}
		out[i] = item
	}
	return out, nil
}

func (row *Row) line() ([]byte, error) {
	line := map[string]any{"entity": row.Entity}
	if !row.EventTime.IsZero() {
		line["event_time"], _ = plain(row.EventTime)
	}
	features := make(map[string]any, len(row.Features))
	for name, value := range row.Features {
		item, err := plain(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		features[name] = item
	}
	if len(features) > 0 {
		line["features"] = features
	}
	if row.DeleteEntity {
		line["delete"] = true
	} else if len(row.Delete) > 0 {
		line["delete"] = row.Delete
	}
	if row.Force {
		line["force"] = true
	}
	return json.Marshal(line)
}

// Put makes the changes as one, durable and visible to every reader when it returns; at most 16 MiB. It returns the number of a commit that
// has them, for Wait. On an error nothing was changed, but on EIO, where that is not known.
func (s *Store) Put(group string, rows ...Row) (uint64, error) {
	cgroup := C.CString(group)
	defer C.free(unsafe.Pointer(cgroup))
	var chg *C.struct_featurefs_changes
	if err := s.with(func(fs *C.struct_featurefs) C.int { return C.featurefs_changes_new(fs, cgroup, &chg) }); err != nil {
		return 0, err
	}
	defer C.featurefs_changes_free(chg)
	for i := range rows {
		line, err := rows[i].line()
		if err != nil {
			return 0, err
		}
		err = call(func() C.int {
			return C.featurefs_changes_json(chg, (*C.char)(unsafe.Pointer(&line[0])), C.size_t(len(line)))
		})
		if err != nil {
			return 0, err
		}
	}
	var version C.uint64_t
	err := s.with(func(*C.struct_featurefs) C.int { return C.featurefs_changes_commit(chg, &version) })
	return uint64(version), err
}

// Delete deletes values of one entity, or, with no features named, the entity as a whole. It returns what Put does.
func (s *Store) Delete(group, entity string, features ...string) (uint64, error) {
	return s.Put(group, Row{Entity: entity, Delete: features, DeleteEntity: len(features) == 0})
}

// Escape is the written form of one raw part of an entity's name. EINVAL, EILSEQ, ENAMETOOLONG: there is none.
func Escape(raw string) (string, error) {
	craw := C.CString(raw)
	defer C.free(unsafe.Pointer(craw))
	out := (*C.char)(C.malloc(256))
	defer C.free(unsafe.Pointer(out))
	var n C.int
	if err := call(func() C.int { n = C.featurefs_escape(craw, C.size_t(len(raw)), out); return n }); err != nil {
		return "", err
	}
	return C.GoStringN(out, n), nil
}

// ---- views ----

// Field is a column of a View.
type Field struct {
	Name, Group, Feature, TypeName string
	Type                           Type
	IsArray                        bool
	Length                         int // of T[N]; 0: any
	Width                          int // bytes of one value; 0: lengths vary
}

// View is a prepared list of features.
type View struct {
	store  *Store
	mu     sync.RWMutex
	view   *C.struct_featurefs_view
	fields []Field
	keys   []string
}

// View prepares features, each written "group/feature", "column=group/feature", "group(key,...)/feature" or "group/*". ENOENT: there is no such group
// or feature; ESTALE: a feature is retired. Its columns stay those of its making: Get fails with ESTALE when a type has changed since.
func (s *Store) View(features ...string) (*View, error) {
	specs := (**C.char)(C.calloc(C.size_t(len(features)+1), C.size_t(unsafe.Sizeof(uintptr(0)))))
	defer C.free(unsafe.Pointer(specs))
	list := unsafe.Slice(specs, len(features)+1)
	for i, feature := range features {
		list[i] = C.CString(feature)
		defer C.free(unsafe.Pointer(list[i]))
	}
	return s.wrap(func(fs *C.struct_featurefs, out **C.struct_featurefs_view) C.int {
		return C.featurefs_view_new(fs, specs, C.size_t(len(features)), out)
	})
}

// NamedView is a view that the store has, in .views.
func (s *Store) NamedView(name string) (*View, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	return s.wrap(func(fs *C.struct_featurefs, out **C.struct_featurefs_view) C.int {
		return C.featurefs_view_open(fs, cname, out)
	})
}

func (s *Store) wrap(open func(*C.struct_featurefs, **C.struct_featurefs_view) C.int) (*View, error) {
	var view *C.struct_featurefs_view // not a field: C is given no address inside of Go's structs
	if err := s.with(func(fs *C.struct_featurefs) C.int { return open(fs, &view) }); err != nil {
		return nil, err
	}
	v := &View{store: s, view: view}
	for i := C.size_t(0); i < C.featurefs_view_columns(v.view); i++ {
		f := C.featurefs_view_field(v.view, i)
		v.fields = append(v.fields, Field{
			Name: C.GoString(f.name), Group: C.GoString(f.group), Feature: C.GoString(f.feature), TypeName: C.GoString(f.type_name),
			Type: Type(f._type), IsArray: bool(f.is_array), Length: int(f.length), Width: int(f.width),
		})
	}
	for i := C.size_t(0); i < C.featurefs_view_keys(v.view); i++ {
		v.keys = append(v.keys, C.GoString(C.featurefs_view_key(v.view, i)))
	}
	return v, nil
}

// Close frees it, when the calls that are running have come back.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	C.featurefs_view_free(v.view)
	v.view = nil
}

// Fields are the columns, in order.
func (v *View) Fields() []Field { return v.fields }

// Keys name the parts of what a row is found by.
func (v *View) Keys() []string { return v.keys }

// Column holds one feature of all entities asked for. Where a value is not present, the slice has zero, NaN, or an empty text; Status tells.
// Exactly one of the slices is set, by the field's type; an array of fixed length N has N elements for each entity, one of any length those
// between Offsets.
type Column struct {
	Field    Field
	Status   []Status
	Bools    []bool
	Int32s   []int32
	Int64s   []int64 // and timestamps: microseconds since 1970
	Float32s []float32
	Float64s []float64
	Data     []byte  // string, bytes, json (and arrays of these, as JSON text): entity i's from Offsets[i] up to Offsets[i+1]
	Offsets  []int64 // of what varies in length: in Data bytes, else elements
	EventNs  []int64 // nanoseconds since 1970; 0 where the value is missing
}

// Text is entity i's bytes of a column of texts.
func (c *Column) Text(i int) string { return string(c.Data[c.Offsets[i]:c.Offsets[i+1]]) }

// Batch is what one Get has read, all from one snapshot. Given to Get again it keeps its memory, so that a steady loop allocates nothing; what the
// last Get gave is then overwritten.
type Batch struct {
	Columns []Column
	names   map[string]int
	places  []place                    // where the library writes, one for each column
	columns *C.struct_featurefs_column // the same, as the library wants it
	keys    memory
}

// Column finds one by name; nil if the view has none of that name.
func (b *Batch) Column(name string) *Column {
	i, ok := b.names[name]
	if !ok {
		return nil
	}
	return &b.Columns[i]
}

// memory is C's and never shown: what is read is copied out of it, so that no slice of the caller's can outlive it.
type memory struct {
	at   unsafe.Pointer
	room int
}

func (m *memory) reserve(bytes int) unsafe.Pointer {
	if m.room < bytes || m.at == nil {
		C.free(m.at)
		m.at = C.malloc(C.size_t(bytes + 8))
		if m.at == nil {
			panic("featurefs: no memory")
		}
		m.room = bytes
	}
	return m.at
}

type place struct {
	values, offsets, status, eventNs memory
}

func (v *View) newBatch() *Batch {
	n := len(v.fields)
	b := &Batch{Columns: make([]Column, n), names: make(map[string]int, n), places: make([]place, n)}
	for i, field := range v.fields {
		b.Columns[i].Field = field
		b.names[field.Name] = i
	}
	b.columns = (*C.struct_featurefs_column)(C.calloc(C.size_t(n+1), C.sizeof_struct_featurefs_column))
	runtime.SetFinalizer(b, (*Batch).free)
	return b
}

func (b *Batch) free() {
	for i := range b.places {
		p := &b.places[i]
		for _, m := range []memory{p.values, p.offsets, p.status, p.eventNs} {
			C.free(m.at)
		}
	}
	C.free(b.keys.at)
	C.free(unsafe.Pointer(b.columns))
}

func elementWidth(t Type) int {
	switch t {
	case Bool:
		return 1
	case Int32, Float32:
		return 4
	case String, Bytes, JSON:
		return 1
	}
	return 8
}

// copied copies n elements of C's memory into a slice that is used again.
func copied[T any](to []T, from unsafe.Pointer, n int) []T {
	if cap(to) < n {
		to = make([]T, n)
	}
	to = to[:n]
	if n > 0 {
		copy(to, unsafe.Slice((*T)(from), n))
	}
	return to
}

func (c *Column) take(p *place, n, count int) {
	c.Status = copied(c.Status, p.status.at, n)
	c.EventNs = copied(c.EventNs, p.eventNs.at, n)
	if c.Field.Width == 0 {
		c.Offsets = copied(c.Offsets, p.offsets.at, n+1)
	}
	switch c.Field.Type {
	case Bool:
		c.Bools = copied(c.Bools, p.values.at, count)
	case Int32:
		c.Int32s = copied(c.Int32s, p.values.at, count)
	case Float32:
		c.Float32s = copied(c.Float32s, p.values.at, count)
	case Float64:
		c.Float64s = copied(c.Float64s, p.values.at, count)
	case String, Bytes, JSON:
		c.Data = copied(c.Data, p.values.at, count)
	default:
		c.Int64s = copied(c.Int64s, p.values.at, count)
	}
}

// Keys of one Get: texts in written form, or numbers.
type keyList struct {
	texts []string
	ints  []int64
}

func (l *keyList) bytes() int {
	total := 8 * (len(l.ints) + len(l.texts) + 1)
	for _, text := range l.texts {
		total += len(text)
	}
	return (total + 15) &^ 7
}

// Get reads the entities of these names (in written form; of a view with several keys, whole names with their parts joined by ',') into
// batch, or a new one where batch is nil. The context is looked at before the read, which takes a microsecond or so an entity.
func (v *View) Get(ctx context.Context, ids []string, batch *Batch) (*Batch, error) {
	return v.get(ctx, []keyList{{texts: ids}}, len(ids), batch)
}

// GetInts is Get for names that are numbers.
func (v *View) GetInts(ctx context.Context, ids []int64, batch *Batch) (*Batch, error) {
	return v.get(ctx, []keyList{{ints: ids}}, len(ids), batch)
}

// GetKeys is Get with a list for each key of the view, all of one length.
func (v *View) GetKeys(ctx context.Context, keys [][]string, batch *Batch) (*Batch, error) {
	if len(keys) == 0 {
		return nil, errors.New("featurefs: no keys")
	}
	lists := make([]keyList, len(keys))
	for i := range keys {
		if len(keys[i]) != len(keys[0]) {
			return nil, errors.New("featurefs: all keys must have as many values")
		}
		lists[i].texts = keys[i]
	}
	return v.get(ctx, lists, len(keys[0]), batch)
}

// setKeys lays the keys out in C's memory: the structs first, then each list's offsets and bytes, or its numbers.
func (b *Batch) setKeys(lists []keyList) *C.struct_featurefs_keys {
	head := len(lists) * C.sizeof_struct_featurefs_keys
	total := head
	for i := range lists {
		total += lists[i].bytes()
	}
	at := b.keys.reserve(total)
	keys := unsafe.Slice((*C.struct_featurefs_keys)(at), len(lists))
	used := head
	for i := range lists {
		keys[i] = C.struct_featurefs_keys{}
		here := unsafe.Add(at, used)
		used += lists[i].bytes()
		if lists[i].ints != nil {
			copy(unsafe.Slice((*int64)(here), len(lists[i].ints)), lists[i].ints)
			keys[i].ints = (*C.int64_t)(here)
			continue
		}
		texts := lists[i].texts
		offsets := unsafe.Slice((*int64)(here), len(texts)+1)
		data := unsafe.Add(here, 8*(len(texts)+1))
		offsets[0] = 0
		for k, text := range texts {
			copy(unsafe.Slice((*byte)(unsafe.Add(data, offsets[k])), len(text)), text)
			offsets[k+1] = offsets[k] + int64(len(text))
		}
		keys[i].data = (*C.char)(data)
		keys[i].offsets = (*C.int64_t)(here)
	}
	return &keys[0]
}

func (v *View) setColumns(b *Batch, n int) []C.struct_featurefs_column {
	columns := unsafe.Slice(b.columns, len(v.fields))
	for i, field := range v.fields {
		p := &b.places[i]
		columns[i] = C.struct_featurefs_column{}
		if field.Width != 0 {
			p.values.reserve(n * field.Width)
		} else {
			p.values.reserve(16*n + 64)
			columns[i].values_room = C.size_t(p.values.room)
			columns[i].offsets = (*C.int64_t)(p.offsets.reserve(8 * (n + 1)))
		}
		columns[i].values = p.values.at
		columns[i].status = (*C.uint8_t)(p.status.reserve(n))
		columns[i].event_ns = (*C.int64_t)(p.eventNs.reserve(8 * n))
	}
	return columns
}

func (v *View) get(ctx context.Context, lists []keyList, n int, batch *Batch) (*Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.view == nil {
		return nil, ErrClosed
	}
	if batch == nil {
		batch = v.newBatch()
	} else if len(batch.Columns) != len(v.fields) {
		return nil, errors.New("featurefs: the batch is another view's")
	}
	keys := batch.setKeys(lists)
	for {
		columns := v.setColumns(batch, n)
		err := call(func() C.int {
			return C.featurefs_read(v.view, keys, C.size_t(len(lists)), C.size_t(n), batch.columns)
		})
		if err == nil {
			for i := range columns {
				field := &v.fields[i]
				count := n
				if field.Width == 0 {
					count = int(columns[i].values_len) / elementWidth(field.Type)
				} else if field.IsArray {
					count = n * field.Length
				}
				batch.Columns[i].take(&batch.places[i], n, count)
			}
			runtime.KeepAlive(batch)
			return batch, nil
		}
		if !errors.Is(err, syscall.ENOBUFS) {
			return nil, err
		}
		for i := range columns {
			if need := int(columns[i].values_len); v.fields[i].Width == 0 && need > batch.places[i].values.room {
				batch.places[i].values.reserve(need + need/8)
			}
		}
	}
}
