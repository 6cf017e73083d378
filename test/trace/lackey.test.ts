import { createReadStream } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { expect } from "chai";
import fc from "fast-check";
import { BUNDLED_TRACE } from "../../lib/cli/replay.js";
import {
  AccessKind,
  gunzipIfPacked,
  LackeyParser,
  LackeySyntaxError,
  unpackTrace,
  MAX_ACCESS_SIZE,
} from "../../lib/trace/lackey.js";
import { chunksOf, collect, cutAt, rejection } from "../support/streams.js";

const { FETCH, LOAD, STORE, MODIFY } = AccessKind;

type Access = [kind: AccessKind, address: bigint, size: number];

interface Outcome {
  accesses: Access[];
  lines: number;
  noise: number;
  error?: string;
}

/** The accesses and counts that a parser reads from chunks, and its error if there is one. */
function outcome(chunks: Iterable<Uint8Array>): Outcome {
  const accesses: Access[] = [];
  const parser = new LackeyParser({
    access(kind, high, low, size) {
      accesses.push([kind, (BigInt(high) << 32n) | BigInt(low), size]);
    },
  });
  let error: { error?: string } = {};
  try {
    for (const chunk of chunks) {
      parser.push(chunk);
      // A parser must not keep a chunk, since its owner may reuse it.
      chunk.fill(0x58);
    }
    parser.end();
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(LackeySyntaxError);
    error = { error: (thrown as Error).message };
  }
  return { accesses, lines: parser.lines, noise: parser.noise, ...error };
}

function parse(text: string): Outcome {
  return outcome([Buffer.from(text)]);
}

describe("LackeyParser", () => {
  it("reads the four kinds as lackey writes them", () => {
    expect(parse("I  04222c9c,3\n L 1ffeffe7e,8\n S 04228000,16\n M 0425747C,1\n")).to.deep.equal({
      accesses: [
        [FETCH, 0x04222c9cn, 3],
        [LOAD, 0x1ffeffe7en, 8],
        [STORE, 0x04228000n, 16],
        [MODIFY, 0x0425747cn, 1],
      ],
      lines: 4,
      noise: 0,
    });
  });

  it("keeps all 64 bits of an address", () => {
    const addresses = ["0", "7fffffff", "80000000", "ffffffff", "8000000000000000"];
    addresses.push("ffffffffffffffff", "123456789abcdef0", "0000000000000001");
    const { accesses } = parse(addresses.map((address) => ` L ${address},1\n`).join(""));
    expect(accesses.map(([, address]) => address)).to.deep.equal(
      addresses.map((address) => BigInt(`0x${address}`)),
    );
  });

  it("counts Valgrind's lines and blank ones as noise", () => {
    const text = "==12== Lackey\n--12-- warning\n\n  \t\n\r\n L 10,4\n==12== Exit code: 0\n";
    expect(parse(text)).to.deep.equal({ accesses: [[LOAD, 0x10n, 4]], lines: 7, noise: 6 });
  });

  it("counts messages of every kind, nested ones and superblocks as noise", () => {
    const text =
      "**12** from the program\n>==12== x\n>>--12-- y\n>**12** z\nSB 04001234\nSB 04001238\r\n L 10,4\n";
    expect(parse(text)).to.deep.equal({ accesses: [[LOAD, 0x10n, 4]], lines: 7, noise: 6 });
    for (let at = 0; at < text.length; at++) {
      expect(outcome(cutAt(Buffer.from(text), [at])).noise, String(at)).to.equal(6);
    }
  });

  it("skips and counts foreign lines if asked to", () => {
    const long = "y".repeat(1000);
    const text = ` L 10,4\nhello\n> prompt\n L 20,\n${long}\n\x1b[2J\n S 20,8\nno end`;
    for (const size of [1, 7, 300, 5000]) {
      const accesses: number[] = [];
      const parser = new LackeyParser(
        { access: (kind, _, low) => accesses.push(kind, low) },
        { skipForeign: true },
      );
      for (let at = 0; at < text.length; at += size) {
        parser.push(Buffer.from(text.slice(at, at + size)));
      }
      parser.end();
      expect(accesses).to.deep.equal([LOAD, 0x10, STORE, 0x20]);
      expect(parser).to.include({ lines: 8, noise: 0, foreign: 6 });
    }
  });

  it("names the line and the option that helps, without control characters", () => {
    const { error } = parse(" L 10,4\n\x9b2J\x7f\x1b]0;\u0007\n");
    expect(error).to.match(/^line 2: .*skipForeign.*--skip-foreign/);
    // eslint-disable-next-line no-control-regex -- the test is that there are none
    expect(error).not.to.match(/[\x00-\x1f\x7f-\x9f]/);
  });

  it("takes CRLF, and a last line without an end", () => {
    const expected = [
      [FETCH, 1n, 2],
      [STORE, 2n, 4],
    ];
    expect(parse("I  1,2\r\n S 2,4\r\n").accesses).to.deep.equal(expected);
    expect(parse("I  1,2\n S 2,4").accesses).to.deep.equal(expected);
    expect(parse("I  1,2\r\n S 2,4\r").accesses).to.deep.equal(expected);
    expect(parse("I  1,2\n==9== cut sho")).to.deep.include({ lines: 2, noise: 1 });
    expect(parse("")).to.deep.equal({ accesses: [], lines: 0, noise: 0 });
  });

  for (const line of [
    "X 10,4",
    "L",
    " L 10",
    " L 10,",
    " L ,4",
    " L xyz,4",
    " L 0x10,4",
    " L 10,4 ",
    " L 10,4,4",
    " L 10,four",
    " L 10,-4",
    " L 00000000000000010,4",
    "   L 10,4",
    "L10,4",
    "=12= no noise",
    "SB",
    "SB 0x4001234",
    "> no message",
    ">=1= no message",
    "\0",
  ]) {
    it(`refuses ${JSON.stringify(line)}, naming the line`, () => {
      for (const end of ["\n", "\r\n", "", "\n L 10,4\n"]) {
        const { error, accesses } = parse(`==1== x\n L 10,4\n${line}${end}`);
        expect(error).to.match(/^line 3: neither an access nor a line of Valgrind's: "/);
        expect(accesses).to.have.length(1);
      }
    });
  }

  it("refuses a size of 0, one beyond the largest, and an access that wraps", () => {
    expect(parse(" L 10,0\n").error).to.match(/^line 1: an access's size must be 1 to 4096 bytes/);
    expect(parse(` L 10,${MAX_ACCESS_SIZE}\n`).accesses).to.deep.equal([[LOAD, 0x10n, 4096]]);
    expect(parse(` L 10,${MAX_ACCESS_SIZE + 1}\n`).error).to.match(/not 4097$/);
    expect(parse(" L ffffffffffffffff,1\n").accesses).to.have.length(1);
    expect(parse("\n L ffffffffffffffff,2\n").error).to.equal(
      "line 2: the access runs past the end of the 64-bit address space",
    );
  });

  it("gives its errors a code and the line's number", () => {
    const parser = new LackeyParser({ access: () => undefined });
    expect(() => {
      parser.push(Buffer.from("\n\noops\n"));
    })
      .to.throw(LackeySyntaxError)
      .that.includes({ code: "ERR_LACKEY_SYNTAX", line: 3, name: "LackeySyntaxError" });
  });

  it("refuses a line without an end instead of buffering it", () => {
    const endless = Array.from({ length: 10 }, () => Buffer.alloc(100, "1"));
    expect(outcome(endless).error).to.match(/^line 1: /);
  });

  it("skips a line of noise of any length", () => {
    const long = Array.from({ length: 1000 }, () => Buffer.alloc(1000, "="));
    expect(outcome([...long, Buffer.from("\n L 10,4")])).to.deep.equal({
      accesses: [[LOAD, 0x10n, 4]],
      lines: 2,
      noise: 1,
    });
  });

  const access = fc.record({
    kind: fc.constantFrom("I ", " L", " S", " M"),
    address: fc.bigInt(0n, 2n ** 64n - 1n - BigInt(MAX_ACCESS_SIZE)),
    size: fc.integer({ min: 1, max: MAX_ACCESS_SIZE }),
  });
  const line = fc.oneof(
    { weight: 5, arbitrary: access },
    fc.constantFrom("", "==1== ", "--1--", " \t"),
  );
  const lineEnd = fc.constantFrom("\n", "\r\n");

  it("reads what was written, wherever the chunks are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(line, lineEnd), { maxLength: 60 }),
        fc.array(fc.nat(1500), { maxLength: 200 }),
        (lines, places) => {
          const expected: Access[] = [];
          const text = lines.map(([content, end]) => {
            if (typeof content === "string") {
              return content + end;
            }
            const { kind, address, size } = content;
            expected.push(["ILSM".indexOf(kind.trim()) as AccessKind, address, size]);
            return `${kind} ${address.toString(16).padStart(8, "0")},${size}${end}`;
          });
          const parsed = outcome(cutAt(Buffer.from(text.join("")), places));
          expect(parsed).to.deep.equal({
            accesses: expected,
            lines: lines.length,
            noise: lines.length - expected.length,
          });
        },
      ),
    );
  });

  it("has the same result wherever the chunks are cut, whatever the text", () => {
    const token = fc.constantFrom(
      "I  ",
      " L ",
      " S 4",
      "f,1",
      "\n",
      "\r",
      "==",
      "-",
      " ",
      "0,8\n",
      "x",
    );
    fc.assert(
      fc.property(
        fc.array(token, { maxLength: 80 }),
        fc.array(fc.nat(200), { maxLength: 60 }),
        (tokens, places) => {
          const text = Buffer.from(tokens.join(""));
          expect(outcome(cutAt(text, places))).to.deep.equal(outcome([Buffer.from(text)]));
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("gunzipIfPacked", () => {
  const text = Buffer.from(" L 10,4\n".repeat(10_000));

  it("passes plain bytes on, and unpacks gzip, wherever the chunks are cut", async () => {
    for (const stored of [text, gzipSync(text), Buffer.alloc(0), Buffer.from([0x1f])]) {
      const expected = stored[1] === 0x8b ? text : stored;
      for (const chunks of [[stored], cutAt(stored, [1]), cutAt(stored, [1, 2, 3, 50])]) {
        expect((await collect(gunzipIfPacked(chunksOf(chunks)))).equals(expected)).to.be.true;
      }
    }
  });

  it("unpacks every member of a gzip file", async () => {
    const members = Buffer.concat([gzipSync("I  1,1\n"), gzipSync(" L 2,2\n")]);
    expect((await collect(gunzipIfPacked(chunksOf([members])))).toString()).to.equal(
      "I  1,1\n L 2,2\n",
    );
  });

  it("fails on gzip that is cut short or damaged, and as its source fails", async () => {
    const packed = gzipSync(text);
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, 20, 60);
    const cut = collect(gunzipIfPacked(chunksOf([packed.subarray(0, 40)])));
    expect(await rejection(cut)).to.include({ code: "Z_BUF_ERROR" });
    const wrong = collect(gunzipIfPacked(chunksOf([damaged])));
    expect(await rejection(wrong))
      .to.have.property("code")
      .that.matches(/^Z_/);
    for (const start of [packed.subarray(0, 40), text]) {
      const broken = collect(gunzipIfPacked(failAfter(start)));
      expect(await rejection(broken)).to.have.property("message", "the disk is gone");
    }
  });

  it("unpacks Brotli only in a file of that name, and fails on damaged data", async () => {
    const packed = brotliCompressSync(text);
    const unpacked = (name: string, bytes: Buffer): Promise<Buffer> =>
      collect(unpackTrace(name, chunksOf([bytes])));
    expect((await unpacked("trace.br", packed)).equals(text)).to.be.true;
    expect((await unpacked("trace", packed)).equals(packed)).to.be.true;
    expect((await unpacked("trace.gz", gzipSync(text))).equals(text)).to.be.true;
    expect(await rejection(unpacked("trace.br", text)))
      .to.have.property("code")
      .that.matches(/^ERR_(_ERROR|BROTLI)_/);
    expect(await rejection(unpacked("trace.br", packed.subarray(0, 12)))).to.include({
      code: "Z_BUF_ERROR",
    });
  });

  it("closes its source when its consumer stops early", async () => {
    for (const path of [__filename, BUNDLED_TRACE]) {
      const file = createReadStream(path, { highWaterMark: 1000 });
      for await (const chunk of unpackTrace(path, file)) {
        expect(chunk.length).to.be.greaterThan(0);
        break;
      }
      // Unpacking reads ahead of its consumer, so the file may have to finish a read first.
      for (let wait = 0; wait < 100 && !file.destroyed; wait++) {
        await setTimeout(10);
      }
      expect(file.destroyed).to.be.true;
    }
  });
});

async function* failAfter(start: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(start);
  throw new Error("the disk is gone");
}

describe("the bundled trace", () => {
  it("has the counts of its README", async () => {
    const counts = [0, 0, 0, 0];
    const parser = new LackeyParser({ access: (kind) => (counts[kind] = counts[kind]! + 1) });
    for await (const chunk of unpackTrace(BUNDLED_TRACE, createReadStream(BUNDLED_TRACE))) {
      parser.push(chunk);
    }
    parser.end();
    expect(parser).to.include({ lines: 418_466, noise: 25 });
    expect(counts).to.deep.equal([284_644, 43_840, 88_015, 1_942]);
  });
});
