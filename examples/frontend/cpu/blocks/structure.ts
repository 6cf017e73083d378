import type { Region } from "./region.js";

/** A block, by its offset, or a loop. */
export type Node = number | Loop;

/** A loop, which is entered at its first node only, and its nodes in the order of their code. */
export interface Loop {
  readonly header: number;
  readonly nodes: readonly Node[];
}

/** The code of a region as nested loops. */
export interface Structure {
  readonly nodes: readonly Node[];
  /** Jumps, as {@link edge}, that leave the region, since they would enter a loop elsewhere. */
  readonly removed: ReadonlySet<string>;
}

/** A jump from a block to another. */
export function edge(from: number, to: number): string {
  return `${from} ${to}`;
}

/**
 * Orders the blocks of a region so that each jump goes forward, or to the first block of a loop
 * that it is in. So labels, `break` and `continue` suffice.
 */
export function structureOf(region: Region, entry: number): Structure {
  const removed = new Set<string>();
  for (;;) {
    const graph = new Map<number, number[]>();
    const reversed = new Map<number, number[]>([...region.keys()].map((block) => [block, []]));
    for (const [from, block] of region) {
      const isKept = (to: number) => region.has(to) && !removed.has(edge(from, to));
      graph.set(from, block.successors.filter(isKept));
      graph.get(from)!.forEach((to) => reversed.get(to)!.push(from));
    }
    const successors = (from: number) => graph.get(from)!;
    const predecessors = (to: number) => reversed.get(to)!;
    const backward = backwardEdges(entry, successors);
    const loops = new Map<number, Set<number>>();
    let isReducible = true;
    for (const [from, header] of backward) {
      const body = bodyOf(from, header, predecessors);
      if (body.has(entry) && header !== entry) {
        removed.add(edge(from, header));
        isReducible = false;
      } else {
        const known = loops.get(header) ?? new Set();
        loops.set(header, new Set([...known, ...body]));
      }
    }
    if (isReducible) {
      return {
        nodes: order(reachable(entry, successors), entry, null, loops, successors),
        removed,
      };
    }
  }
}

type Neighbours = (block: number) => readonly number[];

function reachable(entry: number, successors: Neighbours): Set<number> {
  const found = new Set([entry]);
  // A set's iteration includes what is added to it.
  for (const block of found) {
    successors(block).forEach((next) => found.add(next));
  }
  return found;
}

/** The edges to a block that a depth-first search has not left yet. */
function backwardEdges(entry: number, successors: Neighbours): [number, number][] {
  const found: [number, number][] = [];
  const state = new Map<number, "open" | "closed">();
  const visit = (block: number) => {
    state.set(block, "open");
    for (const next of successors(block)) {
      if (state.get(next) === "open") {
        found.push([block, next]);
      } else if (!state.has(next)) {
        visit(next);
      }
    }
    state.set(block, "closed");
  };
  visit(entry);
  return found;
}

/** The blocks from which a backward edge can be reached without passing its header. */
function bodyOf(from: number, header: number, predecessors: Neighbours): Set<number> {
  const body = new Set([header, from]);
  for (const block of body) {
    if (block !== header) {
      predecessors(block).forEach((other) => body.add(other));
    }
  }
  return body;
}

/**
 * Puts blocks into a topological order, with each inner loop as one node.
 *
 * @param members - All blocks of `loop`, or of the region if it is null.
 */
function order(
  members: ReadonlySet<number>,
  entry: number,
  loop: number | null,
  loops: ReadonlyMap<number, ReadonlySet<number>>,
  successors: Neighbours,
): Node[] {
  // The outermost of the inner loops that a block is in.
  const owner = new Map<number, number>();
  const inner = [...loops].filter(([header]) => header !== loop && members.has(header));
  inner.sort(([, a], [, b]) => a.size - b.size);
  for (const [header, body] of inner) {
    body.forEach((block) => owner.set(block, header));
  }
  const nodeOf = (block: number) => owner.get(block) ?? block;
  const nodes: number[] = [];
  const visited = new Set<number>();
  const visit = (node: number) => {
    visited.add(node);
    const blocks = owner.get(node) === node ? loops.get(node)! : [node];
    for (const block of blocks) {
      for (const next of successors(block)) {
        const isInside = members.has(next) && next !== loop;
        if (isInside && !visited.has(nodeOf(next))) {
          visit(nodeOf(next));
        }
      }
    }
    nodes.push(node);
  };
  visit(nodeOf(entry));
  return nodes
    .reverse()
    .map((node) =>
      owner.get(node) === node
        ? { header: node, nodes: order(loops.get(node)!, node, node, loops, successors) }
        : node,
    );
}
