#!/usr/bin/env bash
# Builds the Linux guest of the example in build-guests: the kernel, from Debian's source, and an
# initramfs that has only init. What is up to date is not built again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../../../.."
archive=/usr/src/linux-source-6.1.tar.xz

for file in "$archive" /usr/bin/{flex,bison,bc,riscv64-linux-gnu-gcc}; do
    if [[ ! -e $file ]]; then
        echo "there is no $file: apt-get install linux-source-6.1 flex bison bc gcc-riscv64-linux-gnu" >&2
        exit 1
    fi
done

mkdir -p build-guests
cd build-guests
source=$PWD/linux-source-6.1
output=$PWD/linux
if [[ ! -e $source/unpacked || $archive -nt $source/unpacked ]]; then
    rm -rf "$source" "$output"
    # The largest drivers, of which only the configuration is read.
    tar -xf "$archive" --exclude='*/drivers/'{gpu,media,net}'/*.[ch]'
    touch "$source/unpacked"
fi

config=$here/kernel.config
if [[ ! -e $output/built || $config -nt $output/built ]]; then
    kernel=(
        make -s -C "$source" "O=$output" "-j$(nproc)" ARCH=riscv
        CROSS_COMPILE=riscv64-linux-gnu- "KCONFIG_ALLCONFIG=$config"
        KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=pound KBUILD_BUILD_HOST=guest
    )
    "${kernel[@]}" allnoconfig
    "${kernel[@]}" Image headers
    touch "$output/built"
fi

riscv64-linux-gnu-gcc -march=rv64imac -mabi=lp64 -static -nostdlib -Os -Wall -Wextra \
    -Wno-unused-function -Wno-unused-parameter -fno-stack-protector \
    -nostdinc -isystem "$(riscv64-linux-gnu-gcc -print-file-name=include)" \
    -isystem "$source/tools/include/nolibc" -isystem "$output/usr/include" \
    -o init "$here/init.c" -lgcc
"$output/usr/gen_init_cpio" -t 0 - >initramfs.cpio <<'END'
dir /dev 0755 0 0
nod /dev/console 0600 0 0 c 5 1
file /init init 0755 0 0
END
