#!/usr/bin/env bash
# Finds what octet needs to be built and run, installs what is missing on Debian and Ubuntu, and
# builds a preset.
#
#   scripts/set_up.sh [--no-install]     sets up; --no-install lists what is missing and stops
#   source scripts/set_up.sh             what scripts/test and scripts/bench share: set_up,
#                                        choose_preset, configure, build, $octet_root
#
# What counts is whether a thing can be used, not which package brought it. Where nothing is
# missing it prints nothing and needs neither apt nor root. CUDA is never installed.
# Exit status: 0 ready, 2 something is missing.

octet_root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
export OCTET_PYTHON=python3  # set_up prefers one that has jsonschema

needed=(g++ cmake ninja-build git libopenblas-dev python3
        libgtest-dev libgmock-dev libfmt-dev nlohmann-json3-dev python3-jsonschema)
# CMake downloads these where the system has none; without jsonschema the tests of records skip.
replaceable=' libgtest-dev libgmock-dev libfmt-dev nlohmann-json3-dev python3-jsonschema '

# The prefixes that CMake searches, too: those it is given, those that PATH implies, the system's.
search_prefixes() {
  local dir
  local IFS=:
  for dir in ${CMAKE_PREFIX_PATH:-}; do printf '%s\n' "$dir"; done
  for dir in $PATH; do
    [[ $dir == */bin || $dir == */sbin ]] && printf '%s\n' "${dir%/*}"
  done
  printf '%s\n' /usr/local /usr
}

# Whether a file that matches one of the patterns lies in a prefix.
in_a_prefix() {
  local prefix pattern
  while read -r prefix; do
    for pattern in "$@"; do
      compgen -G "$prefix/$pattern" >/dev/null && return 0
    done
  done < <(search_prefixes)
  return 1
}

in_a_library_path() {
  local dir
  local IFS=:
  for dir in ${LIBRARY_PATH:-} ${LD_LIBRARY_PATH:-}; do
    [[ -e $dir/$1 ]] && return 0
  done
  return 1
}

cmake_version() {
  local version=''
  read -r _ _ version < <(cmake --version 2>/dev/null)
  printf '%s' "$version"
}

has_cmake() {
  local major minor
  IFS=. read -r major minor _ <<<"$(cmake_version)"
  [[ $major =~ ^[0-9]+$ && $minor =~ ^[0-9]+$ ]] && ((major > 3 || (major == 3 && minor >= 25)))
}

has_jsonschema() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'from jsonschema import Draft202012Validator' 2>/dev/null; then
      OCTET_PYTHON=$candidate
      return 0
    fi
  done
  return 1
}

is_usable() {
  case $1 in
    g++)
      local compiler=${CXX:-g++}
      command -v "${compiler%% *}" >/dev/null
      ;;
    cmake) has_cmake ;;
    ninja-build) command -v ninja >/dev/null || command -v ninja-build >/dev/null ;;
    git | python3) command -v "$1" >/dev/null ;;
    libgtest-dev) in_a_prefix include/gtest/gtest.h ;;
    libgmock-dev) in_a_prefix include/gmock/gmock.h ;;
    libfmt-dev) in_a_prefix include/fmt/format.h ;;
    nlohmann-json3-dev) in_a_prefix include/nlohmann/json.hpp ;;
    libopenblas-dev)
      in_a_prefix 'include/cblas.h' 'include/openblas*/cblas.h' 'include/*-linux-gnu/cblas.h' \
        'include/*-linux-gnu/openblas*/cblas.h' &&
        # What is linked with: libopenblas.so.0 alone is what the package without -dev brings.
        { in_a_prefix 'lib*/libopenblas.so' 'lib*/libopenblas.a' \
          'lib/*-linux-gnu/libopenblas.so' 'lib/*-linux-gnu/libopenblas.a' ||
          in_a_library_path libopenblas.so; } ;;
    python3-jsonschema) has_jsonschema ;;
  esac
}

# Sets missing (packages) and missing_text (one line for people).
find_missing() {
  local package version
  missing=()
  for package in "${needed[@]}"; do
    is_usable "$package" || missing+=("$package")
  done
  missing_text="${missing[*]}"
  version=$(cmake_version)
  if [[ -n $version ]]; then
    missing_text=${missing_text/#cmake/cmake (3.25 or later; this is $version)}
    missing_text=${missing_text/ cmake/ cmake (3.25 or later; this is $version)}
  fi
}

say() { printf 'octet: %s\n' "$*" >&2; }

# Goes on without what can be replaced, stops for the rest.
settle_for() {
  local package
  for package in "${missing[@]}"; do
    if [[ $replaceable != *" $package "* ]]; then
      say "missing: $missing_text. $1"
      return 2
    fi
  done
  say "going on without $missing_text: CMake downloads libraries, and without jsonschema some" \
    "tests skip. ($1)"
}

# One line for each package, not apt's five; stdin may be closed.
apt_install() {
  local as_root=() log status=0
  local options=(-o Acquire::Retries=1 -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=300)
  ((EUID == 0)) || as_root=(sudo)
  log=$(mktemp)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" -qq update >&2 ||
    say 'apt-get update failed; trying with the package lists that are here'
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" -q -y \
    --no-install-recommends install "$@" </dev/null 2>&1 | tee "$log" |
    sed -u -n -e 's/^Need to get \([^ ]* [kMG]*B\).*/octet:   downloading \1/p' \
      -e 's/^Setting up \([^ :]*\).*/octet:   \1/p' >&2 || status=1
  ((status == 0)) || tail -n 15 "$log" >&2
  rm -f "$log"
  return "$status"
}

# set_up [--no-install]
set_up() {
  find_missing
  ((${#missing[@]})) || return 0
  if [[ ${1:-} == --no-install ]]; then
    say "missing: $missing_text. Nothing was installed (--no-install)."
    return 2
  fi
  if ! command -v apt-get >/dev/null; then
    settle_for 'There is no apt-get here: please install it by other means.'
    return
  fi
  if ((EUID != 0)) && ! command -v sudo >/dev/null; then
    settle_for 'Neither root nor sudo is at hand: please have it installed.'
    return
  fi
  say "installing with apt-get, and what they depend on: ${missing[*]}"
  apt_install "${missing[@]}" || say 'apt-get could not install them'
  hash -r
  find_missing
  ((${#missing[@]})) || return 0
  settle_for 'apt-get did not provide it.'
}

choose_preset() {
  if [[ -n ${OCTET_PRESET:-} ]]; then
    printf '%s\n' "$OCTET_PRESET"
  elif [[ -n ${CUDACXX:-} ]] || command -v nvcc >/dev/null; then
    echo cuda
  else
    echo cpu
  fi
}

configure() { (cd "$octet_root" && cmake --preset "$1"); }

# build PRESET [arguments of cmake --build]
build() {
  (cd "$octet_root" && cmake --build --preset "$1" --parallel "$(nproc)" "${@:2}")
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  set -euo pipefail
  case $#:${1:-} in
    0: | 1:--no-install) set_up "$@" ;;
    1:--help | 1:-h) sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
    *)
      say "scripts/set_up.sh knows --no-install alone, not '$*'"
      exit 2
      ;;
  esac
fi
