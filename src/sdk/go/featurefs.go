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
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"syscall"
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
