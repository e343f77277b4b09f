// SPDX-License-Identifier: MIT

// Writing: rows of changes, and the form that the library takes them in.

package featurefs

/*
#include <stdlib.h>
#include "featurefs.h"
*/
import "C"

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unsafe"
)

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
