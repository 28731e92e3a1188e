// The circle of simnb.widgets.CircleExplorer: points to drag, the arrows of a triplet loss, a training to play.

import { degrees, measured, nearestRight, stepped, zones } from "./triplets.js";

const [SIZE, MIDDLE, RADIUS] = [380, 190, 128];
const LONGEST = 0.5; // radians, of the longest arrow at the start
const EVERY = 90; // milliseconds a step
const MOST_STEPS = 400;
const TURN = Math.PI / 90; // of an arrow key
const SHAPES = [
  "M-7,0a7,7 0 1,0 14,0a7,7 0 1,0 -14,0",
  "M-6.2,-6.2h12.4v12.4h-12.4z",
  "M0,-8L7.4,5.6H-7.4z",
  "M0,-8.4L8.4,0L0,8.4L-8.4,0z",
];

function make(tag, classes = "", text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function place(angle, radius) {
  return [MIDDLE + radius * Math.cos(angle), MIDDLE - radius * Math.sin(angle)];
}

/** An arc from one angle to another, as a path. */
function arc(from, to, radius) {
  const [first, last] = [place(from, radius), place(to, radius)];
  const large = Math.abs(to - from) > Math.PI ? 1 : 0;
  return `M${first.join(",")}A${radius},${radius} 0 ${large},${to > from ? 0 : 1} ${last.join(",")}`;
}

const signed = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(3);

class CircleView {
  constructor(model, element) {
    this.model = model;
    this.labels = model.get("_labels");
    this.classes = model.get("_classes");
    this.timer = 0;
    this.undo = [];
    this.build();
    element.append(this.root);
    this.follow("angles", () => !this.busy && this.begin(this.model.get("angles")));
    this.follow("margin", () => this.begin(this.angles));
    this.follow("selected", () => this.show());
    const pulled = measured(this.start(), this.labels, this.model.get("margin"));
    this.scale = LONGEST / Math.max(1e-9, ...pulled.pull.map(Math.abs), ...pulled.push.map(Math.abs));
    this.begin(this.model.get("angles"));
  }

  follow(name, listener) {
    this.model.on(`change:${name}`, listener);
    this.undo.push(() => this.model.off(`change:${name}`, listener));
  }

  start() {
    return this.model.get("_start");
  }

  // ---- the elements

  build() {
    this.root = make("div", "simnb-circle");
    const bar = make("div", "simnb-circle-bar");
    this.play = this.button(bar, "play", "▶ Play", () => (this.timer ? this.pause() : this.run()));
    this.button(bar, "step", "One step", () => (this.pause(), this.step(), this.tell()));
    this.button(bar, "again", "Start again", () => this.put(this.start()));
    this.button(bar, "heap", "Heap", () => this.put(this.angles.map((_, i) => 1.4 + 0.01 * i * ((i % 2) * 2 - 1))));
    const label = make("label", "simnb-circle-margin", "Margin ");
    this.slider = make("input", "", "", { type: "range", min: "0", max: "2", step: "0.05" });
    this.slider.addEventListener("input", () => this.set("margin", Number(this.slider.value)));
    this.marginText = make("output");
    label.append(this.slider, this.marginText);
    const what = "Where a negative of the selected point is hard, semi-hard or easy, for its farthest positive";
    const arcs = make("label", "simnb-circle-arcs", "", { title: what });
    this.arcs = make("input", "", "", { type: "checkbox" });
    this.arcs.addEventListener("change", () => this.show());
    arcs.append(this.arcs, " Arcs of mining");
    bar.append(label, arcs);
    const body = make("div", "simnb-circle-body");
    body.append(this.buildCircle(), this.buildSide());
    this.root.append(bar, body);
  }

  button(bar, name, text, act) {
    const button = make("button", `simnb-circle-${name}`, text, { type: "button" });
    button.addEventListener("click", act);
    bar.append(button);
    return button;
  }

  buildCircle() {
    const about = "Embeddings on a circle. Drag a point, or turn the focused one with the arrow keys.";
    this.svg = draw("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group", "aria-label": about });
    this.svg.append(draw("circle", { cx: MIDDLE, cy: MIDDLE, r: RADIUS, class: "ring" }));
    for (const at of [0, 90, 180, 270]) {
      const [x, y] = place((at * Math.PI) / 180, 0.84 * RADIUS);
      this.svg.append(draw("text", { x, y: y + 4, class: "degrees" }, `${at}°`));
    }
    this.under = draw("g", { "aria-hidden": "true" });
    this.svg.append(this.under);
    this.points = this.labels.map((label, i) => {
      const shape = { d: SHAPES[label % SHAPES.length], class: `class-${label % 10}`, tabindex: "0", role: "slider" };
      const point = draw("path", { ...shape, "aria-valuemin": 0, "aria-valuemax": 359 });
      point.addEventListener("pointerdown", (event) => this.grab(event, i));
      point.addEventListener("focus", () => this.set("selected", i));
      point.addEventListener("keydown", (event) => this.turn(event, i));
      this.svg.append(point);
      return point;
    });
    return this.svg;
  }

  buildSide() {
    const side = make("div", "simnb-circle-side");
    const legend = make("div", "simnb-circle-legend");
    this.classes.forEach((name, at) => {
      const line = make("span");
      const mark = draw("svg", { viewBox: "-10 -10 20 20", width: 15, height: 15 });
      mark.append(draw("path", { d: SHAPES[at % SHAPES.length], class: `class-${at % 10}` }));
      line.append(mark, name);
      legend.append(line);
    });
    for (const [kind, words] of [["pull", "pull"], ["push", "push"], ["sum", "sum: where it goes"]]) {
      const line = make("span");
      const mark = draw("svg", { viewBox: "0 0 30 10", width: 30, height: 10 });
      mark.append(draw("path", { d: "M0,5H30", class: kind }));
      line.append(mark, words);
      legend.append(line);
    }
    this.loss = make("div", "simnb-circle-loss", "", { role: "status" });
    this.about = make("div", "simnb-circle-about");
    this.chosen = make("div", "simnb-circle-chosen");
    this.curve = draw("svg", { viewBox: "0 0 240 84", class: "curve", role: "img", "aria-label": "loss by step" });
    side.append(this.loss, this.about, this.curve, this.chosen, legend);
    return side;
  }

  // ---- moves

  /** Take the angles, and count steps from here. */
  begin(angles) {
    this.angles = [...angles];
    this.losses = [];
    this.show();
    this.losses = [this.now.loss];
    this.showCurve();
  }

  put(angles) {
    this.pause();
    this.begin(angles);
    this.tell();
  }

  run() {
    if (this.now.loss === 0) this.put(this.start());
    this.play.textContent = "❚❚ Pause";
    this.timer = setInterval(() => {
      const settled = this.now.pull.every((pull, i) => Math.abs(pull + this.now.push[i]) < 1e-5);
      if (this.now.loss === 0 || settled || this.losses.length > MOST_STEPS) this.pause();
      else this.step();
    }, EVERY);
  }

  pause() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = 0;
      this.tell();
    }
    this.play.textContent = "▶ Play";
  }

  step() {
    this.angles = stepped(this.angles, this.now, this.model.get("rate"));
    this.show();
    this.losses.push(this.now.loss);
    this.showCurve();
  }

  grab(event, i) {
    event.preventDefault();
    this.pause();
    this.points[i].focus();
    this.points[i].setPointerCapture(event.pointerId);
    const move = (moved) => {
      const box = this.svg.getBoundingClientRect();
      const [x, y] = [moved.clientX - box.x - box.width / 2, moved.clientY - box.y - box.height / 2];
      this.angles[i] = Math.atan2(-y, x);
      this.begin(this.angles);
    };
    const drop = () => {
      this.points[i].removeEventListener("pointermove", move);
      this.tell();
    };
    this.points[i].addEventListener("pointermove", move);
    this.points[i].addEventListener("lostpointercapture", drop, { once: true });
  }

  turn(event, i) {
    const by = { ArrowLeft: 1, ArrowUp: 1, ArrowRight: -1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.angles[i] += by * TURN;
    this.put(this.angles);
  }

  /** Let Python know. */
  tell() {
    this.busy = true;
    this.set("angles", [...this.angles]);
    this.busy = false;
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  // ---- what is shown

  show() {
    const [margin, selected] = [this.model.get("margin"), this.model.get("selected")];
    this.now = measured(this.angles, this.labels, margin);
    this.slider.value = margin;
    this.marginText.textContent = margin.toFixed(2);
    this.under.replaceChildren();
    if (this.arcs.checked) this.showZones(selected, margin);
    this.angles.forEach((angle, i) => {
      this.arrow("sum", angle, this.now.pull[i] + this.now.push[i], 1.13);
      const [x, y] = place(angle, RADIUS);
      const name = this.nameOf(i);
      const point = this.points[i];
      point.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})`);
      point.setAttribute("aria-valuenow", degrees(angle));
      point.setAttribute("aria-label", name);
      point.classList.toggle("selected", i === selected);
    });
    this.arrow("pull", this.angles[selected], this.now.pull[selected], 1.25);
    this.arrow("push", this.angles[selected], this.now.push[selected], 1.36);
    const { loss, triplets, above } = this.now;
    this.loss.textContent = `Loss ${loss.toFixed(3)}`;
    const right = nearestRight(this.angles, this.labels);
    this.about.textContent =
      `${above} of ${triplets} triplets ask for something. ` +
      `${right} of ${this.labels.length} points have a nearest neighbor of their class.`;
    const [pull, push] = [this.now.pull[selected], this.now.push[selected]];
    this.chosen.textContent =
      `${this.nameOf(selected)} at ${degrees(this.angles[selected])}°: pull ${signed(pull)}, push ${signed(push)}, ` +
      `gradient ${signed(-pull - push)}`;
  }

  /** The class of a point and its number within it, from 1. */
  nameOf(i) {
    const number = this.labels.slice(0, i + 1).filter((label) => label === this.labels[i]).length;
    return `${this.classes[this.labels[i]]} ${number}`;
  }

  arrow(kind, angle, turn, times) {
    const by = Math.max(-2.5, Math.min(2.5, turn * this.scale));
    if (Math.abs(by) < 0.012) return;
    const radius = RADIUS * times;
    const neck = angle + by - Math.sign(by) * Math.min(0.05, Math.abs(by));
    this.under.append(draw("path", { d: arc(angle, neck, radius), class: kind }));
    const head = [place(angle + by, radius), place(neck, radius - 4.5), place(neck, radius + 4.5)];
    this.under.append(draw("path", { d: `M${head.join("L")}z`, class: `${kind} head` }));
  }

  showZones(selected, margin) {
    for (const [name, low, high] of zones(this.angles, this.labels, selected, margin)) {
      const at = this.angles[selected];
      for (const side of [1, -1]) {
        const d = arc(at + side * low, at + side * high, 0.66 * RADIUS);
        this.under.append(draw("path", { d, class: `zone ${name}` }));
      }
      const [x, y] = place(at + (low + high) / 2, 0.4 * RADIUS);
      this.under.append(draw("text", { x, y: y + 4, class: "degrees" }, name));
    }
  }

  showCurve() {
    const [left, right, top, bottom] = [34, 232, 8, 62];
    const highest = Math.max(this.losses[0], ...this.losses, 1e-9);
    const steps = Math.max(this.losses.length - 1, 20);
    const points = this.losses.map((loss, at) => {
      return `${left + ((right - left) * at) / steps},${bottom - ((bottom - top) * loss) / highest}`;
    });
    this.curve.replaceChildren(
      draw("path", { d: `M${left},${top}V${bottom}H${right}`, class: "axes" }),
      draw("text", { x: left - 4, y: top + 5, "text-anchor": "end" }, highest.toFixed(2)),
      draw("text", { x: left - 4, y: bottom + 4, "text-anchor": "end" }, "0"),
      draw("text", { x: left, y: 78 }, `loss, step ${this.losses.length - 1}`),
      draw("polyline", { points: points.join(" ") }),
      draw("circle", { cx: points.at(-1).split(",")[0], cy: points.at(-1).split(",")[1], r: 3 }),
    );
    this.root.dataset.steps = this.losses.length - 1;
  }

  destroy() {
    clearInterval(this.timer);
    this.undo.forEach((undo) => undo());
    this.root.remove();
  }
}

function render({ model, el }) {
  const view = new CircleView(model, el);
  return () => view.destroy();
}

export default { render };
