// Requests to the studio. The token comes in the fragment of the address, which is never sent, and is kept for this origin.

const KEY = "fusionkit-token";

export function takeToken() {
  const found = location.hash.match(/token=([\w-]+)/);
  if (!found) return false;
  localStorage.setItem(KEY, found[1]);
  history.replaceState(null, "", location.pathname + "#/graph");
  return true;
}

// What stands above every page while the studio does not answer, or not to this page; it goes once it answers again.
const AGAIN = 2000;
let asking = null;

function lost(text) {
  const banner = document.getElementById("lost");
  const before = banner.textContent;
  if (before !== text) banner.textContent = text;
  banner.hidden = !text;
  clearTimeout(asking);
  if (text) asking = setTimeout(() => ask("about").catch(() => {}), AGAIN);
  else if (before) dispatchEvent(new Event("answered"));
}

export class Refused extends Error {
  constructor(status, answer) {
    super(answer.error || `the studio answered ${status}`);
    this.status = status;
    this.answer = answer;
  }
}

async function answerTo(path, options = {}) {
  let response;
  try {
    response = await fetch(`/api/${path}`, {
      ...options, headers: { authorization: `Bearer ${localStorage.getItem(KEY) || ""}`, ...options.headers } });
  } catch {
    const error = "no answer from the studio; your text is kept here";
    lost(`${error}. Work goes on without it. Start it again, and open the address that it prints.`);
    throw new Refused(0, { error, code: "gone" });
  }
  lost(response.status === 401 ? "The studio was started anew, or this is another one: open the address that the command printed." : "");
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  return response;
}
const ask = async (path, options) => (await answerTo(path, options)).json();
const asked = (name, query) => {
  const words = new URLSearchParams(query).toString();
  return words ? `${name}?${words}` : name;
};

export const get = (name, query = {}) => ask(asked(name, query));
export const blob = async (name, query = {}) => (await answerTo(asked(name, query))).blob();
const sent = (method) => (name, body) =>
  ask(name, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });
export const post = sent("POST");
export const put = sent("PUT");
