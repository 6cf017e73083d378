#!/usr/bin/env bash
# Runs the tests of the addon, another addon that uses its memories, and then the lifetime fuzzer,
# on builds with AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   scripts/asan.sh [SECONDS OF FUZZING]
#
# Needs dist/ (npm run build:ts). Without g++ or the sanitizers' runtimes the run is skipped and the
# reason printed; with POUND_REQUIRE_ALL=1 that is an error instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/sanitized.sh

readonly SECONDS_OF_FUZZING=${1:-30}
readonly FOLDER=$PWD/build-asan
readonly FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# The tests that call the addon. The rest of the suite runs no other code of it, and takes long.
readonly TESTS=(
    atomics/atomics base/bad-input
    memory/{arena,bulk,cloning,differential,guest-memory,lifetime,lifetime-moved,os-tracking,over,shared-ram,write-from}
    native/access space/access typed/typed-region
)

asan=$(g++ -print-file-name=libasan.so 2>/dev/null || true)
if [[ $asan != /* ]]; then
    echo "asan: SKIPPED (not installed: g++ and its runtime of -fsanitize=address)"
    [[ ${POUND_REQUIRE_ALL:-} != 1 ]]
    exit
fi

specs=("${TESTS[@]/#/test/}")
specs=("${specs[@]/%/.test.ts}")
# -UNDEBUG: a release build has no asserts, and this one should have them.
build_sanitized "$FOLDER" "$FLAGS" "-O1 -UNDEBUG"
cd "$FOLDER"

# The sanitizer's runtime has to be loaded first, since node is not linked with it. Leak detection
# is off: node frees little of its memory when it exits. Some tests ask for more memory than any
# machine has, so malloc has to return null. A small quarantine leaves room for the tests that
# measure memory. ASan cannot run under a limit of the address space; POUND_TEST_PATIENCE skips the
# tests that set one.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:quarantine_size_mb=8
export UBSAN_OPTIONS=print_stacktrace=1
export POUND_TEST_PATIENCE=3
# Node 20 has ArrayBuffer.prototype.transfer only behind a flag. The tests set the flag for the
# processes that they start; the fuzzer needs it here.
transfer=()
if [[ $(node -p '"transfer" in ArrayBuffer.prototype') != true ]]; then
    transfer=(--harmony-rab-gsab-transfer)
fi
export LD_PRELOAD=$asan

node --expose-gc node_modules/mocha/bin/mocha.js --no-config --no-package --no-color \
    --timeout=180000 --require=tsx "${specs[@]}"
for scenario in access older refusals lifetime arrayBuffer threads "workers 1000" space \
    spaceDifferential crosscheck fetch guards badExits; do
    # The second word is an argument of the scenario.
    (cd "$core" && node --expose-gc scenarios.cjs $scenario)
done
node --expose-gc "${transfer[@]}" --import=tsx test/support/lifetime-fuzz.ts \
    --seconds "$SECONDS_OF_FUZZING"
