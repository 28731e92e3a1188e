// The threshold to move, and what it does to the images of the page and to the calibration queries.

import { counted, inWords, promised, tally } from "./answers.js";
import { array, digits, make } from "../widgets/projector.js";

export class ThresholdBar {
  /** `moved` is called with the threshold after each move. */
  constructor(page, limit, moved) {
    this.page = page;
    this.limit = limit;
    this.moved = moved;
    this.thresholds = array(new Map(Object.entries(limit)), "thresholds", Float32Array);
    const rates = new Map(Object.entries(limit.rates));
    this.rates = [...rates.keys()].map((name) => [name, array(rates, name, Float32Array)]);
    this.element = make("section", "simnb-limit", "", { "aria-label": "Threshold" });
    const last = this.thresholds.length - 1;
    const kind = { type: "range", min: 0, max: last, step: 1, "aria-label": "Threshold: largest distance that matches" };
    this.slider = make("input", "simnb-slider", "", kind);
    this.value = make("span", "simnb-value");
    const line = make("div", "simnb-limit-line");
    line.append(make("span", "simnb-limit-name", `Threshold of ${page.model.get("distance").replace("_", " ")} distance`), this.slider, this.value);
    this.counts = make("p", "simnb-counts", "", { role: "status" });
    this.promise = make("p", "simnb-rates");
    this.element.append(line, this.buttons(), this.counts, this.promise);
    this.slider.addEventListener("input", () => this.show());
    this.slider.value = limit.start;
  }

  /** One for each cutpoint, which it moves the threshold to. */
  buttons() {
    const box = make("div", "simnb-marks");
    for (const { name, goal, met, byClass, step } of this.limit.marks) {
      const notes = [met ? "" : "not met", byClass ? "one for all classes here" : ""].filter(Boolean);
      const text = [goal, notes.length ? ` (${notes.join(", ")})` : ""].join("");
      const button = make("button", "simnb-mark", text, { type: "button", title: name, "data-step": step });
      button.addEventListener("click", () => {
        this.slider.value = step;
        this.show();
      });
      box.append(button);
    }
    return box;
  }

  threshold() {
    return this.thresholds[this.slider.value];
  }

  show() {
    const threshold = this.threshold();
    const named = Number.isFinite(threshold) ? digits(threshold) : threshold > 0 ? "no limit" : "none match";
    this.value.textContent = named;
    this.slider.setAttribute("aria-valuetext", named);
    for (const button of this.element.querySelectorAll("[data-step]")) {
      button.setAttribute("aria-pressed", String(button.dataset.step === this.slider.value));
    }
    const { nearest, verdicts, labelled } = this.page;
    this.counts.textContent = inWords(tally(nearest, verdicts, threshold), labelled);
    this.promise.textContent = this.onCalibration();
    this.moved(threshold);
  }

  onCalibration() {
    if (!this.rates.length) return "";
    const { known, unknown, vote } = this.limit;
    const rates = Object.fromEntries(this.rates.map(([name, values]) => [name, values[this.slider.value]]));
    const queries = `${counted(known, "query", "queries")} of known classes and ${unknown.toLocaleString("en")} of others`;
    const by = vote ? `, answered by a vote of ${vote} neighbors` : "";
    return `The calibration set searched in the gallery (${queries}${by}): ${promised(rates)}.`;
  }
}
