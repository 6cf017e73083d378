import { ROW } from "../model/state.mjs";
import type { ViewType } from "../model/values.mjs";
import { byId, make } from "./dom.mjs";

/** Shows the offset of each column above the hex view. */
export function showColumns(type: ViewType, digits: number): void {
  const columns = byId("columns", HTMLElement);
  columns.dataset["bytes"] = String(type.bytes);
  columns.style.setProperty("--cell", `${type.width}ch`);
  const cells = make("span", "cells");
  for (let at = 0; at < ROW; at += type.bytes) {
    cells.append(make("span", "cell", `+${at.toString(16)}`.padStart(2)));
  }
  columns.replaceChildren(make("span", "address", "address".padEnd(digits)), cells);
}
