#!/bin/bash
# SPDX-License-Identifier: MIT
# A view of the store is what its name gives in the library, through the map and through the mount, with its own order of keys and columns.
. "$TESTS/lib.sh"

[[ -z $SAN ]] || skip 'a program without sanitizers is linked'
cat > "$DIR/views.c" <<'END'
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "featurefs.h"

int main(int argc, char **argv)
{
	struct featurefs *fs;
	struct featurefs_view *view;
	int rc = featurefs_open(argv[1], strcmp(argv[2], "mount") ? FEATUREFS_MAP_ONLY : FEATUREFS_MOUNT_ONLY, &fs);

	if (rc == 0)
		rc = featurefs_view_open(fs, argv[3], &view);
	if (rc < 0) {
		printf("%d %s\n", -rc, featurefs_error());
		return argc - argc;
	}
	for (size_t i = 0; i < featurefs_view_keys(view); i++)
		printf("%s ", featurefs_view_key(view, i));
	for (size_t i = 0; i < featurefs_view_columns(view); i++)
		printf("%s=%s/%s ", featurefs_view_field(view, i)->name, featurefs_view_field(view, i)->group,
		       featurefs_view_field(view, i)->feature);
	if (argc > 4) {
		double values[8];
		struct featurefs_column columns[8] = { 0 };

		for (size_t i = 0; i < featurefs_view_columns(view); i++)
			columns[i] = (struct featurefs_column){ .values = &values[i], .as = FEATUREFS_FLOAT64 };
		rc = featurefs_read_one(view, argv[4], columns);
		if (rc < 0)
			printf("%d %s", -rc, featurefs_error());
		for (size_t i = 0; rc == 0 && i < featurefs_view_columns(view); i++)
			printf("%g ", values[i]);
	}
	printf("\n");
	featurefs_view_free(view);
	featurefs_close(fs);
	return 0;
}
END
cc -Wall -Wextra -Werror -I"$TESTS/../include" -o "$DIR/views" "$DIR/views.c" -L"$BIN" -lfeaturefs -Wl,-rpath,"$BIN"
start_daemon
define users <<'END'
[group]
entity = user_id
[feature clicks]
type = int64
END
define pairs <<'END'
[group]
entity = item_id, user_id
[feature score]
type = float64
END
mkdir "$MNT/users/7" "$MNT/pairs/3,7"
echo 5 > "$MNT/users/7/clicks"
echo 0.25 > "$MNT/pairs/3,7/score"
mkdir "$MNT/.views/rank"
printf '[view]\nentity = user_id, item_id\n[columns]\nscore = pairs/score\nclicks = users/clicks\n' > "$MNT/.views/rank/.schema"
for way in map mount; do
	same "$("$DIR/views" "$MNT" $way rank 7,3)" 'user_id item_id score=pairs/score clicks=users/clicks 0.25 5 ' $way
	same "$("$DIR/views" "$MNT" $way nothing)" '2 the store has no view nothing' $way
done
sed -i 's/^type = int64/&\nretired = yes/' "$MNT/users/.schema"
matches "$("$DIR/views" "$MNT" map rank)" 'clicks of users .* is retired'
