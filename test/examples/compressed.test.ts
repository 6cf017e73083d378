import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { expand } from "../../examples/frontend/cpu/compressed.js";
import { need } from "../support/need.js";

const OBJDUMP = "riscv64-linux-gnu-objdump";
/** Extensions that the hart does not have, but objdump knows. */
const FLOATING = /^(c\.)?f[ls]d/;
const ILLEGAL = /^(unimp|\.[24]byte|\.insn)/;
/** `c.addi16sp` with 0, which is reserved, and which objdump shows nevertheless. */
const RESERVED = 0x6101;
/** Instructions without an effect, which objdump shows under names of their own. */
const HINT = /^c\./;
const WITHOUT_EFFECT = /^(nop |[\w.]+ zero,.*|s[lr][la]i? (\w+),\2,0x0)$/;

/** The text of each instruction, in the order of their bytes. */
function disassemble(bytes: Buffer): string[] {
  const folder = mkdtempSync(join(tmpdir(), "compressed-"));
  try {
    const file = join(folder, "code.bin");
    writeFileSync(file, bytes);
    const options = ["-D", "-z", "-b", "binary", "-m", "riscv:rv64"];
    const text = execFileSync(OBJDUMP, [...options, file], {
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    return [...text.matchAll(/^ +[\da-f]+:\t[\da-f]+ +\t(.*)$/gm)].map(([, line]) => line!);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The instruction with the offset of a jump or branch in place of its target. */
function normalize(text: string, at: number): string {
  const [name, operands = ""] = text.replace(/ *#.*/, "").split("\t");
  const jumps = /^(j|jal|beqz|bnez|beq|bne)$/.test(name!);
  const relative = jumps
    ? operands.replace(
        /0x[\da-f]+$/,
        (target) => `${BigInt.asIntN(32, BigInt(target) - BigInt(at))}`,
      )
    : operands;
  // objdump knows the move in some of its encodings only.
  return `${name} ${relative}`.replace(/^add (\w+),(?:(\w+),0|zero,(\w+))$/, "mv $1,$2$3");
}

describe("the example's compressed instructions", () => {
  it("stand for the instructions that objdump shows, for all 49152 encodings", function () {
    this.timeout(60_000);
    need(this, OBJDUMP);
    const halves = Array.from({ length: 0x1_0000 }, (_, half) => half).filter(
      (half) => (half & 3) !== 3,
    );
    const short = Buffer.alloc(2 * halves.length);
    halves.forEach((half, i) => short.writeUInt16LE(half, 2 * i));
    const expanded = halves.filter((half) => expand(half) !== 0);
    const dense = Buffer.alloc(4 * expanded.length);
    expanded.forEach((half, i) => dense.writeInt32LE(expand(half), 4 * i));

    const shown = disassemble(short);
    expect(shown).to.have.length(halves.length);
    const meanings = disassemble(dense);
    expect(meanings).to.have.length(expanded.length);

    const wrong: string[] = [];
    let next = 0;
    halves.forEach((half, i) => {
      const text = normalize(shown[i]!, 2 * i);
      const isLegal = expand(half) !== 0;
      const meaning = isLegal ? normalize(meanings[next]!, 4 * next) : "illegal";
      next += isLegal ? 1 : 0;
      const isIllegal = half === RESERVED || ILLEGAL.test(text) || FLOATING.test(text);
      const isRight =
        isIllegal || !isLegal
          ? isIllegal && !isLegal
          : HINT.test(text)
            ? WITHOUT_EFFECT.test(meaning)
            : text === meaning;
      if (!isRight) {
        wrong.push(`${half.toString(16)}: ${text} is ${meaning}`);
      }
    });
    expect(wrong.slice(0, 40), `${wrong.length}`).to.deep.equal([]);
  });
});
