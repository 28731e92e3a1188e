// Thumbnails to click on, alone, in rows that grow, and beside one another.

import { SIGNS, make } from "../widgets/projector.js";

const MOST_PIXELS = 192; // a side of a canvas: hundreds of larger ones would fill the memory of a phone

/** A canvas with the thumbnail of an image, in the pixels that it has. */
export function thumbnail(page, i) {
  const canvas = make("canvas", "", "", { "aria-hidden": "true" });
  canvas.width = canvas.height = Math.min(page.sprites.size, MOST_PIXELS);
  page.sprites.paint(canvas, i);
  return canvas;
}

/**
 * A thumbnail that shows the neighbors of its image when it is clicked.
 * notes: lines below its name; mark: "right" or "wrong"; distance: what the threshold is compared with.
 */
export function tile(page, i, { notes = [], mark = "", distance = null } = {}) {
  const title = [page.title(i), page.details[i]].join(", ");
  const button = make("button", "simnb-tile", "", { type: "button", "data-image": i, title });
  const name = make("span", "simnb-tile-name", page.title(i));
  button.append(thumbnail(page, i), name, ...notes.map((note) => make("span", "simnb-note", note)));
  if (mark) button.dataset.mark = mark;
  if (distance !== null) {
    button.append(make("span", "simnb-note", `${SIGNS[mark]}${page.apart(distance)}`));
    button.append(make("span", "simnb-note simnb-out", "rejected"));
    button.dataset.distance = distance;
  }
  return button;
}

/** Items in a list that shows so many at first, and more when it is asked to. */
export function growing(items, build, atOnce, classes = "simnb-tiles") {
  const box = make("div");
  const list = make("div", classes);
  const more = make("button", "simnb-more", "", { type: "button" });
  box.append(list, more);
  if (!items.length) box.prepend(make("p", "simnb-none", "None found."));
  let shown = 0;
  const grow = () => {
    const added = items.slice(shown, shown + atOnce).map(build);
    list.append(...added);
    shown += added.length;
    more.hidden = shown >= items.length;
    more.textContent = `Show more (${(items.length - shown).toLocaleString("en")} left)`;
    return added[0];
  };
  grow();
  more.addEventListener("click", () => {
    const first = grow();
    (first.matches("button") ? first : first.querySelector("button")).focus();
    box.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  });
  return box;
}

/** Two images beside one another, and what joins them. */
export function pair(page, one, other, between, { notes = [[], []], mark = "", distance = null } = {}) {
  const box = make("div", "simnb-pair");
  const middle = make("div", "simnb-between");
  middle.append(make("span", "simnb-arrow", "→", { "aria-hidden": "true" }), make("span", "simnb-note", between));
  box.append(tile(page, one, { notes: notes[0] }), middle, tile(page, other, { notes: notes[1], mark }));
  if (distance !== null) {
    middle.append(make("span", "simnb-note simnb-out", "rejected"));
    box.dataset.distance = distance;
  }
  return box;
}
