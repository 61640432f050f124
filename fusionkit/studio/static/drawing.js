// The drawing that the studio made, with nodes that can be chosen. It is parsed as XML and never as HTML.

import { h, roving } from "./dom.js";

export function makeDrawing(onchoose) {
  const element = h("div", { class: "drawing", role: "region", "aria-label": "Drawing of the graph" });
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
    for (const node of element.querySelectorAll(".node")) node.classList.toggle("current", node.dataset.node === current);
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
        node.addEventListener("click", () => onchoose(node.dataset.node));
        node.addEventListener("keydown", (event) => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onchoose(node.dataset.node); }
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
    choose(name) { current = name; mark(); },
    zoom(factor) {
      if (!shown) return;
      const now = Number(shown.getAttribute("width")) / Number(shown.getAttribute("data-wide"));
      scale = factor ? Math.min(2, Math.max(0.3, now * factor)) : 0;
      fit();
    },
  };
}
