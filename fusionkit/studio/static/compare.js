// A comparison as `compare` wrote it: nothing is computed anew.

import { get } from "./api.js";
import { figure, h, s, say } from "./dom.js";
import { pageLinks } from "./frame.js";

export async function comparePage(main, about, id) {
  const [found, pages] = await Promise.all([get("compare", { id }), get("pages")]);
  const mine = pages.filter((page) => page.path.startsWith(`${id}/`));
  main.replaceChildren(h("div", { class: "bar" }, h("h2", {}, id), h("a", { href: "#/runs" }, "all runs")),
    h("div", { class: "scroll side", tabindex: "0", role: "region", "aria-label": "Comparison" },
      h("p", {}, `at the node ${found.node ?? "(whole graphs)"}; ${found.units.length} folds and repeats, ${found.seeds} ${found.seeds === 1 ? "seed" : "seeds"} each`),
      mine.length ? h("ul", {}, pageLinks(mine)) : "",
      Object.entries(found.heads).map(([name, head]) => headOf(name, head)),
      Object.entries(found.left_out).map(([name, why]) => h("p", {}, `left out: ${name}: ${typeof why === "string" ? why : JSON.stringify(why)}`)),
      h("h3", {}, "what it does not show"), h("p", {}, "An interval of a difference that contains zero does not show that there is no difference. The best row was chosen on these cases and looks better than it is. The report says more, for these data."),
      h("details", {}, h("summary", {}, "notes"), h("ul", {}, found.notes.map((note) => h("li", {}, note))))));
  say(`comparison, ${Object.keys(found.heads).length === 1 ? "1 head" : `${Object.keys(found.heads).length} heads`}`);

  return () => {};

  function headOf(name, head) {
    const values = head.rows.flatMap((row) => [row.value, row.low, row.high, ...(row.values || [])]).filter((value) => typeof value === "number");
    const range = [Math.min(...values), Math.max(...values)];
    return h("section", {}, h("h3", {}, `${name}: ${head.metric}, ${head.cases} cases${head.patients ? ` of ${head.patients} patients` : ""}; lower is ${head.lower_is_better ? "better" : "worse"}`),
      h("table", {}, h("thead", {}, h("tr", {}, ["network", "value (95 %)", `dot, interval, ticks of the ${found.units.length} folds`, "difference (95 %)", "p", "p (Holm)", "weights", "multiply-adds"].map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", {}, head.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, link(row, head.rows), h("span", { class: "quiet" }, ` ${row.kind}`)),
          h("td", { class: "number" }, interval(row)), h("td", {}, dots(row, range)), h("td", { class: "number" }, row.difference ? interval(row.difference) : row.kind === "reference" ? "reference" : ""),
          h("td", { class: "number" }, row.difference ? p(row.difference.p) : ""), h("td", { class: "number" }, row.difference ? p(row.difference.holm) : ""),
          h("td", { class: "number" }, count(row.weights)), h("td", { class: "number" }, count(row.multiply_adds)))))),
      h("p", { class: "quiet" }, `differences from the reference, by ${head.test}`),
      head.rows.filter((row) => row.note || row.difference?.note).map((row) => h("p", { class: "quiet" }, `${row.name}: ${[row.note, row.difference?.note].filter(Boolean).join("; ")}`)));
  }
  // The folder of a row is its name without signs; where two rows have the same, neither is a link.
  function link(row, rows) {
    const folder = (name) => name.replace(/[^A-Za-z0-9._]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 60);
    const place = found.runs[folder(row.name).toLowerCase()];
    const alone = rows.filter((each) => folder(each.name).toLowerCase() === folder(row.name).toLowerCase()).length === 1;
    return place && alone ? h("a", { href: `#/run/${encodeURI(place)}` }, row.name) : row.name;
  }
}

const interval = (each) => each.value === null || each.value === undefined ? "undefined"
  : `${figure(each.value)}${each.low === null || each.low === undefined ? "" : ` (${figure(each.low)} to ${figure(each.high)})`}`;
const p = (value) => value === null || value === undefined ? "" : value < 0.001 ? "< 0.001" : value.toFixed(3);
const count = (value) => value === null || value === undefined ? "" : value.toLocaleString("en");

function dots(row, [low, high]) {
  const wide = 210, at = (value) => 8 + (high > low ? (value - low) / (high - low) : 0.5) * (wide - 16);
  const svg = s("svg", { class: "dots", viewBox: `0 0 ${wide} 22`, width: wide, height: 22, role: "img", "aria-label": `${row.name}: ${interval(row)}` });
  for (const value of row.values || []) if (typeof value === "number") svg.append(s("line", { class: "tick", x1: at(value), x2: at(value), y1: 3, y2: 19 }));
  if (typeof row.low === "number" && typeof row.high === "number") svg.append(s("line", { class: "bar-of", x1: at(row.low), x2: at(row.high), y1: 11, y2: 11 }));
  if (typeof row.value === "number") svg.append(s("circle", { class: "dot", cx: at(row.value), cy: 11, r: 4.5 }));
  return svg;
}
