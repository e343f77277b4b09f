# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What every shell case stands on. A case is tests/cases/<room>/<story>.sh and begins like this:
#
#	#!/bin/bash
#	# SPDX-License-Identifier: MIT
#	# The story in a few lines: who does what, and what must be true afterwards.
#	# limit: 120			(optional: seconds, default 60, for a quick machine; each gets twice as much, and sanitizer runs six times)
#	# slow				(optional: left out of the quick runs under sanitizers)
#	# long				(optional: takes minutes; run only where it is named)
#	. "$TESTS/lib.sh"
#
#	start_daemon -o ingest.sweep_interval=1s
#	define user_stats <<'END'
#	[group]
#	owner = ada
#	[feature clicks]
#	type = int64
#	END
#	echo 5 > "$MNT/user_stats/u1/clicks"
#	same "$(cat "$MNT/user_stats/u1/clicks")" 5
#	expect_fail EINVAL bash -c 'echo five > "$MNT/user_stats/u1/clicks"'
#	remount
#	same "$(cat "$MNT/user_stats/u1/clicks")" 5
#
# It runs under `set -eEu -o pipefail`: a command that fails ends the case and shows its line. A command that is meant to fail goes
# through expect_fail or stands in an `if`. At the end the daemon is stopped, which must be clean; nothing else is to be tidied up.
#
# tests/run gives each case, as exported variables:
#	DIR	its own empty folder; put files here		BIN	the folder of featurefs and featurectl (both in PATH)
#	STORE	$DIR/store, MNT $DIR/mnt, LOG $DIR/daemon.log	TESTS	the folder of this file
#	SAN	empty, or the sanitizers that it was built with

set -eEu -o pipefail
export LC_ALL=C TZ=UTC
umask 022

newline=$'\n'
daemon_pid=
daemon_args=()
broker_args=()
case_checks=0

# Where the case itself stands, seen from inside of this library's functions.
case_line() {
	local i

	for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
		if [[ ${BASH_SOURCE[i]} != "${BASH_SOURCE[0]}" ]]; then
			printf '%s:%s' "${BASH_SOURCE[i]#"$PWD"/}" "${BASH_LINENO[i - 1]}"
			return
		fi
	done
}

# fail WORDS...: ends the case.
fail() {
	printf '%s: FAIL: %s\n' "$(case_line)" "$*" >&2
	trap - ERR
	exit 1
}

# ok WORDS...: says what has been shown, in the case's output.
ok() {
	case_checks=$((case_checks + 1))
	printf 'ok: %s\n' "$*"
}

# skip REASON: ends the case as skipped; for what this machine can't do, never for what the program can't.
skip() {
	printf 'skip: %s\n' "$*"
	trap - ERR
	exit 77
}

# need COMMAND...: skips unless all of them are installed.
need() {
	local tool

	for tool; do
		command -v "$tool" > /dev/null || skip "$tool is not installed"
	done
}

# same GOT WANTED [WORDS...]: two texts are equal.
same() {
	case_checks=$((case_checks + 1))
	[[ $1 == "$2" ]] || fail "${3:+${*:3}: }got \"$1\", wanted \"$2\""
}

# matches GOT REGEX [WORDS...]: a text matches an extended regular expression.
matches() {
	case_checks=$((case_checks + 1))
	[[ $1 =~ $2 ]] || fail "${3:+${*:3}: }got \"$1\", wanted a match of /$2/"
}

# same_file A B: two files have equal bytes.
same_file() {
	case_checks=$((case_checks + 1))
	cmp "$1" "$2" || fail "$1 and $2 differ"
}

# absent PATH...: none of them exists, and the reason is ENOENT.
absent() {
	local path

	for path; do
		expect_fail ENOENT stat "$path"
	done
}

errno_text() {
	case $1 in
	EPERM) echo 'Operation not permitted' ;;
	ENOENT) echo 'No such file or directory' ;;
	EIO) echo 'Input/output error' ;;
	EACCES) echo 'Permission denied' ;;
	EBUSY) echo 'Device or resource busy' ;;
	EEXIST) echo 'File exists' ;;
	EXDEV) echo 'Invalid cross-device link' ;;
	ENODEV) echo 'No such device' ;;
	ENOTDIR) echo 'Not a directory' ;;
	EISDIR) echo 'Is a directory' ;;
	EINVAL) echo 'Invalid argument' ;;
	EMFILE) echo 'Too many open files' ;;
	EFBIG) echo 'File too large' ;;
	ENOSPC) echo 'No space left on device' ;;
	EROFS) echo 'Read-only file system' ;;
	ERANGE) echo 'Numerical result out of range' ;;
	ENAMETOOLONG) echo 'File name too long' ;;
	ENOTEMPTY) echo 'Directory not empty' ;;
	ENODATA) echo 'No such attribute|No data available' ;;
	EILSEQ) echo 'Invalid or incomplete multibyte or wide character' ;;
	ENOTSUP | EOPNOTSUPP) echo 'Operation not supported' ;;
	ENOTCONN) echo 'Transport endpoint is not connected|Socket not connected' ;;
	ESTALE) echo 'Stale file handle' ;;
	E2BIG) echo 'Argument list too long' ;;
	*) fail "errno_text does not know $1" ;;
	esac
}

# expect_fail ERRNO COMMAND...: the command exits non-zero and says that errno's words (see errno_text) on stderr. A
# redirection goes inside: expect_fail ERANGE bash -c 'echo 99 > "$MNT/g/e/f"'. ANY stands for whatever errno.
expect_fail() {
	local want=$1 said words=

	shift
	case_checks=$((case_checks + 1))
	[[ $want == ANY ]] || words=$(errno_text "$want")
	if said=$("$@" 2>&1 > /dev/null); then
		fail "should fail with $want: $*"
	fi
	[[ $want == ANY ]] || grep -qE "$words" <<< "$said" || fail "should fail with $want: $*; it said: $said"
}

# expect_write_fail ERRNO PATH TEXT: one open(O_WRONLY|O_CREAT|O_TRUNC), one write of TEXT as it stands, one close; one of
# them fails with that errno. Exact, where a shell's echo hides an error at close.
expect_write_fail() {
	local got

	case_checks=$((case_checks + 1))
	got=$(python3 - "$2" "$3" << 'END'
import errno, os, sys
try:
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(fd, os.fsencode(sys.argv[2]))
    finally:
        os.close(fd)
    print("no error")
except OSError as e:
    print(errno.errorcode[e.errno])
END
	)
	[[ $got == "$1" ]] || fail "write of \"$3\" to $2: $got, wanted $1"
}

# eventually SECONDS COMMAND...: repeats it until it succeeds. A busy machine gets several times as long, which costs nothing where
# it does succeed.
eventually() {
	local end=$((SECONDS + 5 * $1))

	shift
	case_checks=$((case_checks + 1))
	until "$@" > /dev/null 2>&1; do
		((SECONDS < end)) || fail "did not become true in time: $*"
		sleep 0.05
	done
}

# as_user UID COMMAND...: as another user, without that user's groups or any right of root's.
as_user() {
	local uid=$1

	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all --bounding-set=-all "$@"
}

# expect_log REGEX: error lines of the daemon that match are part of the story.
expect_log() {
	printf '%s\n' "$1" >> "$DIR/expected"
}

# expect_crash: the daemon may end in another way than cleanly from here on (the case kills it behind the library's back).
expect_crash() {
	daemon_pid=
}

# is_gone PID: the process has ended, though nobody may have asked how (a zombie counts as gone).
is_gone() {
	! [[ -r /proc/$1/stat ]] || [[ $(sed 's/.*) //' "/proc/$1/stat" 2> /dev/null || echo Z) == Z* ]]
}

is_mounted() {
	grep -qF " ${1// /\\040} " /proc/self/mountinfo
}

# start_daemon [ARGUMENTS...]: featurefs "$STORE" "$MNT" -f ARGUMENTS, in the background; returns when the mount answers. Its
# output goes to $LOG. Set STORE and MNT anew for a second one (stop_daemon knows the last). With SERVE_IO_URING in the environment its serving
# mount, if it has one, goes by io_uring.
start_daemon() {
	local end=$((SECONDS + 50))

	daemon_args=("$@")
	mkdir -p "$MNT"
	featurefs "$STORE" "$MNT" -f "$@" ${SERVE_IO_URING:+-o serve.io_uring=yes} >> "$LOG" 2>&1 &
	daemon_pid=$!
	echo "$daemon_pid" >> "$DIR/pids"
	until is_mounted "$MNT" && stat "$MNT" > /dev/null 2>&1; do
		if ! kill -0 "$daemon_pid" 2> /dev/null; then
			daemon_pid=
			fail "the daemon did not start: $(tail -n 5 "$LOG")"
		fi
		((SECONDS < end)) || fail "the mount does not answer: $(tail -n 5 "$LOG")"
		sleep 0.02
	done
}

# refuse_daemon STATUS REGEX [ARGUMENTS...]: the daemon does not start, exits with STATUS and says why.
refuse_daemon() {
	local status=$1 regex=$2 said rc=0

	shift 2
	case_checks=$((case_checks + 1))
	mkdir -p "$MNT"
	said=$(timeout 50 featurefs "$STORE" "$MNT" -f "$@" 2>&1) || rc=$?
	[[ $rc == "$status" ]] || fail "featurefs $*: exit $rc, wanted $status; it said: $said"
	grep -qE "$regex" <<< "$said" || fail "featurefs $*: it said: $said"
}

# daemon_ended: waits for the daemon and checks that it ended with 0 and took its mount with it.
daemon_ended() {
	local rc=0

	wait "$daemon_pid" || rc=$?
	daemon_pid=
	[[ $rc == 0 ]] || fail "the daemon ended with $rc: $(tail -n 20 "$LOG")"
	! is_mounted "$MNT" || fail "the daemon ended and left its mount behind"
}

# stop_daemon: unmounts (which must work: nothing may be open) and waits for a clean end.
stop_daemon() {
	umount "$MNT" || fail "cannot unmount $MNT: $(fuser -vm "$MNT" 2>&1 || true)"
	daemon_ended
}

# term_daemon [SIGNAL]: ends it by a signal, which must be a clean end too.
term_daemon() {
	kill -s "${1:-TERM}" "$daemon_pid"
	daemon_ended
}

# crash_daemon: kill -9; what it leaves is a dead mount. clear_mount takes that away, as a person would.
crash_daemon() {
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2> /dev/null || true
	daemon_pid=
}

clear_mount() {
	umount -l "$MNT"
}

# remount: stop_daemon, and start_daemon with the same arguments. recrash: the same over a crash.
remount() {
	stop_daemon
	start_daemon ${daemon_args[@]+"${daemon_args[@]}"}
}

recrash() {
	crash_daemon
	clear_mount
	start_daemon ${daemon_args[@]+"${daemon_args[@]}"}
}

# define GROUP < INI: makes the group if it is not there, and gives it that definition.
define() {
	[[ -d $MNT/$1 ]] || mkdir "$MNT/$1"
	cat > "$MNT/$1/.schema"
}

is_free_port() {
	! (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

# start_broker [name=value...]: a real Kafka broker of this case's own, which ends with the case; $BROKERS says where it is. Such a case is `# slow`.
start_broker() {
	local port

	need java kcat
	[[ -e ${KAFKA_JARS:-${BUILD:-build}/third/kafka}/jars.sha256 ]] || skip "the broker's jars are not there: make setup"
	# First those that no other case has, for two that begin at one moment would find the same ones free.
	for port in $((20000 + $$ % 3000 * 3)) $(shuf -i 20000-29000 -n 20); do
		is_free_port "$port" && is_free_port $((port + 1)) && is_free_port $((port + 2)) && break
	done
	broker_args=("$DIR/broker" "$port" "$@")
	BROKERS=$("$TESTS/kafka/broker" start "${broker_args[@]}") || fail "the broker does not start"
}

# stop_broker, crash_broker: and restart_broker, on the same port, with what was in it.
stop_broker() {
	"$TESTS/kafka/broker" stop "$DIR/broker"
}

crash_broker() {
	"$TESTS/kafka/broker" stop "$DIR/broker" -9
}

restart_broker() {
	"$TESTS/kafka/broker" start "${broker_args[@]}" > /dev/null || fail "the broker does not start again"
}

# start_mock [TOPIC:PARTITIONS...]: librdkafka's mock broker, in memory and without Java, which ends with the case; $BROKERS says where it is.
start_mock() {
	need kcat
	coproc MOCK { exec "$BIN/tools/kafka/mock" "$@" 2>> "$DIR/mock.log"; }
	read -r BROKERS <&"${MOCK[0]}" || fail "the mock broker does not start: $(cat "$DIR/mock.log")"
}

# mock COMMAND...: tells it something; see tools/kafka/mock.c.
mock() {
	local said

	echo "$*" >&"${MOCK[1]}"
	read -r said <&"${MOCK[0]}"
	[[ $said == ok ]] || fail "the mock broker does not take: $*"
}

# lane GROUP.STREAM KEY: a line of its status. lane_is GROUP.STREAM KEY VALUE, for eventually.
lane() {
	sed -n "s/^$2: //p" "$MNT/.featurefs/lanes/$1/status"
}

lane_is() {
	[[ $(lane "$1" "$2") == "$3" ]]
}

# lane_tell GROUP.STREAM COMMAND
lane_tell() {
	echo "$2" > "$MNT/.featurefs/lanes/$1/control"
}

# topic create NAME [PARTITIONS [CONFIG=VALUE...]], topic delete NAME, topic empty NAME [PARTITIONS]: all its messages are gone.
topic() {
	"$BIN/tests/kafka/topic" "$BROKERS" "$@"
}

# produce TOPIC [KCAT ARGUMENTS...] < LINES: each line a message.
produce() {
	local name=$1

	shift
	kcat -P -b "$BROKERS" -t "$name" "$@"
}

case_end() {
	local rc=$?

	trap - EXIT ERR
	set +e
	cd /
	if [[ -n $daemon_pid && ($rc == 0 || $rc == 77) ]]; then
		if ! umount "$MNT"; then
			echo "FAIL: cannot unmount at the end: $(fuser -vm "$MNT" 2>&1)" >&2
			rc=1
		elif wait "$daemon_pid"; is_clean=$?; [[ $is_clean != 0 ]]; then
			echo "FAIL: the daemon ended with $is_clean" >&2
			rc=1
		fi
	fi
	if [[ -e $DIR/broker/pid ]]; then
		"$TESTS/kafka/broker" stop "$DIR/broker" -9
	fi
	if [[ $rc == 0 && $case_checks == 0 ]]; then
		echo 'FAIL: the case has not checked anything' >&2
		rc=1
	fi
	exit "$rc"
}

# The first line of the command only: a here-document is part of it, and what it said itself stands right above.
trap 'printf "%s: FAIL: this command failed: %s\n" "${BASH_SOURCE[0]#"$PWD"/}:$LINENO" "${BASH_COMMAND%%"$newline"*}" >&2' ERR
trap case_end EXIT
