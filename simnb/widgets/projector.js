// A map of embeddings: draws what the model holds, and tells it what was selected.

import {
  beside, boundsOf, box, fittedTo, next, panned, pick, radiusOf, revealed, toScreen, within, zoomed,
} from "./geometry.js";
import { ACCENT, GROUND, NONE, RIGHT, WRONG, classColor, mixed, pixel, ramp } from "./colors.js";
import { Raster } from "./raster.js";
import { Sprites } from "./sprites.js";

const TIP = 84; // pixels a side of the thumbnail
const COLORINGS = [
  ["label", "class"],
  ["right", "right / wrong"],
  ["distance", "distance to the nearest neighbor"],
  ["accepted", "accepted / rejected"],
];
const VERDICTS = { 0: "✗ wrong", 1: "✓ right", 2: "? unknown" };
/** What stands before the distance to a neighbor that is right, or wrong, or neither. */
export const SIGNS = { right: "✓ ", wrong: "✗ ", "": "" };
const LINES = { right: [RIGHT, []], wrong: [WRONG, [5, 3]], "": [NONE, [1, 3]] }; // to it: colour and dashes
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function make(tag, classes = "", text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export function array(model, name, Type) {
  const view = model.get(name);
  if (!view || view.byteLength === 0) return new Type(0);
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

export function digits(value) {
  if (!Number.isFinite(value)) return "none";
  return (Math.abs(value) < 1e-6 ? 0 : Number(value.toPrecision(3))).toString(); // less is what rounding leaves
}

/**
 * It sends its element the event `pin`, with the position of the point whose neighbors are shown, or -1, as
 * `image`, and whether that was asked for by a key, as `typed`.
 */
export class ProjectorView {
  constructor(model, element) {
    this.model = model;
    this.element = element;
    this.undo = [];
    this.read();
    this.build();
    this.listen();
    this.follow();
    this.choose("pan");
  }

  // ---- what the model holds

  read() {
    const { model } = this;
    this.points = array(model, "_points", Float32Array);
    this.count = this.points.length / 2;
    this.labels = array(model, "_labels", Int32Array); // positions in the classes
    this.isQuery = array(model, "_is_query", Uint8Array);
    this.classes = model.get("_classes");
    this.labelled = this.classes.some(({ unknown }) => !unknown);
    this.details = model.get("_details");
    this.sprites = new Sprites(model.get("_sheets"), model.get("_sprite"));
    this.hidden = new Set();
    this.wanted = ""; // what the search box for classes asks for
    this.focused = -1;
    this.pinned = -1;
    this.near = []; // [position, distance] of the neighbors of the pinned point
    this.tool = "pan";
    this.readNearest();
  }

  readNearest() {
    this.neighbors = array(this.model, "_neighbors", Int32Array);
    this.neighborDistances = array(this.model, "_neighbor_distances", Float32Array);
    this.verdicts = array(this.model, "_verdicts", Uint8Array);
    this.k = this.count ? this.neighbors.length / this.count : 0;
  }

  knowsNearest() {
    return this.neighbors.length > 0;
  }

  nearest(i) {
    return this.knowsNearest() ? this.neighborDistances[i * this.k] : NaN;
  }

  /** In float32, as the distances are; null where there is none. */
  threshold() {
    const value = this.model.get("threshold");
    return value === null ? null : Math.fround(value);
  }

  accepted(i) {
    return this.nearest(i) <= this.threshold();
  }

  // ---- the elements

  build() {
    const root = make("div", "simnb-projector");
    const bar = make("div", "simnb-bar");
    this.tools = {};
    for (const [name, sign, title] of [
      ["pan", "✥", "Move the map (drag)"],
      ["lasso", "◌", "Select with a lasso"],
      ["box", "▭", "Select with a box (or shift and drag)"],
    ]) {
      const attributes = { type: "button", title, "aria-label": title };
      this.tools[name] = make("button", `simnb-tool simnb-tool-${name}`, sign, attributes);
      this.on(this.tools[name], "click", () => this.choose(name));
    }
    const title = "Show the whole map (double-click, or 0)";
    this.reset = make("button", "simnb-tool simnb-reset", "⤢", { type: "button", title, "aria-label": title });
    const by = make("label", "simnb-by", "Color by ");
    this.by = make("select", "simnb-color-by");
    for (const [value, text] of COLORINGS) this.by.append(new Option(text, value));
    by.append(this.by);
    this.selected = make("span", "simnb-selected", "", { role: "status" });
    this.clear = make("button", "simnb-tool simnb-clear", "Clear", { type: "button" });
    bar.append(...Object.values(this.tools), this.reset, by, this.selected, this.clear);

    const body = make("div", "simnb-body");
    const stage = make("div", "simnb-stage");
    this.ground = make("canvas", "simnb-points");
    const help = "Map of embeddings. Arrow keys: next point. Enter: its neighbors. Escape: back. + and -: zoom.";
    this.map = make("canvas", "simnb-map", "", { tabindex: "0", role: "application", "aria-label": help });
    this.tip = make("div", "simnb-tip");
    this.tip.hidden = true;
    this.spoken = make("div", "simnb-spoken", "", { "aria-live": "polite" });
    stage.append(this.ground, this.map, this.tip, this.spoken);
    const side = make("div", "simnb-side");
    this.key = make("div", "simnb-key");
    const find = { type: "search", placeholder: "Find a class", "aria-label": "Find a class" };
    this.search = make("input", "simnb-class-search", "", find);
    this.legend = make("div", "simnb-legend");
    this.search.hidden = this.legend.hidden = !this.labelled;
    side.append(this.key, this.search, this.legend);
    body.append(stage, side);
    this.strip = make("div", "simnb-nearest");
    this.trust = make("div", "simnb-trust", this.model.get("_trust"));
    root.append(bar, body, this.strip, this.trust);
    this.root = root;
    this.stage = stage;
    stage.style.height = `${this.model.get("height")}px`;
    this.element.append(root);
    this.raster = new Raster(this.ground);
    this.buildLegend();
  }

  buildLegend() {
    this.legend.replaceChildren();
    this.entries = this.classes.map(({ name, count }, position) => {
      const title = `${name}. Click: on and off. Double-click: alone, and once more: all.`;
      const button = make("button", "simnb-class", "", { type: "button", title, "aria-pressed": "true" });
      const swatch = make("span", "simnb-swatch");
      button.append(swatch, make("span", "simnb-name", name), make("span", "simnb-count", count.toLocaleString("en")));
      this.on(button, "click", (event) => (event.altKey ? this.only(position) : this.toggle(position)));
      this.on(button, "dblclick", () => this.only(position));
      this.legend.append(button);
      return { button, swatch, name: name.toLowerCase() };
    });
  }

  on(target, name, listener, options) {
    target.addEventListener(name, listener, options);
    this.undo.push(() => target.removeEventListener(name, listener, options));
  }

  // ---- what happens

  listen() {
    const { map } = this;
    this.on(map, "pointerdown", (event) => this.press(event));
    this.on(map, "pointermove", (event) => this.move(event));
    this.on(map, "pointerup", (event) => this.release(event));
    this.on(map, "pointercancel", (event) => this.cancel(event));
    this.on(map, "pointerleave", () => this.fingers.size || this.focus(-1));
    this.on(map, "dblclick", () => this.showAll());
    this.on(map, "wheel", (event) => this.wheel(event), { passive: false });
    this.on(map, "keydown", (event) => this.type(event));
    this.on(this.reset, "click", () => this.showAll());
    this.on(this.clear, "click", () => this.back());
    this.on(this.by, "change", () => this.save("color", this.by.value));
    this.on(this.search, "input", () => {
      this.wanted = this.search.value.trim().toLowerCase();
      this.recolor();
    });
    this.fingers = new Map();
  }

  follow() {
    const changes = {
      "change:selection": () => this.recolor(),
      "change:color": () => this.recolor(),
      "change:threshold": () => this.recolor(),
      "change:_neighbors": () => (this.readNearest(), this.recolor()),
      "change:_trust": () => (this.trust.textContent = this.model.get("_trust")),
      "change:height": () => (this.stage.style.height = `${this.model.get("height")}px`),
      "msg:custom": (message) => this.answered(message),
    };
    for (const [name, listener] of Object.entries(changes)) {
      this.model.on(name, listener);
      this.undo.push(() => this.model.off(name, listener));
    }
    const resized = new ResizeObserver(() => this.resize());
    resized.observe(this.stage);
    const themed = new MutationObserver(() => this.retheme());
    const attributes = { attributes: true, attributeFilter: ["data-jp-theme-light", "class", "data-theme"] };
    themed.observe(document.body, attributes);
    themed.observe(document.documentElement, attributes);
    const media = matchMedia("(prefers-color-scheme: dark)");
    this.on(media, "change", () => this.retheme());
    this.undo.push(() => (resized.disconnect(), themed.disconnect(), cancelAnimationFrame(this.frame)));
    this.retheme();
  }

  retheme() {
    const { body, documentElement } = document;
    const own = documentElement.dataset.theme;
    const lab = body.dataset.jpThemeLight;
    const code = body.dataset.vscodeThemeKind;
    let dark = matchMedia("(prefers-color-scheme: dark)").matches;
    if (lab !== undefined) dark = lab === "false";
    else if (code !== undefined) dark = code.includes("dark");
    else if (own !== undefined) dark = own === "dark";
    const theme = dark ? "dark" : "light";
    if (theme === this.theme) return;
    this.theme = theme;
    this.root.dataset.theme = theme;
    this.recolor();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.root.classList.toggle("simnb-narrow", this.root.clientWidth < 560);
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.raster.resize(width, height, ratio);
    this.map.width = width * ratio;
    this.map.height = height * ratio;
    const was = this.size;
    this.size = { width, height, ratio };
    this.whole = fittedTo(boundsOf(this.points), width, height);
    if (!this.view || !was || this.untouched) this.showAll();
    else this.view = panned(this.view, (width - was.width) / 2, (height - was.height) / 2);
    this.redraw();
  }

  showAll() {
    this.view = { ...this.whole };
    this.untouched = true;
    this.redraw();
  }

  look(view) {
    this.view = view;
    this.untouched = false;
    this.redraw();
  }

  place(event) {
    const box = this.map.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (event.button > 0) return; // the right one opens a menu
    this.map.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, this.place(event));
    this.moved = 0;
    this.outline = null;
    const kind = event.shiftKey ? "box" : this.tool;
    if (kind !== "pan" && this.fingers.size === 1) this.outline = { kind, path: [this.place(event)] };
  }

  move(event) {
    const now = this.place(event);
    const was = this.fingers.get(event.pointerId);
    if (!was) {
      this.focus(pick(this.points, this.shown, this.view, ...now, 14));
      return;
    }
    this.moved += Math.hypot(now[0] - was[0], now[1] - was[1]);
    if (this.outline) {
      this.outline.path.push(now);
      this.redraw();
    } else if (this.fingers.size === 2) {
      const [other] = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const far = Math.hypot(now[0] - other[0], now[1] - other[1]);
      const factor = far / Math.max(Math.hypot(was[0] - other[0], was[1] - other[1]), 1);
      this.look(zoomed(this.view, factor, ...other, this.whole.scale));
    } else if (this.moved > 3) {
      this.focus(-1);
      this.look(panned(this.view, now[0] - was[0], now[1] - was[1]));
    }
    this.fingers.set(event.pointerId, now);
  }

  release(event) {
    const at = this.place(event);
    if (!this.fingers.delete(event.pointerId)) return;
    if (this.outline) {
      const { kind, path } = this.outline;
      this.outline = null;
      const polygon = kind === "box" ? box(path[0], path[path.length - 1]) : path;
      if (this.moved > 3) this.select(within(this.points, this.shown, this.view, polygon));
    }
    if (this.moved <= 3) this.pin(pick(this.points, this.shown, this.view, ...at, 14));
    this.redraw();
  }

  /** The browser took the finger for itself. */
  cancel(event) {
    this.fingers.delete(event.pointerId);
    this.outline = null;
    this.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    const factor = Math.exp(-event.deltaY * lines * 0.0016);
    this.look(zoomed(this.view, factor, ...this.place(event), this.whole.scale));
  }

  type(event) {
    const { key } = event;
    const middle = [this.size.width / 2, this.size.height / 2];
    if (key in ARROWS) {
      const first = pick(this.points, this.shown, this.view, ...middle, Infinity);
      const to = this.focused < 0 ? first : next(this.points, this.shown, this.focused, ARROWS[key]);
      this.focus(to, true);
    } else if (key === "Enter") this.pin(this.focused, true);
    else if (key === " ") this.toggleSelected(this.focused);
    else if (key === "Escape") this.back();
    else if (key === "+" || key === "=") this.look(zoomed(this.view, 1.3, ...middle, this.whole.scale));
    else if (key === "-") this.look(zoomed(this.view, 1 / 1.3, ...middle, this.whole.scale));
    else if (key === "0") this.showAll();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  choose(tool) {
    this.tool = tool;
    this.redraw();
    for (const [name, button] of Object.entries(this.tools)) {
      button.setAttribute("aria-pressed", String(name === tool));
    }
    this.map.style.cursor = tool === "pan" ? "grab" : "crosshair";
  }

  save(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  selection() {
    return array(this.model, "selection", Int32Array);
  }

  select(positions) {
    this.save("selection", new DataView(Int32Array.from(positions).buffer));
    this.recolor();
  }

  toggleSelected(i) {
    if (i < 0) return;
    const chosen = new Set(this.selection());
    if (!chosen.delete(i)) chosen.add(i);
    this.select([...chosen].sort((a, b) => a - b));
  }

  back() {
    this.select([]);
    this.pin(-1);
  }

  toggle(position) {
    if (!this.hidden.delete(position)) this.hidden.add(position);
    this.recolor();
  }

  /** This class alone; all of them where it is alone already. */
  only(position) {
    const alone = this.hidden.size === this.classes.length - 1 && !this.hidden.has(position);
    this.hidden = new Set(alone ? [] : this.classes.keys());
    this.hidden.delete(position);
    this.recolor();
  }

  pin(i, typed = false) {
    this.pinned = i;
    this.near = [];
    if (i >= 0 && this.knowsNearest()) {
      for (let j = i * this.k; j < (i + 1) * this.k; j++) {
        if (this.neighbors[j] >= 0) this.near.push([this.neighbors[j], this.neighborDistances[j]]);
      }
    } else if (i >= 0) this.model.send({ kind: "neighbors", point: i });
    this.showNear();
    this.redraw();
    this.element.dispatchEvent(new CustomEvent("pin", { detail: { image: i, typed } }));
  }

  answered(message) {
    if (message.kind !== "neighbors" || message.point !== this.pinned) return;
    this.near = message.neighbors.map((position, at) => [position, message.distances[at]]);
    this.showNear();
    this.redraw();
  }

  // ---- what is seen

  name(i) {
    return this.classes[this.labels[i]].name;
  }

  hasNoLabel(i) {
    return this.classes[this.labels[i]].unknown;
  }

  /** Whether two points are of one class: "right" or "wrong", or "" where one has no label. */
  verdictOf(one, other) {
    if (this.hasNoLabel(one) || this.hasNoLabel(other)) return "";
    return this.labels[one] === this.labels[other] ? "right" : "wrong";
  }

  role(i) {
    return this.isQuery.length ? (this.isQuery[i] ? "query" : "gallery") : "";
  }

  lines(i) {
    const lines = [[this.role(i), this.details.length ? this.details[i] : `point ${i}`].filter(Boolean).join(", ")];
    if (this.knowsNearest()) {
      lines.push(`nearest neighbor at ${digits(this.nearest(i))}`);
      const verdict = this.classes.length > 1 || this.isQuery.length ? VERDICTS[this.verdicts[i]] : "";
      const limit = this.threshold() === null ? "" : this.accepted(i) ? "accepted" : "rejected";
      if (verdict || limit) lines.push([verdict, limit].filter(Boolean).join(", "));
    }
    return lines;
  }

  focus(i, spoken = false) {
    if (i === this.focused) return;
    this.focused = i;
    delete this.tip.dataset.painted;
    this.tip.hidden = i < 0;
    if (i >= 0) {
      this.tip.dataset.point = i;
      const text = make("div", "simnb-tip-text");
      if (this.labelled) text.append(make("b", "", this.name(i)));
      text.append(...this.lines(i).map((line) => make("span", "", line)));
      this.tip.replaceChildren(text);
      if (this.sprites.has(i)) {
        const canvas = make("canvas");
        canvas.width = canvas.height = TIP;
        this.tip.prepend(canvas);
        const wanted = () => this.focused === i;
        this.sprites.paint(canvas, i, wanted).then((done) => done && (this.tip.dataset.painted = i));
      }
      if (spoken) {
        this.spoken.textContent = [this.name(i), ...this.lines(i)].join(", ");
        this.reveal(i);
      }
    }
    this.redraw();
  }

  at(i) {
    return toScreen(this.view, this.points[2 * i], this.points[2 * i + 1]);
  }

  /** Move the map so far that a point which the keyboard walked to is seen. */
  reveal(i) {
    const view = revealed(this.view, this.points[2 * i], this.points[2 * i + 1], this.size);
    if (view !== this.view) this.look(view);
  }

  placeTip() {
    if (this.focused < 0) return;
    const point = this.at(this.focused);
    const tip = { width: this.tip.offsetWidth, height: this.tip.offsetHeight };
    // What the lines to the neighbors lead to, and half-way there.
    const ends = this.focused === this.pinned ? this.near.map(([i]) => this.at(i)) : [];
    const halves = ends.map(([x, y]) => [(x + point[0]) / 2, (y + point[1]) / 2]);
    const [left, top] = beside(point, tip, this.size, [...ends, ...halves]);
    this.tip.style.transform = `translate(${left}px, ${top}px)`;
  }

  showNear() {
    this.strip.replaceChildren();
    if (this.pinned < 0) return;
    const cards = [[this.pinned, NaN], ...this.near];
    this.strip.append(
      ...cards.map(([i, distance]) => {
        const card = make("figure", "simnb-card");
        if (this.sprites.has(i)) {
          const canvas = make("canvas");
          canvas.width = canvas.height = 64;
          card.append(canvas);
          this.sprites.paint(canvas, i);
        }
        const caption = make("figcaption", "", this.name(i));
        const chosen = Number.isNaN(distance);
        if (!chosen) card.dataset.mark = this.verdictOf(this.pinned, i);
        const note = chosen ? this.role(i) || "chosen" : SIGNS[card.dataset.mark] + digits(distance);
        caption.append(make("span", "", note));
        card.append(caption);
        return card;
      }),
    );
  }

  recolor() {
    if (!this.theme) return;
    const { theme, count, hidden, wanted } = this;
    const mode = this.model.get("color");
    if (mode !== "label" && !this.knowsNearest()) this.model.send({ kind: "nearest" });
    this.by.value = mode;
    this.by.options[0].disabled = this.by.options[1].disabled = !this.labelled;
    this.by.options[3].disabled = this.threshold() === null;
    const chosen = new Set(this.selection());
    const matches = this.classes.map(({ name }) => !wanted || name.toLowerCase().includes(wanted));
    const ground = GROUND[theme];
    const colored = this.coloring(mode);
    this.shown = new Uint8Array(count);
    const style = { kinds: new Uint8Array(count), cores: new Uint32Array(count), edges: new Uint32Array(count) };
    const layers = [[], [], [], []];
    const pixels = new Map(); // of each colour, so that it is computed once
    for (let i = 0; i < count; i++) {
      if (hidden.has(this.labels[i])) continue;
      this.shown[i] = 1;
      const [hex, hollow] = colored(i);
      const strong = chosen.size ? chosen.has(i) : matches[this.labels[i]];
      const key = hex + strong;
      if (!pixels.has(key)) {
        const core = strong ? hex : mixed(hex, ground, 0.78);
        pixels.set(key, [pixel(core), pixel(mixed(core, ground, hollow ? 0.1 : 0.45))]);
      }
      [style.cores[i], style.edges[i]] = pixels.get(key);
      const query = this.isQuery.length && this.isQuery[i];
      style.kinds[i] = (query ? 1 : 0) + (hollow ? 2 : 0);
      layers[(strong ? 2 : 0) + (query ? 1 : 0)].push(i);
    }
    this.style = { ...style, order: Uint32Array.from(layers.flat()), ground: pixel(ground) };
    this.selected.textContent = chosen.size ? `${chosen.size.toLocaleString("en")} selected` : "";
    this.clear.hidden = !chosen.size && this.pinned < 0;
    this.showLegend(mode, matches);
    this.redraw();
  }

  /** What gives a point its colour, and whether it is drawn hollow. */
  coloring(mode) {
    const { theme } = this;
    if (mode === "label") {
      const colors = this.classes.map(({ name, unknown }, at) => (unknown ? NONE[theme] : classColor(at, theme)));
      return (i) => [colors[this.labels[i]], false];
    }
    if (!this.knowsNearest()) return () => [NONE[theme], false];
    if (mode === "right") {
      const colors = [WRONG[theme], RIGHT[theme], NONE[theme]];
      return (i) => [colors[this.verdicts[i]], this.verdicts[i] !== 1];
    }
    if (mode === "accepted") return (i) => (this.accepted(i) ? [RIGHT[theme], false] : [NONE[theme], true]);
    const { low, high } = this.range();
    return (i) => [ramp((this.nearest(i) - low) / Math.max(high - low, 1e-12), theme), false];
  }

  /** Of the distances to the nearest neighbor, but for the farthest hundredth. */
  range() {
    const finite = Array.from({ length: this.count }, (_, i) => this.nearest(i)).filter(Number.isFinite);
    finite.sort((a, b) => a - b);
    return { low: finite[0] ?? 0, high: finite[Math.floor((finite.length - 1) * 0.99)] ?? 1 };
  }

  showLegend(mode, matches) {
    const { theme } = this;
    this.entries.forEach(({ button, swatch }, position) => {
      const color = this.classes[position].unknown ? NONE[theme] : classColor(position, theme);
      swatch.style.background = mode === "label" ? color : "transparent";
      button.setAttribute("aria-pressed", String(!this.hidden.has(position)));
      button.hidden = !matches[position];
    });
    const lines = [];
    const count = (test) => Array.from(this.verdicts).filter(test).length.toLocaleString("en");
    if (mode !== "label" && !this.knowsNearest()) lines.push(["", "", "looking for neighbors …"]);
    else if (mode === "right") {
      lines.push(["●", RIGHT, `nearest is right: ${count((v) => v === 1)}`]);
      lines.push(["○", WRONG, `nearest is wrong: ${count((v) => v === 0)}`]);
      const why = this.isQuery.length ? "class not in the gallery" : "no verdict (no label, or alone in its class)";
      lines.push(["○", NONE, `${why}: ${count((v) => v === 2)}`]);
    } else if (mode === "accepted") {
      const limit = this.threshold();
      const named = Number.isFinite(limit) ? `within ${digits(limit)}` : `accepted: ${limit > 0 ? "all" : "none"}`;
      lines.push(["●", RIGHT, named], ["○", NONE, Number.isFinite(limit) ? "beyond it" : "rejected"]);
    }
    if (this.isQuery.length) lines.push(["●", ACCENT, "gallery"], ["◆", ACCENT, "query"]);
    this.key.replaceChildren(
      ...lines.map(([sign, color, text]) => {
        const line = make("div", "simnb-key-line");
        const mark = make("span", "simnb-sign", sign);
        if (color) mark.style.color = color[theme];
        line.append(mark, make("span", "", text));
        return line;
      }),
    );
    if (mode === "distance" && this.knowsNearest()) this.key.prepend(this.colorBar());
  }

  colorBar() {
    const { low, high } = this.range();
    const bar = make("div", "simnb-ramp");
    const stops = Array.from({ length: 9 }, (_, i) => ramp(i / 8, this.theme));
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const ends = make("div", "simnb-ramp-ends");
    ends.append(make("span", "", digits(low)), make("span", "", `${digits(high)} and more`));
    const box = make("div");
    box.append(bar, ends);
    return box;
  }

  redraw() {
    if (this.frame || !this.size || !this.style) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { size, view, points } = this;
    const zoom = view.scale / this.whole.scale;
    const radius = radiusOf(this.count, size.width, size.height, zoom);
    const marks = ["disc", "diamond"].flatMap((shape) => ({ shape, radius: shape === "disc" ? radius : radius * 1.15 }));
    const hollow = marks.map((mark) => ({ ...mark, radius: mark.radius * 1.1, hollow: true }));
    this.raster.draw(points, view, { ...this.style, marks: [...marks, ...hollow] });
    const context = this.map.getContext("2d");
    context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    context.lineWidth = 1.5;
    context.strokeStyle = ACCENT[this.theme];
    this.drawNear(context, radius);
    if (this.focused >= 0) this.ring(context, this.focused, radius + 4);
    if (this.outline) this.drawOutline(context);
    this.placeTip();
    Object.assign(this.root.dataset, { scale: view.scale, x: view.x, y: view.y });
    this.root.dataset.drawn = this.raster.drawn;
    this.root.dataset.frames = Number(this.root.dataset.frames ?? 0) + 1;
    this.root.dataset.ready = "true";
  }

  ring(context, i, radius) {
    const [x, y] = this.at(i);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  drawNear(context, radius) {
    if (this.pinned < 0) return;
    const limit = this.threshold() ?? Infinity;
    for (const [i, distance] of this.near) {
      const [color, dashes] = LINES[this.verdictOf(this.pinned, i)];
      context.strokeStyle = color[this.theme];
      context.globalAlpha = distance <= limit ? 1 : 0.25;
      context.setLineDash(dashes);
      context.beginPath();
      context.moveTo(...this.at(this.pinned));
      context.lineTo(...this.at(i));
      context.stroke();
      this.ring(context, i, radius + 2);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    context.strokeStyle = ACCENT[this.theme];
    context.lineWidth = 2.5;
    this.ring(context, this.pinned, radius + 4);
    context.lineWidth = 1.5;
  }

  drawOutline(context) {
    const { kind, path } = this.outline;
    const polygon = kind === "box" ? box(path[0], path[path.length - 1]) : path;
    context.beginPath();
    polygon.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.fillStyle = this.theme === "dark" ? "#ffffff22" : "#00000014";
    context.fill();
    context.setLineDash([4, 3]);
    context.stroke();
    context.setLineDash([]);
  }

  destroy() {
    this.undo.forEach((undo) => undo());
    this.root.remove();
  }
}
