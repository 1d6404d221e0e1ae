#!/usr/bin/env bash
# A tour of cockpit-sync on one machine: a source with 20,000 posts, agents, two workers, a private Redis, and four
# pushes, one of which loses a worker on the way. Everything lies in one scratch folder and ends with this script;
# KEEP=1 leaves it running and says how to play with it.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_NUMERIC=C

repository=$PWD
bin=${CARGO_TARGET_DIR:-$repository/target}/release
scratch= # made by main
running=() # the processes we started and did not end
started= # the latest of them
table=() # one line per push

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

cockpit_sync() { "$bin/cockpit-sync" --config "$config" "$@"; }

# Starts a process of the demo; its output goes to a log in the scratch folder. A session of its own: with KEEP=1 it
# outlives the terminal.
start() { # NAME COMMAND...
    local log=$scratch/$1.log
    shift
    setsid "$@" >"$log" 2>&1 </dev/null &
    started=$!
    disown # bash need not announce that we ended it
    running+=("$started")
}

wait_until() { # LOG CONDITION...
    local log=$scratch/$1.log
    shift
    for _ in {1..600}; do
        ! "$@" 2>/dev/null || return 0
        kill -0 "$started" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 20 "$log" >&2
    fail "this did not start; its log is above"
}

# Its number may belong to another process from now on.
forget() { # PID
    local pid left=()
    for pid in "${running[@]}"; do
        [ "$pid" = "$1" ] || left+=("$pid")
    done
    running=("${left[@]}")
}

clean_up() {
    local pid
    kill "${running[@]}" 2>/dev/null || true
    for pid in "${running[@]}"; do
        for _ in {1..100}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
    done
    [ -z "$scratch" ] || rm -rf "$scratch"
}

make_instances() {
    say "Making Cockpit instances in $scratch"
    "$bin/cockpit-instances" make "$scratch/staging" --sync-key "$key"
    "$bin/cockpit-instances" empty "$scratch/production" --sync-key "$key"
    "$bin/cockpit-instances" empty "$scratch/replica" --sync-key "$key"
}

start_redis() {
    local server
    server=$(command -v redis-server || command -v valkey-server) || fail "no redis-server; run: make setup"
    mkdir "$scratch/redis"
    start redis "$server" --port 0 --unixsocket "$scratch/redis.sock" --dir "$scratch/redis" \
        --appendonly yes --save '' --maxmemory-policy noeviction
    wait_until redis test -S "$scratch/redis.sock"
}

start_agent() { # INSTANCE
    local address
    # Port 0: the system chooses a free one, and the agent prints it.
    start "agent-$1" "$bin/cockpit-sync" agent --root "$scratch/$1" --listen 127.0.0.1:0 --json
    wait_until "agent-$1" grep -q '"listening"' "$scratch/agent-$1.log"
    address=$(sed -n 's/.*"listening":"\([^"]*\)".*/\1/p' "$scratch/agent-$1.log")
    printf '\n[instance.%s]\nurl = "http://%s"\nsync_key = "%s"\npush = true\n' "$1" "$address" "$key" \
        >>"$config"
}

start_worker() { # NUMBER
    start "worker-$1" "$bin/cockpit-sync" --config "$config" worker
}

# Shows a push as it is typed, checks it by an independent comparison, and notes it for the table.
push() { # WHAT TARGET OPTIONS...
    local what=$1 target=$2 begun ended run counts equal
    shift 2
    printf '\033[2m$ cockpit-sync push %s\033[0m\n' "$target${*:+ $*}"
    begun=$EPOCHREALTIME
    cockpit_sync push "$target" "$@" || fail "the push ended with exit code $?"
    ended=$EPOCHREALTIME
    equal=$("$bin/cockpit-instances" compare "$scratch/staging" "$scratch/$target") || {
        printf '%s\n' "$equal" >&2
        fail "staging and $target differ"
    }
    run=$(cockpit_sync show last --json)
    counts=$(sed -n 's/.*"counts":{"created":\([0-9]*\),"updated":\([0-9]*\),"unchanged":\([0-9]*\).*/\1 \2 \3/p' <<<"$run")
    case $run in
        *'"verified":true'*) ;;
        *) fail "the run does not say that it verified its target" ;;
    esac
    # shellcheck disable=SC2086 # three numbers
    table+=("$(printf '%-38s %8.2f %9s %9s %9s   %s' "$what" "$(awk "BEGIN { print $ended - $begun }")" $counts "$equal")")
}

# Waits until a quarter of the items is through, then kills a worker without a warning.
kill_a_worker_in_the_middle() { # TARGET PID
    local items
    for _ in {1..3000}; do
        items=$(cockpit_sync status "$1" --json | sed -n 's/.*"holder":{.*"items":\([0-9]*\),"items_total".*/\1/p')
        if [ "${items:-0}" -ge 5000 ]; then
            kill -KILL "$2"
            printf '\n  %s items are through: worker 2 was just killed (SIGKILL). Its claims run out after 15 s;\n' "$items"
            printf '  then worker 1 takes over what it had begun.\n'
            return
        fi
    done
    fail "the push showed no progress"
}

how_to_play() {
    local stop=$scratch/stop
    printf '#!/bin/sh\nkill %s 2>/dev/null\nsleep 1\nrm -rf "%s"\n' "${running[*]}" "$scratch" >"$stop"
    chmod +x "$stop"
    say "It all goes on running. To play with it:"
    cat <<END
  cd $scratch
  export PATH=$bin:\$PATH

  cockpit-sync status                                  who works, how far, what waits
  cockpit-sync runs                                    the history; show, explain, events tell more
  cockpit-instances change staging --percent 5 --seed 7 | wc -l
  cockpit-sync push production                         writes only what was changed
  cockpit-sync push replica --detach; cockpit-sync watch
  cockpit-sync workers                                 kill one, start another: cockpit-sync worker
  cockpit-instances compare staging production         the independent judge

  $stop        ends everything and removes the folder
END
}

main() {
    say "Building (release)"
    cargo build --release --package cockpit-sync --package cockpit-sync-instances
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/cockpit-sync-demo.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    key=$(od -An -N 24 -tx1 /dev/urandom | tr -d ' \n')
    config=$scratch/cockpit-sync.toml

    make_instances
    say "Starting a private Redis, an agent beside each instance, two workers"
    start_redis
    printf 'redis = "unix://%s"\nlocal = "staging"\n' "$scratch/redis.sock" >"$config"
    chmod 600 "$config"
    for instance in staging production replica; do start_agent "$instance"; done
    start_worker 1
    start_worker 2
    second_worker=$started

    say "First push: production is installed and empty"
    push "first push into an empty target" production
    say "The same again: nothing to do"
    push "nothing to do" production
    say "1 % of the posts is edited, then pushed"
    "$bin/cockpit-instances" change "$scratch/staging" --percent 1 | wc -l | xargs printf '%s posts edited\n'
    push "1 % of the posts edited" production
    say "Another empty target, and a worker that dies in the middle"
    kill_a_worker_in_the_middle replica "$second_worker" &
    assassin=$!
    push "another target, a worker killed" replica --batch-size 500
    wait "$assassin" || fail "no worker was killed: the push was over before"
    forget "$second_worker"

    say "What happened"
    printf '%-38s %8s %9s %9s %9s   %s\n' '' seconds created updated skipped 'both sides, compared independently'
    printf '%s\n' "${table[@]}"
    printf 'Each run also compared both sides by itself and found them equal.\n'

    [ -n "${KEEP:-}" ] || return 0
    start_worker 3
    trap - EXIT
    how_to_play
}

main
