// Elements from data. Text is always set as text, never as HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function say(text) {
  document.getElementById("state").textContent = text;
}

// In one column what was chosen lies below the list: it is brought to the top, once the list is drawn.
export const narrow = () => matchMedia("(max-width: 50rem)").matches;
export const later = (element) => setTimeout(() => element.scrollIntoView(), 100);

// A list of which one element is a stop of Tab, with arrows inside.
export function roving(elements, { vertical = true } = {}) {
  elements.forEach((element, place) => {
    element.setAttribute("tabindex", place ? "-1" : "0");
    element.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? elements.length - 1 : place + (step || 0);
      if ((step || event.key === "Home" || event.key === "End") && elements[to]) {
        event.preventDefault();
        element.setAttribute("tabindex", "-1");
        elements[to].setAttribute("tabindex", "0");
        elements[to].focus();
      }
    });
  });
  return vertical;
}

// Made once: a format for each row of a long list takes most of its time.
const when = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

export function ago(seconds) {
  return seconds ? when.format(seconds * 1000) : "";
}

export function figure(number) {
  if (number === null || number === undefined) return "";
  return Math.abs(number) < 10 ? number.toFixed(3) : String(Number(number.toPrecision(4)));
}
