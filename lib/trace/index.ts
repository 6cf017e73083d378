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
