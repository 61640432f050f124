// The cases of a run, the worst first: truth, prediction, what each input adds, the data in three planes.

import { blob, get, post } from "./api.js";
import { figure, h, later, narrow, roving, say } from "./dom.js";
import { planesOf } from "./planes.js";

export async function casesPage(main, about, id) {
  const asked = { id, show: "all", page: 0, words: "" };
  let fresh = true, shown = null, current = null, gone = false, pictures = [];
  const head = h("select", { "aria-label": "Head", onchange: () => { Object.assign(asked, { head: head.value, truth: null, said: null }); load(true); } });
  const wrong = h("input", { type: "checkbox", id: "wrong", onchange: () => { asked.show = wrong.checked ? "wrong" : "all"; load(true); } });
  const words = h("input", { type: "search", "aria-label": "Filter cases by id", placeholder: "id", size: 14, oninput: () => { asked.words = words.value; load(true); } });
  const body = h("tbody"), top = h("tr"), more = h("div", { class: "bar" });
  const matrix = h("details", { class: "matrix" }, h("summary", {}, "confusion matrix"));
  const side = h("section", { class: "scroll side", "aria-label": "Case" });
  const chosen = h("span");
  main.replaceChildren(
    h("div", { class: "bar" }, h("h2", {}, "Cases of ", h("a", { href: `#/run/${encodeURI(id)}` }, id)), head,
      h("label", {}, wrong, " wrong alone"), words, chosen),
    h("div", { class: "split" }, h("div", { class: "scroll" }, matrix, h("table", {}, h("thead", {}, top), body), more), side));
  await load(true);

  async function load(first) {
    if (first) asked.page = 0;
    const query = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined && value !== ""));
    try { shown = await get("cases", query); } catch (error) { if (!gone) body.replaceChildren(h("tr", {}, h("td", {}, error.message))); return; }
    if (gone) return;
    if (!head.length) head.append(...shown.heads.map((name) => h("option", { value: name }, name)));
    head.hidden = shown.heads.length < 2;
    const names = ["case", "truth", "predicted", shown.rows.some((row) => row.p) ? "p of the truth" : null, shown.measure || null, "fold"].filter(Boolean);
    top.replaceChildren(...names.map((name) => h("th", { scope: "col" }, name)));
    body.replaceChildren(...shown.rows.map((row) => h("tr", { "data-case": row.id }, h("td", {}, h("button", { onclick: () => open(row.id) }, row.id)),
      h("td", {}, row.truth), h("td", {}, row.right === false ? h("strong", {}, `${row.said} (wrong)`) : row.said),
      names.includes("p of the truth") ? h("td", { class: "number" }, row.p ? figure(Number(row.p)) : "") : null,
      shown.measure ? h("td", { class: "number" }, figure(row.loss)) : null, h("td", {}, row.fold))));
    roving([...body.querySelectorAll("button")]);
    const pages = Math.ceil(shown.total / shown.size);
    more.replaceChildren(...(pages > 1 ? [h("button", { disabled: asked.page === 0, onclick: () => { asked.page--; load(); } }, "Earlier"),
      `page ${asked.page + 1} of ${pages}`, h("button", { disabled: asked.page + 1 >= pages, onclick: () => { asked.page++; load(); } }, "Later")] : []));
    chosen.replaceChildren(asked.truth ? h("button", { onclick: () => { Object.assign(asked, { truth: null, said: null }); load(true); } },
      `all, not only ${asked.truth} predicted as ${asked.said}`) : "");
    confusion();
    say(`${shown.total} of ${shown.all} cases${shown.measure ? `, largest ${shown.measure} first` : ""}`);
    // Who comes back finds the case that was looked at.
    const before = fresh && shown.rows.find((row) => row.id === sessionStorage.getItem(`case:${id}`));
    fresh = false;
    if (first && shown.rows.length) open((before || shown.rows[0]).id, false);
    else if (!shown.rows.length) side.replaceChildren(h("p", { class: "quiet" }, "no such case"));
  }
  function confusion() {
    matrix.hidden = !shown.confusion;
    if (!shown.confusion) return;
    const table = h("table", {}, h("caption", {}, "rows: truth, columns: predicted; a number shows its cases"),
      h("thead", {}, h("tr", {}, h("td"), shown.classes.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, shown.confusion.map((row, truth) => h("tr", {}, h("th", { scope: "row" }, shown.classes[truth]), row.map((count, said) =>
        h("td", { class: "number" }, count ? h("button", { "aria-label": `${count}: ${shown.classes[truth]} predicted as ${shown.classes[said]}`,
          onclick: () => { Object.assign(asked, { truth: shown.classes[truth], said: shown.classes[said] }); load(true); } },
        truth === said ? h("b", {}, String(count)) : String(count)) : "0"))))));
    matrix.replaceChildren(matrix.firstElementChild, table);
  }

  async function open(name, focus = true) {
    current = name;
    sessionStorage.setItem(`case:${id}`, name);
    for (const row of body.children) row.classList.toggle("chosen", row.dataset.case === name);
    const button = [...body.children].find((row) => row.dataset.case === name)?.querySelector("button");
    if (focus) button?.focus();
    if (focus && narrow()) later(side);
    button?.scrollIntoView({ block: "nearest" });
    let found;
    try { found = await get("case", { id, head: shown.head, case: name }); } catch (error) { side.replaceChildren(h("p", {}, error.message)); return; }
    if (gone || current !== name) return;
    pictures.forEach(URL.revokeObjectURL);
    pictures = [];
    const data = h("div", {}, h("p", { class: "quiet" }, "reading the data …")), drawn = h("div");
    const places = found.explanation.pictures;
    side.replaceChildren(h("h2", {}, name),
      h("p", {}, `truth: ${found.truth || "not known"}; predicted: ${found.said}${found.right === false ? " (wrong)" : found.right ? " (correct)" : ""}`),
      bars(found), shares(found), data, drawn, h("details", {}, h("summary", {}, "all numbers"), h("table", {}, h("tbody", {},
        Object.entries(found.values).map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", { class: "number" }, value)))))));
    draw(drawn, places, name);
    try {
      const made = await post("case/inputs", { id, head: shown.head, case: name });
      if (!gone && current === name) data.replaceChildren(...Object.entries(made.inputs).map(([input, each]) => inputOf(name, input, each, places)));
    } catch (error) { if (current === name) data.replaceChildren(h("p", { class: "note" }, `The data cannot be shown: ${error.message}`)); }
  }
  function inputOf(name, input, each, places) {
    const title = h("h3", {}, `${input}${each.present ? "" : ": absent"}`);
    if (!each.present) return h("div", {}, title);
    if (each.kind === "table") return h("div", {}, title, h("table", {}, h("tbody", {}, each.cells.map(([key, value]) =>
      h("tr", {}, h("th", { scope: "row" }, key), h("td", { class: "number" }, value === null ? "blank" : String(value)))))));
    if (each.kind === "other") return h("div", {}, title, h("p", { class: "quiet" }, `${each.size.join(" x ")}: not drawn here; fusionkit inspect draws bags of images`));
    return h("div", {}, title, planesOf({ id, head: shown.head, case: name, input }, places.filter((place) => place.input === input)));
  }
  // Grad-CAM and other pictures that `explain` made of this case.
  async function draw(place, found, name) {
    if (!found.length) {
      place.append(h("p", { class: "quiet" }, shown.explained ? "no Grad-CAM of this case yet" : "not explained yet", about.write ? "" : ": ",
        about.write ? "" : h("code", {}, `fusionkit explain ${id}${shown.explained ? ` --case ${name} --method explanation.gradcam -o ${id}/explain-${name}` : ""}`)),
      about.write ? h("p", {}, h("button", { onclick: () => explain(shown.explained ? { case: name } : {}) }, shown.explained ? "Grad-CAM of this case" : "Explain the run: Grad-CAM of some cases, what each input adds to all")) : "");
      return;
    }
    place.append(h("h3", {}, "where the network looks"));
    for (const each of found) {
      try {
        const address = URL.createObjectURL(await blob("picture", { id, name: each.file }));
        pictures.push(address);
        if (current === name && !gone) place.append(h("img", { src: address, alt: `Grad-CAM of ${each.input} at ${each.node}, for ${each.explained}` }));
      } catch (error) { place.append(h("p", {}, error.message)); }
    }
  }
  async function explain(more) {
    try { location.hash = `#/work/${(await post("work", { command: "explain", run: id, ...more })).id}`; } catch (error) { say(error.message); }
  }
  function bars(found) {
    const rows = shown.classes.map((name) => [name, Number(found.values[name] ?? found.values[`class:${name}`])]).filter(([, value]) => Number.isFinite(value));
    if (!rows.length || shown.task === "regression") return "";
    rows.sort((a, b) => b[1] - a[1]);
    return h("table", { class: "bars" }, h("caption", {}, "probabilities"), h("tbody", {}, rows.slice(0, 12).map(([name, value]) => h("tr", {},
      h("th", { scope: "row" }, name, name === found.truth ? " (true)" : ""), h("td", { class: "number" }, figure(value)),
      h("td", {}, h("meter", { min: "0", max: "1", value, "aria-label": `probability of ${name}` }))))));
  }
  function shares(found) {
    const classes = Object.keys(found.explanation.shares);
    if (!classes.length) return "";
    const wanted = classes.filter((name) => name === found.said || name === found.truth);
    const names = wanted.length ? wanted : classes.slice(0, 3);
    const parts = Object.keys(found.explanation.shares[names[0]]);
    return h("table", {}, h("caption", {}, "what each input adds (Shapley values): from no input to all"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "of"), parts.map((part) => h("th", { scope: "col", class: "number" }, { nothing: "no input", all: "all inputs" }[part] || part)))),
      h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), parts.map((part) => {
        const value = found.explanation.shares[name][part];
        return h("td", { class: "number" }, `${part !== "nothing" && part !== "all" && value >= 0 ? "+" : ""}${figure(value)}`);
      })))));
  }
  function keys(event) {
    const step = { j: 1, k: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select") || !shown) return;
    const place = shown.rows.findIndex((row) => row.id === current) + step;
    if (shown.rows[place]) { event.preventDefault(); open(shown.rows[place].id); }
  }
  addEventListener("keydown", keys);
  return () => { gone = true; removeEventListener("keydown", keys); pictures.forEach(URL.revokeObjectURL); };
}
