import { GuestMemory } from "pound-guest-memory";
import { medianMs } from "../measure.mjs";

const SIZE = 2 ** 20;
/**
 * Accesses per call of a loop, so that V8 optimizes the loop as a function and not inside a call.
 */
const SLICE = 2048;
const CALLS = 32;

const STATEMENTS = {
  readl: "sum += access.readl(gpas[i])",
  tryReadl: "access.tryReadl(gpas[i], out)",
  writel: "access.writel(gpas[i], i)",
  "writel, signed": "access.writel(gpas[i], ~i)",
  tryWritel: "access.tryWritel(gpas[i], i)",
};

/** Makes a loop with a source text of its own, so that each has type feedback of its own. */
function makeLoop(name, statement) {
  return new Function(
    "out",
    `/* ${name} */ return (access, gpas) => {
      let sum = 0;
      for (let i = 0; i < gpas.length; i++) { ${statement}; }
      return sum;
    };`,
  )(new Uint32Array(1));
}

/** Nanoseconds per access of 32 bits under each access policy, aligned and unaligned. */
export async function policies() {
  const memory = GuestMemory.allocate(SIZE);
  const aligned = Uint32Array.from(
    { length: SLICE },
    () => Math.floor(Math.random() * (SIZE / 8 - 2)) * 8,
  );
  const unaligned = aligned.map((gpa, i) => gpa + 1 + (i % 7));
  const cases = { "flat RAM": [memory, aligned] };
  for (const endian of ["little", "big"]) {
    cases[`fault, ${endian}, aligned`] = [memory.withPolicy({ endian }), aligned];
    const access = memory.withPolicy({ alignment: "allow", endian });
    cases[`allow, ${endian}, aligned`] = [access, aligned];
    cases[`allow, ${endian}, unaligned`] = [access, unaligned];
  }
  console.log("\n32 bits under each access policy, ns per access");
  const results = [];
  for (const [name, statement] of Object.entries(STATEMENTS)) {
    const runs = {};
    for (const [label, [access, gpas]] of Object.entries(cases)) {
      const loop = makeLoop(`${name} ${label}`, statement);
      runs[label] = () => {
        for (let call = 0; call < CALLS; call++) {
          loop(access, gpas);
        }
      };
    }
    const ns = Object.fromEntries(
      Object.entries(await medianMs(runs)).map(([label, ms]) => [
        label,
        (ms * 1e6) / (SLICE * CALLS),
      ]),
    );
    const times = (a, b) => (ns[a] / ns[b]).toFixed(2);
    for (const [label, value] of Object.entries(ns)) {
      console.log(`  ${name.padEnd(15)} ${label.padEnd(24)} ${value.toFixed(2).padStart(6)}`);
    }
    for (const endian of ["little", "big"]) {
      console.log(
        `  ${name}, ${endian}: allow ${times(`allow, ${endian}, aligned`, `fault, ${endian}, aligned`)} x fault, ` +
          `unaligned ${times(`allow, ${endian}, unaligned`, `allow, ${endian}, aligned`)} x aligned`,
      );
    }
    results.push({ name, ns });
  }
  memory.destroy();
  return results;
}
