// The drawing that the studio made, with nodes that can be chosen. It is parsed as XML and never as HTML.

import { h, roving } from "./dom.js";
import { DRAGGED } from "./palette.js";

// `ondrop(id, place)`, where things may be dropped, gets what `palette.js` adds; `onopen(names)` a folded box to be opened.
export function makeDrawing(onchoose, { ondrop, onopen, label = "Drawing of the graph" } = {}) {
  const element = h("div", { class: "drawing", role: "region", "aria-label": label });
  let scale = 0;
  let shown = null;
  let current = null;

  function fit() {
    if (!shown) return;
    const wide = Number(shown.getAttribute("data-wide"));
    const used = scale || Math.max(0.7, Math.min(1, (element.clientWidth - 4) / wide));
    shown.setAttribute("width", wide * used);
    shown.setAttribute("height", Number(shown.getAttribute("data-high")) * used);
  }
  function mark() {
    for (const node of element.querySelectorAll(".node")) node.classList.toggle("current", node.dataset.node === current || inside(node).includes(current));
  }
  const inside = (node) => (node.dataset.inside || "").split(" ").filter(Boolean);
  function act(node) {
    if (node.dataset.inside && onopen) onopen(inside(node));
    else onchoose(node.dataset.node);
  }
  // What lies under the pointer: a box, or the nearest wire within 14 pixels.
  function under(x, y) {
    const node = document.elementFromPoint(x, y)?.closest(".node");
    if (node && element.contains(node)) return { reads: inside(node).at(-1) || node.dataset.node };
    for (const far of [0, 4, -4, 8, -8, 14, -14]) {
      for (const [right, down] of [[0, far], [far, 0]]) {
        const wire = document.elementFromPoint(x + right, y + down)?.closest(".wire");
        if (wire && element.contains(wire)) return between(wire, x, y);
      }
    }
    return {};
  }
  function between(wire, x, y) {
    const targets = wire.dataset.to.split(" ").filter(Boolean);
    const far = (name) => {
      const box = element.querySelector(`.node[data-node="${name}"]`)?.getBoundingClientRect();
      return box ? Math.hypot(box.left - x, box.top + box.height / 2 - y) : Infinity;
    };
    targets.sort((a, b) => far(a) - far(b));
    return targets.length ? { source: wire.dataset.wire, target: targets[0] } : { reads: wire.dataset.wire };
  }
  if (ondrop) {
    element.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes(DRAGGED)) return;
      event.preventDefault();
      element.classList.add("over");
    });
    element.addEventListener("dragleave", () => element.classList.remove("over"));
    element.addEventListener("drop", (event) => {
      element.classList.remove("over");
      const id = event.dataTransfer.getData(DRAGGED);
      if (!id) return;
      event.preventDefault();
      ondrop(id, under(event.clientX, event.clientY));
    });
  }
  return {
    element,
    get size() { return { wide: Math.max(600, element.clientWidth / 0.8), high: Math.max(400, element.clientHeight / 0.8) }; },
    show(text) {
      element.classList.toggle("stale", !text);
      if (!text) return;
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      if (parsed.nodeName !== "svg") return;
      const held = document.activeElement && document.activeElement.closest && document.activeElement.closest(".node");
      const name = held && element.contains(held) ? held.dataset.node : null;
      shown = document.importNode(parsed, true);
      shown.setAttribute("data-wide", shown.getAttribute("width"));
      shown.setAttribute("data-high", shown.getAttribute("height"));
      shown.setAttribute("role", "group");
      const nodes = [...shown.querySelectorAll(".node")];
      for (const node of nodes) {
        const words = [...node.querySelectorAll("text")].map((each) => each.lastChild ? each.lastChild.textContent : "");
        node.setAttribute("role", "button");
        node.setAttribute("aria-label", words.join(" "));
        if (node.dataset.inside) node.setAttribute("aria-expanded", "false");
        node.addEventListener("click", () => act(node));
        node.addEventListener("keydown", (event) => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(node); }
        });
      }
      roving(nodes);
      const { scrollLeft, scrollTop } = element;
      element.replaceChildren(shown);
      fit();
      mark();
      element.scrollTo(scrollLeft, scrollTop);
      if (name) nodes.find((node) => node.dataset.node === name)?.focus();
    },
    // The boxes that read what a box gives.
    readers(name) {
      const wires = [...element.querySelectorAll(".wire")].filter((wire) => wire.dataset.wire.split(".")[0] === name);
      return [...new Set(wires.flatMap((wire) => wire.dataset.to.split(" ").filter(Boolean)))];
    },
    choose(name) { current = name; mark(); },
    zoom(factor) {
      if (!shown) return;
      const now = Number(shown.getAttribute("width")) / Number(shown.getAttribute("data-wide"));
      scale = factor ? Math.min(2, Math.max(0.3, now * factor)) : 0;
      fit();
    },
  };
}
