#!/bin/bash
# SPDX-License-Identifier: MIT
# A real broker that asks for TLS and a login: the daemon reads by both with what featurefs.conf says, and whatever does not fit is said in the lane's
# status, by what is wrong, and passes when it is set right.
# limit: 180
# slow
. "$TESTS/lib.sh"

need openssl
# certificate NAME SUBJECT [OPENSSL ARGUMENTS...]: NAME.key and NAME.pem
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout "$DIR/$1.key" -out "$DIR/$1.pem" -subj "/CN=$2" "${@:3}" \
		2>> "$DIR/openssl.log"
}
certificate ca 'one authority'
certificate other 'another authority'
certificate broker 127.0.0.1 -CA "$DIR/ca.pem" -CAkey "$DIR/ca.key" -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE
cat "$DIR"/{broker.key,broker.pem,ca.pem} > "$DIR/keystore.pem"
export KAFKA_SECURE="$DIR/keystore.pem ada first-love"
start_broker
topic create events 1

# restart CA PASSWORD [PROTOCOL]
restart() {
	cat > "$DIR/conf" <<-END
		[kafka]
		brokers = 127.0.0.1:$((${BROKERS##*:} + 2))
		security.protocol = ${3:-SASL_SSL}
		sasl.mechanism = PLAIN
		sasl.username = ada
		sasl.password = $2
		ssl.ca.location = $DIR/$1.pem
	END
	[[ -z $daemon_pid ]] || stop_daemon
	start_daemon -c "$DIR/conf"
}
says() {
	lane_is g.events state disconnected && [[ $(lane g.events reason) =~ $1 ]]
}
reads() {
	produce events <<< "{\"user\":\"$1\",\"n\":1}"
	eventually 30 test -e "$MNT/g/$1/n"
	eventually 10 lane_is g.events lag 0
}

restart ca first-love
define g <<'END'
[group]
entity = user
[feature n]
type = int64
[stream events]
topic = events
END
reads first
ok 'TLS and a login'

restart ca second-love
eventually 30 says '^the brokers refuse the login: .*Invalid username or password'
same "$(lane g.events lag)" -
grep -q 'lane g.events: disconnected: the brokers refuse the login' "$LOG" || fail 'the log does not say it'
! grep -rq -e second-love "$MNT/.featurefs" "$LOG" || fail 'a secret is shown'
restart other first-love
eventually 30 says '^no TLS connection to the brokers: .*certificate verify failed'
restart ca first-love PLAINTEXT
eventually 30 says "^the brokers don't answer: .*security.protocol"
same "$(cat "$MNT/g/first/n")" 1
restart none first-love
eventually 30 lane_is g.events state broken
matches "$(lane g.events reason)" 'ssl.ca.location'
ok 'what does not fit is said'
restart ca first-love
reads again
