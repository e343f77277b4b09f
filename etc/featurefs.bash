# bash completion for featurefs and featurectl
# SPDX-License-Identifier: MIT

_featurefs() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}

	if [[ $before == -o ]]; then
		local done=${word%"${word##*,}"} options

		options=$(featurefs --help 2> /dev/null | sed -n 's/^  \([a-z]*\.[a-z_]*=\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -P "$done" -W "$options ro rw allow_other uid= gid= umask= debug" -- "${word##*,}")
		compopt -o nospace
	elif [[ $before == -c ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-o -c -f -d --help --version --print-conf' -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
	fi
}

# What stands behind the command is a group, then an entity, then features, of the mount that is asked.
_featurectl() {
	local word=${COMP_WORDS[COMP_CWORD]} mount=${FEATUREFS_MOUNT:-} command='' i
	local args=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-m | --mount) mount=${COMP_WORDS[++i]} ;;
		-s | --store) i=$((i + 1)) ;;
		-*) ;;
		*) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else args+=("${COMP_WORDS[i]}"); fi ;;
		esac
	done
	[[ -n $mount ]] || mount=$(awk '$3 == "fuse.featurefs" { print $2; exit }' /proc/self/mounts)
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-m -s --help --version' -- "$word")
	elif [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(featurectl --help 2> /dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')" -- "$word")
	else
		case $command in
		warm)
			mapfile -t COMPREPLY < <({ cd "$mount" && compgen -d -- "$word"; cd .views && compgen -d -- "$word"; } 2> /dev/null)
			;;
		get | put | delete | errors | dump | stats)
			case ${#args[@]} in
			0) mapfile -t COMPREPLY < <(cd "$mount" 2> /dev/null && compgen -d -- "$word") ;;
			1) ;;		# a group may have millions of entities
			*) mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/^\[feature \(.*\)\]/\1/p' "$mount/${args[0]}/.schema" 2> /dev/null)" \
				-- "$word") ;;
			esac
			;;
		import)
			if ((${#args[@]})); then
				mapfile -t COMPREPLY < <(compgen -f -- "$word")
			else
				mapfile -t COMPREPLY < <(cd "$mount" 2> /dev/null && compgen -d -- "$word")
			fi
			;;
		replay)
			case ${#args[@]} in
			0) mapfile -t COMPREPLY < <(cd "$mount" 2> /dev/null && compgen -d -- "$word") ;;
			*) mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/^\[stream \(.*\)\]/\1/p' "$mount/${args[0]}/.schema" 2> /dev/null)" \
				-- "$word") ;;
			esac
			;;
		lane)
			case ${#args[@]} in
			0) mapfile -t COMPREPLY < <(compgen -W 'list pause resume seek' -- "$word") ;;
			1) mapfile -t COMPREPLY < <(cd "$mount/.featurefs/lanes" 2> /dev/null && compgen -G "$word*.*") ;;
			*) mapfile -t COMPREPLY < <(compgen -W 'earliest latest' -- "$word") ;;
			esac
			;;
		*) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		esac
	fi
}

complete -F _featurefs featurefs
complete -F _featurectl featurectl
