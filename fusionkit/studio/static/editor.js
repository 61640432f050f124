// A text area with line numbers and marks of mistakes behind it. Undo, input methods and screen readers are the browser's.

import { h } from "./dom.js";

export function makeEditor(onchange, oncursor) {
  const numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
  const marks = h("pre", { "aria-hidden": "true" });
  const area = h("textarea", { spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off",
    "aria-label": "Text of the graph, YAML", "aria-describedby": "findings" });
  const element = h("div", { class: "editor" }, marks, numbers, area);
  let found = [];

  function follow() {
    marks.scrollTop = numbers.scrollTop = area.scrollTop;
    marks.scrollLeft = area.scrollLeft;
  }
  function draw() {
    const lines = area.value.split("\n");
    const wrong = new Map();
    for (const each of found) if (each.where) wrong.set(each.where.line, each.severity);
    numbers.replaceChildren(...lines.flatMap((_, place) => {
      const mark = wrong.get(place + 1);
      const text = mark ? h("b", { class: mark }, mark === "error" ? `! ${place + 1}` : `· ${place + 1}`) : String(place + 1);
      return [text, "\n"];
    }));
    marks.replaceChildren(...lines.flatMap((line, place) => [...marked(line, place + 1), "\n"]));
    follow();
  }
  function marked(line, number) {
    const here = found.filter((each) => each.where && each.where.line === number);
    if (!here.length) return [line];
    const start = Math.max(0, Math.min(...here.map((each) => each.where.column)) - 1);
    const rest = line.slice(start).match(/^("[^"]*"|'[^']*'|[^\s,\]}]+)?/)[0] || line.slice(start, start + 1) || " ";
    const error = here.some((each) => each.severity === "error");
    return [line.slice(0, start), h("mark", { class: error ? "error" : "warning" }, rest), line.slice(start + rest.length)];
  }
  area.addEventListener("input", () => { draw(); onchange(area.value); });
  area.addEventListener("scroll", follow);
  for (const event of ["keyup", "click", "focus"]) area.addEventListener(event, () => {
    const before = area.value.slice(0, area.selectionStart).split("\n");
    oncursor(before.length, before.at(-1).length + 1);
  });

  return {
    element,
    get text() { return area.value; },
    set text(text) { area.value = text; draw(); },
    mark(list) { found = list; draw(); },
    goTo(line, column = 1) {
      const lines = area.value.split("\n");
      const place = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
      area.focus();
      area.setSelectionRange(place, place);
      area.scrollTop = Math.max(0, (line - 4) * 19.5);
      follow();
      oncursor(line, column);
    },
    // Replaces what differs by one insertion, so that one undo takes it back.
    change(text) {
      const old = area.value;
      let start = 0;
      while (start < old.length && start < text.length && old[start] === text[start]) start++;
      let end = 0;
      while (end < old.length - start && end < text.length - start && old[old.length - 1 - end] === text[text.length - 1 - end]) end++;
      area.focus();
      area.setSelectionRange(start, old.length - end);
      const insert = text.slice(start, text.length - end);
      if (!document.execCommand(insert ? "insertText" : "delete", false, insert)) {
        area.setRangeText(insert);
        area.dispatchEvent(new Event("input"));
      }
    },
  };
}
