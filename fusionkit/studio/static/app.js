// Which page is shown, by the fragment of the address.

import { get, takeToken } from "./api.js";
import { h, say } from "./dom.js";
import { graphPage } from "./graph.js";
import { runsPage } from "./runs.js";

const main = document.getElementById("main");
let leave = () => {};
let about = null;

async function show() {
  leave();
  leave = () => {};
  try {
    about = about || await get("about");
    if (about.worker !== "ready") say("loading components; the first check takes some seconds");
    const [, name, rest] = location.hash.match(/^#\/(\w+)\/?(.*)$/) || [null, "graph", ""];
    for (const link of document.querySelectorAll("nav a")) {
      if (link.getAttribute("href").slice(2).startsWith(name.slice(0, 3))) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    leave = await (name === "runs" || name === "run" ? runsPage : graphPage)(main, about, decodeURI(rest));
  } catch (error) {
    main.replaceChildren(h("p", { class: "note", role: "alert" }, error.message));
  }
}

takeToken();
addEventListener("hashchange", show);
show();
