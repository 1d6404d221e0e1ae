#!/bin/sh
# Makes sure of what building and testing need: a C compiler, cargo, and redis-server or valkey-server.
# Installs what is missing; where it cannot, it says what to install and fails. Silent when all is there.
# With the argument `tests` also what only tests need: a browser for those of the dashboard, promtool and docker-compose
# for those of deploy/. Tests of what cannot be had are skipped.
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
        'apt-get docker-compose') as_root apt-get update && apt_get docker-compose ;;
        'apt-get promtool') take_promtool || { as_root apt-get update && take_promtool; } ;;
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

# Debian's package prometheus starts a server and brings a user for it: only the tool is taken out of it, and only for here.
take_promtool() {
    folder=$(mktemp -d)
    (cd "$folder" && apt-get download prometheus && dpkg-deb --extract prometheus_*.deb .) &&
        mkdir -p target/tools && mv "$folder/usr/bin/promtool" target/tools/
    taken=$?
    rm -rf "$folder"
    return $taken
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
have_promtool() { have promtool || [ -x target/tools/promtool ]; }
if [ "${1:-}" = tests ]; then
    have_browser || install browser || true
    have_browser || echo "setup: there is no chromium with its chromedriver, so the tests of the dashboard will be \
skipped. Debian: apt-get install chromium chromium-driver" >&2
    have_promtool || install promtool || true
    have_promtool || echo "setup: there is no promtool, so alert rules will not be tried. Debian: apt-get install prometheus" >&2
    have docker-compose || install docker-compose || true
    have docker-compose || echo "setup: there is no docker-compose, so it will not be asked to read docker-compose.yml" >&2
fi

have cargo || install_cargo || true
have cargo || fail "there is no cargo. Install Rust from https://rustup.rs"

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
there=$(cargo --version | cut -d ' ' -f 2)
oldest=$(printf '%s\n%s\n' "$wanted" "$there" | sort -V | head -n 1)
[ "$oldest" = "$wanted" ] || fail "cargo $there is too old, $wanted is needed. With rustup: rustup update stable; \
else install Rust from https://rustup.rs and put ~/.cargo/bin first in PATH"
