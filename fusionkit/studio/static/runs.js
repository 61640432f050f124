// The list of runs, and one run beside it: curves, results, graph, files.

import { get, post } from "./api.js";
import { chart } from "./curves.js";
import { changedRows, changesTable, hash } from "./diff.js";
import { ago, figure, h, later, narrow, say } from "./dom.js";
import { pageLinks } from "./frame.js";

const SHOWN = 100, EVERY = 2000, OFTEN = 4000;

export async function runsPage(main, about, id) {
  let { rows, complete, state: known } = await get("runs");
  const chosen = new Set();
  let most = SHOWN, pages = [], timer = null, watching = null, seen = false, gone = false;
  const filter = h("input", { type: "search", "aria-label": "Filter runs", placeholder: "words, or auroc>0.9", size: 34, oninput: draw });
  const body = h("tbody");
  const side = h("section", { class: "scroll side", "aria-label": "Run" });
  const beside = h("button", { disabled: true, onclick: compare }, "Compare the two chosen");
  const more = h("button", { onclick: () => { most += SHOWN; draw(); } }, "Show more");
  main.replaceChildren(h("div", { class: "bar" }, h("h2", {}, "Runs"), filter, beside, more), h("div", { class: "split" },
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of runs" }, h("table", {}, h("thead", {}, h("tr", {},
      ["", "run", "network", "state", "results, 95 %", "changed"].map((name) => h("th", { scope: "col" }, name || h("span", {}, "choose"))))), body)), side));
  draw();
  if (id) show(id);
  rest().catch((error) => say(error.message));

  // The first reading of many runs goes on while those that are known are shown.
  async function rest() {
    while (!complete && !gone) {
      ({ rows, complete, state: known } = await get("runs", { more: 1 }));
      if (!gone) draw();
    }
    if (!gone) watching = setTimeout(watch, OFTEN);
    pages = await get("pages");
    if (gone) return;
    if (id) show(id);
    else side.append(others(), h("p", { class: "quiet" }, rows.length ? "choose a run" : h("span", {}, "no runs below this folder yet: ", h("a", { href: "#/train/" }, "train a network"))));
  }

  // What other programs do in the folder: only the rows that changed are asked for.
  async function watch() {
    try {
      const found = document.hidden ? null : await get("runs", { since: known });
      if (gone) return;
      if (found && (found.rows.length || found.gone.length)) {
        const left = new Set([...found.gone, ...found.rows.map((row) => row.path)]);
        rows = [...rows.filter((row) => !left.has(row.path)), ...found.rows].sort((a, b) => b.when - a.when || (a.path < b.path ? -1 : 1));
        redraw();
      }
      if (found) known = found.state;
    } catch (error) { say(error.message); }
    if (!gone) watching = setTimeout(watch, OFTEN);
  }
  function redraw() {
    const held = body.contains(document.activeElement) ? document.activeElement : null;
    const name = held && (held.getAttribute("aria-label") || held.getAttribute("href"));
    draw();
    if (name) [...body.querySelectorAll("a, input")].find((each) => name === (each.getAttribute("aria-label") || each.getAttribute("href")))?.focus();
  }

  function draw() {
    const words = filter.value.trim().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => words.every((word) => matches(row, word)));
    body.replaceChildren(...found.slice(0, most).map(line));
    more.hidden = found.length <= most;
    say(`${found.length} of ${rows.length} runs${complete ? "" : " so far, reading more …"}`);
  }
  function line(row) {
    const box = h("input", { type: "checkbox", "aria-label": `choose ${row.path}`, onchange: () => {
      if (box.checked) chosen.add(row.path); else chosen.delete(row.path);
      beside.disabled = chosen.size !== 2;
    } });
    box.checked = chosen.has(row.path);
    return h("tr", { class: row.path === id ? "chosen" : null }, h("td", {}, box),
      h("td", {}, h("a", { href: `#/${row.kind === "comparison" ? "compare" : "run"}/${encodeURI(row.path)}` }, row.path)), h("td", {}, row.network),
      h("td", {}, state(row)), h("td", {}, results(row)), h("td", {}, ago(row.when)));
  }

  // Pages that belong to no run of the list, as those of `inspect`.
  function others() {
    const found = pages.filter((page) => !rows.some((row) => page.path.startsWith(`${row.path}/`)));
    return found.length ? h("div", {}, h("h2", {}, "Pages"), h("ul", {}, pageLinks(found))) : "";
  }
  async function show(path) {
    clearTimeout(timer);
    try {
      const [run, past] = await Promise.all([get("run", { id: path }), get("history", { id: path })]);
      if (gone) return;
      const names = Object.keys(past.curves), mine = pages.filter((page) => page.path.startsWith(`${path}/`));
      if (run.state === "running") timer = setTimeout(() => show(path), EVERY);
      const losses = names.filter((name) => name === "train_loss" || name === "validation_loss");
      const others = names.filter((name) => name.startsWith("validation_") && name !== "validation_loss");
      side.replaceChildren(h("h2", {}, path), h("p", {}, state(run)), run.why ? h("p", {}, run.why) : "",
        run.state === "finished" && run.kind !== "comparison" ? h("p", {}, h("a", { href: `#/cases/${encodeURI(path)}` }, "cases, the worst first")) : "",
        mine.length ? h("ul", {}, pageLinks(mine)) : "",
        about.write && ["finished", "not evaluated"].includes(run.state) && run.kind !== "comparison" ? h("p", { class: "bar" },
          (run.state === "finished" ? ["report", "explain"] : ["evaluate"]).map((command) => h("button", { onclick: () => begin(command, path) }, `Run ${command}`))) : "",
        run.state === "unfinished" && run.kind !== "comparison" ? await resumption(path) : "",
        losses.length ? chart(past.curves, losses, "loss") : "",
        losses.length ? h("p", { class: "quiet" }, past.trainings.length > 1
          ? `mean of ${past.trainings.length} trainings; the band is from the lowest to the highest, no interval` : "one training") : "",
        ...others.slice(0, 3).map((name) => chart(past.curves, [name], name)), ...Object.entries(run.heads).map(metrics),
        h("details", {}, h("summary", {}, "graph"), h("pre", { class: "text", tabindex: "0" }, run.graph)),
        h("details", {}, h("summary", {}, "files"), h("p", {}, h("code", {}, run.place)), h("pre", { class: "text", tabindex: "0" }, run.files.join("\n"))));
      if (!seen && narrow()) later(side);
      seen = true;
    } catch (error) { side.replaceChildren(h("p", {}, error.message)); }
  }

  // A training that was begun in a terminal, or whose work is gone: its folder has all but the place of the data.
  async function resumption(run) {
    const data = (await get("sources")).data;
    const select = h("select", { id: "resumed" }, data.map((name) => h("option", { value: name }, name)));
    if (!about.write || !data.length) return h("p", {}, "To go on: ", h("code", {}, `fusionkit train GRAPH DATA -o ${run} --resume`), about.write ? ", with a data file in this folder from here" : "");
    return h("p", { class: "bar" }, h("label", { for: "resumed" }, "with the data file"), select, h("button", { onclick: () => begin("resume", run, { data: select.value }) }, "Resume"));
  }

  async function begin(command, run, more = {}) {
    try { location.hash = `#/work/${(await post("work", { command, run, ...more })).id}`; } catch (error) { refuse(error.message); }
  }
  function refuse(text) { side.prepend(h("p", { class: "note", role: "alert" }, text)); }

  async function compare() {
    const [a, b] = [...chosen];
    const [one, other] = await Promise.all([get("run", { id: a }), get("run", { id: b })]);
    const found = await post("diff", { a: one.graph, b: other.graph, wide: 900, high: 600 });
    const changed = changedRows(found);
    side.replaceChildren(h("h2", {}, `${a} → ${b}`), h("p", {}, h("a", { href: hash(a, b) }, "the graphs side by side")),
      changed.length ? changesTable(changed, [a, b]) : h("p", {}, "the settings are the same"), ...both(one, other));
  }
  return () => { gone = true; clearTimeout(timer); clearTimeout(watching); };
}

function both(one, other) {
  return Object.keys(one.heads).filter((head) => other.heads[head]).map((head) => h("table", {}, h("caption", {}, head),
    h("thead", {}, h("tr", {}, ["metric, 95 %", one.path, other.path].map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)))), h("tbody", {},
    Object.entries(one.heads[head].metrics).map(([name, values]) => h("tr", {}, h("td", {}, one.heads[head].labels[name] || name),
      h("td", { class: "number" }, told(values)), h("td", { class: "number" }, told(other.heads[head].metrics[name] || [])))))));
}
function state(row) {
  const folds = row.kind === "folds" ? (row.folds === row.finished_folds ? `, ${row.folds} folds` : `, ${row.finished_folds} of ${row.folds} folds`) : "";
  if (row.kind === "comparison") return `comparison, ${row.state === "finished" ? `${row.rows} rows` : row.state}`;
  return `${row.kind === "stage" ? "stage, " : ""}${row.state}${folds}${row.state === "unreadable" ? `: ${row.why}` : ""}`;
}
function told([value, low, high]) {
  if (value === undefined) return "";
  if (value === null) return "undefined";
  return `${figure(value)}${low === null ? "" : ` (${figure(low)} to ${figure(high)})`}`;
}
function results(row) {
  return Object.entries(row.heads).map(([name, head]) => {
    const first = Object.keys(head.metrics)[0];
    return first ? `${name} ${head.labels[first] || first} ${told(head.metrics[first])}` : name;
  }).join("; ");
}
function metrics([name, head]) {
  return h("table", {}, h("caption", {}, `${name}, ${head.cases ?? "?"} cases`), h("tbody", {}, Object.entries(head.metrics).map(([metric, values]) =>
    h("tr", {}, h("td", {}, head.labels[metric] || metric), h("td", { class: "number" }, told(values))))));
}
function matches(row, word) {
  const asked = word.match(/^(\w+)([<>])(-?[\d.]+)$/);
  if (asked) return Object.values(row.heads).some((head) => {
    const value = (head.metrics[asked[1]] || [null])[0];
    return value !== null && (asked[2] === ">" ? value > Number(asked[3]) : value < Number(asked[3]));
  });
  return `${row.path} ${row.network} ${row.state} ${row.kind}`.toLowerCase().includes(word.replace(/^network:/, "").toLowerCase());
}
