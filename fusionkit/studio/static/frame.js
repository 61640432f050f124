// A page that a command wrote, in a frame that may do nothing: no script, no form, no request.

import { post } from "./api.js";
import { h } from "./dom.js";

export async function framePage(main, about, path) {
  const { address } = await post("page", { path });
  const folder = path.split("/").slice(0, -1).join("/");
  main.replaceChildren(
    h("div", { class: "bar" }, h("h2", {}, path), h("a", { href: "#/runs" }, "all runs"),
      h("span", { class: "quiet" }, `to print or keep it, open the file ${path.split("/").pop()} in ${about.folder}/${folder}`)),
    h("iframe", { class: "page", sandbox: "", src: address, title: path }));
  return () => {};
}

// Links to pages, each a sentence of its own for a screen reader.
export function pageLinks(pages) {
  return pages.map((page) => h("li", {}, h("a", { href: `#/page/${encodeURI(page.path)}` }, `${page.kind}: ${page.path}`)));
}
