#!/usr/bin/env bash
# Two nodes with two mounts on one machine: edits on both sides while apart, and the merged file.
# demo.sh CHORUS-PROGRAM
set -euo pipefail

chorus=$(realpath "$1")
dir=$(mktemp -d /var/tmp/chorus-demo-XXXXXX)
ann() { CHORUS_HOME="$dir/ann" "$chorus" "$@"; }
bob() { CHORUS_HOME="$dir/bob" "$chorus" "$@"; }
up() { CHORUS_HOME="$dir/$1" "$chorus" up --detach "$dir/$1-mount" >/dev/null; }

finish() {
    ann down >/dev/null 2>&1 || true
    bob down >/dev/null 2>&1 || true
    rm -rf --one-file-system "$dir"
}
trap finish EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# Waits up to 60 s for a command to succeed.
await() {
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "error: waited in vain for: $*" >&2
    exit 1
}
both_have() { grep -q "$1" "$dir/ann-mount/garden/story" && grep -q "$1" "$dir/bob-mount/garden/story"; }

mkdir "$dir/ann-mount" "$dir/bob-mount"
ann init --name ann >/dev/null
bob init --name bob >/dev/null
up ann
up bob

say "ann makes a room and writes a story"
mkdir "$dir/ann-mount/garden"
printf 'The gate was open.\nNobody came.\nThe quick fox jumped over the wall.\nIt rained.\n' \
    | tee "$dir/ann-mount/garden/story"

say "one file makes bob a friend and lets him into the room"
ann invite /garden --for bob >"$dir/bob.card"
bob peer add "$dir/bob.card" --name ann
await grep -q rained "$dir/bob-mount/garden/story"

say "they part: bob's node is off while ann writes, then ann's while bob does"
bob down >/dev/null
sed -i -e 's/^The gate was open\.$/The gate was wide open./' -e 's/quick fox/quick red fox/' "$dir/ann-mount/garden/story"
echo "by ann:"
cat "$dir/ann-mount/garden/story"
ann down >/dev/null
up bob
sed -i -e 's/^It rained\.$/It rained all night./' -e 's/the wall/the old wall/' "$dir/bob-mount/garden/story"
echo
echo "by bob, who has not seen that:"
cat "$dir/bob-mount/garden/story"

say "they meet again"
up ann
await both_have 'wide open'
await both_have 'all night'
await cmp "$dir/ann-mount/garden/story" "$dir/bob-mount/garden/story"
echo "on ann's mount:"
cat "$dir/ann-mount/garden/story"
echo
echo "on bob's mount:"
cat "$dir/bob-mount/garden/story"

say "who did what"
ann log /garden/story
