#!/usr/bin/env bash
# Builds libstdc++ for musl from Debian's GCC source, into build-tools/musl-libstdcxx.
#
# The tests for musl run in Bun, which has Node-API: npm has a Bun for musl, but
# no Node. Bun needs libstdc++, and Debian has musl without a C++ library. The
# library is for tests only and is not part of the package.
#
# Needs, on Debian: g++ make xz-utils musl-tools gcc-12-source. Takes minutes.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build-tools
output=$tools/musl-libstdcxx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

readonly SOURCE=/usr/src/gcc-12/gcc-12.2.0-dfsg.tar.xz
readonly SPECS=/usr/lib/x86_64-linux-musl/musl-gcc.specs
for file in "$SOURCE" "$SPECS"; do
    if [[ ! -e $file ]]; then
        echo "not found: $file (Debian: gcc-12-source, musl-tools)" >&2
        exit 1
    fi
done

cd "$work"
tar xf "$SOURCE" --strip-components=1 --exclude='*/gcc/*/*' --exclude=libgo \
    --exclude=libphobos --exclude=libgfortran --exclude=libgomp --exclude=libsanitizer
printf '#!/bin/sh\nexec g++ -specs=%s "$@"\n' "$SPECS" >musl-g++
chmod +x musl-g++

mkdir build
(
    cd build
    # The library is small and used by tests only, so that the time of its build counts.
    CC=musl-gcc CXX="$work/musl-g++" CFLAGS=-O1 CXXFLAGS=-O1 ../libstdc++-v3/configure \
        --build=x86_64-pc-linux-gnu --host=x86_64-pc-linux-musl \
        --disable-multilib --disable-nls --disable-libstdcxx-pch --disable-libstdcxx-filesystem-ts
    make -j2
) >build.log 2>&1 || {
    tail -n 30 build.log >&2
    exit 1
}

# Symbols that Bun needs and a build without the rest of GCC leaves out.
# Exceptions are not caught, since the unwinder needs a table from glibc.
cat >rest.cpp <<'CPP'
#include <pthread.h>
extern "C" {
int _dl_find_object(void*, void*) { return -1; }
__thread void* _ZSt15__once_callable;
__thread void (*_ZSt11__once_call)();
void __once_proxy() { _ZSt11__once_call(); }
void _ZNSt18condition_variableC1Ev(pthread_cond_t* c) { pthread_cond_init(c, nullptr); }
void _ZNSt18condition_variableD1Ev(pthread_cond_t* c) { pthread_cond_destroy(c); }
void _ZNSt18condition_variable10notify_oneEv(pthread_cond_t* c) { pthread_cond_signal(c); }
void _ZNSt18condition_variable10notify_allEv(pthread_cond_t* c) { pthread_cond_broadcast(c); }
struct unique_lock { pthread_mutex_t* mutex; bool owns; };
void _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(pthread_cond_t* c, unique_lock* l) {
    pthread_cond_wait(c, l->mutex);
}
}
CPP
./musl-g++ -O2 -fPIC -fno-exceptions -nostdinc++ -c rest.cpp -o rest.o

mkdir -p "$output"
musl-gcc -shared -Wl,-soname,libstdc++.so.6 -o "$output/libstdc++.so.6" \
    -Wl,--whole-archive build/src/.libs/libstdc++convenience.a -Wl,--no-whole-archive \
    build/src/.libs/compatibility.o rest.o \
    "$(g++ -print-file-name=libgcc_eh.a)" "$(g++ -print-file-name=libgcc.a)"
echo "$output/libstdc++.so.6"
