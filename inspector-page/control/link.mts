import { formatAddress, parseGoTo, type Region } from "../model/addresses.mjs";
import { type ViewType, viewType } from "../model/values.mjs";

/** A place that the page's URL links to. */
export interface Link {
  /** Null if the URL has no address. */
  readonly gpa: bigint | null;
  readonly type: ViewType;
}

/** The fragment that was read or written last. */
let known = "";

/** Reads the link from the URL's fragment, such as `#gpa=0x1000&view=u32`. */
export function readLink(regions: readonly Region[]): Link {
  known = location.hash;
  const fragment = new URLSearchParams(known.slice(1));
  return {
    gpa: parseGoTo(fragment.get("gpa") ?? "", regions, 0n),
    type: viewType(fragment.get("view")),
  };
}

/**
 * Writes the link into the URL, without an entry in the browser's history. A fragment that the page
 * has not read yet stays: somebody followed a link, and the `hashchange` event is still to come.
 */
export function writeLink(gpa: bigint, type: ViewType): void {
  const fragment = `#gpa=${formatAddress(gpa)}&view=${type.name}`;
  if (location.hash === known && fragment !== known) {
    history.replaceState(null, "", fragment);
    known = fragment;
  }
}
