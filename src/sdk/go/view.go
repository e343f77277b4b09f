// SPDX-License-Identifier: MIT

// Reading: views, and the batches that they fill.

package featurefs

/*
#include <stdlib.h>
#include "featurefs.h"
*/
import "C"

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

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
