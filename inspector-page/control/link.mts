import { formatAddress, parseGoTo, type Region } from "../model/addresses.mjs";
import { type ViewType, viewType } from "../model/values.mjs";

/** A place that the page's URL links to. */
export interface Link {
  /** Null if the URL has no address. */
  readonly gpa: bigint | null;
  readonly type: ViewType;
}

/** Reads the link from the URL's fragment, such as `#gpa=0x1000&view=u32`. */
export function readLink(regions: readonly Region[]): Link {
  const fragment = new URLSearchParams(location.hash.slice(1));
  return {
    gpa: parseGoTo(fragment.get("gpa") ?? "", regions, 0n),
    type: viewType(fragment.get("view")),
  };
}

/** Writes the link into the URL, without an entry in the browser's history. */
export function writeLink(gpa: bigint, type: ViewType): void {
  const fragment = `#gpa=${formatAddress(gpa)}&view=${type.name}`;
  if (fragment !== location.hash) {
    history.replaceState(null, "", fragment);
  }
}
