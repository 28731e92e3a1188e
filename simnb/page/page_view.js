// The page of simnb.page: puts its parts together, and holds what they ask for.

import { decimalsOf, fixed, mistakes, placeOf } from "./answers.js";
import { allImages, duplicateGroups, labelsToCheck, leaksFound, wrongNeighbors } from "./lists.js";
import { Panel } from "./panel.js";
import { ThresholdBar } from "./threshold_bar.js";
import { ProjectorView, array, make } from "../widgets/projector.js";

const NARROW = matchMedia("(max-width: 860px)"); // as in page.css: the panel lies over the page, the facts are folded

class PageView {
  constructor(model, element) {
    this.model = model;
    this.threshold = Infinity;
    this.read();
    this.root = make("div", "simnb-page");
    this.views = this.listed();
    this.panel = new Panel(this, () => this.close());
    this.bar = new ThresholdBar(this, model.get("limit"), (threshold) => this.move(threshold));
    this.build();
    element.append(this.root);
    this.drawMap();
    this.listen();
    this.bar.show();
    this.follow();
  }

  read() {
    const { model } = this;
    this.labels = array(model, "_labels", Int32Array);
    this.neighbors = array(model, "_neighbors", Int32Array);
    this.distances = array(model, "_neighbor_distances", Float32Array);
    this.verdicts = array(model, "_verdicts", Uint8Array);
    this.classes = model.get("_classes");
    this.details = model.get("_details");
    this.k = this.neighbors.length / this.labels.length;
    this.nearest = Float32Array.from(this.labels, (label, i) => this.distances[i * this.k]);
    this.labelled = this.classes.some(({ unknown }) => !unknown);
    this.decimals = decimalsOf(this.distances);
  }

  /** Each view: its name in the address, its tab, what it counts, and what makes it when it is first looked at. */
  listed() {
    const { duplicates, leaks, mislabelled } = this.model.get("found");
    const views = [
      ["map", "Map", null, () => this.stage],
      ["images", "Images", this.labels, () => allImages(this)],
    ];
    const wrong = mistakes(this.nearest, this.verdicts);
    if (this.labelled) views.push(["mistakes", "Mistakes", wrong, () => wrongNeighbors(this, wrong)]);
    if (duplicates) {
      views.push(["duplicates", "Near-duplicates", duplicates.groups, () => duplicateGroups(this, duplicates)]);
    }
    if (leaks) views.push(["leaks", "Leaks", leaks.finds, () => leaksFound(this, leaks)]);
    if (mislabelled) {
      views.push(["labels", "Labels to check", mislabelled.candidates, () => labelsToCheck(this, mislabelled)]);
    }
    return new Map(views.map(([name, text, items, open]) => [name, { text, items, open }]));
  }

  // ---- what the parts ask for

  title(i) {
    return this.labelled ? this.className(this.labels[i]) : this.file(i);
  }

  className(label) {
    return this.classes[label].name;
  }

  /** [position, distance] of the neighbors of an image, nearest first. */
  near(i) {
    const found = [];
    for (let j = i * this.k; j < (i + 1) * this.k; j++) {
      if (this.neighbors[j] >= 0) found.push([this.neighbors[j], this.distances[j]]);
    }
    return found;
  }

  /** The name of an image without its folders. */
  file(i) {
    return this.details[i].split("/").pop();
  }

  /** A distance, with as many decimals as tell those on this page apart. */
  apart(distance) {
    return fixed(distance, this.decimals);
  }

  // ---- the elements

  build() {
    const found = make("details", "simnb-found");
    found.open = !NARROW.matches;
    const facts = make("dl", "simnb-facts");
    found.append(make("summary", "", "What was found"), facts);
    for (const [label, sentence] of this.model.get("facts")) {
      const fact = make("div", "simnb-fact");
      fact.append(make("dt", "", label), make("dd", "", sentence));
      facts.append(fact);
    }
    this.tabs = make("div", "simnb-tabs", "", { role: "tablist", "aria-label": "Views" });
    this.body = make("div", "simnb-views");
    for (const [name, view] of this.views) {
      const id = `simnb-view-${name}`;
      const names = { type: "button", role: "tab", id: `${id}-tab`, "aria-controls": id, "data-view": name };
      view.tab = make("button", "simnb-tab", view.text, names);
      if (view.items) view.tab.append(" ", make("span", "simnb-badge", view.items.length.toLocaleString("en")));
      const owner = { role: "tabpanel", id, "aria-labelledby": `${id}-tab` };
      view.body = make("div", "simnb-view", "", owner);
      view.body.hidden = true;
      this.tabs.append(view.tab);
      this.body.append(view.body);
    }
    const columns = make("div", "simnb-columns");
    const main = make("main", "simnb-main");
    main.append(this.tabs, this.body);
    columns.append(main, this.panel.element);
    if (facts.children.length) this.root.append(found);
    this.bar.element.hidden = this.labels.length < 2;
    this.root.append(this.bar.element, columns);
  }

  drawMap() {
    this.stage = make("div", "simnb-map-view");
    this.open("map");
    this.map = new ProjectorView(this.model, this.stage);
    this.sprites = this.map.sprites;
    this.root.toggleAttribute("data-pixels", this.sprites.size <= 32);
  }

  /** Make a view when it is first looked at. */
  open(name) {
    const { body, open } = this.views.get(name);
    if (!body.children.length) body.append(open());
  }

  // ---- what happens

  listen() {
    addEventListener("hashchange", () => this.follow());
    this.stage.addEventListener("pin", ({ detail: { image, typed } }) => {
      if (image !== this.place?.image) this.choose("map", image, this.map.map, typed);
    });
    this.root.addEventListener("click", ({ target, detail }) => {
      const chosen = target.closest("[data-image]");
      if (chosen) this.choose(this.place.view, Number(chosen.dataset.image), chosen, !detail); // 0: typed
    });
    this.tabs.addEventListener("click", ({ target }) => {
      const tab = target.closest("[data-view]");
      if (tab) this.go(tab.dataset.view);
    });
    this.tabs.addEventListener("keydown", (event) => this.walk(event));
    addEventListener("keydown", ({ key, target }) => {
      if (key === "Escape" && !target.matches("[type=search]")) this.close(); // there it clears what was typed
    });
    this.root.addEventListener("grown", () => this.refresh());
  }

  /** Arrow keys go from tab to tab. */
  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const names = [...this.views.keys()];
    const next = names[(names.indexOf(this.place.view) + step + names.length) % names.length];
    this.go(next, this.place.image, "replace");
    this.views.get(next).tab.focus();
  }

  /** Show an image; where it was chosen by a key, or in the panel, the focus goes to the panel. */
  choose(view, image, chosen, typed) {
    const inside = this.panel.element.contains(chosen);
    if (!inside) this.opener = chosen;
    this.go(view, image);
    if (image >= 0 && (inside || typed)) this.panel.heading.focus();
  }

  /** Close the panel; the focus goes from there to what opened it, or to the tab where that is not seen. */
  close() {
    const inside = this.panel.element.contains(document.activeElement);
    this.go(this.place.view, -1);
    if (!inside) return;
    this.views.get(this.place.view).tab.focus({ preventScroll: true });
    this.opener?.focus();
  }

  /** Show a view and an image; the browser's own way back leads back, but for what is replaced. */
  go(view, image = this.place.image, how = "assign") {
    const hash = image < 0 ? `#${view}` : `#${view}/${image}`;
    if (hash === location.hash) return;
    location[how](hash);
    this.follow();
  }

  /** Show what the address says. */
  follow() {
    const was = this.place;
    this.place = placeOf(location.hash, [...this.views.keys()], this.labels.length);
    const { view, image } = this.place;
    this.open(view);
    for (const [name, { tab, body }] of this.views) {
      tab.setAttribute("aria-selected", String(name === view));
      tab.tabIndex = name === view ? 0 : -1;
      body.hidden = name !== view;
    }
    this.tabs.scrollLeft = this.views.get(view).tab.offsetLeft - 40;
    if (!this.map.size) this.map.resize(); // now, not when the browser tells it
    if (image !== was?.image) {
      this.panel.show(image);
      if (this.map.pinned !== image) this.map.pin(image);
    }
    const moved = image !== was?.image || view !== was?.view;
    if (moved && view === "map" && image >= 0) this.uncover(image);
    this.refresh();
  }

  /** Move the map to the chosen image, and that out from under the panel where this lies over the page. */
  uncover(image) {
    this.map.reveal(image);
    if (!NARROW.matches) return;
    const top = this.stage.querySelector("canvas").getBoundingClientRect().top + this.map.at(image)[1];
    if (top < 0 || top > 0.5 * innerHeight) scrollBy(0, top - 0.3 * innerHeight);
  }

  move(threshold) {
    this.threshold = threshold;
    this.model.set("threshold", threshold);
    this.panel.judge();
    this.refresh();
  }

  /** Mark the image that is chosen, and what lies beyond the threshold. */
  refresh() {
    for (const element of this.root.querySelectorAll("[data-distance]")) {
      element.toggleAttribute("data-beyond", Number(element.dataset.distance) > this.threshold);
    }
    for (const element of this.root.querySelectorAll("[data-image]")) {
      element.toggleAttribute("data-chosen", Number(element.dataset.image) === this.place?.image);
    }
  }
}

function render({ model, el }) {
  const page = new PageView(model, el);
  page.root.dataset.ready = "true";
}

export default { render };
