#!/usr/bin/env bash
# Builds and runs the C++ tests.
#
#   native/run-tests.sh [release] [sanitize] [threads] [s390x] [fuzz]
#
# Without arguments, it runs all five steps. If the tools of a step are not installed, it skips the
# step and prints the reason; with POUND_REQUIRE_ALL=1 that is an error.
set -euo pipefail

readonly ALL_STEPS=(release sanitize threads s390x fuzz)
readonly CMAKE_OLDEST=3.21
ran=()
skipped=()

native_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

have() {
    command -v "$1" >/dev/null 2>&1
}

# Whether compiler $1 builds a program that includes header $2, with the flags that follow.
builds() {
    local compiler=$1 header=$2
    shift 2
    printf '#include <%s>\nint main() { return 0; }\n' "$header" >"$scratch/probe.cpp"
    "$compiler" "$@" "$scratch/probe.cpp" -o "$scratch/probe" >/dev/null 2>&1
}

skip() {
    local step=$1 reason=$2
    echo "$step: SKIPPED ($reason)"
    skipped+=("$step")
}

cmake_is_recent() {
    local version
    version=$(cmake --version | sed -n '1s/^cmake version \([0-9.]*\).*/\1/p')
    [[ $(printf '%s\n' "$CMAKE_OLDEST" "$version" | sort -V | head -n 1) == "$CMAKE_OLDEST" ]]
}

# The missing tools that every step needs, one per line.
missing_for_all() {
    if ! have cmake; then
        echo "cmake"
    elif ! cmake_is_recent; then
        echo "cmake $CMAKE_OLDEST or newer"
    fi
    if ! have ninja && ! have make; then
        echo "ninja-build or make"
    fi
    if ! have "${CXX:-c++}"; then
        echo "a C++17 compiler (g++ or clang)"
    elif ! builds "${CXX:-c++}" doctest/doctest.h -c; then
        echo "doctest (Debian: doctest-dev)"
    fi
}

# The missing tools that one step needs in addition, one per line.
missing_for() {
    case $1 in
    sanitize)
        builds "${CXX:-c++}" cstddef -fsanitize=address,undefined ||
            echo "the runtimes of -fsanitize=address,undefined for ${CXX:-c++}"
        ;;
    threads)
        builds "${CXX:-c++}" cstddef -fsanitize=thread ||
            echo "the runtime of -fsanitize=thread for ${CXX:-c++}"
        ;;
    s390x)
        have s390x-linux-gnu-g++ || echo "s390x-linux-gnu-g++ (Debian: g++-s390x-linux-gnu)"
        have qemu-s390x-static || have qemu-s390x || echo "qemu-s390x (Debian: qemu-user-static)"
        ;;
    fuzz)
        if ! have clang++; then
            echo "clang++ (Debian: clang)"
        elif ! builds clang++ cstddef -fsanitize=fuzzer-no-link,address,undefined; then
            echo "the runtimes of clang's sanitizers (Debian: libclang-rt-dev)"
        fi
        ;;
    esac
}

join_lines() {
    paste -sd ';' - | sed 's/;/; /g'
}

run_step() {
    local step=$1
    echo "== $step"
    (
        cd "$native_dir"
        cmake --preset "$step"
        cmake --build --preset "$step" --parallel "$(getconf _NPROCESSORS_ONLN)"
        # Verbose, so that the log has the host's byte order and the skipped checks.
        ctest --preset "$step" --verbose
    )
    ran+=("$step")
}

steps=("$@")
if [[ ${#steps[@]} -eq 0 ]]; then
    steps=("${ALL_STEPS[@]}")
fi
for step in "${steps[@]}"; do
    if [[ " ${ALL_STEPS[*]} " != *" $step "* ]]; then
        echo "unknown step '$step'; steps are: ${ALL_STEPS[*]}" >&2
        exit 2
    fi
done

# CMake ignores this for a build directory that already has a generator.
if [[ -z ${CMAKE_GENERATOR:-} ]] && have ninja; then
    export CMAKE_GENERATOR=Ninja
fi

missing=$(missing_for_all | join_lines)
if [[ -n $missing ]]; then
    skip "native tests" "not installed: $missing"
else
    for step in "${steps[@]}"; do
        missing=$(missing_for "$step" | join_lines)
        if [[ -n $missing ]]; then
            skip "$step" "not installed: $missing"
        else
            run_step "$step"
        fi
    done
fi

echo "== native tests: ran ${ran[*]:-nothing}; skipped ${skipped[*]:-nothing}"
if [[ ${#skipped[@]} -gt 0 && ${POUND_REQUIRE_ALL:-} == 1 ]]; then
    echo "POUND_REQUIRE_ALL=1, and not everything ran" >&2
    exit 1
fi
