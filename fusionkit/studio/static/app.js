// Which page is shown, by the fragment of the address.

import { get, takeToken } from "./api.js";
import { beginPage } from "./begin.js";
import { casesPage } from "./cases.js";
import { comparePage } from "./compare.js";
import { diffPage } from "./diff.js";
import { h, say } from "./dom.js";
import { framePage } from "./frame.js";
import { graphPage } from "./graph.js";
import { runsPage } from "./runs.js";
import { trainPage, workPage } from "./work.js";

const PAGES = { graph: graphPage, runs: runsPage, run: runsPage, page: framePage, cases: casesPage, compare: comparePage, begin: beginPage, diff: diffPage,
  new: (main, about, name) => graphPage(main, about, "", name), work: workPage, train: trainPage };
const UNDER = { run: "runs", page: "runs", cases: "runs", compare: "runs", new: "graph", diff: "graph", train: "work" };

const NAMES = { begin: "new", diff: "two graphs", run: "run", page: "page", cases: "cases of", compare: "comparison" };

const main = document.getElementById("main");
let leave = () => {};
let about = null;
let newest = 0;

// A page draws into a place of its own: one that is still loading when another is opened changes nothing any more.
async function show() {
  const number = ++newest, place = h("div", { class: "place" });
  leave();
  leave = () => {};
  main.replaceChildren(place);
  say("");
  try {
    about = about || await get("about");
    const [, name, rest] = location.hash.match(/^#\/(\w+)\/?(.*)$/) || [null, "graph", ""];
    for (const link of document.querySelectorAll("nav a")) {
      if (link.getAttribute("href") === `#/${UNDER[name] || name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${[NAMES[name] || name, decodeURIComponent(rest)].filter(Boolean).join(" ")} - fusionkit studio`;
    const left = await (PAGES[name] || graphPage)(place, about, decodeURI(rest));
    if (number !== newest) { left(); return; }
    leave = left;
    // Who followed a link goes on by keyboard, and is read to, from the new page on, not from the top.
    if (number > 1 && (document.activeElement === document.body || document.activeElement.closest("nav"))) main.focus({ preventScroll: true });
  } catch (error) {
    place.replaceChildren(h("p", { class: "note", role: "alert" }, error.message));
    if (error.status === 0) addEventListener("answered", () => { if (number === newest) show(); }, { once: true });
  }
}

takeToken();
// Who opens the printed address in a tab that is here already changes but its fragment.
addEventListener("hashchange", () => { if (takeToken()) about = null; show(); });
show();
