#!/usr/bin/env bash
# Runs the scenarios with threads of the addon that uses memories, on builds with ThreadSanitizer.
# Node itself has no instrumentation, so only races between C++ code of the two addons are found.
#
# Needs dist/ (npm run build:ts). Without g++ or the sanitizer's runtime the run is skipped and the
# reason printed; with POUND_REQUIRE_ALL=1 that is an error instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/sanitized.sh

readonly FOLDER=$PWD/build-tsan

tsan=$(g++ -print-file-name=libtsan.so 2>/dev/null || true)
if [[ $tsan != /* ]] || ! setarch -R true; then
    echo "tsan: SKIPPED (needs g++, its runtime of -fsanitize=thread, and setarch -R)"
    [[ ${POUND_REQUIRE_ALL:-} != 1 ]]
    exit
fi

build_sanitized "$FOLDER" -fsanitize=thread -O1

export TSAN_OPTIONS="exitcode=0 log_path=$FOLDER/report"
export LD_PRELOAD=$tsan
# The sanitizer needs the usual layout of the address space.
for scenario in threads lifetime arrayBuffer "workers 40"; do
    # The second word is an argument of the scenario.
    (cd "$core" && setarch -R node --expose-gc scenarios.cjs $scenario)
done
unset LD_PRELOAD

# Node has atomics of its own, which the sanitizer does not see, so that it reports races in Node.
races() {
    cat "$FOLDER"/report.* 2>/dev/null |
        awk 'BEGIN { RS = "==================" } /(core|pound_guest_memory)\.node/'
}
if [[ -n $(races) ]]; then
    races
    exit 1
fi

# The sanitizer finds a race if there is one: two cores write to the same bytes.
(cd "$core" && LD_PRELOAD=$tsan setarch -R node scenarios.cjs race)
if [[ $(races) != *"data race"* ]]; then
    echo "tsan: two cores wrote to the same bytes, and no race was found"
    exit 1
fi
