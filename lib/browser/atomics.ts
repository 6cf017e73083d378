// Gives bundles for browsers the atomic operations.
import { plainLanes, ViewAtomics } from "../memory/atomics.js";
import { memoryAtomics } from "../memory/guest-memory.js";
import { spaceAtomics, spaceLanes } from "../space/atomics.js";
import { atomicsPart } from "../space/atomics-part.js";

export * from "../atomics/index.js";

memoryAtomics.provide({ plainLanes, ViewAtomics });
atomicsPart.provide({ spaceAtomics, spaceLanes });
