// `npm run bench:compare A.json B.json` shows what changed from one run of the bench to another.

import { format, majorOf, readRuns, rowsOf } from "./report.mjs";

const USAGE = `npm run bench:compare -- A.json B.json

Compares two files of \`npm run bench -- --json FILE\`, Node by Node. The first column is the figure in
B divided by that in A. The second divides both by the C++ loop of their own run first, so that the
speed of the machine at the time cancels. Rows that changed by 5 % or more have a mark.
`;
/** A change that is marked; smaller ones are within the noise of most machines. */
const MARKED = 0.05;

const [before, after] = process.argv.slice(2);
if (after === undefined) {
  console.error(USAGE);
  process.exit(2);
}
const earlier = new Map(readRuns(before).map((run) => [majorOf(run), run]));
let compared = 0;
for (const run of readRuns(after)) {
  const other = earlier.get(majorOf(run));
  if (other === undefined) {
    continue;
  }
  compared++;
  console.log(`\nNode ${other.machine.node} -> ${run.machine.node}`);
  console.log("     B/A   of C++          A          B");
  const old = rowsOf(other.results);
  for (const [name, { value, ratio }] of rowsOf(run.results)) {
    const was = old.get(name);
    if (was === undefined || was.value === 0) {
      continue;
    }
    const change = value / was.value;
    const scaled = ratio === undefined ? undefined : ratio / was.ratio;
    const mark = Math.abs((scaled ?? change) - 1) >= MARKED ? "*" : " ";
    console.log(
      `${mark} ${change.toFixed(2).padStart(6)}  ${(scaled?.toFixed(2) ?? "").padStart(7)} ` +
        `${format(was.value).padStart(10)} ${format(value).padStart(10)}  ${name}`,
    );
  }
}
if (compared === 0) {
  console.error("the two files have no Node in common");
  process.exitCode = 1;
}
