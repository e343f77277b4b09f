# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# For cases that drop files of rows: groups with an int64 `a` and a string `b`, and waiting for what became of a drop.

# define_rows GROUP [LINES OF BATCH]: the group, with such a [batch] section.
define_rows() {
	{
		printf '[group]\nentity = user\n[feature a]\ntype = int64\n[feature b]\ntype = string\n'
		[[ $# == 1 ]] || { printf '[batch]\n' && printf '%s\n' "${@:2}"; }
	} | define "$1"
}

# rows FROM TO A [B]: CSV of the users FROM to TO, all of them with those values.
rows() {
	awk -v from="$1" -v to="$2" -v a="$3" -v b="${4:-x}" 'BEGIN {
		print "user,a,b"
		for (i = from; i <= to; i++) printf "u%d,%s,%s\n", i, a, b
	}'
}

# field GROUP NAME KEY: of the report of what was dropped as NAME.
field() {
	sed -n "s/^$3: //p" "$MNT/$1/.import/.reports/$2.status"
}

# ended GROUP NAME STATE [SECONDS]: waits for the end of the newest job of that name, which must have that state. As with eventually, a busy
# machine gets several times as long.
ended() {
	local end=$((SECONDS + 5 * ${4:-30})) state=

	case_checks=$((case_checks + 1))
	while :; do
		state=$(field "$1" "$2" state 2> /dev/null || true)
		case $state in done | failed | cancelled) break ;; esac
		((SECONDS < end)) || fail "import of $2 did not end: $(cat "$MNT/$1/.import/.reports/$2.status" 2>&1)"
		sleep 0.02
	done
	[[ $state == "$3" ]] || fail "import of $2 should be $3: $(cat "$MNT/$1/.import/.reports/$2.status")"
}

# loaded GROUP NAME [SECONDS]: the same, and it must have been loaded.
loaded() {
	ended "$1" "$2" "done" "${3:-30}"
}

# write_beside GROUP NAME: numbers into a of the group's entity u1 for as long as that import goes on, each read back; $written says how many.
write_beside() {
	written=0
	while [[ $(field "$1" "$2" state) == @(waiting|running) ]]; do
		written=$((written + 1))
		echo $written > "$MNT/$1/u1/a"
		same "$(cat "$MNT/$1/u1/a")" $written
	done
}

# sent COMMAND...: how many files an rsync command transfers.
sent() {
	"$@" --stats | sed -n 's/^Number of regular files transferred: //p'
}
