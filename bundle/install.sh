#!/bin/sh
# Installs pushcli from the wheels beside this file, without a package index.
#
#   sh install.sh [--python PYTHON] DIRECTORY
#
# DIRECTORY is new or empty; a virtual environment is made there. What was interrupted is begun
# again, what is there already is left alone.
set -u
export LC_ALL=C
umask 022

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

usage() {
    echo "usage: sh install.sh [--python PYTHON] DIRECTORY" >&2
    exit 2
}

python=
target=
while [ $# -gt 0 ]; do
    case $1 in
        --python) [ $# -ge 2 ] || usage; python=$2; shift ;;
        --python=*) python=${1#--python=} ;;
        -h | --help) echo "usage: sh install.sh [--python PYTHON] DIRECTORY"; exit 0 ;;
        -*) usage ;;
        *) [ -z "$target" ] && [ -n "$1" ] || usage; target=$1 ;;
    esac
    shift
done
[ -n "$target" ] || usage

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P) || fail "cannot find my own files"
cd "$here" || fail "cannot enter $here"
[ -f SHA256SUMS ] && [ -f bundle.env ] || fail "files are missing beside $0: unpack the whole archive"

# --- the archive is whole

sums=$(sha256sum -c SHA256SUMS 2>/dev/null) || {
    broken=$(printf '%s\n' "$sums" | sed -n 's/: FAILED.*//p' | head -n 3 | tr '\n' ' ')
    fail "the archive is damaged (${broken:-sha256sum cannot check it }): fetch it again"
}
VERSION= MACHINE= GLIBC= PYTHONS= KBYTES= PIP=
. ./bundle.env

# --- the machine

[ "$(uname -s)" = Linux ] || fail "this archive is for Linux, not for $(uname -s)"
[ "$(uname -m)" = "$MACHINE" ] || fail "this archive is for $MACHINE, not for $(uname -m)"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p')
[ -n "$libc" ] || fail "no glibc here, and $GLIBC or newer is needed: this node keeps the Ruby agent"
if [ "${libc%%.*}" -lt "${GLIBC%%.*}" ] ||
    { [ "${libc%%.*}" -eq "${GLIBC%%.*}" ] && [ "${libc#*.}" -lt "${GLIBC#*.}" ]; }; then
    fail "glibc $libc is too old, $GLIBC or newer is needed: this node keeps the Ruby agent"
fi

# --- its Python

version_of() {
    "$1" -I -c 'import sys
print("%s %d.%d" % (sys.implementation.name, sys.version_info[0], sys.version_info[1]))' 2>/dev/null
}

fits() {
    case $(version_of "$1") in
        "cpython "*) version=$(version_of "$1"); version=${version#cpython } ;;
        *) return 1 ;;
    esac
    case " $PYTHONS " in *" $version "*) return 0 ;; esac
    return 1
}

case $python in
    /*) ;;
    # As the caller means it; what has no slash is looked for in PATH.
    */*) python=${OLDPWD:-$here}/$python ;;
esac
if [ -n "$python" ]; then
    command -v "$python" >/dev/null 2>&1 || fail "there is no $python"
    fits "$python" || fail "$python is not one of CPython $PYTHONS: name another with --python"
else
    for version in $(printf '%s\n' $PYTHONS | sort -t. -k1,1nr -k2,2nr) ""; do
        python=python${version:-3}
        fits "$python" && break
        python=
    done
    [ -n "$python" ] || fail "no CPython $PYTHONS found: install one, or name it with --python; without one this node keeps the Ruby agent"
fi
"$python" -I -c 'import venv, ssl, zlib' 2>/dev/null ||
    fail "$python lacks its modules venv, ssl or zlib: install them (Debian: python3-venv)"

# --- the directory

case $target in
    /*) ;;
    *) target=${OLDPWD:-$here}/$target ;;
esac
while [ "$target" != / ] && [ "$target" != "${target%/}" ]; do target=${target%/}; done
if [ -L "$target" ] && [ -d "$target" ]; then
    # Python makes no virtual environment behind a symbolic link.
    target=$(CDPATH= cd -- "$target" && pwd -P) || fail "cannot enter $target"
fi
case $target in
    *:* | *'
'*) fail "a colon or a line break in $target: give another directory" ;;
esac
is_installer() {
    # After a power failure another process may have got its number.
    kill -0 "$1" 2>/dev/null || return 1
    [ ! -r "/proc/$1/cmdline" ] || tr '\0' ' ' <"/proc/$1/cmdline" | grep -q 'install\.sh'
}

remove_all() {
    find "$target" -mindepth 1 -maxdepth 1 ! -name .installing -exec rm -rf -- {} +
}

installed=$target/.pushcli-version
busy=$target/.installing

if [ -f "$installed" ]; then
    there=$(cat "$installed")
    [ "$there" = "$VERSION" ] || fail "$target has pushcli $there: give another directory for $VERSION"
    "$target/bin/pushcli" --version >/dev/null 2>&1 || fail "$target is damaged: remove it, and install again"
    echo "pushcli $VERSION is installed in $target already."
    exit 0
fi
if [ -d "$busy" ]; then
    other=$(cat "$busy/pid" 2>/dev/null)
    if [ -n "$other" ] && is_installer "$other"; then
        fail "another installation into $target is under way (process $other)"
    fi
    # It was interrupted: the directory was empty when it began.
elif [ -e "$target" ] && [ ! -d "$target" ]; then
    fail "$target is not a directory"
elif [ -d "$target" ] && [ -n "$(ls -A "$target")" ]; then
    fail "$target is occupied: give a new or empty directory"
fi
made=
if [ ! -d "$target" ]; then
    why=$(mkdir -p -- "$target" 2>&1) || fail "cannot make $target: ${why##*: }"
    made=yes
fi

clean() {
    # Only what is ours: it was empty when we began.
    remove_all
    rm -rf -- "$busy"
    [ -z "$made" ] || rmdir -- "$target" 2>/dev/null
}

give_up() {
    clean
    fail "$1"
}

[ -d "$busy" ] || why=$(mkdir -- "$busy" 2>&1) || {
    [ -z "$made" ] || rmdir -- "$target" 2>/dev/null
    fail "cannot write into $target: ${why##*: }"
}
trap 'clean; exit 130' INT
trap 'clean; exit 143' TERM HUP
echo $$ >"$busy/pid" || give_up "cannot write into $target"
remove_all ||
    give_up "cannot remove what an interrupted installation left in $target"
free=$(df -Pk -- "$target" | awk 'NR == 2 { print $4 }')
[ "${free:-0}" -ge "$KBYTES" ] ||
    give_up "not enough room for $target: $((KBYTES / 1024 + 1)) MB are needed, $((${free:-0} / 1024)) MB are free"

# --- the installation

quietly() {
    # Nothing of the machine's settings for pip or Python counts.
    env -i PATH="$PATH" HOME="$busy" TMPDIR="${TMPDIR:-/tmp}" LC_ALL=C.UTF-8 PIP_CONFIG_FILE=/dev/null \
        "$@" >"$busy/log" 2>&1
}

echo "Installing pushcli $VERSION with $("$python" -I -c 'import sys; print(sys.executable)') into $target ..."
quietly "$python" -I -m venv --without-pip "$target" ||
    give_up "the virtual environment cannot be made: $(tail -n 1 "$busy/log")"
quietly "$target/bin/python" "$here/$PIP/pip" install --no-index --find-links "$here/wheels" \
    --require-hashes --no-deps --no-cache-dir --disable-pip-version-check -r "$here/requirements.txt" ||
    give_up "pip failed: $(grep -v '^$' "$busy/log" | tail -n 1)"
quietly "$target/bin/pushcli" --version || give_up "what was installed does not run: $(tail -n 1 "$busy/log")"
said=$(cat "$busy/log")
echo "$VERSION" >"$busy/version" && mv -- "$busy/version" "$installed" ||
    give_up "cannot write into $target"
trap - INT TERM HUP
rm -rf -- "$busy"
cat <<END
Done: $said

What next, as root:
  $target/bin/pushcli agent enroll --server https://push.example.com:10003/organizations/ORG --token-file FILE --node-name NAME
  $target/bin/pushcli agent install
  systemctl enable --now pushcli-agent
On a node of a Chef Infra Server: \`$target/bin/pushcli migrate agent\` in place of \`agent enroll\`.
END
