#!/bin/sh
# Makes sure of what building and testing need: a C compiler, cargo, and redis-server or valkey-server.
# Installs what is missing; where it cannot, it says what to install and fails. Silent when all is there.
# With the argument `tests` also a browser, for the tests of the dashboard; those are skipped where it cannot be had.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"

have() { command -v "$1" >/dev/null 2>&1; }
have_redis() { have redis-server || have valkey-server; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! have sudo; then
        echo "setup: this needs root, and there is no sudo: $*" >&2
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@" # nobody is there to type a password
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# Debian's redis-server also starts a server of its own on port 6379. Nothing here uses it or that port.
install() {
    echo "setup: installing $1"
    for manager in apt-get dnf apk pacman brew none; do
        ! have "$manager" || break
    done
    case "$manager $1" in
        'apt-get C compiler') as_root apt-get update && apt_get gcc libc6-dev ;;
        'apt-get redis-server') as_root apt-get update && apt_get redis-server ;;
        'apt-get curl') as_root apt-get update && apt_get curl ca-certificates ;;
        'apt-get browser') as_root apt-get update && apt_get chromium chromium-driver ;;
        'dnf C compiler') as_root dnf install --assumeyes gcc ;;
        'dnf redis-server') as_root dnf install --assumeyes valkey || as_root dnf install --assumeyes redis ;;
        'dnf curl') as_root dnf install --assumeyes curl ;;
        'apk C compiler') as_root apk add gcc musl-dev ;;
        'dnf browser') as_root dnf install --assumeyes chromium chromedriver ;;
        'apk redis-server') as_root apk add redis ;;
        'apk browser') as_root apk add chromium chromium-chromedriver ;;
        'apk curl') as_root apk add curl ;;
        'pacman C compiler') as_root pacman --sync --noconfirm --needed gcc ;;
        'pacman redis-server') as_root pacman --sync --noconfirm --needed valkey ;;
        'pacman browser') as_root pacman --sync --noconfirm --needed chromium ;;
        'pacman curl') as_root pacman --sync --noconfirm --needed curl ;;
        'brew redis-server') brew install redis ;;
        *) return 1 ;;
    esac
}

# Cargo of a distribution is often too old; rustup is Rust's own installer and touches the home directory only.
install_cargo() {
    have curl || install curl
    echo "setup: installing Rust with rustup (https://rustup.rs) into ~/.cargo and ~/.rustup"
    installer=$(mktemp)
    curl --proto '=https' --tlsv1.2 --silent --show-error --fail --output "$installer" https://sh.rustup.rs &&
        sh "$installer" -y --quiet --no-modify-path --profile minimal --component rustfmt --component clippy
    rm -f "$installer"
}

fail() {
    echo "setup: $1" >&2
    exit 1
}

have cc || install 'C compiler' || true
have cc || fail "there is no C compiler (cc). Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc; \
Alpine: apk add gcc musl-dev; macOS: xcode-select --install"

have_redis || install redis-server || true
have_redis || fail "there is neither redis-server nor valkey-server. Debian, Ubuntu: apt-get install redis-server; \
Fedora: dnf install valkey; Alpine: apk add redis; Arch: pacman -S valkey; macOS: brew install redis"

have_browser() { have chromium && have chromedriver; }
if [ "${1:-}" = tests ]; then
    have_browser || install browser || true
    have_browser || echo "setup: there is no chromium with its chromedriver, so the tests of the dashboard will be \
skipped. Debian: apt-get install chromium chromium-driver" >&2
fi

have cargo || install_cargo || true
have cargo || fail "there is no cargo. Install Rust from https://rustup.rs"

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
there=$(cargo --version | cut -d ' ' -f 2)
oldest=$(printf '%s\n%s\n' "$wanted" "$there" | sort -V | head -n 1)
[ "$oldest" = "$wanted" ] || fail "cargo $there is too old, $wanted is needed. With rustup: rustup update stable; \
else install Rust from https://rustup.rs and put ~/.cargo/bin first in PATH"
