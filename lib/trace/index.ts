// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export {
  AccessKind,
  type AccessSink,
  gunzipIfPacked,
  type LackeyOptions,
  LackeyParser,
  LackeySyntaxError,
} from "./lackey.js";
export {
  type PathResult,
  replay,
  type ReplayOptions,
  type ReplayPath,
  type ReplayResult,
} from "./replay.js";
export {
  type Batch,
  type CompileOptions,
  compileTrace,
  FirstTouchMap,
  FlatMap,
  type PageMap,
  TraceCounts,
} from "./workload.js";
