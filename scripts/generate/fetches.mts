/**
 * The accessors of an MMU from those of a space: the address is a virtual one, and there are
 * fetches of up to 32 bits, which are the reads through another table.
 *
 * @param toFetch - Makes the text of a read use that table.
 */
export function withFetches(accessors: string, toFetch: (text: string) => string): string {
  const reads = accessors
    .split(/\n\n(?= {2}\w+\(|\n {2}\w+\()/)
    .filter((text) => /^\s*(tryRead|read)[bwl]\(/.test(text));
  return [accessors, ...reads.map((text) => toFetch(fetch(text)))]
    .join("\n\n")
    .replaceAll("gpa: Gpa", "va: VirtualAddress")
    .replaceAll(/\bgpa\b/g, "va");
}

function fetch(text: string): string {
  const bits = { b: 8, w: 16, l: 32 }[/ead([bwl])\(/.exec(text)![1]!];
  const comment = /^\s*try/.test(text)
    ? `  /** Fetches ${bits} bits of an instruction, with the right to execute instead of the right to read. */`
    : `  /** As \`tryFetch\`, but returns the value. @throws {@link GuestMemoryFault} */`;
  return `${comment}\n${text
    .replace(/^\s*\n/, "")
    .replace(/\btryRead(?=[bwl]\()/, "tryFetch")
    .replace(/\bread(?=[bwl]\()/, "fetch")
    .replaceAll("this.general.tryRead", "this.general.tryFetch")
    .replaceAll("this.general.read", "this.general.fetch")}`;
}
