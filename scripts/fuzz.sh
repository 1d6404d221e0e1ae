#!/usr/bin/env bash
# Random input for everything that reads what others wrote: a million cases in all, two tests at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

# How many cases, of which test, in which test program.
targets='
 20000 http              bodies::whatever_a_caller_with_a_key_sends_is_answered_and_nothing_is_half_written
100000 php_literals      any_bytes_are_a_value_or_an_error_with_its_place
 60000 php_literals      what_is_written_reads_back_the_same
 60000 cockpit_config    no_config_makes_the_reader_panic
 60000 cockpit_sync_agent    settings::agent_toml::tests::any_text_is_settings_or_an_error_in_words
 60000 cockpit_sync_config   tests::any_text_is_a_config_or_an_error_in_words
 80000 cockpit_sync_protocol sign::tests::no_text_is_taken_for_a_token_but_the_very_one_that_was_signed
140000 wire              any_bytes_are_a_payload_or_refused
100000 filter            whatever_is_asked_nothing_panics
100000 canonical_edits   any_bytes_are_read_or_refused_as_by_another_reader
 60000 queue             item::tests::any_payload_survives
 60000 queue             item::tests::any_bytes_are_decoded_or_refused_but_never_panic
100000 queue             events::tests::any_line_is_an_event_or_refused
'

# Optimised, or most of the time would go into making the cases.
said=$(cargo test --release --no-run --lib --test http --test php_literals --test cockpit_config --test wire --test filter --test canonical_edits -p cockpit-sync-agent -p cockpit-sync-config -p cockpit-sync-protocol -p cockpit-sync-queue 2>&1) ||
    { echo "$said" >&2; exit 1; }

# CASES PROGRAM TEST: one line of what came of it.
one() {
    local program begun=$SECONDS output
    program=$(grep -oE "target/release/deps/$2-[0-9a-f]+" <<<"$said" | head -1)
    if output=$(PROPTEST_CASES=$1 "$program" --exact "$3" 2>&1) && grep -q "1 passed" <<<"$output"; then
        printf '%9d cases %4d s  %s\n' "$1" $((SECONDS - begun)) "$3"
    else
        printf '%s\nFAILED: %s\n' "$output" "$3"
        return 1
    fi
}
export -f one
export said

begun=$SECONDS
grep -v '^$' <<<"$targets" | xargs -P 2 -L 1 bash -c 'one "$@"' one
printf '%9d cases in all, in %d s\n' "$(awk '{ sum += $1 } END { print sum }' <<<"$targets")" $((SECONDS - begun))
