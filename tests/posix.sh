#!/bin/bash
# Tools that others wrote to try file systems, on a mount: posix.sh PROGRAM TOOLS
# (TOOLS: the directory with pjdfstest and fsx; FSX: operations in each caching mode).
set -euo pipefail

chorus=$(realpath "$1")
tools=$(realpath "$2")
operations=${FSX:-100000}
dir=$(mktemp -d /var/tmp/chorus-posix.XXXXXX)
mount=$dir/mnt
node=
export CHORUS_HOME=$dir/home

start() {
    : > "$dir/ready"
    "$chorus" up --json --allow-other "$mount" > "$dir/ready" 2>> "$dir/log" &
    node=$!
    for _ in $(seq 200); do
        [ -s "$dir/ready" ] && return
        sleep 0.1
    done
    echo "the node did not start:"
    cat "$dir/log"
    exit 1
}

finish() {
    status=$?
    [ "$status" = 0 ] || tail -20 "$dir/log"
    kill "$node" 2>/dev/null && wait "$node" || true
    umount -l "$mount" 2>/dev/null || true
    rm -rf "$dir"
    exit "$status"
}

crash() {
    kill -9 "$node"
    wait "$node" 2>/dev/null || true
}

say() { printf '\n== %s\n' "$*"; }

mkdir "$mount"
chmod 755 "$dir"
trap finish EXIT
start
cd "$mount"

say "pjdfstest: every case"
mkdir -m 755 "$mount/cases" "$dir/other"
cases() { # allow_remount, then what to run
    cat > "$dir/pjdfstest.toml" <<EOF
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.01
allow_remount = $1
[dummy_auth]
entries = [["daemon", "daemon"], ["games", "games"]]
EOF
    shift
    "$tools/pjdfstest" -c "$dir/pjdfstest.toml" -p "$mount/cases" -s "$dir/other" "$@" > "$dir/cases" 2>&1 ||
        { grep -A3 FAILED "$dir/cases"; return 1; }
    grep Summary "$dir/cases"
}
cases false
# mount(8) would ask the program to remount; the kernel does it alone. On their own, as other cases leave files open.
mkdir "$dir/bin"
printf '#!/bin/sh\nexec %s -i "$@"\n' "$(command -v mount)" > "$dir/bin/mount"
chmod 755 "$dir/bin/mount"
PATH=$dir/bin:$PATH cases true erofs

fsx() { # name, largest file, largest operation, alignment, weight of closing, of mapping, of allocating
    say "fsx: $1, $operations operations"
    cat > "$dir/fsx.toml" <<EOF
flen = $2
[opsize]
max = $3
align = $4
[weights]
close_open = $5
invalidate = 1
read = 10
write = 10
mapread = $6
mapwrite = $6
truncate = 5
fsync = 0.2
fdatasync = 0.2
posix_fallocate = $7
punch_hole = 3
sendfile = 3
posix_fadvise = 1
copy_file_range = 5
EOF
    "$tools/fsx" -q -N "$operations" -f "$dir/fsx.toml" -P "$dir" "$mount/fsx"
    rm -f "$mount/fsx"
}
fsx "in memory, never cached" 262144 65536 1 0.2 0 3
fsx "in memory, mapped" 262144 65536 1 0.2 10 3
fsx "a large file, cached between writes" 4194304 262144 1 0.2 10 3
# Where it aligns, it allocates nothing at times, which is no range.
fsx "whole pages" 1048576 262144 4096 0.2 10 0

say "fio: blocks that carry their own checksums"
for how in "--ioengine=psync" "--ioengine=psync --direct=1" "--ioengine=mmap" "--ioengine=psync --fsync=16"; do
    # shellcheck disable=SC2086
    fio --name=verify --directory="$mount" --rw=randwrite --bs=4k-64k --size=32m --numjobs=2 --verify=crc32c \
        --verify_fatal=1 --do_verify=1 --minimal $how > "$dir/fio"
    echo "$how: as written"
    rm -f "$mount"/verify*
done

say "stress-ng: its file system stressors"
for one in access chdir chmod chown copy-file dentry dir dirdeep dup eventfd fallocate fcntl fiemap filename flock \
    fpunch fstat getdent hdd inode-flags io iomix lease link locka lockf lockofd mknod open readahead rename \
    seek sendfile symlink sync-file touch utime xattr dirmany fsize inotify dnotify; do
    stress-ng --temp-path "$mount" --"$one" 2 --timeout "${STRESS:-2}" --verify --metrics-brief > "$dir/stress" 2>&1 ||
        { status=$?; [ "$status" = 4 ] || { echo "$one failed ($status)"; cat "$dir/stress"; exit 1; }; }
done
echo "all done"

say "sqlite: a database that lives on the mount, and kill -9"
cd "$dir"
for mode in delete wal; do
    sqlite3 "$mount/$mode.db" "pragma journal_mode=$mode; create table t(n integer primary key, s text);" > "$dir/mode"
    for round in 1 2 3; do
        (for n in $(seq 500); do
            sqlite3 -cmd '.timeout 2000' -cmd 'pragma synchronous=extra' "$mount/$mode.db" "insert into t(s) values(hex(randomblob(200)));" &&
                echo "$n" >> "$dir/told.$mode"
        done) 2>/dev/null &
        writer=$!
        sleep 1.5
        crash
        wait "$writer" 2>/dev/null || true
        start
        [ "$(sqlite3 "$mount/$mode.db" 'pragma integrity_check')" = ok ]
        told=$(wc -l < "$dir/told.$mode")
        kept=$(sqlite3 "$mount/$mode.db" 'select count(*) from t')
        echo "$mode, round $round: $told told, $kept kept"
        [ "$kept" -ge "$told" ]
    done
done

say "git: clone, commit, gc, fsck of a repository made here"
cd "$mount"
git init -q -b main "$dir/source"
(cd "$dir/source" && git config user.email a@b && git config user.name a &&
    for n in $(seq 60); do mkdir -p "d$((n % 7))"; seq "$((n * 50))" > "d$((n % 7))/f$n"; git add -A; git commit -qm "$n"; done)
git clone -q "$dir/source" "$mount/clone"
cd "$mount/clone"
git config user.email a@b
git config user.name a
for n in $(seq 20); do echo "$n" >> d1/f1; git commit -qam "more $n"; done
git checkout -q -b side HEAD~30
echo side > side && git add side && git commit -qm side
git checkout -q main
git merge -q --no-edit side
git gc -q
git fsck --strict
[ -z "$(git status --porcelain)" ]
git push -q origin main:pushed
cd "$mount"

say "all of it held"
