import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { type ElfImage, loadElf } from "pound-guest-memory/loader";

/** Boot loaders, firmware and C libraries of many machines. */
const PACKAGES = [
  "u-boot-qemu",
  "opensbi",
  "qemu-system-data",
  ...["armhf", "arm64", "riscv64", "mips", "powerpc", "ppc64", "m68k", "s390x", "sparc64"].map(
    (name) => `libc6-${name}-cross`,
  ),
];
const PAGE = 4096n;

/** A `PT_LOAD` header, as readelf prints it. */
interface Load {
  readonly offset: number;
  readonly paddr: bigint;
  readonly fileSize: number;
  readonly size: bigint;
}

function readelf(path: string): { loads: Load[]; symbols: string[] } {
  const text = execFileSync("readelf", ["-lsW", path], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const loads = [...text.matchAll(/^\s+LOAD\s+(\w+) \w+ (\w+) (\w+) (\w+)/gm)]
    .map(([, offset, paddr, fileSize, size]) => ({
      offset: Number(offset),
      paddr: BigInt(paddr!),
      fileSize: Number(fileSize),
      size: BigInt(size!),
    }))
    .filter(({ size }) => size > 0n);
  const tables = text.split("Symbol table '").slice(1);
  const table =
    tables.find((part) => part.startsWith(".symtab")) ??
    tables.find((part) => part.startsWith(".dynsym")) ??
    "";
  const row = /^\s+\d+: (\w+)\s+(\w+) (\w+)\s+\w+\s+\w+\s+(?:\[.*\] +)?(\w+) (\S+)/gm;
  const symbols = [...table.matchAll(row)]
    .filter(
      ([, , , type, section, name]) =>
        !["UND", "COM"].includes(section!) &&
        !["SECTION", "FILE", "TLS"].includes(type!) &&
        !/^\$[a-z](\.|$)/.test(name!),
    )
    // readelf adds the version to a name.
    .map(([, value, size, , , name]) => `${BigInt(`0x${value}`)} ${size} ${name!.split("@")[0]}`);
  return { loads, symbols };
}

/** RAM for all pages of the segments, filled with a byte that shows what was not written. */
function spaceFor(loads: readonly Load[]): AddressSpace {
  const pages = new Set<bigint>();
  for (const { paddr, size } of loads) {
    for (let page = paddr / PAGE; page <= (paddr + size - 1n) / PAGE; page++) {
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
    space.addRam(sorted[i]! * PAGE, BigInt(j - i) * PAGE, { fill: 0xa5 });
    i = j;
  }
  return space;
}

function checkBytes(space: AddressSpace, file: Buffer, loads: readonly Load[]): void {
  for (const region of space.regions) {
    const expected = Buffer.alloc(Number(region.size), 0xa5);
    const inside = loads.filter(
      ({ paddr }) => paddr >= region.gpa && paddr < region.gpa + region.size,
    );
    for (const { paddr, size } of inside) {
      expected.fill(0, Number(paddr - region.gpa), Number(paddr - region.gpa + size));
    }
    for (const { paddr, offset, fileSize } of inside) {
      file.copy(expected, Number(paddr - region.gpa), offset, offset + fileSize);
    }
    expect(space.read(region.gpa, region.size).equals(expected)).to.equal(true);
  }
}

function symbolsOf({ symbols }: ElfImage): string[] {
  return [...symbols!].map(({ address, size, name }) => `${address} ${size} ${name}`);
}

// Downloads about 12 MB, so it runs on demand: POUND_DEBIAN=1 on a Debian machine.
const isWanted = process.env.POUND_DEBIAN === "1";
(isWanted ? describe : describe.skip)("loadElf of files of Debian (POUND_DEBIAN=1)", function () {
  this.timeout(600_000);
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "debian-"));
    for (const name of PACKAGES) {
      // A release may lack a package. The number of files is checked below.
      spawnSync("apt-get", ["download", name], { cwd: folder });
    }
    for (const name of readdirSync(folder).filter((file) => file.endsWith(".deb"))) {
      const target = join(folder, name.split("_")[0]!);
      mkdirSync(target);
      execFileSync("dpkg-deb", ["-x", join(folder, name), target]);
    }
  });

  after(() => rmSync(folder, { recursive: true }));

  it("agrees with readelf on every byte and symbol of at least 60 files", () => {
    const machines = new Set<string | number>();
    let count = 0;
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || !isExecutable(path)) {
        continue;
      }
      const file = readFileSync(path);
      const { loads, symbols } = readelf(path);
      const space = spaceFor(loads);
      const image = loadElf(space, file, { allowInterpreter: true, symbols: true });
      checkBytes(space, file, loads);
      // The bit that marks Thumb code is cleared here, and not by readelf.
      if (image.machine !== "arm") {
        expect(symbolsOf(image), path).to.deep.equal(symbols);
      }
      machines.add(image.machine);
      count++;
    }
    expect(count).to.be.at.least(60);
    expect([...machines]).to.include.members(["arm", "aarch64", "riscv", "mips", "ppc", "m68k"]);
  });
});

/** Whether a file is an ELF file of the types that can be loaded. */
function isExecutable(path: string): boolean {
  const file = readFileSync(path);
  if (file.length < 64 || file.toString("latin1", 0, 4) !== "\x7fELF") {
    return false;
  }
  const type = file[5] === 2 ? file.readUInt16BE(16) : file.readUInt16LE(16);
  return type === 2 || type === 3;
}
