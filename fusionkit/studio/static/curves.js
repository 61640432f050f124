// A curve with its band: the mean over folds and networks, the band from the lowest to the highest.

import { figure, s } from "./dom.js";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const WIDE = 460, HIGH = 210, LEFT = 52, RIGHT = 10, TOP = 12, BOTTOM = 34;

export function chart(curves, names, title) {
  const chosen = names.filter((name) => curves[name]);
  const all = chosen.flatMap((name) => [...curves[name].low, ...curves[name].high]);
  const last = Math.max(...chosen.map((name) => Math.max(...curves[name].epoch)), 2);
  let low = Math.min(...all), high = Math.max(...all);
  if (low === high) { low -= 0.5; high += 0.5; }
  const x = (epoch) => LEFT + (epoch - 1) / (last - 1) * (WIDE - LEFT - RIGHT);
  const y = (value) => HIGH - BOTTOM - (value - low) / (high - low) * (HIGH - TOP - BOTTOM);
  const told = chosen.map((name) => {
    const c = curves[name];
    return `${name.replaceAll("_", " ")} from ${figure(c.mean[0])} to ${figure(c.mean.at(-1))} in ${c.epoch.at(-1)} epochs`;
  }).join("; ");
  const svg = s("svg", { class: "curve", viewBox: `0 0 ${WIDE} ${HIGH}`, width: WIDE, height: HIGH, role: "img", "aria-label": `${title}: ${told}` });
  for (const share of [0, 0.5, 1]) {
    const value = low + share * (high - low);
    svg.append(s("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value)));
  }
  svg.append(s("text", { x: LEFT, y: HIGH - 18 }, "1"), s("text", { x: WIDE - RIGHT, y: HIGH - 18, "text-anchor": "end" }, `epoch ${Math.max(...chosen.map((name) => curves[name].epoch.at(-1)))}`));
  chosen.forEach((name, place) => {
    const c = curves[name], colour = COLOURS[place % 4];
    const line = (values) => values.map((value, at) => `${x(c.epoch[at]).toFixed(1)},${y(value).toFixed(1)}`);
    svg.append(s("polygon", { points: [...line(c.high), ...line(c.low).reverse()].join(" "), fill: colour, opacity: 0.18 }));
    svg.append(s("polyline", { points: line(c.mean).join(" "), fill: "none", stroke: colour, "stroke-width": 1.8, "stroke-dasharray": DASHES[place % 4] }));
    if (c.mean.length === 1) svg.append(s("circle", { cx: x(c.epoch[0]), cy: y(c.mean[0]), r: 3, fill: colour }));
    c.epoch.forEach((epoch, at) => {
      const dot = s("circle", { cx: x(epoch), cy: y(c.mean[at]), r: 7, fill: "transparent" });
      dot.append(s("title", {}, `${name}, epoch ${epoch}: mean ${figure(c.mean[at])}, ${figure(c.low[at])} to ${figure(c.high[at])}, n = ${c.n[at]}`));
      svg.append(dot);
    });
    const width = (WIDE - LEFT) / chosen.length, at = LEFT + place * width;
    svg.append(s("line", { x1: at, x2: at + 22, y1: HIGH - 8, y2: HIGH - 8, stroke: colour, "stroke-width": 2, "stroke-dasharray": DASHES[place % 4] }),
      s("text", { x: at + 27, y: HIGH - 4 }, name.replaceAll("_", " ")));
  });
  return svg;
}
