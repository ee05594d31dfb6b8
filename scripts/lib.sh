# Shared by the scripts in this folder, which source it after `set -euo pipefail`. Moves to the repository's root.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# fail PROBLEM FIX...: what is wrong on one line, how to mend it on the next ones.
fail() {
    printf '\nerror: %s\n' "$1" >&2
    printf '  fix: %s\n' "$2" >&2
    shift 2
    if [ $# -gt 0 ]; then printf '       %s\n' "$@" >&2; fi
    exit 1
}

say() { printf '\n== %s\n' "$*"; }

# install_hint DEBIAN_PACKAGES: the command of this machine's package manager, with Debian's names where unknown.
install_hint() {
    if command -v apt-get >/dev/null; then
        printf 'apt-get update && apt-get install -y %s' "$1"
    elif command -v dnf >/dev/null; then
        printf 'dnf install -y %s' "$(package_names dnf "$1")"
    elif command -v pacman >/dev/null; then
        printf 'pacman -S --needed %s' "$(package_names pacman "$1")"
    else
        printf "install these with your system's package manager (Debian's names): %s" "$1"
    fi
}

# package_names MANAGER DEBIAN_PACKAGES: their names there. venv is part of Python outside Debian.
package_names() {
    local manager=$1 package names=()
    for package in $2; do
        case "$manager:$package" in
        dnf:python3-venv) package=python3 ;;
        dnf:build-essential) package="gcc gcc-c++ make" ;;
        pacman:build-essential) package=base-devel ;;
        pacman:python3-pip) package=python-pip ;;
        pacman:python3 | pacman:python3-venv) package=python ;;
        esac
        case " ${names[*]} " in
        *" $package "*) ;;
        *) names+=("$package") ;;
        esac
    done
    printf '%s' "${names[*]}"
}

# Sets PYTHON to an interpreter that is new enough. A caller's PYTHON is respected.
need_python() {
    PYTHON=${PYTHON:-python3}
    command -v "$PYTHON" >/dev/null ||
        fail "there is no Python ($PYTHON is not on the PATH)" \
            "$(install_hint 'python3 python3-pip python3-venv')" \
            "or name an interpreter: PYTHON=/path/to/python3 $0"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$PYTHON" --version) is too old: numpy and onnxruntime of this project need 3.11 or newer" \
            "install a newer one and name it: PYTHON=python3.12 $0"
}

need_pip() {
    need_python
    need "pip for $PYTHON" "python3-pip python3-venv" "$PYTHON" -m pip --version
}

# What makes virtual environments; Debian packs it by itself.
need_venv() {
    need_pip
    need "ensurepip for $PYTHON" python3-venv "$PYTHON" -c "import ensurepip"
}

# make_venv FOLDER: an empty virtual environment.
make_venv() {
    need_venv
    say "making $1 with $("$PYTHON" --version)"
    mkdir -p "$(dirname "$1")"
    "$PYTHON" -m venv --clear "$1" || {
        rm -rf "$1"
        fail "$PYTHON cannot make virtual environments (its own words stand above)" "$(install_hint 'python3-venv')"
    }
}

need_cargo() {
    command -v cargo >/dev/null ||
        fail "there is no Rust toolchain (cargo is not on the PATH)" \
            "install it from https://rustup.rs, then open a new shell" \
            "the oldest Rust that works is in Cargo.toml under rust-version"
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(cargo --version | awk '{ print $2 }')
    at_least "$found" "$needed" ||
        fail "Rust $found is too old: this project needs $needed or newer" "rustup update stable"
}

# at_least FOUND NEEDED: whether a version such as 1.92.0 is not older than another; what follows a hyphen does not count.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "${1%%-*}" | sort -V | head -n 1)" = "$2" ]
}

# need WHAT DEBIAN_PACKAGES COMMAND...: the command says whether it is there. If not, it is installed where that needs nobody's leave, and asked for
# elsewhere.
need() {
    local what=$1 packages=$2 said
    shift 2
    if "$@" >/dev/null 2>&1; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $packages"
        # A line for every package: for those who it fails for.
        # shellcheck disable=SC2086 # packages are words
        said=$({ apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } </dev/null 2>&1) ||
            printf '%s\n' "$said" >&2
        if "$@" >/dev/null 2>&1; then return; fi
    fi
    fail "there is no $what" "$(install_hint "$packages")"
}

# Some crates compile C.
need_c_compiler() { need "C compiler (cc is not on the PATH)" build-essential command -v cc; }

# need_disk GIGABYTES PROGRAM: room for building, where that will be done; nothing when the program is built already.
need_disk() {
    local folder=${CARGO_TARGET_DIR:-target} free_kb
    [ -x "$folder/release/$2" ] && return
    mkdir -p "$folder"
    free_kb=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge $(($1 * 1000 * 1000)) ] ||
        fail "$folder has $((free_kb / 1000000)) GB free; building takes about $1 GB" \
            "make room, or set CARGO_TARGET_DIR to a folder on a larger disk"
}

# no_index_help: what to do when packages cannot be fetched.
no_index_help() {
    printf '%s\n' \
        "connect this machine to the network (behind a proxy: set HTTPS_PROXY), then run it again" \
        "with a mirror: PIP_INDEX_URL=<mirror> $0" \
        "without a network: put the wheels into a folder, then PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder> $0"
}

# all_there FOLDER MEMBER...: whether the folder has every member under its base name, and none is empty.
all_there() {
    local folder=$1 member
    shift
    for member in "$@"; do
        [ -s "$folder/${member##*/}" ] || return 1
    done
}

# fetch_wheel NAME VERSION SHA256 FOLDER "MEMBERS" [PIP_OPTION...]
#
# Makes FOLDER hold the named members of a wheel (files by their base names), from a wheel with exactly that hash. Does
# nothing when they are there already; otherwise FOLDER appears whole or not at all.
fetch_wheel() {
    local name=$1 version=$2 sha256=$3 folder=$4 members=$5
    shift 5
    # shellcheck disable=SC2086 # members are words
    if [ "$(cat "$folder/wheel.sha256" 2>/dev/null)" = "$sha256" ] && all_there "$folder" $members; then
        return
    fi
    need_pip
    mkdir -p "$(dirname "$folder")"
    local work
    work=$(mktemp -d "$folder.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now, not of then
    trap "rm -rf '$work'" EXIT
    echo "fetching $name $version with pip"
    local help
    mapfile -t help < <(no_index_help)
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --no-input \
        --dest "$work/wheel" "$@" "$name==$version" </dev/null ||
        fail "pip could not download $name $version (its own words stand above)" "${help[@]}"
    # shellcheck disable=SC2086 # members are words
    "$PYTHON" scripts/unpack_wheel.py "$work"/wheel/*.whl "$sha256" "$work/content" $members ||
        fail "$name $version was not unpacked" \
            "remove pip's copy ($PYTHON -m pip cache purge) and run it again" \
            "if it happens again, the package index serves another file than the one this project was tested with: do not use it"
    rm -rf "$folder"
    mv "$work/content" "$folder"
    rm -rf "$work"
    trap - EXIT
}
