// Two graphs side by side: what differs has an outline and a word in both drawings, and a row of the table below.

import { get, post } from "./api.js";
import { h, say } from "./dom.js";
import { makeDrawing } from "./drawing.js";

export async function diffPage(main, about, rest) {
  const [files, listed] = await Promise.all([get("files"), get("runs")]);
  const names = [...files.map((file) => file.path), ...listed.rows.filter((row) => row.kind === "run" || row.kind === "folds").map((row) => row.path)];
  const asked = rest.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  const chosen = [asked[0] || names[0] || "", asked[1] || names[1] || names[0] || ""];
  const selects = chosen.map((value, side) => h("select", { id: `side-${side}`, onchange: go },
    [...new Set([...names, value])].map((name) => h("option", { value: name, selected: name === value }, name))));
  const drawings = chosen.map((value, side) => makeDrawing((name) => drawings.forEach((each) => each.choose(name)), { label: `Drawing of the ${side ? "second" : "first"} graph` }));
  const panels = drawings.map((drawing, side) => h("section", { class: "sided", "aria-label": chosen[side] }, h("h3", {}, chosen[side]), drawing.element));
  const table = h("div", { class: "scroll changes", tabindex: "0", role: "region", "aria-label": "What changed" });
  const zoom = (factor) => () => drawings.forEach((each) => each.zoom(factor));
  main.replaceChildren(h("div", { class: "bar" }, h("h2", {}, "Two graphs"), h("label", { for: "side-0" }, "from"), selects[0], h("label", { for: "side-1" }, "to"), selects[1],
    h("button", { onclick: () => { location.hash = hash(chosen[1], chosen[0]); } }, "Swap"),
    h("button", { "aria-label": "Smaller", onclick: zoom(1 / 1.2) }, "−"), h("button", { "aria-label": "Larger", onclick: zoom(1.2) }, "+"), h("button", { onclick: zoom(0) }, "Fit")),
  h("div", { class: "two" }, ...panels), table);
  if (!chosen[0]) { table.replaceChildren(h("p", {}, "no graph is in this folder yet")); return () => {}; }
  say("comparing …");
  try {
    const [a, b] = await Promise.all(chosen.map(textOf));
    const found = await post("diff", { a, b, ...drawings[0].size });
    if (found.refused) throw new Error(found.refused);
    drawings.forEach((drawing, side) => drawing.show(found.svg[side]));
    const rows = changedRows(found);
    table.replaceChildren(rows.length ? changesTable(rows, chosen) : h("p", {}, "nothing differs in what the graphs say; comments and layout are not compared"));
    say(`${rows.length} ${rows.length === 1 ? "difference" : "differences"}`);
  } catch (error) { table.replaceChildren(h("p", { class: "note", role: "alert" }, error.message)); say(""); }

  function go() { location.hash = hash(selects[0].value, selects[1].value); }
  return () => {};
}

export const hash = (a, b) => `#/diff/${encodeURIComponent(a)}/${encodeURIComponent(b)}`;
const textOf = async (name) => (/\.ya?ml$/.test(name) ? (await get("file", { path: name })).text : (await get("run", { id: name })).graph);

// Rows of setting, value in the first and in the second.
export function changedRows(found) {
  return [...found.added.map((name) => [name, "", "new"]), ...found.gone.map((name) => [name, "gone", ""]),
    ...Object.entries(found.renamed).map(([old, name]) => [old, "renamed", name]),
    ...Object.entries(found.changed).flatMap(([name, list]) => list.map(([key, old, value]) => [`${name}.${key}`, said(old), said(value)])),
    ...found.top.map(([key, old, value]) => [key, said(old), said(value)])];
}
export function changesTable(rows, [a, b]) {
  return h("table", {}, h("thead", {}, h("tr", {}, ["setting", a, b].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell))))));
}
function said(value) { return value === null ? "not there" : typeof value === "string" ? value : JSON.stringify(value); }
