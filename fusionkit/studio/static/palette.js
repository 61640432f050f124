// The installed components by kind, to be searched, and added by Enter or by being dropped on the drawing.

import { post } from "./api.js";
import { h, roving } from "./dom.js";

export const DRAGGED = "application/x-fusionkit-component";
const MOST = 60;

// `add(id, place)` gets a component, and where it goes: {reads}, {source, target} or {} for one that reads nothing yet.
export function makePalette(add) {
  const search = h("input", { type: "search", "aria-label": "Search components", placeholder: "search components", oninput: draw });
  const place = h("select", { "aria-label": "Where a component is added" });
  const list = h("div", { class: "components", role: "group", "aria-label": "Components" });
  const element = h("section", { class: "palette", "aria-label": "Components" }, search, h("p", { class: "quiet", id: "palette-help" }, "Enter adds it:"), place, list);
  let known = { kinds: [], components: [] };
  let places = [{}];
  post("words", {}).then((found) => { known = found; draw(); }).catch((error) => list.replaceChildren(h("p", { role: "alert" }, error.message)));
  at(null, []);

  function at(name, readers) {
    places = name ? [{ reads: name }, ...readers.map((target) => ({ source: name, target })), {}] : [{}];
    place.replaceChildren(...places.map((each, number) => h("option", { value: number },
      each.reads ? `reading ${each.reads}` : each.source ? `between ${each.source} and ${each.target}` : "reading nothing yet")));
  }
  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = known.components.filter((each) => words.every((word) => `${each.id} ${each.category} ${each.summary}`.toLowerCase().includes(word)));
    // Those that are meant by their name come first.
    if (words.length) found.sort((a, b) => b.id.includes(words[0]) - a.id.includes(words[0]));
    const shown = found.slice(0, MOST), buttons = [];
    list.replaceChildren(...known.kinds.flatMap((kind) => {
      const own = shown.filter((each) => each.kind === kind);
      return own.length ? [h("h2", {}, kind), ...own.map((each) => {
        const made = h("button", { draggable: "true", title: each.summary, "aria-label": `${each.id}: ${each.summary}`, onclick: () => add(each.id, places[place.value] || {}),
          ondragstart: (event) => { event.dataTransfer.setData(DRAGGED, each.id); event.dataTransfer.effectAllowed = "copy"; } },
        h("span", {}, each.id.slice(kind.length + 1)));
        buttons.push(made);
        return made;
      })] : [];
    }), found.length > shown.length ? h("p", { class: "quiet" }, `${found.length - shown.length} more: search`) : "", found.length || !known.kinds.length ? "" : h("p", {}, "none has these words"));
    roving(buttons);
  }
  return { element, at, focus: () => search.focus() };
}
