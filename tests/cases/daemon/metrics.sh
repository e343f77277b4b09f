#!/bin/bash
# SPDX-License-Identifier: MIT
# A foreign parser reads the metrics: the one of the Prometheus client library. The counts are those of what was done.
. "$TESTS/lib.sh"

/usr/bin/python3 -c 'import prometheus_client' 2> /dev/null || skip 'python3-prometheus-client is not installed'
start_daemon
for group in a b-2; do
	define "$group" <<- 'END'
		[feature n]
		type = int64
	END
	mkdir "$MNT/$group/u1"
done
for i in 1 2 3; do echo "$i" > "$MNT/a/u1/n"; done
expect_write_fail EINVAL "$MNT/a/u1/n" $'many\n'
/usr/bin/python3 - "$MNT/.featurefs/metrics" << 'END'
import sys
from prometheus_client.parser import text_string_to_metric_families

families = {f.name: f for f in text_string_to_metric_families(open(sys.argv[1]).read())}

def value(family, name=None, **labels):
    found = [s.value for s in families[family].samples if s.name == (name or family) and s.labels == labels]
    assert len(found) == 1, (family, labels, families.get(family))
    return found[0]

assert all(f.documentation and f.type in ("gauge", "counter") for f in families.values())
assert value("featurefs_groups") == 2
assert value("featurefs_group_entities", group="b-2") == 1
assert value("featurefs_group_applied", "featurefs_group_applied_total", group="a", lane="direct") == 3
assert value("featurefs_group_applied", "featurefs_group_applied_total", group="a", lane="stream") == 0
assert value("featurefs_group_rejected", "featurefs_group_rejected_total", group="a") == 1
assert value("featurefs_rejected", "featurefs_rejected_total", reason="not_of_type") == 1
assert value("featurefs_store_failed") == 0
assert value("featurefs_commits", "featurefs_commits_total") >= 5
END
ok 'the parser of the Prometheus client reads it'
