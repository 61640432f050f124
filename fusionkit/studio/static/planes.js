// One image, or three planes of a volume through a point, on canvases; a click or the sliders move the point.

import { post } from "./api.js";
import { figure, h } from "./dom.js";

const SIDES = [[1, 2], [0, 2], [0, 1]];
const WIDE = 160, HOT = [255, 150, 0];

// `places` are what Grad-CAM found in this input: a map to lay over it, and where it is largest.
export function planesOf(asked, places) {
  const canvases = h("div", { class: "planes" }), sliders = h("div", { class: "bar" }), told = h("p", { class: "quiet" });
  const element = h("div", {}, canvases, sliders, told);
  let now = null, waiting = false, next = null;
  const low = field("black at"), high = field("white at");
  const maps = places.filter((place) => place.heat);
  const over = h("select", { "aria-label": `${asked.input}: Grad-CAM over it`, onchange: () => move(now.at) }, h("option", { value: "" }, "without Grad-CAM"),
    maps.map((place, at) => h("option", { value: place.heat, selected: !at }, `Grad-CAM at ${place.node}, for ${place.explained}`)));
  ask({ peak: places[0]?.at });

  async function ask(more) {
    if (waiting) { next = more; return; }
    waiting = true;
    try {
      now = await post("case/slices", { ...asked, ...more, heat: over.value || null });
      draw();
    } catch (error) { told.textContent = error.message; }
    waiting = false;
    if (next) { const later = next; next = null; ask(later); }
  }
  function field(name) {
    const input = h("input", { type: "number", step: "any", "aria-label": `${asked.input}: ${name}`, onchange: () => move(now.at) });
    return h("label", {}, `${name} `, input);
  }
  const range = () => [low, high].map((label) => Number(label.lastElementChild.value));
  function move(at) {
    const [from, to] = range();
    ask({ at, low: from, high: to });
  }
  function draw() {
    low.lastElementChild.value = Number(now.low.toPrecision(4));
    high.lastElementChild.value = Number(now.high.toPrecision(4));
    const scale = Math.min(...now.planes.map((plane) => WIDE / Math.max(plane.wide * plane.steps[1], plane.high * plane.steps[0])));
    canvases.replaceChildren(...now.planes.map((plane, place) => figureOf(plane, place, scale)));
    if (!sliders.childElementCount) {
      if (maps.length) sliders.append(over);
      sliders.append(...now.sizes.map((size, axis) => h("label", {}, `${now.planes[axis].name} `, h("input", { type: "range", min: "0", max: size - 1,
        "aria-label": `${asked.input}: slice, ${now.planes[axis].name}`, oninput: (event) => move(now.at.map((old, each) => each === axis ? Number(event.target.value) : old)) }))), low, high);
    }
    [...sliders.querySelectorAll("input[type=range]")].forEach((slider, axis) => { slider.value = now.at[axis]; });
    told.textContent = [now.sizes.length ? `slices ${now.at.map((at, axis) => `${at + 1} of ${now.sizes[axis]}`).join(", ")}` : "",
      now.channels > 1 ? `the first of ${now.channels} channels` : "", `black ${figure(now.low)}, white ${figure(now.high)}`].filter(Boolean).join("; ");
  }
  function figureOf(plane, place, scale) {
    const canvas = h("canvas", { width: plane.wide, height: plane.high, role: "img", "aria-label": `${asked.input} of ${asked.case}${plane.name ? `, ${plane.name}` : ""}` });
    canvas.style.width = `${plane.wide * plane.steps[1] * scale}px`;
    canvas.style.height = `${plane.high * plane.steps[0] * scale}px`;
    const bytes = Uint8Array.from(atob(plane.bytes), (letter) => letter.charCodeAt(0));
    const hot = now.heat ? Uint8Array.from(atob(now.heat[place].bytes), (letter) => letter.charCodeAt(0)) : null;
    const pixels = new ImageData(plane.wide, plane.high);
    for (let at = 0; at < plane.wide * plane.high; at++) {
      for (let colour = 0; colour < 3; colour++) pixels.data[4 * at + colour] = plane.colours ? bytes[3 * at + colour] : bytes[at];
      if (hot) {
        const share = hot[at] / 255 * 0.65;
        for (let colour = 0; colour < 3; colour++) pixels.data[4 * at + colour] = (1 - share) * pixels.data[4 * at + colour] + share * HOT[colour];
      }
      pixels.data[4 * at + 3] = 255;
    }
    const context = canvas.getContext("2d");
    context.putImageData(pixels, 0, 0);
    const [down, right] = SIDES[place];
    if (now.at.length && plane.wide >= 48) {
      context.strokeStyle = "#ffb000";
      context.lineWidth = Math.max(1, plane.wide / 400);
      context.globalAlpha = 0.6;
      cross(context, (now.at[right] + 0.5) / now.sizes[right] * plane.wide, (now.at[down] + 0.5) / now.sizes[down] * plane.high, plane);
    }
    if (now.at.length) {
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect(), at = [...now.at];
        at[right] = Math.floor((event.clientX - box.left) / box.width * now.sizes[right]);
        at[down] = Math.floor((event.clientY - box.top) / box.height * now.sizes[down]);
        move(at);
      });
    }
    return h("figure", {}, canvas, plane.name ? h("figcaption", {}, plane.name) : null);
  }
  return element;
}

// A cross with a gap, so that what is looked at stays free.
function cross(context, x, y, plane) {
  const gap = Math.max(2, plane.wide / 12);
  context.beginPath();
  for (const [x1, y1, x2, y2] of [[0, y, x - gap, y], [x + gap, y, plane.wide, y], [x, 0, x, y - gap], [x, y + gap, x, plane.high]]) {
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
  }
  context.stroke();
}
