// The first page of an empty folder: a published graph, the demonstration, or a data file and a graph from a table.

import { get, post } from "./api.js";
import { h, say } from "./dom.js";

export async function beginPage(main, about) {
  let busy = false;
  const [sources, graphs] = await Promise.all([get("sources"), get("files")]);
  const note = h("div", { role: "alert" }), made = h("div", { tabindex: "-1", role: "region", "aria-label": "Proposal" });
  const title = h("h2", {}, graphs.length ? "Start something new" : "This folder has no graph yet. Three ways to begin:");
  const published = h("select", { id: "published" });
  const open = h("button", { disabled: true, onclick: () => { location.hash = `#/new/${encodeURI(published.value)}`; } }, "Open it");
  const demo = h("select", { id: "demo" }, h("option", { value: "" }, "cubes of a real CT and where they were cut: three networks, about three minutes"),
    h("option", { value: "tables" }, "tables of breast cancer, from scikit-learn"));
  const table = h("select", { id: "table" }, sources.tables.map((path) => h("option", { value: path }, path)));
  const target = h("input", { id: "target", size: 16 }), key = h("input", { id: "key", size: 16 });
  const refused = about.write ? "" : h("p", { class: "note" }, "The studio was started without --write, so that it cannot write files. Start it with ",
    h("code", {}, about.command));
  main.replaceChildren(title, refused, note,
    h("section", { class: "card" }, h("h3", {}, "A table of your cases"), sources.tables.length
      ? h("div", { class: "form" }, field("Table", table), field("Column to predict", target, "empty: a guess"), field("Column that names a case", key, "empty: a guess"),
        h("button", { disabled: !about.write, onclick: propose }, "Propose a data file and a graph"))
      : h("p", {}, "No table is in ", h("code", {}, about.place), ". Copy one there (CSV, a workbook or Parquet; files of the cases beside it), then ", h("button", { onclick: () => beginPage(main, about) }, "Look again")), made),
    h("section", { class: "card" }, h("h3", {}, "The demonstration"), h("p", {}, "Data, trainings and results, in the folder demo."),
      h("div", { class: "form" }, field("Data", demo), h("button", { disabled: !about.write, onclick: demonstrate }, "Run it"))),
    h("section", { class: "card" }, h("h3", {}, "A published graph"), h("div", { class: "form" }, field("Graph", published), open)));
  say("");
  get("published").then((found) => { published.append(...found.names.map((name) => h("option", { value: name }, name))); open.disabled = false; }).catch((error) => tell(error.message));

  function field(label, element, hint) {
    return h("p", {}, h("label", { for: element.id }, label), element, hint ? h("span", { class: "quiet" }, ` ${hint}`) : null);
  }
  function tell(text) { note.replaceChildren(h("p", { class: "note" }, text)); }

  async function demonstrate() {
    try {
      location.hash = `#/work/${(await post("work", { command: "demo", output: "demo", tables: demo.value === "tables" })).id}`;
    } catch (error) { tell(error.message); }
  }
  async function propose() {
    if (busy) return;
    busy = true;
    note.replaceChildren();
    say("reading the table …");
    try {
      const found = await post("propose", { table: table.value, target: target.value || null, id: key.value || null });
      say(`${found.data} and ${found.graph} are written`);
      const wrong = found.findings.filter((each) => each.severity === "error").length;
      made.replaceChildren(h("p", {}, "These are guesses: read them, above all the target and the split."),
        h("table", {}, h("thead", {}, h("tr", {}, ["column or folder", "taken for", "because"].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, found.guesses.map((each) => h("tr", {}, h("th", { scope: "row" }, each.column), h("td", {}, each.role), h("td", {}, each.why))))),
        found.findings.length ? h("div", { class: "findings" }, h("ul", {}, found.findings.map((each) => h("li", { class: each.severity }, h("strong", {}, each.severity === "error" ? "mistake " : "warning "),
          `${each.message} [${each.code}]`, each.fix ? h("p", {}, `fix: ${each.fix}`) : null)))) : "",
        h("p", { class: "bar" }, h("a", { href: `#/graph/${encodeURI(found.graph)}` }, "the graph"), h("a", { href: `#/graph/${encodeURI(found.data)}` }, "the data file"),
          wrong ? "" : h("a", { href: `#/train/${encodeURI(found.graph)}` }, "train it")));
      title.textContent = "Start something new";
      made.focus();
    } catch (error) { tell(error.message); say(""); }
    busy = false;
  }
  return () => {};
}
