// The image that was chosen, and what it is most like.

import { IS_RIGHT, IS_WRONG, counted } from "./answers.js";
import { thumbnail, tile } from "./tiles.js";
import { SIGNS, make } from "../widgets/projector.js";

export class Panel {
  /** `close` is called when the panel is closed. */
  constructor(page, close) {
    this.page = page;
    this.element = make("aside", "simnb-panel", "", { "aria-label": "What an image is like" });
    this.head = make("div", "simnb-chosen");
    this.answer = make("p", "simnb-answer", "", { id: "simnb-answer" });
    this.list = make("div", "simnb-tiles");
    this.close = make("button", "simnb-close", "✕", { type: "button", "aria-label": "Close", title: "Close (Escape)" });
    this.close.addEventListener("click", close);
    this.element.append(this.close, this.head, this.answer, this.list);
    this.show(-1);
  }

  show(i) {
    const { page } = this;
    this.image = i;
    this.close.hidden = i < 0;
    this.element.toggleAttribute("data-shown", i >= 0);
    if (i < 0) {
      this.head.replaceChildren(make("h2", "", "Find similar images"));
      this.list.replaceChildren();
    } else {
      const text = make("div", "simnb-chosen-text");
      this.heading = make("h2", "", page.title(i), { tabindex: "-1", "aria-describedby": "simnb-answer" });
      text.append(this.heading);
      if (page.details[i] !== page.title(i)) text.append(make("span", "simnb-note", page.details[i]));
      this.head.replaceChildren(thumbnail(page, i), text);
      this.list.replaceChildren(...page.near(i).map(([other, distance]) => this.neighbor(other, distance)));
    }
    this.judge();
  }

  neighbor(other, distance) {
    return tile(this.page, other, { mark: this.page.map.verdictOf(this.image, other), distance });
  }

  /** What the threshold makes of it. */
  judge() {
    const { page, image } = this;
    const near = image < 0 ? [] : page.near(image);
    if (image < 0) this.answer.textContent = "Click an image, on the map or in a list: those most like it are shown here, the nearest first.";
    else if (!near.length) this.answer.textContent = "There is no other image.";
    else {
      const [[first, distance]] = near;
      const within = near.filter(([, far]) => far <= page.threshold).length;
      const away = page.apart(distance);
      const answer = within ? `${this.match(first)}, at ${away}.` : `No match: the nearest is ${away} away.`;
      this.answer.textContent = `${answer} Within the threshold: ${within} of ${counted(near.length, "neighbor")}.`;
    }
  }

  /** In words, that the nearest neighbor lies within the threshold. */
  match(nearest) {
    const { page, image } = this;
    if (!page.labelled) return "Has a match";
    if (page.map.hasNoLabel(nearest)) return "Has a match without a label";
    const sign = { [IS_WRONG]: SIGNS.wrong, [IS_RIGHT]: SIGNS.right }[page.verdicts[image]] ?? "";
    return `${sign}Matches ${page.title(nearest)}`;
  }
}
