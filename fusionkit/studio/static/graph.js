// The page of a graph: its text, its drawing, its mistakes; gestures become changes of the text.

import { get, post, put } from "./api.js";
import { h, say } from "./dom.js";
import { makeDrawing } from "./drawing.js";
import { hash } from "./diff.js";
import { beside } from "./work.js";
import { makeEditor } from "./editor.js";
import { makePalette } from "./palette.js";

const REST = 60;
const COSTS_AFTER = 400;

// `begun` is the name of a published graph that a new file starts from.
export async function graphPage(main, about, path, begun) {
  const here = location.hash;
  const [files, sources] = await Promise.all([get("files"), get("sources")]);
  if (location.hash !== here) return () => {};  // who has gone on already is not led back
  if (!path && !begun && !files.length) { location.replace("#/begin"); return () => {}; }
  if (!path && !begun) { location.replace(`#/graph/${encodeURI(files[0].path)}`); return () => {}; }
  const state = { path: path || "", base: null, saved: "", places: {}, newest: 0, node: null, fold: null, open: [], large: false };
  const editor = makeEditor(changed, cursor);
  const drawing = makeDrawing((name) => { choose(name); if (state.places[name]) editor.goTo(...state.places[name]); },
    { ondrop: add, onopen: (names) => { state.open.push(...names); changed(editor.text); } });
  const palette = makePalette(add);
  const items = h("ul"), findings = h("div", { class: "findings", id: "findings", role: "log", tabindex: "0", "aria-label": "Mistakes" }, items);
  const note = h("div", { role: "status" });
  const known = [...files.map((file) => file.path), ...sources.data];
  const select = h("select", { "aria-label": "File", onchange: () => { location.hash = `#/graph/${encodeURI(select.value)}`; } },
    h("optgroup", { label: "graphs" }, files.map((file) => h("option", { value: file.path, selected: file.path === path }, `${file.path}  (${file.name})`))),
    h("optgroup", { label: "data files" }, sources.data.map((name) => h("option", { value: name, selected: name === path }, name))),
    known.includes(path) ? null : h("option", { value: state.path, selected: true }, state.path || "new graph"));
  const published = h("select", { "aria-label": "Start from a published graph", onchange: () => begin(published.value) },
    h("option", { value: "" }, "published graphs…"));
  const large = h("button", { class: "large", hidden: true, onclick: () => { state.large = true; changed(editor.text); } }, "Draw this large graph, which may take seconds after each change");
  const panes = h("div", { class: "panes" }, palette.element, editor.element, drawing.element);
  const parts = h("button", { onclick: () => showParts(panes.classList.contains("parts") ? "" : "1", true) }, "Components");
  const fold = h("button", { title: "chains of three or more nodes as one box; by itself above 40 nodes", onclick: () => {
    state.fold = fold.getAttribute("aria-pressed") !== "true";
    state.open = [];
    changed(editor.text);
  } }, "Fold chains");
  const other = h("select", { "aria-label": "Compare with", onchange: () => { if (other.value) location.hash = hash(state.path, other.value); } },
    h("option", { value: "" }, "compare with…"), files.filter((file) => file.path !== path).map((file) => h("option", { value: file.path }, file.path)));
  const sizes = h("select", { "aria-label": "Where sizes come from", onchange: () => { localStorage.setItem(`data:${state.path}`, sizes.value); changed(editor.text); } },
    h("option", { value: "" }, "sizes: no data file"), sources.data.map((name) => h("option", { value: name }, `sizes: ${name}`)));
  sizes.value = localStorage.getItem(`data:${path}`) ?? beside(sources.data, path) ?? "";
  sizes.hidden = true;
  const tools = h("div", { class: "bar of-drawing", role: "toolbar", "aria-label": "Change the chosen node" });
  main.replaceChildren(
    h("div", { class: "bar" }, select, published, h("button", { onclick: save }, "Save"), h("button", { onclick: download }, "Download"),
      h("span", { class: "bar of-drawing" }, parts, h("button", { onclick: () => panes.classList.toggle("above") }, "Beside or above"),
        h("button", { "aria-label": "Smaller", onclick: () => drawing.zoom(1 / 1.2) }, "−"),
        h("button", { "aria-label": "Larger", onclick: () => drawing.zoom(1.2) }, "+"),
        h("button", { onclick: () => drawing.zoom(0) }, "Fit"), fold, h("button", { onclick: picture }, "SVG"), other, sizes),
      h("button", { title: "finds components that were installed or changed since", onclick: reload }, "Reload plugins"),
      h("button", { onclick: train }, "Train…")),
    note, large, panes, tools, findings);
  drawTools();
  showParts(localStorage.getItem("parts") ?? (innerWidth >= 1500 ? "1" : ""));
  get("published").then((found) => published.append(...found.names.map((name) => h("option", { value: name }, name)))).catch(() => {});
  // A pane of another size has room for another layout.
  let wide = drawing.element.clientWidth;
  const sized = new ResizeObserver(() => {
    if (Math.abs(drawing.element.clientWidth - wide) < 40 || main.classList.contains("data")) return;
    wide = drawing.element.clientWidth;
    changed(editor.text);
  });
  sized.observe(drawing.element);
  addEventListener("focus", look);
  await open();

  async function open() {
    if (!path) { await begin(begun); return; }
    try {
      const file = await get("file", { path });
      Object.assign(state, { base: file.base, saved: file.text });
    } catch (error) {
      tell(error.message);
      if (error.status !== 404) return;
    }
    const draft = JSON.parse(localStorage.getItem(`draft:${path}`) || "null");
    editor.text = draft ? draft.text : state.saved;
    if (draft && draft.text !== state.saved) {
      tell(draft.base === state.base ? "This is your text, which is not saved yet. " :
        "This is your text, which is not saved yet; the file was changed in the meantime. ",
      h("button", { onclick: () => { editor.text = state.saved; forget(); changed(editor.text); } }, "Take the file's text"));
    }
    changed(editor.text);
  }

  async function begin(name) {
    if (!name) return;
    const found = await get("published", { name });
    if (!state.path) {
      state.path = free(`${name}.yaml`);
      select.lastChild.textContent = state.path; select.lastChild.value = state.path;
    }
    editor.text = found.text;
    changed(found.text);
  }

  // A name that no file has, so that a new graph is saved beside the others.
  function free(name) {
    let made = name;
    for (let number = 2; known.includes(made); number++) made = name.replace(".yaml", `-${number}.yaml`);
    return made;
  }
  function forget() { localStorage.removeItem(`draft:${state.path}`); }

  function changed(text) {
    if (state.path) {
      if (text === state.saved) forget();
      else localStorage.setItem(`draft:${state.path}`, JSON.stringify({ text, base: state.base }));
    }
    const number = ++state.newest;
    clearTimeout(state.timer);
    clearTimeout(state.later);
    state.timer = setTimeout(() => check(number, text, false), REST);
  }

  async function check(number, text, costs) {
    if (/^fusionkit-data\s*:/m.test(text)) { await checkData(number, text, costs); return; }
    main.classList.remove("data");
    if (about.worker !== "ready") outline(number, text);
    try {
      const found = await post("check", { text, path: state.path, costs, data: sizes.value || null, fold: state.fold, open: state.open, large: state.large, ...drawing.size });
      if (number !== state.newest || found.dropped) return;
      about.worker = "ready";
      fold.setAttribute("aria-pressed", state.fold ?? Object.keys(found.places).length > 40);
      state.places = found.places;
      sizes.hidden = !found.auto || !sources.data.length;
      drawing.show(found.svg);
      large.hidden = !found.large;
      drawing.choose(state.node);
      editor.mark(found.diagnostics);
      list(found.diagnostics);
      tally(found);
      if (found.ok && !costs) state.later = setTimeout(() => check(number, text, true), COSTS_AFTER);
    } catch (error) { failed(number, error); }
  }
  function tally(found, more = "") {
    const wrong = found.diagnostics.filter((each) => each.severity === "error").length;
    say(`${found.ok ? "good" : `${wrong} mistake${wrong === 1 ? "" : "s"}`} · ${about.write ? "saves" : "read only"} · ${found.ms} ms${more}`);
  }
  function failed(number, error) {
    if (number !== state.newest) return;
    say(error.message);
    if (error.status === 504 || error.status === 503) list([{ code: "worker", severity: "error", message: error.message }]);
  }

  // The text of a data file; once it has no mistake, its table too. Files of cases are read when a training starts.
  async function checkData(number, text, cells) {
    main.classList.add("data");
    try {
      const found = await post("data", { text, path: state.path || "data.yaml", cells });
      if (number !== state.newest) return;
      about.worker = "ready";
      editor.mark(found.diagnostics.filter((each) => !each.elsewhere));
      list(found.diagnostics);
      if (found.ok && cells && !found.diagnostics.length) items.replaceChildren(h("li", {}, "no mistakes in the text and in the table; files of the cases are read when a training starts"));
      tally(found, cells || !found.ok ? "" : " · the table is read in a moment");
      if (found.ok && !cells) state.later = setTimeout(() => check(number, text, true), COSTS_AFTER);
    } catch (error) { failed(number, error); }
  }

  // Shapes need the components, whose import takes seconds after a start; boxes and wires do not.
  async function outline(number, text) {
    const found = await post("outline", { text, ...drawing.size }).catch(() => null);
    if (found && found.svg && number === state.newest && about.worker !== "ready") { drawing.show(found.svg); say("loading components: shapes come in some seconds"); }
  }

  function list(found) {
    items.replaceChildren(...(found.length ? found.map((each) => h("li", { class: each.severity },
      h("button", { onclick: () => each.where && !each.elsewhere && editor.goTo(each.where.line, each.where.column) },
        h("strong", {}, each.severity === "error" ? "mistake " : "warning "),
        each.elsewhere ? `${each.elsewhere}:` : "", each.where ? `${each.where.line}:${each.where.column} ` : "", `${each.message} [${each.code}]`),
      each.why ? h("p", {}, `why: ${each.why}`) : null, each.fix ? h("p", {}, `fix: ${each.fix}`) : null))
      : [h("li", {}, "no mistakes")]));
  }

  function choose(name) { state.node = name; drawing.choose(name); drawTools(); palette.at(name, name ? drawing.readers(name) : []); }
  function showParts(open, keep) {
    panes.classList.toggle("parts", Boolean(open));
    palette.element.hidden = !open;
    parts.setAttribute("aria-expanded", Boolean(open));
    if (keep) { localStorage.setItem("parts", open); if (open) palette.focus(); }
  }
  // A component becomes a node with a name of its own, which Rename changes.
  function add(id, place) {
    const stem = id.split(".")[1].replace(/\W+/g, "_").replace(/^[^A-Za-z]+/, "") || "node";
    let name = stem;
    for (let number = 2; name in state.places; number++) name = `${stem}_${number}`;
    edit(place.source ? { op: "between", name, use: id, source: place.source, target: place.target } : { op: "insert", name, use: id, reads: place.reads || null });
  }
  async function reload() {
    about.worker = "starting";
    say("loading components again …");
    try {
      await post("reload", {});
      changed(editor.text);
    } catch (error) { say(error.message); }
  }
  // The last node or input that begins before the cursor; several may stand on one line.
  function cursor(line, column) {
    const begins = (name) => state.places[name][0] * 1e6 + state.places[name][1];
    let best = null;
    for (const name of Object.keys(state.places)) if (begins(name) <= line * 1e6 + column && (!best || begins(name) > begins(best))) best = name;
    if (best !== state.node) choose(best);
  }

  function drawTools() {
    const name = state.node;
    const field = h("input", { "aria-label": "Name", placeholder: "name", size: 12 });
    const use = h("input", { "aria-label": "Component", placeholder: "encoder.mlp", size: 18 });
    tools.replaceChildren(name ? h("span", {}, "chosen: ", h("strong", {}, name)) : h("span", { class: "quiet" }, "choose a node to change it"),
      field, use,
      h("button", { disabled: !name, onclick: () => edit({ op: "rename", old: name, new: field.value }) }, "Rename"),
      h("button", { disabled: !name, onclick: () => edit({ op: "insert", name: field.value, use: use.value, reads: name }) }, "Add a node that reads it"),
      h("button", { disabled: !name, onclick: () => edit({ op: "connect", source: field.value, target: name }) }, "Let it read the name too"),
      h("button", { disabled: !name, onclick: () => edit({ op: "delete", name }) }, "Delete"));
  }

  async function edit(change) {
    const text = editor.text;
    try {
      const found = await post("edit", { text, edit: change });
      if (found.refused) { tell(found.refused); return; }
      let made = text;
      for (const each of [...found.changes].sort((a, b) => b.from - a.from)) made = made.slice(0, each.from) + each.insert + made.slice(each.to);
      editor.change(made);
      note.replaceChildren();
    } catch (error) { tell(error.message); }
  }

  async function save() {
    if (!about.write) {
      tell("Nothing is written without --write. Your text is kept in this browser; download it, or start the studio with ",
        h("code", {}, about.command), h("p", {}, h("button", { onclick: download }, "Download the text")));
      return;
    }
    const name = state.path || "graph.yaml";
    try {
      const text = editor.text;
      state.base = (await put("file", { path: name, text, base: state.base })).base;
      state.saved = text;
      forget();
      if (begun) history.replaceState(null, "", `#/graph/${encodeURI(name)}`);  // from here on it is that file
      tell(`${name} is saved`);
    } catch (error) {
      if (error.status !== 409) { tell(error.message); return; }
      differs(await get("file", { path: name }).catch(() => ({ base: null, text: "" })));
    }
  }
  function differs(file) {
    tell("The file was changed by another program. ", h("button", { onclick: () => take(file, "this is the file's text") }, "Reload it"), " ",
      h("button", { onclick: () => { state.base = file.base; save(); } }, "Keep mine"));
  }
  function take(file, told) {
    Object.assign(state, { base: file.base, saved: file.text });
    editor.text = file.text;
    changed(file.text);
    tell(told);
  }
  // Who comes back from another program may have changed the file there.
  async function look() {
    if (document.hidden || state.base === null) return;
    const number = state.newest, file = await get("file", { path: state.path }).catch(() => null);
    if (!file || file.base === state.base || number !== state.newest) return;
    if (editor.text === state.saved) take(file, "The file was changed by another program; this is its text.");
    else if (file.text !== editor.text) differs(file);
  }

  // What is trained is the file, so what is not saved is told.
  function train() {
    if (editor.text !== state.saved) tell("Save the text first: a training reads the file. ",
      h("a", { href: `#/train/${encodeURI(state.path)}` }, "Train what the file says"));
    else location.hash = `#/train/${encodeURI(state.path)}`;
  }
  function download() { offer(editor.text, (state.path || "graph.yaml").split("/").pop(), "text/yaml"); }
  async function picture() {
    const found = await post("check", { text: editor.text, costs: true, data: sizes.value || null, fold: false, large: true, wide: 1600, high: 950 });
    if (found.svg) offer(found.svg, `${(state.path || "graph").split("/").pop().replace(/\.ya?ml$/, "")}.svg`, "image/svg+xml");
  }
  function offer(text, name, type) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    h("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
  function tell(...parts) { note.replaceChildren(h("div", { class: "note" }, ...parts)); }
  return () => { removeEventListener("focus", look); sized.disconnect(); clearTimeout(state.timer); clearTimeout(state.later); state.newest++; };
}
