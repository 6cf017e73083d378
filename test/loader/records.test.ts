import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { type BadImageError, type Image, loadImage, readImage } from "pound-guest-memory/loader";
import { refusalIn } from "../support/bad-image.js";
import { SREC_EXAMPLE } from "../support/image-files.js";

/** The error of a file that is refused. */
function refusal(text: string): BadImageError {
  return refusalIn((memory) => loadImage(memory, Buffer.from(text, "latin1")));
}

function segmentsOf({ segments }: Image): [string, string][] {
  return segments.map(({ gpa, size, bytes }) => {
    expect(size).to.equal(BigInt(bytes.length));
    return [gpa.toString(16), Buffer.from(bytes).toString("hex")];
  });
}

/** A record of Intel HEX with its checksum. */
function hex(type: number, offset: number, data: string): string {
  const bytes = Buffer.from([data.length / 2, offset >> 8, offset & 255, type]);
  const all = Buffer.concat([bytes, Buffer.from(data, "hex")]);
  const sum = -all.reduce((total, byte) => total + byte, 0) & 255;
  return `:${Buffer.concat([all, Buffer.of(sum)])
    .toString("hex")
    .toUpperCase()}\n`;
}

/** An S-record with its checksum. */
function srec(type: number, address: string, data = ""): string {
  const bytes = Buffer.from(address + data, "hex");
  const all = Buffer.concat([Buffer.of(bytes.length + 1), bytes]);
  const sum = ~all.reduce((total, byte) => total + byte, 0) & 255;
  return `S${type}${Buffer.concat([all, Buffer.of(sum)])
    .toString("hex")
    .toUpperCase()}\n`;
}

const END = ":00000001FF\n";

describe("readImage of Intel HEX", () => {
  const read = (text: string): Image => readImage(Buffer.from(text, "latin1"));

  it("reads the example of the specification's checksum, in any case, with any line ends", () => {
    const line = ":10010000214601360121470136007EFE09D2190140";
    for (const text of [
      `${line}\n${END}`,
      `\r\n${line.toLowerCase()} \t\r\n\n:00000001ff`,
      `${line}\r:00000001FF\r`,
    ]) {
      const image = read(text);
      expect(image.format).to.equal("hex");
      expect(image.entry).to.equal(null);
      expect(segmentsOf(image)).to.deep.equal([["100", "214601360121470136007efe09d21901"]]);
    }
  });

  it("reads segment and linear addresses and both kinds of start", () => {
    const image = read(
      hex(2, 0, "1200") +
        hex(0, 0xfffe, "01020304") +
        hex(4, 0, "0800") +
        hex(0, 0x10, "AA") +
        hex(3, 0, "12000034") +
        END,
    );
    expect(segmentsOf(image)).to.deep.equal([
      ["12000", "0304"],
      ["21ffe", "0102"],
      ["8000010", "aa"],
    ]);
    expect(image.entry).to.equal(0x12034n);
    expect(read(hex(5, 0, "80000101") + END).entry).to.equal(0x8000_0101n);
  });

  it("wraps linear addresses at 4 GiB", () => {
    const image = read(hex(4, 0, "FFFF") + hex(0, 0xffff, "0102") + END);
    expect(segmentsOf(image)).to.deep.equal([
      ["0", "02"],
      ["ffffffff", "01"],
    ]);
  });

  it("joins records in any order and accepts bytes that are repeated", () => {
    const image = read(
      hex(0, 4, "04050607") +
        hex(0, 0, "00010203") +
        hex(0, 2, "02030405") +
        hex(0, 9, "09") +
        hex(0, 0, "") +
        END,
    );
    expect(segmentsOf(image)).to.deep.equal([
      ["0", "0001020304050607"],
      ["9", "09"],
    ]);
  });

  for (const [what, text, line, reason] of [
    ["a wrong checksum", `${hex(0, 0, "01")}:0400000001020304F3\n${END}`, 2, /F3.*should be F2/],
    ["a wrong length", ":0500000001020304F1\n", 1, /9 bytes, not of 10/],
    ["other characters", `${hex(0, 0, "01")}:04000000010G0304F2\n`, 2, /odd number/],
    ["an odd number of digits", ":0400000001020304F20\n", 1, /odd number/],
    ["text that is no record", `${hex(0, 0, "01")}\nhello\n`, 3, /does not start with :/],
    ["no end", hex(0, 0, "01"), 1, /truncated/],
    ["a record after the end", `${END}${hex(0, 0, "01")}`, 2, /after the end/],
    ["an unknown type", hex(6, 0, "0000"), 1, /unknown type of record: 06/],
    ["an address of 3 bytes", hex(4, 0, "000000"), 1, /3 bytes of data, not 2/],
    [
      "contradicting bytes",
      `${hex(0, 0, "000102")}${hex(0, 0x10, "00")}\n${hex(0, 1, "01AA")}${END}`,
      4,
      /other bytes/,
    ],
  ] as const) {
    it(`refuses ${what} (line ${line})`, () => {
      const error = refusal(text);
      expect(error.reason).to.match(reason);
      expect(error.line).to.equal(line);
      expect(error.message).to.match(new RegExp(`line ${line}:`));
    });
  }
});

describe("readImage of S-records", () => {
  const read = (text: string): Image => readImage(Buffer.from(text, "latin1"));

  it("reads the example of the manual page", () => {
    const image = read(SREC_EXAMPLE.join("\n"));
    expect(image).to.deep.include({ format: "srec", name: "hello     ", entry: null });
    expect(image.segments).to.have.length(1);
    expect(Buffer.from(image.segments[0]!.bytes).toString("latin1")).to.match(/Hello world\.\n\0$/);
  });

  it("reads every type of address and start, and counts", () => {
    for (const [type, address, start, entry] of [
      [1, "1000", srec(9, "1002"), 0x1002n],
      [2, "201000", srec(8, "201002"), 0x201002n],
      [3, "80001000", srec(7, "80001002"), 0x8000_1002n],
    ] as const) {
      const image = read(srec(0, "0000") + srec(type, address, "0102") + srec(5, "0001") + start);
      expect(segmentsOf(image)).to.deep.equal([[address, "0102"]]);
      expect(image.entry).to.equal(entry);
      expect(image.name).to.equal(null);
    }
    expect(read(srec(1, "0000", "01") + srec(6, "000001") + srec(9, "0000")).format).to.equal(
      "srec",
    );
  });

  for (const [what, text, line, reason] of [
    ["a wrong checksum", "S107010001020304EE\nS9030000FC\n", 1, /EE.*should be ED/],
    ["a wrong length", "S108010001020304EC\n", 1, /8 bytes, not of 9/],
    ["a wrong count", srec(1, "0000", "01") + srec(5, "0002") + srec(9, "0000"), 2, /1 data/],
    ["type S4", srec(1, "0000", "01") + srec(4, "0000"), 2, /reserved/],
    ["no end", srec(1, "0000", "01"), 1, /truncated/],
    ["a record after the end", srec(9, "0000") + srec(1, "0000", "01"), 2, /after the S9/],
    ["data past the last address", srec(1, "FFFF", "0102") + srec(9, "0000"), 1, /last address/],
    ["a start with data", srec(9, "0000", "01"), 1, /with data/],
    ["a record without address", `${srec(1, "0000", "01")}S30101FD\n`, 2, /has at least 6/],
    [
      "contradicting bytes",
      srec(1, "0000", "0102") + srec(1, "0001", "03") + srec(9, "0000"),
      2,
      /other bytes/,
    ],
  ] as const) {
    it(`refuses ${what} (line ${line})`, () => {
      const error = refusal(text);
      expect(error.reason).to.match(reason);
      expect(error.line).to.equal(line);
    });
  }
});

describe("loadImage of records", () => {
  it("writes exactly the bytes of the file, to RAM and ROM", () => {
    const space = new AddressSpace();
    space.addRom(0, new Uint8Array(4096).fill(0xff));
    space.addRam(4096, 4096);
    loadImage(
      space,
      Buffer.from(srec(1, "0FFE", "01020304") + srec(1, "0010", "AA") + srec(9, "0000")),
    );
    const expected = Buffer.alloc(8192);
    expected.fill(0xff, 0, 4096);
    expected.set([1, 2, 3, 4], 0xffe);
    expected[0x10] = 0xaa;
    expect(space.read(0, 8192).equals(expected)).to.equal(true);
  });

  it("changes nothing if a later segment has no place", () => {
    expect(refusal(hex(0, 0, "01") + hex(0, 0xfff, "0102") + END).reason).to.match(
      /0xfff to 0x1000 does not fit: there is no memory at 0x1000/,
    );
  });
});
