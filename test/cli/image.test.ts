import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { type Image, readImage } from "pound-guest-memory/loader";
import { makeElf } from "../support/elf-file.js";
import { makeLinux } from "../support/image-files.js";

const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");
const text = Buffer.from("the bytes of the code");
const data = Buffer.from("data");

describe("pound-guest-memory image", () => {
  let folder: string;
  let file: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "image-"));
    file = join(folder, "some.elf");
    const elf = makeElf({
      entry: 0xc000_1004n,
      bits: 32,
      endian: "big",
      machine: 20,
      buildId: Buffer.from("c0ffee", "hex"),
      segments: [
        { vaddr: 0xc000_1000n, paddr: 0x1000n, bytes: text, flags: 5 },
        { vaddr: 0xc000_1f00n, paddr: 0x1f00n, bytes: data, memsz: 0x100, flags: 6 },
      ],
      symbols: [{ name: "_start", value: 0xc000_1002n, size: 8 }],
    });
    writeFileSync(file, elf);
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(process.execPath, [MAIN, "image", ...args], { encoding: "utf8" });
  }

  it("prints format, build id, entry, segments and symbols", () => {
    const { status, stdout } = run(file, "--symbols");
    expect(status).to.equal(0);
    expect(stdout.split("\n")).to.deep.equal([
      "format:   ELF32, big-endian, ppc, fixed addresses",
      "build id: c0ffee",
      "entry:    0x1004 _start+2",
      "segments:",
      "  0x1000-0x1014 r-x 21 bytes, linked at 0xc0001000",
      "  (3819 bytes free)",
      "  0x1f00-0x1fff rw- 4 bytes + 252 zeros, linked at 0xc0001f00",
      "symbols:  1",
      "  0xc0001002        8 function _start",
      "",
    ]);
    expect(run(file, "--virtual").stdout).to.contain("0xc0001000-0xc0001014 r-x 21 bytes\n");
  });

  it("prints JSON", () => {
    const { stdout } = run(file, "--json", "--symbols");
    expect(JSON.parse(stdout)).to.deep.equal({
      format: "elf",
      compression: [],
      name: null,
      entry: "0x1004",
      families: [],
      parts: [],
      segments: [
        { gpa: "0x1000", size: 21, fileSize: 21, vaddr: "0xc0001000", access: "r-x" },
        { gpa: "0x1f00", size: 256, fileSize: 4, vaddr: "0xc0001f00", access: "rw-" },
      ],
      elf: {
        bits: 32,
        endian: "big",
        type: "exec",
        machine: "ppc",
        flags: 0,
        interpreter: null,
        buildId: "c0ffee",
      },
      symbols: [
        {
          name: "_start",
          address: "0xc0001002",
          size: 8,
          kind: "function",
          global: true,
          section: ".text",
        },
      ],
    });
  });

  it("shows files that name no address at 0", () => {
    const path = join(folder, "Image.gz");
    writeFileSync(path, gzipSync(makeLinux("riscv", 0x20_0000n, 0x3000n, 0x1000)));
    expect(run(path).stdout.split("\n")).to.deep.equal([
      "format:   linux",
      "packed:   gzip",
      "entry:    0x200000",
      "segments:",
      "  0x200000-0x202fff --- 4096 bytes + 8192 zeros",
      "",
    ]);
    expect(run(path, "--gpa", "0x80000000").stdout).to.contain("entry:    0x80200000\n");
  });

  function convert(format: string, ...args: string[]): Buffer {
    const output = join(folder, `out.${format}`);
    const { status, stderr } = run(file, "--to", format, "-o", output, ...args);
    expect(stderr).to.equal("");
    expect(status).to.equal(0);
    return readFileSync(output);
  }

  const contents = ({ segments }: Image): [bigint, string][] =>
    segments.map(({ gpa, bytes }) => [gpa, Buffer.from(bytes).toString()]);
  const expected: [bigint, string][] = [
    [0x1000n, text.toString()],
    [0x1f00n, data.toString()],
  ];

  for (const format of ["hex", "srec"]) {
    it(`converts to ${format}, which reads as the same bytes and entry`, () => {
      const image = readImage(convert(format));
      expect(image).to.deep.include({ format, entry: 0x1004n });
      expect(contents(image)).to.deep.equal(expected);
    });

    it(`converts addresses above 16 bits to ${format}`, () => {
      const image = readImage(convert(format, "--virtual"));
      expect(image.segments.map(({ gpa }) => gpa)).to.deep.equal([0xc000_1000n, 0xc000_1f00n]);
      expect(image.entry).to.equal(0xc000_1004n);
    });
  }

  it("converts to a raw file, and to UF2 of a family", () => {
    const raw = convert("raw", "--fill", "0xff");
    const whole = Buffer.concat([text, Buffer.alloc(0xf00 - text.length, 0xff), data]);
    expect(raw.equals(whole)).to.equal(true);
    const image = readImage(convert("uf2", "--family", "0xe48bff56"));
    expect(image).to.deep.include({ format: "uf2", families: [0xe48bff56] });
    expect(image.segments.map(({ gpa, size }) => [gpa, size])).to.deep.equal([
      [0x1000n, 256n],
      [0x1f00n, 256n],
    ]);
    expect(Buffer.from(image.segments[1]!.bytes).toString()).to.equal(
      data.toString().padEnd(256, "\0"),
    );
  });

  it("ends with status 2 for wrong arguments and unusable files", () => {
    const bad = join(folder, "bad.hex");
    writeFileSync(bad, ":0400000001020304F3\n");
    expect(run(bad).stderr).to.match(/^pound-guest-memory: bad image: at line 1: the checksum/);
    for (const args of [
      [],
      [join(folder, "none")],
      [bad],
      [file, "--to", "raw"],
      [file, "--to", "exe", "-o", "x"],
      [file, "--gpa", "-1"],
      [file, "--to", "raw", "-o", join(folder, "x"), "--fill", "256"],
      [file, "--to", "uf2", "-o", join(folder, "x"), "--family", "0x100000000"],
    ]) {
      expect(run(...args).status, args.join(" ")).to.equal(2);
    }
  });
});
