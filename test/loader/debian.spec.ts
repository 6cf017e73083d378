import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "chai";
import { AddressSpace, type RamRegion } from "pound-guest-memory";
import {
  type ElfImage,
  type Image,
  loadElf,
  loadImage,
  readImage,
} from "pound-guest-memory/loader";
import { toIntelHex, toSrec } from "../../lib/loader/write.js";
import { isExecutable, type Load, objcopy, readelf } from "../support/binutils.js";
import {
  fetchPackages,
  filesOf,
  type PackagedFile,
  type Packages,
  run,
} from "../support/debian.js";

/** Kernels, boot loaders, firmware and C libraries of many machines. */
const FILES = [
  "u-boot-qemu",
  "opensbi",
  "qemu-system-data",
  "xen-hypervisor-4.17-amd64",
  "debian-installer-12-netboot-ppc64el",
  "syslinux-common",
  "grub-pc-bin",
  "arduino-core-avr",
  "firmware-microbit-micropython",
  "hdmi2usb-fx2-firmware",
  ...["armhf", "arm64", "riscv64", "mips", "powerpc", "ppc64", "m68k", "s390x", "sparc64"].map(
    (name) => `libc6-${name}-cross`,
  ),
];
const TOOLS = [
  "srecord",
  "libsrecord0",
  ...["arm-linux-gnueabi", "mips-linux-gnu", "powerpc-linux-gnu", "m68k-linux-gnu"].map(
    (name) => `binutils-${name}`,
  ),
  ...["aarch64-linux-gnu", "riscv64-linux-gnu"].map((name) => `binutils-${name}`),
];
/** The number of files that have to be compared. */
const LEAST = 60;
const PAGE = 4096n;
/** The value of bytes that are not written. */
const UNTOUCHED = 0xa5;
/** The largest file that is converted to text, and the most of a package, to save time. */
const MOST_TEXT = 2 ** 20;
const MOST_FILES = 6;
/** The longest range of addresses of such a file, which is the size of its raw file. */
const MOST_RAW = 2n ** 25n;

/** Machines of which files have to be compared. */
const MACHINES = ["x86", "x86-64", "arm", "aarch64", "riscv", "mips", "ppc", "m68k"];

// Downloads about 60 MB the first time, so that it is not part of npm run test:js.
describe("images of Debian packages", function () {
  this.timeout(600_000);
  let folder: string;
  let packages: Packages;

  before(function () {
    folder = mkdtempSync(join(tmpdir(), "debian-"));
    packages = fetchPackages([...FILES, ...TOOLS]);
    if (packages.present.length === 0) {
      skip(this, "no package can be downloaded");
    }
  });

  after(() => rmSync(folder, { recursive: true }));

  /**
   * Checks which files were compared, by machine. Some may be missing only without a network.
   */
  function checkCounts(context: Mocha.Context, counts: ReadonlyMap<string, number>): void {
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const list = [...counts].map(([name, count]) => `${count} ${name}`);
    console.log(`      ${total} files compared: ${list.join(", ")}`);
    const missing = MACHINES.filter((machine) => !counts.has(machine));
    if (!packages.isOnline && (total < LEAST || missing.length > 0)) {
      skip(context, `${total} files are here, and no more packages can be downloaded`);
    }
    expect(total).to.be.at.least(LEAST);
    expect(missing).to.deep.equal([]);
  }

  it("agrees with readelf on every byte and symbol of ELF files", function () {
    const counts = new Map<string, number>();
    for (const { path, name, bytes } of elfFiles(packages.present, folder)) {
      const { loads, symbols } = readelf(path, bytes);
      const ranges = loads.map(({ paddr, size }) => [paddr, size] as const);
      const image = withRam(ranges, (space) => {
        const loaded = loadElf(space, bytes, { allowInterpreter: true, symbols: true });
        expect(spaceHolds(space, bytes, loads), name).to.equal(true);
        return loaded;
      });
      // The bit that marks Thumb code is cleared here, and not by readelf.
      if (image.machine !== "arm") {
        expect(symbolsOf(image), name).to.deep.equal(symbols);
      }
      increment(counts, String(image.machine));
    }
    checkCounts(this, counts);
  });

  it("agrees with objcopy and srec_cat on every byte of ELF and HEX files", function () {
    if (run("srec_cat", ["--version"]) === null) {
      skip(this, "there is no srec_cat");
    }
    const counts = new Map<string, number>();
    for (const name of packages.present) {
      let count = 0;
      for (const file of textFiles(name, folder)) {
        const kind = compareText(file, folder);
        if (kind !== null) {
          increment(counts, kind);
          if (++count === MOST_FILES) {
            break;
          }
        }
      }
    }
    checkCounts(this, counts);
    expect(counts.has("hex")).to.equal(true);
  });
});

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function skip(context: Mocha.Context, reason: string): never {
  console.log(`      SKIPPED: ${reason}`);
  return context.skip();
}

/** The ELF files of packages. A compressed one is decompressed first. */
function* elfFiles(packages: readonly string[], folder: string): Generator<PackagedFile> {
  yield* filesOf(packages, isExecutable);
  for (const { name, bytes } of filesOf(packages, (_, path) => /\/boot\/.*\.gz$/.test(path))) {
    const path = join(folder, "decompressed");
    const file = gunzipSync(bytes);
    if (isExecutable(file)) {
      writeFileSync(path, file);
      yield { name, path, bytes: file };
    }
  }
}

/** The ELF and the HEX files of a package that are small enough for a conversion to text. */
function* textFiles(name: string, folder: string): Generator<PackagedFile> {
  const isHex = (bytes: Buffer): boolean => bytes[0] === ":".charCodeAt(0);
  for (const files of [elfFiles([name], folder), filesOf([name], isHex)]) {
    for (const file of files) {
      if (file.bytes.length <= MOST_TEXT) {
        yield file;
      }
    }
  }
}

/** Calls a function with RAM at all pages of ranges, filled with {@link UNTOUCHED}. */
function withRam<T>(
  ranges: readonly (readonly [gpa: bigint, size: bigint])[],
  use: (space: AddressSpace) => T,
): T {
  const pages = new Set<bigint>();
  for (const [gpa, size] of ranges) {
    for (let page = gpa / PAGE; page <= (gpa + size - 1n) / PAGE; page++) {
      pages.add(page);
    }
  }
  const space = new AddressSpace();
  const sorted = [...pages].sort((a, b) => (a < b ? -1 : 1));
  for (let i = 0; i < sorted.length;) {
    let j = i + 1;
    while (sorted[j] === sorted[j - 1]! + 1n) {
      j++;
    }
    space.addRam(sorted[i]! * PAGE, BigInt(j - i) * PAGE, { fill: UNTOUCHED });
    i = j;
  }
  try {
    return use(space);
  } finally {
    // The fork of a large process takes long, and the tools are run very often.
    for (const region of space.regions) {
      (region as RamRegion).memory.destroy();
    }
  }
}

/** Whether a space has the bytes of the segments, their zeros, and no other change. */
function spaceHolds(space: AddressSpace, file: Buffer, loads: readonly Load[]): boolean {
  return space.regions.every((region) => {
    const expected = Buffer.alloc(Number(region.size), UNTOUCHED);
    const inside = loads.filter(
      ({ paddr }) => paddr >= region.gpa && paddr < region.gpa + region.size,
    );
    for (const { paddr, size } of inside) {
      expected.fill(0, Number(paddr - region.gpa), Number(paddr - region.gpa + size));
    }
    for (const { paddr, offset, fileSize } of inside) {
      file.copy(expected, Number(paddr - region.gpa), offset, offset + fileSize);
    }
    return space.read(region.gpa, region.size).equals(expected);
  });
}

function symbolsOf({ symbols }: ElfImage): string[] {
  return [...symbols!].map(({ address, size, name }) => `${address} ${size} ${name}`);
}

/**
 * Compares a file with the S-records, the HEX file and the raw bytes that objcopy and srec_cat make
 * of it.
 *
 * @returns Its machine, or `hex`. Null if objcopy cannot read it, or if its addresses are too high
 * for text formats or too far apart.
 */
function compareText({ path, name, bytes }: PackagedFile, folder: string): string | null {
  const isHex = !isExecutable(bytes);
  const original = readImage(bytes, { allowInterpreter: true });
  const last = original.segments.at(-1)!;
  const end = last.gpa + last.size;
  if (end > 2n ** 32n || end - original.segments[0]!.gpa > MOST_RAW) {
    return null;
  }
  const converted = objcopy(path, bytes, folder);
  if (converted === null) {
    return null;
  }
  const { srec, hex, raw } = converted;
  const image = readImage(srec);
  const { gpa } = image.segments[0]!;
  const size = BigInt(raw.length);
  // The text files load as exactly the bytes that objcopy writes to a raw file.
  for (const text of [srec, hex, ...(isHex ? [bytes] : [])]) {
    withRam([[gpa, size]], (space) => {
      loadImage(space, text);
      const { gpa: start, size: length } = space.regions[0]!;
      const expected = Buffer.alloc(Number(length), UNTOUCHED);
      raw.copy(expected, Number(gpa - start));
      expect(space.read(start, length).equals(expected), name).to.equal(true);
    });
  }
  // The sections that objcopy writes are parts of the segments of an ELF file.
  const ranges = original.segments.map((segment) => [segment.gpa, segment.size] as const);
  withRam(ranges, (space) => {
    loadImage(space, bytes, { allowInterpreter: true });
    for (const segment of image.segments) {
      const found = space.read(segment.gpa, segment.size);
      expect(found.equals(segment.bytes), `${name} at ${segment.gpa}`).to.equal(true);
    }
  });
  compareSrecCat(image, converted.path, folder, name);
  return String(original.elf?.machine ?? original.format);
}

/** Compares the files that srec_cat and this package write. */
function compareSrecCat(image: Image, srec: string, folder: string, name: string): void {
  for (const [format, suffix] of [
    ["-intel", "hex"],
    ["-motorola", "srec"],
  ] as const) {
    const theirs = join(folder, `theirs.${suffix}`);
    expect(run("srec_cat", [srec, "-o", theirs, format]), name).not.to.equal(null);
    expect(bytesOf(readImage(readFileSync(theirs))), name).to.deep.equal(bytesOf(image));
    const ours = join(folder, `ours.${suffix}`);
    writeFileSync(ours, (format === "-intel" ? toIntelHex : toSrec)(image.segments, image.entry));
    expect(run("srec_cmp", [srec, ours, format]), `${name}, written as ${suffix}`).not.to.equal(
      null,
    );
  }
}

function bytesOf({ segments }: Image): [bigint, string][] {
  return segments.map(({ gpa, bytes }) => [gpa, Buffer.from(bytes).toString("latin1")]);
}
