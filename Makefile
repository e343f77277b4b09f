# SPDX-License-Identifier: MIT
# featurefs. `make help` lists the targets. Top to bottom: knobs, flags, sources, products, tests, install.

all:	## the daemon featurefs, the command featurectl, the library libfeaturefs
.PHONY: all

# ---- knobs ----

CC ?= cc
CFLAGS ?= $(if $(SAN),-O1,-O2) -g
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
V ?=
SAN ?=
DEV ?=
IO_URING ?=
KILL_ROUNDS ?= 200
LOAD_ROUNDS ?= 200
POWER_ROUNDS ?= 500
STREAM_ROUNDS ?= 500
FUZZ_SECONDS ?= 60
HUNT_SECONDS ?= 600
MEMORY_FILES ?= 10000000

# IO_URING=1 builds the serving mount's FUSE over io_uring in; libfuse 3.18 has it.
# V=1 shows commands; SAN=address,undefined or SAN=thread builds with sanitizers; DEV=1 makes warnings errors. Each has its own folder.
comma := ,
FLAVOUR ?= $(if $(SAN),$(subst $(comma),-,$(SAN)),$(if $(DEV),dev,release))
OUT := $(BUILD)/$(FLAVOUR)
THIRD := $(BUILD)/third
Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-7s %s\n' $(1) $(2);)
export BUILD CC

# ---- flags: ours are added, so the user's CFLAGS, CPPFLAGS and LDFLAGS survive ----

VERSION := 0.1.0
PKGS := fuse3 lmdb inih libxxhash zlib libzstd libcurl rdkafka
WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
	$(if $(DEV)$(SAN),-Werror)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
ifeq ($(shell pkg-config --exists yyjson && echo yes),yes)
YYJSON_CFLAGS := $(shell pkg-config --cflags yyjson)
YYJSON_LIBS := $(shell pkg-config --libs yyjson)
else
YYJSON := $(THIRD)/yyjson/yyjson.c
YYJSON_CFLAGS := -isystem $(THIRD)/yyjson
endif
OUR_CPPFLAGS := -Iinclude -Isrc -D_GNU_SOURCE= -DFUSE_USE_VERSION=312 -DFEATUREFS_VERSION='"$(VERSION)"' \
	$(shell pkg-config --silence-errors --cflags $(PKGS)) $(YYJSON_CFLAGS) \
	$(if $(findstring fuzzer,$(SAN)),-DBATCH_WINDOW_FIRST=64) $(if $(IO_URING),-DFEATUREFS_IO_URING=)
# Position-independent and hidden throughout: one object serves programs and the client library, which shows only its header's names.
OUR_CFLAGS := -std=gnu11 -pthread -fPIC -fvisibility=hidden $(WARN) $(SANFLAGS)
COMPILE = $(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -MMD -MP
OUR_LDFLAGS := -pthread $(SANFLAGS) -Wl,--as-needed $(if $(findstring thread,$(SAN)),-rdynamic)
CTL_LIBS = $(shell pkg-config --libs lmdb inih libxxhash zlib libzstd) $(YYJSON_LIBS) -lm
STREAM_LIBS = $(shell pkg-config --libs libcurl rdkafka)
ALL_LIBS = $(shell pkg-config --libs fuse3) $(STREAM_LIBS) $(CTL_LIBS)
export OUR_CPPFLAGS OUR_CFLAGS

# ---- sources: one folder deep ----

SRC := $(wildcard src/*/*.c)
CTL := $(wildcard tools/*.c)
PARQUET := $(wildcard tools/parquet/*.c) src/base/buf.c src/base/text.c src/base/why.c
UNIT := $(wildcard tests/unit/test_*.c)
FUZZ := $(wildcard tests/fuzz/fuzz_*.c)
BENCH := $(wildcard tests/bench/*.c)
PRELOAD := $(wildcard tests/torture/*_preload.c)
HELPERS := $(wildcard tests/helpers/*.c)
TORTURE_PARTS := tests/torture/power_disk.c
TORTURE := $(filter-out $(PRELOAD) $(TORTURE_PARTS),$(wildcard tests/torture/*.c))
KAFKA := $(wildcard tests/kafka/*.c tools/kafka/*.c)
MAN := $(wildcard etc/man/*.[1-8])

obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
program = $(patsubst %.c,$(OUT)/%,$(1))
UNIT_PROGRAMS := $(call program,$(UNIT))
FUZZ_PROGRAMS := $(call program,$(FUZZ))
BENCH_PROGRAMS := $(call program,$(BENCH))
TORTURE_PROGRAMS := $(call program,$(TORTURE)) $(patsubst %.c,$(OUT)/%.so,$(PRELOAD))
KAFKA_PROGRAMS := $(call program,$(KAFKA))
ROOMS := $(OUT)/librooms.a
CTL_PARTS := $(OUT)/libctl.a

# ---- products ----

.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

all: $(OUT)/featurefs $(OUT)/featurectl $(OUT)/libfeaturefs.so $(OUT)/libfeaturefs.a $(OUT)/featurefs.pc $(OUT)/featurefs-parquet

.PHONY: need-libs
need-libs:
	@pkg-config --exists $(PKGS) || { echo "Libraries are missing: run 'make setup' as root," \
		"or install pkg-config and the development files of: $(PKGS)." >&2; exit 1; }
	@[ -z '$(IO_URING)' ] || pkg-config --atleast-version=3.18 fuse3 || { echo "IO_URING=1 needs libfuse 3.18 or later, and" \
		"pkg-config finds $$(pkg-config --modversion fuse3); PKG_CONFIG_PATH says where else to look." >&2; exit 1; }

$(THIRD)/yyjson/yyjson.c:
	$(Q)tools/setup yyjson $(THIRD)/yyjson

# What was compiled with other flags is compiled anew.
.PHONY: force
$(OUT)/flags: force
	@mkdir -p $(@D) && printf '%s\n' '$(subst ',,$(COMPILE))' > $@.new && if cmp -s $@ $@.new; then rm -f $@.new; else mv $@.new $@; fi

$(OUT)/obj/%.o: %.c $(OUT)/flags | need-libs $(YYJSON)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(COMPILE) -c -o $@ $<

$(OUT)/obj/yyjson.o: $(YYJSON) $(OUT)/flags | need-libs
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 -fPIC -fvisibility=hidden $(SANFLAGS) $(CFLAGS) -w -c -o $@ $<

# All but the programs' mains, so that tests link what they use.
$(ROOMS): $(call obj,$(filter-out src/daemon/main.c,$(SRC))) $(if $(YYJSON),$(OUT)/obj/yyjson.o)
$(CTL_PARTS): $(call obj,$(filter-out tools/featurectl.c,$(CTL)))
$(ROOMS) $(CTL_PARTS):
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

link = $(Q)mkdir -p $(@D) && $(CC) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)

# librdkafka's threads, made known to ThreadSanitizer; -rdynamic puts them before glibc's.
TSAN_SHIM := $(if $(findstring thread,$(SAN)),$(OUT)/obj/tests/sanitize/c11_threads.o)

$(OUT)/featurefs: $(call obj,src/daemon/main.c) $(TSAN_SHIM) $(ROOMS)
	$(call say,LINK,$@)
	$(link) $(ALL_LIBS)

# Without libfuse: a use of the mount room would not link.
$(OUT)/featurectl: $(call obj,tools/featurectl.c) $(CTL_PARTS) $(ROOMS)
	$(call say,LINK,$@)
	$(link) $(CTL_LIBS)

# A process of its own, which limits its own memory and loads a library that knows nothing of sanitizers: always plain.
plain_link = $(Q)mkdir -p $(@D) && $(CC) -Isrc -D_GNU_SOURCE= -std=gnu11 -pthread $(WARN) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) \
	-o $@ $(filter %.c,$^) -ldl
$(OUT)/featurefs-parquet: $(PARQUET) $(wildcard tools/parquet/*.h src/base/*.h) src/batch/parquet_wire.h src/batch/source.h
	$(call say,LINK,$@)
	$(plain_link)
	$(Q)ln -sfn $(abspath $(THIRD))/duckdb/libduckdb.so $(OUT)/libduckdb.so

$(OUT)/tests/parquet/duckdb_run: tests/parquet/duckdb_run.c tools/parquet/duckdb.c src/base/buf.c src/base/text.c src/base/why.c tools/parquet/duckdb.h
	$(call say,LINK,$@)
	$(plain_link)

$(UNIT_PROGRAMS) $(BENCH_PROGRAMS) $(call program,$(TORTURE)): $(OUT)/%: $(OUT)/obj/%.o $(TSAN_SHIM) $(CTL_PARTS) $(ROOMS)
	$(call say,LINK,$@)
	$(link) $(ALL_LIBS) $(TEST_LIBS)

$(OUT)/tests/torture/power: $(call obj,tests/torture/power_disk.c)

# Redis is compared with where its client is there; tools/setup bench.
ifeq ($(shell pkg-config --exists hiredis && echo yes),yes)
$(OUT)/tests/bench/bench_sdk $(OUT)/tests/bench/bench_serving: TEST_LIBS := $(shell pkg-config --libs hiredis)
$(OUT)/obj/tests/bench/bench_sdk.o $(OUT)/obj/tests/bench/bench_serving.o: CPPFLAGS += -DBENCH_HIREDIS
endif

# Somebody else's writer of Avro.
$(OUT)/tests/unit/test_stream_avro: TEST_LIBS := -lavro

$(KAFKA_PROGRAMS): $(OUT)/%: $(OUT)/obj/%.o $(TSAN_SHIM) $(ROOMS)
	$(call say,LINK,$@)
	$(link) $(CTL_LIBS) -lrdkafka

# ---- the client library ----

# ABI: the number goes up when a program that was linked before no longer works.
SONAME := libfeaturefs.so.0
LIB_ROOMS := base store catalog serve sdk
LIB_LIBS = $(shell pkg-config --libs lmdb inih libxxhash) $(YYJSON_LIBS) -lm
LIB_OBJ := $(call obj,$(foreach r,$(LIB_ROOMS),$(filter src/$(r)/%,$(SRC)))) $(if $(YYJSON),$(OUT)/obj/yyjson.o)

# Under a sanitizer its runtime's names are the program's to give.
$(OUT)/$(SONAME): $(LIB_OBJ) src/sdk/libfeaturefs.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(OUR_LDFLAGS) $(if $(SAN),,-Wl$(comma)-z$(comma)defs) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) \
		-Wl,--version-script=src/sdk/libfeaturefs.map -o $@ $(LIB_OBJ) $(LIB_LIBS)

$(OUT)/libfeaturefs.so: $(OUT)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

# One object that keeps only the header's names, so that our short ones can't meet a program's own.
$(OUT)/libfeaturefs.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ld -r -o $(OUT)/obj/libfeaturefs.o $^ && \
		objcopy --wildcard --keep-global-symbol='featurefs_*' $(OUT)/obj/libfeaturefs.o && $(AR) rcs $@ $(OUT)/obj/libfeaturefs.o

$(OUT)/featurefs.pc: Makefile
	$(Q)mkdir -p $(@D) && printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: featurefs' \
		'Description: reads a feature store in the calling process, and writes to it through its mount' 'Version: $(VERSION)' \
		'Libs: -L$${libdir} -lfeaturefs' 'Libs.private: $(LIB_LIBS) -pthread' 'Cflags: -I$${includedir}' > $@

# Programs that cases use: linked with the library as programs elsewhere are.
$(call program,$(HELPERS)): $(OUT)/%: $(OUT)/obj/%.o $(OUT)/libfeaturefs.so
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(OUT) -lfeaturefs -Wl,-rpath,$(abspath $(OUT))

# The parts of featurectl that a test can call.
$(filter $(OUT)/tests/unit/test_ctl_%,$(UNIT_PROGRAMS)): $(call obj,$(filter-out tools/featurectl.c,$(CTL)))

# Under gcc a fuzz target replays its kept corpus; under clang with SAN=fuzzer it is libFuzzer's.
$(FUZZ_PROGRAMS): $(OUT)/%: $(OUT)/obj/%.o $(if $(findstring fuzzer,$(SAN)),,$(OUT)/obj/tests/fuzz/replay.o) $(ROOMS)
	$(call say,LINK,$@)
	$(link) $(STREAM_LIBS) $(CTL_LIBS)

$(OUT)/%_preload.so: %_preload.c | need-libs
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -Isrc -D_GNU_SOURCE= -std=gnu11 $(WARN) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d \
		-shared -fPIC -o $@ $< -ldl -pthread

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

# ---- tests ----

.PHONY: demo setup check check-unit check-cases check-asan check-tsan check-fuzz lint fuzz bench torture-kill torture-load torture-power torture-stream torture-hunt torture-histories torture-memory test-programs
demo:	## installs what is missing, builds, and shows the main job on this machine's package database
	@tools/setup build
	@$(MAKE) --no-print-directory -j $(shell nproc) all $(OUT)/tools/kafka/mock
	@tools/demo $(OUT)

setup:	## installs what building and testing need (Debian, as root)
	@tools/setup check

check:	## everything: set-up, lint, unit tests, cases, crash and power-loss rounds, sanitizers
	@MAKE='$(MAKE)' tests/check

test-programs: $(OUT)/featurefs-parquet $(OUT)/tests/parquet/duckdb_run $(UNIT_PROGRAMS) $(FUZZ_PROGRAMS) $(TORTURE_PROGRAMS) $(KAFKA_PROGRAMS) $(call program,$(HELPERS))

check-unit: $(UNIT_PROGRAMS)	## unit tests
	@tests/run --bin $(OUT) $(UNIT_PROGRAMS)

check-fuzz: $(FUZZ_PROGRAMS)	## the kept fuzz corpus, replayed
	@tests/run --bin $(OUT) $(FUZZ_PROGRAMS)

check-cases: all test-programs	## shell cases on a real mount (CASE=mount/echo: those that match)
	@tests/run --bin $(OUT) $(CASE)

check-asan:	## unit tests and quick cases under ASan and UBSan
	@$(MAKE) --no-print-directory SAN=address,undefined all test-programs
	@tests/run --bin $(BUILD)/address-undefined $(patsubst %.c,$(BUILD)/address-undefined/%,$(UNIT) $(FUZZ))
	@tests/run --bin $(BUILD)/address-undefined --quick

check-tsan:	## unit tests and quick cases under TSan
	@$(MAKE) --no-print-directory SAN=thread all test-programs
	@tests/run --bin $(BUILD)/thread $(patsubst %.c,$(BUILD)/thread/%,$(UNIT))
	@tests/run --bin $(BUILD)/thread --quick

lint: $(YYJSON)	## rooms, headers, banned calls, scripts, man pages, sample configuration
	@tools/dev/lint

fuzz:	## libFuzzer under clang-19, FUZZ_SECONDS=60 for each parser
	@$(MAKE) --no-print-directory CC=clang-19 SAN=fuzzer,address,undefined FLAVOUR=fuzz fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FUZZ_PROGRAMS)
	@for f in $(FUZZ_PROGRAMS); do n=$${f##*/fuzz_}; mkdir -p $(OUT)/corpus/$$n tests/fuzz/corpus/$$n; echo "fuzz $$n"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 -timeout=10 -artifact_prefix=$(OUT)/$$n- \
		$(OUT)/corpus/$$n tests/fuzz/corpus/$$n || exit 1; done

bench: all $(BENCH_PROGRAMS) $(KAFKA_PROGRAMS) $(OUT)/tests/parquet/duckdb_run	## figures side by side with their yardsticks
	@tests/bench/run $(OUT)

torture-kill: all $(TORTURE_PROGRAMS)	## kill -9 under load, KILL_ROUNDS=200
	@tests/torture/run kill $(OUT) $(KILL_ROUNDS)

torture-load: all	## kill -9 during loads, with direct writes, LOAD_ROUNDS=200
	@tests/torture/run load $(OUT) $(LOAD_ROUNDS)

torture-power: all $(TORTURE_PROGRAMS)	## simulated loss of power, POWER_ROUNDS=500
	@tests/torture/run power $(OUT) $(POWER_ROUNDS)

torture-hunt: all $(TORTURE_PROGRAMS) $(KAFKA_PROGRAMS)	## readers and writers hunt for a stale read on both mounts, HUNT_SECONDS=600 for each kind of kernel
	@tests/torture/run hunt $(OUT) $(HUNT_SECONDS)

torture-histories: all $(TORTURE_PROGRAMS) $(call program,$(HELPERS))	## histories of both mounts' clients, checked with Porcupine, HUNT_SECONDS=600 for each kind of kernel
	@tests/torture/run histories $(OUT) $(HUNT_SECONDS)

torture-memory: all $(BENCH_PROGRAMS)	## MEMORY_FILES=10000000 files of the serving mount read once: what the daemon holds, and gives back
	@tests/torture/run memory $(OUT) $(MEMORY_FILES)

torture-stream: all $(TORTURE_PROGRAMS) $(KAFKA_PROGRAMS)	## kill -9 of the daemon and its broker while messages flow, STREAM_ROUNDS=500
	@tests/torture/run stream $(OUT) $(STREAM_ROUNDS)

# ---- install ----

BINDIR := $(DESTDIR)$(PREFIX)/bin
LIBDIR := $(DESTDIR)$(PREFIX)/lib
SHARE := $(DESTDIR)$(PREFIX)/share
.PHONY: install uninstall clean distclean help
install: all	## into PREFIX=/usr/local, below DESTDIR
	install -d $(BINDIR) $(SHARE)/doc/featurefs/groups $(SHARE)/bash-completion/completions $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(OUT)/featurefs $(OUT)/featurectl $(BINDIR)
	install -d $(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(OUT)/$(SONAME) $(LIBDIR)
	ln -sf $(SONAME) $(LIBDIR)/libfeaturefs.so
	install -m 644 $(OUT)/libfeaturefs.a $(LIBDIR)
	sed 's,^prefix=.*,prefix=$(PREFIX),' $(OUT)/featurefs.pc > $(LIBDIR)/pkgconfig/featurefs.pc
	install -m 644 include/featurefs.h $(DESTDIR)$(PREFIX)/include
	install -d $(DESTDIR)$(PREFIX)/lib/featurefs
	install -m 755 $(OUT)/featurefs-parquet $(DESTDIR)$(PREFIX)/lib/featurefs
	test ! -e $(THIRD)/duckdb/libduckdb.so || install -m 644 $(THIRD)/duckdb/libduckdb.so $(DESTDIR)$(PREFIX)/lib/featurefs
	install -m 644 README.md LICENSE etc/featurefs.conf $(SHARE)/doc/featurefs
	install -m 644 etc/groups/*.ini $(SHARE)/doc/featurefs/groups
	install -m 644 etc/featurefs.bash $(SHARE)/bash-completion/completions/featurefs
	ln -sf featurefs $(SHARE)/bash-completion/completions/featurectl
	sed 's,/usr/local,$(PREFIX),' etc/featurefs@.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/featurefs@.service
	for m in $(MAN); do install -D -m 644 $$m $(SHARE)/man/man$${m##*.}/$${m##*/}; done

uninstall:	## takes away what install put there
	rm -f $(BINDIR)/featurefs $(BINDIR)/featurectl $(DESTDIR)$(PREFIX)/lib/systemd/system/featurefs@.service
	rm -f $(SHARE)/bash-completion/completions/featurefs $(SHARE)/bash-completion/completions/featurectl
	rm -f $(LIBDIR)/$(SONAME) $(LIBDIR)/libfeaturefs.so $(LIBDIR)/libfeaturefs.a $(LIBDIR)/pkgconfig/featurefs.pc
	rm -f $(DESTDIR)$(PREFIX)/include/featurefs.h
	rm -rf $(SHARE)/doc/featurefs $(DESTDIR)$(PREFIX)/lib/featurefs
	for m in $(MAN); do rm -f $(SHARE)/man/man$${m##*.}/$${m##*/}; done

clean:	## all that was built, not what was fetched
	rm -rf $(filter-out $(THIRD),$(wildcard $(BUILD)/*))

distclean:	## the whole build folder
	rm -rf $(BUILD)

help:	## this list
	@awk -F '\t*## ' '/^[a-z-]+:.*## / { sub(/:.*/, "", $$1); printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
