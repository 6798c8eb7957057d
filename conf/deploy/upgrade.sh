#!/bin/sh
# Bring a bot that systemd runs to another version, and never leave its quotes unattended on the way.
#
#     sudo sh /opt/maker/conf/deploy/upgrade.sh VERSION           # a tag or commit of its repository
#     sudo sh /opt/maker/conf/deploy/upgrade.sh --new-journal     # the same version; the journal begins anew
#     sudo sh /opt/maker/conf/deploy/upgrade.sh --new-journal VERSION
#
#  1. The version is fetched beside the running one, gets an environment of its own (every package's hash is checked),
#     and must pass `check` with today's configuration and key. The running one quotes on; its code is not touched.
#  2. The running one is stopped. Its guard's exit code says whether the exchange was read back empty: with 0 or 70 it
#     goes on; with 75 it ends here, nothing changed; with any other, or where no bot ran, `cancel-all` must prove it.
#  3. The code is changed, and the bot started: a start sweeps the account before it quotes.
#  4. If it does not run some seconds later, the old version is put back and started in the same way.
#
# Killed in between, it leaves a bot that is stopped, and nothing resting. Exit codes: 0 it runs in that version · 1 it
# does not, and the old one runs, or what to do is said · 2 usage · 75 QUOTES MAY REST: look before anything else.
set -eu

folder=${MAKER_FOLDER:-/opt/maker}
conf=${MAKER_CONF:-/etc/maker/live.toml}
key=${MAKER_KEY:-/etc/maker/ocx-key}
state=${MAKER_STATE:-/var/lib/maker}
unit=${MAKER_UNIT:-maker}
settle=${MAKER_SETTLE_SECONDS:-20} # after which a start that was refused has ended
next=$folder.next

say() { printf '%s\n' "upgrade: $*" >&2; }

leave() { # CODE SENTENCE
    say "$2"
    exit "$1"
}

usage() { leave 2 "usage: upgrade.sh [--new-journal] [VERSION]"; }

in_folder() { git -C "$folder" "$@"; }

# A tag, a branch as it was just fetched (one of ours may be old), or a commit.
commit_of() { # VERSION
    for name in "refs/tags/$1" "refs/remotes/origin/$1" "$1"; do
        in_folder rev-parse --verify --quiet "$name^{commit}" && return 0
    done
    return 1
}

# Whether nothing rests after the run that has just ended. Exits with 75 where that is not known.
prove_empty() {
    status=$(systemctl show -p ExecMainStatus --value "$unit")
    how=$(systemctl show -p ExecMainCode --value "$unit")
    if [ "$ran" = yes ] && [ "$how" = 1 ]; then # it ended by itself, with a code
        case $status in
        0 | 70) return 0 ;;
        75) leave 75 "the bot ended with 75: it could not read the exchange back empty. QUOTES MAY REST. \
Look there, then: python3 $folder/run.py cancel-all $conf --key-file $key" ;;
        esac
    fi
    say "the last run's exit code proves nothing (${how:-none}, ${status:-none}): cancelling everything to be sure ..."
    python3 "$folder/run.py" cancel-all "$conf" --key-file "$key" --no-latch >&2 ||
        leave 75 "cancel-all could not prove that nothing rests (exit code $?). QUOTES MAY REST."
}

stop() {
    ran=no
    if systemctl is-active --quiet "$unit"; then ran=yes; fi
    systemctl stop "$unit" || leave 75 "systemctl cannot stop $unit: QUOTES MAY REST."
    prove_empty
}

# Say whether the bot runs, and still runs some seconds later.
start() {
    systemctl start "$unit" || return 1
    sleep "$settle"
    systemctl is-active --quiet "$unit"
}

# All of it is one function: the shell has read it before the checkout below replaces this very file.
main() {
    new_journal=no
    if [ "${1:-}" = --new-journal ]; then
        new_journal=yes
        shift
    fi
    case $#,${1:-} in
    0,) [ "$new_journal" = yes ] || usage ;;
    1, | *,-*) usage ;;
    1,*) ;;
    *) usage ;;
    esac

    [ -z "$(in_folder status --porcelain --untracked-files=no)" ] ||
        leave 1 "files in $folder were changed by hand: undo that first (git -C $folder status)."
    old=$(in_folder rev-parse HEAD)
    new=$old
    if [ $# = 1 ]; then
        in_folder fetch --quiet --tags || leave 1 "its repository cannot be reached: nothing was changed."
        new=$(commit_of "$1") || leave 1 "there is no version $1: nothing was changed."
    fi

    if [ "$new" != "$old" ]; then
        say "trying $1 beside the running version ..."
        in_folder worktree remove --force "$next" 2>/dev/null || rm -rf "$next" # of an upgrade that was killed
        in_folder worktree prune
        in_folder worktree add --quiet --detach "$next" "$new"
        tried=0
        { python3 "$next/run.py" run --help >/dev/null &&
            python3 "$next/run.py" check "$conf" --key-file "$key" >&2; } || tried=$?
        in_folder worktree remove --force "$next" || say "$next is left over: remove it."
        [ "$tried" = 0 ] || leave 1 "$1 does not pass (exit code $tried, see above): nothing was changed, $unit was not stopped."
    fi

    say "stopping $unit ..."
    stop
    if [ "$new_journal" = yes ] && [ -e "$state/journal.sqlite" ]; then
        archive=$state/archive-$(date -u +%Y%m%dT%H%M%SZ)
        mkdir -m 0700 "$archive"
        chown --reference="$state" "$archive"
        for part in "$state"/journal.sqlite*; do mv "$part" "$archive/"; done # -wal and -shm belong to it
        say "the journal is now $archive/journal.sqlite."
    fi
    if [ "$new" != "$old" ]; then
        { in_folder checkout --quiet --detach "$new" && python3 "$folder/run.py" run --help >/dev/null; } || new=failed
    fi
    if [ "$new" != failed ] && start; then
        leave 0 "$unit runs in version $(in_folder rev-parse --short HEAD). Back again: upgrade.sh $(in_folder rev-parse --short "$old")"
    fi
    say "$unit does not run in the new version: putting the old one back ..."
    stop
    in_folder checkout --quiet --detach "$old" || leave 1 "the old version cannot be put back: $unit is stopped, nothing rests."
    python3 "$folder/run.py" run --help >/dev/null || leave 1 "the old version's environment cannot be made: $unit is stopped, nothing rests."
    start || leave 1 "the old version does not run either: $unit is stopped, nothing rests. See: journalctl --namespace=maker -u $unit"
    leave 1 "not upgraded: $unit runs in the old version $(in_folder rev-parse --short HEAD)."
}

main "$@"
