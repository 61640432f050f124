// Work that the page starts: the form of a training, the list of work, and one work with its output and progress.

import { get, post } from "./api.js";
import { chart } from "./curves.js";
import { ago, h, later, narrow, roving, say } from "./dom.js";

const EVERY = 1500;
const ACTIVE = ["starting", "waiting", "running"];

export async function trainPage(main, about, path) {
  const [graphs, sources] = await Promise.all([get("files"), get("sources")]);
  const names = graphs.map((file) => file.path), given = sources.data.includes(path);
  const graph = pick("graph", names, given ? beside(names, path) : path);
  const data = pick("data", sources.data, given ? path : beside(sources.data, path));
  const output = h("input", { id: "output", value: free(path), size: 28, required: true });
  const epochs = number("epochs"), seed = number("seed"), fold = number("fold"), batch = number("batch_size");
  const note = h("div", { role: "alert" });
  const command = h("code");
  const go = h("button", { type: "submit", disabled: !about.write || !sources.data.length || !graphs.length }, "Start the training");
  const form = h("form", { class: "form", onsubmit: start, oninput: told },
    row("Graph", graph), row("Data file", data), row("Folder for the run", output), row("Epochs", epochs, "as the graph says"),
    row("Cases in a batch", batch, "as the graph says"), row("Seed", seed, "as the graph says"), row("Only this fold", fold, "all folds"), h("p", { class: "bar" }, go,
      h("button", { type: "button", disabled: go.disabled, onclick: () => begin({ command: "inspect", data: data.value, output: free(data.value, "inspection/") }) }, "Inspect the data first")));
  main.replaceChildren(h("div", { class: "bar" }, h("h2", {}, "Train")), form,
    h("p", {}, "The same in a terminal: ", command),
    sources.data.length ? "" : h("p", { class: "note" }, "There is no data file in this folder. ", h("a", { href: "#/begin" }, "Make one from a table"), "."),
    about.write ? "" : h("p", { class: "note" }, "The studio was started without --write: copy the command, or start ",
      h("code", {}, about.command)), note);
  told();

  function settings() {
    const made = {};
    for (const field of [epochs, seed, fold, batch]) if (field.value !== "") made[field.id] = Number(field.value);
    return made;
  }
  function told() {
    command.textContent = `fusionkit train ${graph.value} ${data.value} -o ${output.value}${Object.entries(settings()).map(
      ([name, value]) => ` --${name.replace("_", "-")} ${value}`).join("")}`;
  }
  async function start(event) {
    event.preventDefault();
    go.disabled = true;
    await begin({ command: "train", graph: graph.value, data: data.value, output: output.value, settings: settings() });
    go.disabled = false;
  }
  async function begin(command) {
    try { location.hash = `#/work/${(await post("work", command)).id}`; } catch (error) { note.replaceChildren(h("p", { class: "note" }, error.message)); }
  }
  return () => {};
}

const pick = (id, values, chosen) => h("select", { id }, values.map((value) => h("option", { value, selected: value === chosen }, value)));
const number = (id) => h("input", { id, type: "number", min: "0", step: "1", size: 8 });
function row(label, field, hint) {
  return h("p", {}, h("label", { for: field.id }, label), field, hint ? h("span", { class: "quiet" }, ` empty: ${hint}`) : null);
}
function free(path, folder = "runs/") {
  const stem = (path || "run").split("/").pop().replace(/\.ya?ml$/, "").replace(/[^\w.-]+/g, "-").replace(/^[^\w]+/, "") || "run";
  const now = new Date(), two = (value) => String(value).padStart(2, "0");
  return `${folder}${stem}-${two(now.getMonth() + 1)}${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}
// The data file in the folder of the graph comes first.
export function beside(files, path) {
  const folder = (path || "").split("/").slice(0, -1).join("/");
  return files.find((file) => file.split("/").slice(0, -1).join("/") === folder) || files[0];
}

export async function workPage(main, about, id) {
  const body = h("tbody");
  const side = h("section", { class: "scroll side", "aria-label": "Work" });
  const output = h("pre", { class: "text log", role: "log", tabindex: "0", "aria-label": "Output of the command" });
  const head = h("div", { tabindex: "-1" }), curve = h("div");
  let timer = null, next = 0, gone = false, last = "";
  main.replaceChildren(h("div", { class: "bar" }, h("h2", {}, "Work"), h("a", { href: "#/train/" }, "Train a network")), h("div", { class: "split" },
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["command", "folder", "state", "started"].map((name) => h("th", { scope: "col" }, name)))), body)), side));
  side.append(...(id ? [head, curve, h("h3", {}, "output"), output] : [h("p", { class: "quiet" }, "choose a command of the list; what is started here goes on when the page or the studio is closed")]));
  await look();
  if (id && narrow()) later(side);

  async function look() {
    let jobs = [];
    try {
      jobs = await get("work");
      const key = JSON.stringify(jobs);
      if (key !== last) { last = key; list(jobs); }
      if (id) await one(jobs.find((job) => job.id === id), jobs.find((job) => job.state === "running"));
    } catch (error) { say(error.message); }
    if (!gone && (jobs.some((job) => ACTIVE.includes(job.state)) || !jobs.length)) timer = setTimeout(look, EVERY);
  }
  function list(jobs) {
    const held = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    body.replaceChildren(...jobs.map((job) => h("tr", { class: job.id === id ? "chosen" : null },
      h("td", {}, h("a", { href: `#/work/${job.id}` }, `${job.command}, ${ago(job.begun)}`)), h("td", {}, job.output || job.run), h("td", {}, job.state), h("td", {}, ago(job.begun)))));
    const links = [...body.querySelectorAll("a")];
    roving(links);
    if (held) links.find((link) => link.getAttribute("href") === held)?.focus();
    const active = jobs.filter((job) => ACTIVE.includes(job.state)).length;
    say(`${jobs.length} ${jobs.length === 1 ? "command" : "commands"}, ${active} under way`);
  }
  async function one(known, first) {
    if (!known) { head.replaceChildren(h("p", {}, "there is no such command")); return; }
    const [job, log] = await Promise.all([get(`work/${id}`), get(`work/${id}/log`, { from: next })]);
    if (gone) return;
    if (log.text) {
      const low = output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
      output.append(log.text);
      if (low) output.scrollTop = output.scrollHeight;
    }
    next = log.next;
    draw(job, first);
    if (job.progress && job.progress.epoch) {
      const past = await get("history", { id: job.output }).catch(() => null);
      const names = past ? Object.keys(past.curves).filter((name) => name === "train_loss" || name === "validation_loss") : [];
      if (names.length) curve.replaceChildren(chart(past.curves, names, "loss"));
    }
  }
  function draw(job, first) {
    const state = JSON.stringify([job.state, job.progress, first?.id]);
    if (head.dataset.state === state) return;
    head.dataset.state = state;
    const p = job.progress;
    const parts = p ? [p.fold ? `fold ${p.fold}${p.folds ? ` of ${p.folds}` : ""}` : "", p.networks > 1 ? `network ${p.network} of ${p.networks}` : "", p.epoch ? `epoch ${p.epoch}${p.of ? ` of at most ${p.of}` : ""}` : "reading data"].filter(Boolean) : [];
    const active = ACTIVE.includes(job.state);
    if (p && p.trained && (!p.folds || p.fold === p.folds)) parts.splice(0, parts.length, "trained; the results are computed");
    if (job.state === "waiting") parts.splice(0, parts.length, first ? `one command runs at a time; this one waits for ${first.command}${first.output ? ` in ${first.output}` : ""}` : "waits for its turn");
    const done = p && p.of ? ((p.folds ? p.fold - 1 : 0) + (p.network - 1 + Math.min(1, p.epoch / p.of)) / p.networks) / (p.folds || 1) : null;
    const held = head.contains(document.activeElement);
    head.replaceChildren(h("h2", {}, `${job.command}: ${job.state}`), h("p", {}, h("code", {}, job.line)),
      active && parts.length ? h("p", { role: "status" }, parts.join(", ")) : "",
      active && done !== null ? h("progress", { max: "1", value: done, "aria-label": "share of the epochs" }) : "",
      h("p", { class: "bar" },
        about.write && active ? h("button", { onclick: () => act("stop") }, job.command === "train" ? "Stop (it can be resumed)" : "Stop") : "",
        about.write && job.resumable ? h("button", { onclick: () => act("resume") }, "Resume") : "",
        job.run && (job.command !== "train" || (p && (p.epoch || p.trained))) ? h("a", { href: `#/run/${encodeURI(job.run)}` }, "the run") : "",
        job.command === "explain" && job.state === "done" ? h("a", { href: `#/cases/${encodeURI(job.run)}` }, "its cases") : "",
        job.command === "demo" || (!job.run && job.state === "done") ? h("a", { href: "#/runs" }, active ? "the runs so far" : "runs and pages") : ""));
    if (held) (head.querySelector("button, a") || head).focus();  // the button that was pressed has gone
  }
  async function act(what) {
    try { await post(`work/${id}/${what}`, {}); } catch (error) { say(error.message); return; }
    clearTimeout(timer);
    head.dataset.state = "";
    await look();
    clearTimeout(timer);
    if (!gone) timer = setTimeout(look, EVERY);
  }
  return () => { gone = true; clearTimeout(timer); };
}
